"""Normalised models against the originals, at every tensor that both have."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from dds.model import load_model, zoo
from dds.parallel.normalise import normalise
from dds.parallel.rewrite import Source

FLOAT = TensorProto.FLOAT


def close(one: np.ndarray, other: np.ndarray) -> None:
    largest = float(np.abs(other).max())
    np.testing.assert_allclose(one, other, rtol=0, atol=1e-5 * largest)


#: The others have far more weights and are normalised alike: alexnet and zfnet512 as inception_v1,
#: resnet50 as shufflenet, and vgg19 as squeezenet, which is normal already.
@pytest.mark.parametrize(
    "name", ["densenet121", "inception_v1", "inception_v2", "shufflenet", "squeezenet"]
)
def test_the_zoo_computes_the_same_at_every_boundary(name, run, every_tensor, picture) -> None:
    data = zoo.build(name)
    graph = load_model(data)
    made = normalise(data)
    after = load_model(made)
    old = Counter(operator.kind for operator in graph.operators)
    if not old["LRN"] + old["BatchNormalization"]:
        assert after.operators == graph.operators
        return
    feeds = picture(graph)
    before, now = every_tensor(data, graph, feeds), every_tensor(made, after, feeds)
    both = before.keys() & now.keys()
    assert {graph.tensors[t].name for t in graph.outputs} <= both
    for tensor in both:
        close(now[tensor], before[tensor])
    for tensor, value in run(made, feeds, optimise=True).items():
        close(value, before[tensor])
    kinds = Counter(operator.kind for operator in after.operators)
    assert kinds["LRN"] == 0
    assert kinds["Conv"] == old["Conv"] + old["LRN"]
    # Only in front of a convolution, where DenseNet has them, do batch norms remain.
    assert kinds["BatchNormalization"] == (62 if name == "densenet121" else 0)
    # What is normal already stays as it is; half a gigabyte of weights need not say so too.
    if len(made) > 2**27:
        return
    again = load_model(normalise(made))
    assert [o.kind for o in again.operators] == [o.kind for o in after.operators]


def model_of(nodes, weights, shape, opset=17) -> bytes:
    arrays = [numpy_helper.from_array(np.asarray(a, np.float32), n) for n, a in weights.items()]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", FLOAT, shape)],
        [helper.make_tensor_value_info("y", FLOAT, None)],
        arrays,
    )
    opsets = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, ir_version=8, opset_imports=opsets).SerializeToString()


@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    size=st.integers(1, 7),
    channels=st.integers(1, 9),
    beta=st.sampled_from([0.75, 0.5, 1.0, 0.6]),
    alpha=st.floats(1e-4, 2.0),
    bias=st.floats(0.5, 3.0),
)
def test_lrn_is_what_onnx_defines(size, channels, beta, alpha, bias) -> None:
    """Against the reference: onnxruntime takes no even sizes."""
    node = helper.make_node("LRN", ["x"], ["y"], size=size, alpha=alpha, beta=beta, bias=bias)
    data = model_of([node], {}, (2, channels, 3, 2))
    made = normalise(data)
    assert "LRN" not in {operator.kind for operator in load_model(made).operators}
    x = np.random.default_rng(1).normal(size=(2, channels, 3, 2)).astype(np.float32)
    # Its own loop, in double precision, from the definition.
    squares = np.zeros(x.shape)
    for c in range(channels):
        low, high = max(0, c - (size - 1) // 2), min(channels - 1, c + size // 2)
        squares[:, c] = (x[:, low : high + 1].astype(float) ** 2).sum(axis=1)
    close(
        ReferenceEvaluator(made).run(None, {"x": x})[0], x / (bias + alpha / size * squares) ** beta
    )


PARTS = {
    "w": np.random.default_rng(2).normal(size=(4, 3, 3, 3)),
    "c": [1.0, -2.0, 3.0, 0.5],
    "g": [1.5, -0.5, 2.0, 1.0],
    "b": [0.1, 0.2, 0.3, 0.4],
    "m": [1.0, 2.0, -1.0, 0.0],
    "v": [0.5, 2.0, 1.0, 3.0],
    "s": np.reshape([2.0, 3.0, -1.0, 0.5], (4, 1, 1)),
    "k": [[[3.0]]],
    "r": np.arange(16.0).reshape(4, 4),
}
NORM = "BatchNormalization"


def chain(*kinds: str) -> list:
    """Nodes in a row, each on what the one before made: kind and its constants."""
    nodes, name = [], "x"
    for k, text in enumerate(kinds):
        kind, *constants = text.split()
        made = "y" if k + 1 == len(kinds) else f"t{k}"
        nodes.append(helper.make_node(kind, [name, *constants], [made]))
        name = made
    return nodes


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        (chain("Conv w c", f"{NORM} g b m v"), ["Conv"]),
        (chain("Conv w", f"{NORM} g b m v", "Relu"), ["Conv", "Relu"]),
        (chain("Conv w c", f"{NORM} g b m v", "Mul s", "Add k"), ["Conv"]),
        (chain("Conv w", "Add s", f"{NORM} g b m v"), ["Conv"]),
        (chain("Conv w c", f"{NORM} g b m v", "Add r"), ["Conv", "Add"]),
        (chain("Conv w c", "Relu", f"{NORM} g b m v", "Mul s"), ["Conv", "Relu", NORM]),
        (chain("Conv w c", "Mul s"), ["Conv", "Mul"]),
    ],
    ids=lambda value: "-".join(value) if isinstance(value[0], str) else None,
)
def test_chains_fold_as_far_as_they_are_affine_per_channel(nodes, expected, run) -> None:
    data = model_of(nodes, PARTS, (1, 3, 6, 6))
    made = normalise(data)
    assert [operator.kind for operator in load_model(made).operators] == expected
    feeds = {"x": np.random.default_rng(3).normal(size=(1, 3, 6, 6)).astype(np.float32)}
    close(run(made, feeds)["y"], run(data, feeds)["y"])
    assert len(made) <= len(data)


def test_what_others_read_is_not_folded_away(run) -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w", "c"], ["a"]),
        helper.make_node(NORM, ["a", "g", "b", "m", "v"], ["n"]),
        helper.make_node("Add", ["a", "n"], ["y"]),
    ]
    data = model_of(nodes, PARTS, (1, 3, 6, 6))
    made = normalise(data)
    assert [o.kind for o in load_model(made).operators] == ["Conv", NORM, "Add"]
    feeds = {"x": np.random.default_rng(3).normal(size=(1, 3, 6, 6)).astype(np.float32)}
    np.testing.assert_array_equal(run(made, feeds)["y"], run(data, feeds)["y"])


def test_a_batch_norm_with_parameters_that_vary_stays(run) -> None:
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"], axes=[0, 2, 3], keepdims=0),
        helper.make_node("Conv", ["x", "w1"], ["a"]),
        helper.make_node(NORM, ["a", "g1", "b1", "mean", "v1"], ["y"]),
    ]
    weights = {"w1": np.ones((3, 3, 1, 1)), "g1": [1, 2, 3], "b1": [0, 0, 1], "v1": [1, 1, 2]}
    data = model_of(nodes, weights, (1, 3, 4, 4))
    made = normalise(data)
    kinds = [operator.kind for operator in load_model(made).operators]
    assert kinds == ["ReduceMean", "Conv", NORM]
    feeds = {"x": np.random.default_rng(3).normal(size=(1, 3, 4, 4)).astype(np.float32)}
    np.testing.assert_array_equal(run(made, feeds)["y"], run(data, feeds)["y"])


def test_a_model_may_be_a_path(tmp_path) -> None:
    data = model_of(chain("Conv w c", f"{NORM} g b m v"), PARTS, (1, 3, 6, 6))
    path = tmp_path / "chain.onnx"
    path.write_bytes(data)
    assert normalise(path) == normalise(str(path)) == normalise(data)
    assert Source.read(path, load_model(path)).file == Source.read(data, load_model(data)).file


def test_open_shapes_are_fixed_wherever_they_stand(run) -> None:
    nodes = chain("Conv w c", f"{NORM} g b m v", "Relu")
    data = model_of(nodes, PARTS, (None, 3, 6, 6))
    shapes = {"x": (2, 3, 6, 6)}
    made = normalise(data, shapes=shapes)
    assert load_model(made).tensors == load_model(made, shapes=shapes).tensors
    graph = onnx.load_from_string(made).graph
    declared = [v.type.tensor_type.shape.dim for v in (*graph.input, *graph.output)]
    assert [[size.dim_value for size in form] for form in declared] == [[2, 3, 6, 6], [2, 4, 4, 4]]
    feeds = {"x": np.random.default_rng(3).normal(size=shapes["x"]).astype(np.float32)}
    close(run(made, feeds)["y"], run(data, feeds)["y"])
