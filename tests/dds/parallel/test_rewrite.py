"""Tiles as models: joined they are the whole, bit for bit where no kernel sums otherwise."""

from __future__ import annotations

import itertools

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from dds.errors import InvalidInput
from dds.model import load_model, zoo
from dds.parallel import tiles
from dds.parallel.rewrite import Source, join, take, tile_model
from dds.parallel.tiles import WHOLE, Region, Tile
from dds.testing.slices import sliceable_models

FLOAT = TensorProto.FLOAT
#: Vectorised functions whose last digit depends on where an element lies in memory.
_APPROXIMATE = {"LRN", "Sigmoid", "Softmax"}


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(sliceable_models(), st.sampled_from(["rows", "channels"]), st.data())
def test_drawn_segments_in_tiles_are_the_whole(run, every_tensor, model, kind, data) -> None:
    graph = load_model(model)
    first = data.draw(st.integers(0, len(graph.operators) - 1))
    segment = range(first, data.draw(st.integers(first + 1, len(graph.operators))))
    source = Source.read(model, graph)
    if not tiles.sliceable(graph, segment, kind):
        with pytest.raises(InvalidInput):
            source.tile(Tile(segment, kind, 0, 1))
        return
    size = tiles.extent(graph, segment, kind)
    inner = data.draw(st.lists(st.integers(1, size - 1), max_size=2, unique=True))
    shape = graph.tensors[graph.inputs[0]].shape
    x = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
    whole = every_tensor(model, graph, {"x": x})
    found: dict[str, list[np.ndarray]] = {}
    for low, high in itertools.pairwise([0, *sorted(inner), size]):
        part = source.tile(Tile(segment, kind, low, high))
        onnx.checker.check_model(part.model, full_check=True)
        reads = tiles.tile_inputs(graph, segment, kind, low, high)
        assert part.inputs == {graph.tensors[t].name: region for t, region in reads.items()}
        for name, value in run(part.model, part.feeds(whole)).items():
            found.setdefault(name, []).append(value)
    exact = all(_exact(graph, v, kind) for v in segment)
    for name, pieces in found.items():
        joined = join(pieces, kind)
        if exact:
            np.testing.assert_array_equal(joined, whole[name])
        else:
            largest = float(np.abs(whole[name]).max())
            np.testing.assert_allclose(joined, whole[name], rtol=0, atol=1e-5 * largest)


def _exact(graph, v: int, kind: str) -> bool:
    """Whether onnxruntime computes each element alike, whatever else the slice holds.

    Its matrix products have a kernel of their own for one row (a single channel) and for one
    column (a single pixel).
    """
    operator = graph.operators[v]
    if operator.kind == "Conv":
        return kind == "rows" and graph.tensors[operator.outputs[0]].shape[3] > 1
    return operator.kind not in _APPROXIMATE


#: The other two have the same operators with far more weights.
@pytest.mark.parametrize("name", sorted({*zoo.NAMES} - {"vgg19", "zfnet512"}))
def test_sliceable_blocks_of_the_zoo(name, run, every_tensor, picture) -> None:
    """In 2 and in 3 parts; of many blocks every second to fifth, or 17th of densenet121's.

    Bit for bit, but for rows of convolutions of many products: a kernel adds products up in runs of
    at least 128, whose length depends on how many columns there are, so with fewer rows a sum of
    more than 128 may round in another way.  Of matrices of more than 32 MB the first and the last
    columns do: loading all of them takes half a minute.
    """
    data = zoo.build(name)
    graph = load_model(data)
    whole = every_tensor(data, graph, picture(graph))
    source = Source.read(data, graph)
    checked, blocks = 0, tiles.blocks(graph)
    for block, kind in itertools.product(blocks[:: 1 + len(blocks) // 40], ("rows", "channels")):
        if not tiles.sliceable(graph, block, kind):
            continue
        size = tiles.extent(graph, block, kind)
        exact = kind == "channels" or all(_products(graph, v) <= 128 for v in block)
        heavy = sum(graph.operators[v].weight_bytes for v in block) > 2**25
        layouts = {tiles.bounds(size, [1.0] * parts, kind) for parts in (2, 3)}
        parts = {part for bounds in layouts for part in itertools.pairwise(bounds)}
        if heavy:
            parts = {(0, 256), (size - 256, size)}
        for low, high in sorted(parts):
            if low == high:
                continue
            part = source.tile(Tile(block, kind, low, high))
            for tensor, value in run(part.model, part.feeds(whole)).items():
                checked += 1
                answer = take(whole[tensor], part.outputs[tensor])
                if exact:
                    np.testing.assert_array_equal(value, answer)
                else:
                    atol = 1e-5 * float(np.abs(whole[tensor]).max())
                    np.testing.assert_allclose(value, answer, rtol=0, atol=atol)
    assert checked > 20


def _products(graph, v: int) -> int:
    """Products summed into one output of a convolution."""
    operator = graph.operators[v]
    if operator.kind != "Conv":
        return 0
    made = int(np.prod(graph.tensors[operator.outputs[0]].shape))
    return operator.macs // made


@pytest.mark.parametrize(
    ("name", "segment", "kind"),
    [
        ("squeezenet", range(2, 30), "rows"),
        ("squeezenet", range(2, 30), "channels"),
        ("shufflenet", range(2, 30), "rows"),
        ("shufflenet", range(10, 20), "channels"),
    ],
)
def test_tiles_with_everything_optimised(name, segment, kind, run, every_tensor, picture) -> None:
    data = zoo.build(name)
    graph = load_model(data)
    whole = every_tensor(data, graph, picture(graph))
    source = Source.read(data, graph)
    pieces: dict[str, list[np.ndarray]] = {}
    bounds = tiles.bounds(tiles.extent(graph, segment, kind), [1, 2, 1], kind)
    for low, high in itertools.pairwise(bounds):
        part = source.tile(Tile(segment, kind, low, high))
        for tensor, value in run(part.model, part.feeds(whole), optimise=True).items():
            pieces.setdefault(tensor, []).append(value)
    for tensor, values in pieces.items():
        atol = 1e-5 * float(np.abs(whole[tensor]).max())
        np.testing.assert_allclose(join(values, kind), whole[tensor], rtol=0, atol=atol)


def model_of(nodes, shape, weights, opset=17, out=None) -> bytes:
    arrays = [numpy_helper.from_array(np.asarray(a), n) for n, a in weights.items()]
    made = nodes[-1].output[0]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", FLOAT, shape)],
        [helper.make_tensor_value_info(made, FLOAT, out)],
        arrays,
    )
    opsets = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, ir_version=8, opset_imports=opsets).SerializeToString()


MATRICES = [
    ("Gemm", {"transB": 1}, (40, 8), (40,)),
    ("Gemm", {}, (8, 40), (1, 40)),
    ("Gemm", {"transB": 1, "alpha": 0.5}, (40, 8), (1,)),
    ("Gemm", {}, (8, 40), None),
    ("MatMul", {}, (8, 40), None),
]


@pytest.mark.parametrize(("kind", "attributes", "weight", "bias"), MATRICES)
def test_columns_of_a_matrix(kind, attributes, weight, bias, run) -> None:
    rng = np.random.default_rng(3)
    weights = {"w": rng.random(weight, np.float32)}
    reads = ["x", "w"]
    if bias is not None:
        weights["b"] = rng.random(bias, np.float32)
        reads.append("b")
    model = model_of([helper.make_node(kind, reads, ["y"], **attributes)], (3, 8), weights)
    graph = load_model(model)
    feeds = {"x": rng.random((3, 8), np.float32)}
    parts = [tile_model(model, graph, Tile(range(1), "channels", *b)) for b in ((0, 16), (16, 40))]
    assert [part.inputs for part in parts] == [{"x": WHOLE}] * 2
    assert len(parts[0].model) < len(parts[1].model) < len(model)
    joined = join([run(part.model, part.feeds(feeds))["y"] for part in parts], "channels")
    np.testing.assert_allclose(joined, run(model, feeds)["y"], rtol=1e-6)


def test_a_tile_holds_its_own_weights_and_no_others() -> None:
    data = zoo.build("alexnet")
    graph = load_model(data)
    (v,) = (v for v, o in enumerate(graph.operators) if o.kind == "Gemm" and o.weight_bytes > 10**8)
    quarter = tile_model(data, graph, Tile(range(v, v + 1), "channels", 0, 1024))
    assert len(quarter.model) == pytest.approx(graph.operators[v].weight_bytes / 4, rel=1e-3)
    assert quarter.outputs == {
        graph.tensors[graph.operators[v].outputs[0]].name: Region(1, 0, 1024)
    }


@pytest.mark.parametrize(
    ("kind", "attributes", "why"),
    [
        ("MaxPool", {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1}, "MaxPool"),
        ("AveragePool", {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}, "AveragePool"),
        ("Softmax", {"axis": 2}, "Softmax"),
        ("DepthToSpace", {"blocksize": 2}, "DepthToSpace"),
    ],
)
def test_what_cannot_be_sliced_is_refused_in_one_line(kind, attributes, why) -> None:
    data = model_of(
        [helper.make_node(kind, ["x"], ["y"], name="n", **attributes)], (1, 4, 7, 7), {}
    )
    graph = load_model(data)
    assert not tiles.sliceable(graph, range(1), "rows")
    with pytest.raises(InvalidInput, match=rf"^'n' \({why}\) cannot be sliced along axis 2; keep"):
        tile_model(data, graph, Tile(range(1), "rows", 0, 1))


def test_pools_that_round_up_are_sliced_by_channels(run) -> None:
    node = helper.make_node(
        "MaxPool", ["x"], ["y"], kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1
    )
    data = model_of([node], (1, 4, 7, 7), {})
    graph = load_model(data)
    feeds = {"x": np.random.default_rng(1).random((1, 4, 7, 7), np.float32)}
    parts = [tile_model(data, graph, Tile(range(1), "channels", *b)) for b in ((0, 1), (1, 4))]
    joined = join([run(part.model, part.feeds(feeds))["y"] for part in parts], "channels")
    np.testing.assert_array_equal(joined, run(data, feeds)["y"])


def test_whole_runs_are_models_too(run, every_tensor, picture) -> None:
    data = zoo.build("squeezenet")
    graph = load_model(data)
    whole = every_tensor(data, graph, picture(graph))
    part = tile_model(data, graph, Tile(range(10, 40)))
    answer = run(part.model, part.feeds(whole))
    assert answer.keys() == part.outputs.keys()
    for name, value in answer.items():
        np.testing.assert_array_equal(join([value], "whole"), whole[name])


def test_a_graph_of_another_model_and_missing_tensors_are_refused() -> None:
    data = zoo.build("squeezenet")
    with pytest.raises(InvalidInput, match="is not in this model"):
        Source.read(data, load_model(zoo.topology("alexnet")))
    part = tile_model(data, load_model(data), Tile(range(1)))
    with pytest.raises(InvalidInput, match="is missing; the tile reads it"):
        part.feeds({})


def test_bodies_of_control_flow_find_what_they_capture(run) -> None:
    """Or are refused, where the tile returns only a part of it under its name."""
    inside = helper.make_graph(
        [helper.make_node("Neg", ["a"], ["n"])],
        "body",
        [],
        [helper.make_tensor_value_info("n", FLOAT, (1, 2, 6, 6))],
    )
    nodes = [
        helper.make_node("Relu", ["x"], ["a"]),
        helper.make_node("If", ["c"], ["b"], name="if", then_branch=inside, else_branch=inside),
        helper.make_node("GlobalMaxPool", ["b"], ["g"]),
        helper.make_node("Mul", ["a", "g"], ["y"]),
    ]
    data = model_of(nodes, (1, 2, 6, 6), {"c": np.array(True)})
    feeds = {"x": np.random.default_rng(1).normal(size=(1, 2, 6, 6)).astype(np.float32)}
    graph = load_model(data)
    parts = [tile_model(data, graph, Tile(range(4), "rows", *b)) for b in ((0, 2), (2, 6))]
    joined = join([run(part.model, part.feeds(feeds))["y"] for part in parts], "rows")
    np.testing.assert_array_equal(joined, run(data, feeds)["y"])

    returning = onnx.ModelProto.FromString(data)
    returning.graph.output.append(helper.make_tensor_value_info("a", FLOAT, (1, 2, 6, 6)))
    both = returning.SerializeToString()
    with pytest.raises(InvalidInput, match=r"'if' \(If\) reads 'a' inside its body"):
        tile_model(both, load_model(both), Tile(range(4), "rows", 0, 2))
