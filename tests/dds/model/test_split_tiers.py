"""Splitting for three tiers: whatever the cuts, three parts are one model."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from dds.errors import InvalidInput
from dds.model import zoo
from dds.model.importer import load_model
from dds.model.split import split, split_tiers

FLOAT = TensorProto.FLOAT
UNARY, BINARY = ("Relu", "Neg", "Abs", "Sigmoid"), ("Add", "Mul", "Sub", "Max")


def value(name):
    return helper.make_tensor_value_info(name, FLOAT, (3,))


@st.composite
def small_models(draw):
    """ONNX bytes of a random DAG on vectors: inputs and weights read anywhere, any outputs."""
    inputs = [f"x{k}" for k in range(draw(st.integers(1, 3)))]
    weights = [f"w{k}" for k in range(draw(st.integers(0, 2)))]
    known, nodes = [*inputs, *weights], []
    for k in range(draw(st.integers(1, 8))):
        kind = draw(st.sampled_from(UNARY + BINARY))
        reads = [draw(st.sampled_from(known)) for _ in range(1 + (kind in BINARY))]
        nodes.append(helper.make_node(kind, reads, [f"t{k}"]))
        known.append(f"t{k}")
    outputs = draw(st.lists(st.sampled_from(known), min_size=1, max_size=4, unique=True))
    arrays = [numpy_helper.from_array(np.float32([1, -2, k]), w) for k, w in enumerate(weights)]
    graph = helper.make_graph(
        nodes, "drawn", [value(x) for x in inputs], [value(y) for y in outputs], arrays
    )
    opsets = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, ir_version=10, opset_imports=opsets).SerializeToString()


def nested(graph, rng):
    """Two random cuts, one within the other: each operator no earlier than what it reads from."""
    tiers = []
    for before in graph.predecessors:
        least = max((tiers[u] for u in before), default=0)
        tiers.append(max(least, int(rng.choice(3, p=rng.dirichlet(np.ones(3))))))
    first = [v for v, tier in enumerate(tiers) if tier == 0]
    return first, [v for v, tier in enumerate(tiers) if tier < 2]


def together(run, parts, feeds):
    """One inference, each tier given nothing but what the split says crosses to it."""
    here = run(parts.device.model, parts.device_feeds(feeds)) if parts.device.model else {}
    sent = parts.uploaded(feeds, here)
    edge = run(parts.edge.model, parts.edge_feeds(sent, {})) if parts.edge.model else {}
    forwarded = parts.cloud_feeds(sent, {}, edge)
    assert tuple(forwarded) == parts.forwards
    cloud = run(parts.cloud.model, forwarded) if parts.cloud.model else {}
    back = {name: array for name, array in {**edge, **cloud}.items() if name in parts.downloads}
    assert set(back) == set(parts.downloads)
    return parts.join(feeds, here, back)


def assert_equal(answers, whole):
    assert list(answers) == list(whole)
    for name, array in whole.items():
        np.testing.assert_array_equal(answers[name], array)


@settings(max_examples=90, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(small_models(), st.integers(0, 2**32))
def test_three_parts_of_drawn_models_equal_the_whole(run, model, seed):
    try:
        graph = load_model(model)
    except InvalidInput:
        reject()  # nothing in it depends on an input
    rng = np.random.default_rng(seed)
    feeds = {graph.tensors[t].name: rng.normal(size=3).astype(np.float32) for t in graph.inputs}
    whole = run(model, feeds)
    first, second = nested(graph, rng)
    parts = split_tiers(model, graph, first, second)
    assert (parts.edge.model is None) == (first == second)
    assert_equal(together(run, parts, feeds), whole)


#: The other two have the same operators as alexnet with far more weights.
@pytest.mark.parametrize("name", sorted({*zoo.NAMES} - {"vgg19", "zfnet512"}))
def test_three_parts_of_real_models_equal_the_whole(name, cuts, run):
    model = zoo.build(name)
    graph = load_model(model)
    rng = np.random.default_rng(3)
    shapes = {t: graph.tensors[t].shape for t in graph.inputs}
    feeds = {graph.tensors[t].name: rng.random(shape, np.float32) for t, shape in shapes.items()}
    drawn = [set(cut.on_device) for cut in cuts(graph, 6, seed=4)]
    inside = [s for s in drawn if 0 < len(s) < len(graph.operators)]
    assert inside
    # Closed sets stay closed under intersection.
    first, second = inside[0] & inside[-1], inside[-1]
    parts = split_tiers(model, graph, first, second)
    assert_equal(together(run, parts, feeds), run(model, feeds))


class TestWhatCrosses:
    """x is read by the cloud alone, a passes the edge, b is made there and an output, too."""

    @pytest.fixture
    def model(self):
        nodes = [
            helper.make_node("Relu", ["x"], ["a"]),
            helper.make_node("Neg", ["a"], ["b"]),
            helper.make_node("Add", ["b", "a"], ["c"]),
            helper.make_node("Max", ["c", "z"], ["y"]),
        ]
        graph = helper.make_graph(
            nodes, "g", [value("x"), value("z")], [value("y"), value("b"), value("x")]
        )
        opsets = [helper.make_opsetid("", 17)]
        return helper.make_model(graph, ir_version=10, opset_imports=opsets).SerializeToString()

    def test_on_all_tiers(self, model):
        parts = split_tiers(model, load_model(model), [0], [0, 1])
        assert (parts.device.inputs, parts.device.outputs) == (("x",), ("a",))
        assert (parts.edge.inputs, parts.edge.outputs) == (("a",), ("b",))
        assert (parts.cloud.inputs, parts.cloud.outputs) == (("z", "a", "b"), ("y",))
        assert parts.uploads == ("z", "a")
        assert parts.forwards == parts.cloud.inputs
        assert parts.downloads == ("b", "y")

    def test_with_an_idle_edge(self, model):
        parts = split_tiers(model, load_model(model), [0], [0])
        assert parts.edge.model is None
        assert parts.uploads == parts.forwards == ("z", "a")
        assert parts.downloads == ("b", "y")

    @pytest.mark.parametrize("kept", [[], [0], [0, 1], [0, 1, 2, 3]])
    def test_two_tiers_are_three_with_an_idle_cloud(self, model, kept, cut_of):
        graph = load_model(model)
        two, three = (
            split(model, graph, cut_of(graph, frozenset(kept))),
            split_tiers(model, graph, kept, range(4)),
        )
        assert three.cloud.model is None
        assert (two.device, two.server) == (three.device.model, three.edge.model)
        assert (two.uploads, two.downloads) == (three.uploads, three.downloads)


class TestWrongInput:
    @pytest.fixture
    def model(self):
        nodes = [helper.make_node("Relu", ["x"], ["a"]), helper.make_node("Neg", ["a"], ["y"])]
        graph = helper.make_graph(nodes, "g", [value("x")], [value("y")])
        opsets = [helper.make_opsetid("", 17)]
        return helper.make_model(graph, ir_version=10, opset_imports=opsets).SerializeToString()

    @pytest.mark.parametrize(
        ("first", "second", "says"),
        [
            ([1], [0, 1], "'Neg_1' on the device reads from 'Relu_0' on the edge"),
            ([], [1], "'Neg_1' on the edge reads from 'Relu_0' in the cloud"),
            ([0], [], "not_in_cloud: 'Relu_0' is missing, which runs on the device"),
            ([2], [0, 1], "not_in_cloud: operator 2 is missing"),
            ([], [0, 2], "operator 2 is not among the 2"),
        ],
    )
    def test_cuts_that_are_none(self, model, first, second, says):
        with pytest.raises(InvalidInput, match=says):
            split_tiers(model, load_model(model), first, second)
