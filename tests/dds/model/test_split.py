"""Splitting: what each part holds, and that two parts are one model."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from dds.errors import InvalidInput
from dds.model import zoo
from dds.model.importer import load_model
from dds.model.split import split

FLOAT = TensorProto.FLOAT


def value(name, shape=(2,), kind=FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def node(kind, inputs, outputs, **attributes):
    return helper.make_node(kind, inputs.split(), outputs.split(), **attributes)


def model(nodes, inputs, outputs, weights=(), ir=10, opset=17):
    arrays = [
        numpy_helper.from_array(np.asarray(a, np.float32), n) for n, a in dict(weights).items()
    ]
    graph = helper.make_graph(nodes, "g", inputs, outputs, arrays)
    opsets = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, ir_version=ir, opset_imports=opsets).SerializeToString()


def together(run, parts, feeds):
    here = run(parts.device, parts.device_feeds(feeds)) if parts.device else {}
    there = run(parts.server, parts.server_feeds(feeds, here)) if parts.server else {}
    return parts.join(feeds, here, there)


def weights_of(part):
    return {t.name for t in onnx.ModelProto.FromString(part).graph.initializer}


@pytest.mark.parametrize("name", ["squeezenet", "shufflenet", "inception_v1"])
def test_cuts_of_real_models_equal_the_whole(name, cuts, run):
    data = zoo.build(name)
    graph = load_model(data)
    rng = np.random.default_rng(1)
    feeds = {graph.tensors[graph.inputs[0]].name: rng.random((1, 3, 224, 224), np.float32)}
    exact, optimised = run(data, feeds), run(data, feeds, optimise=True)
    for cut in cuts(graph, 5, seed=2):
        parts = split(data, graph, cut)
        for tensor, answer in together(run, parts, feeds).items():
            np.testing.assert_array_equal(answer, exact[tensor])
        fast = together(lambda part, fed: run(part, fed, optimise=True), parts, feeds)
        for tensor, answer in fast.items():
            np.testing.assert_allclose(answer, optimised[tensor], rtol=1e-4, atol=1e-5)


def test_parts_hold_their_own_weights_and_nothing_else(cut_of, run):
    nodes = [
        node("Add", "x u", "a"),
        node("Identity", "w", "folded"),
        node("Mul", "a folded", "b"),
        node("Sub", "b v", "y"),
    ]
    data = model(nodes, [value("x")], [value("y")], {"u": [1, 2], "v": [3, 4], "w": [5, 6]})
    graph = load_model(data)
    parts = split(data, graph, cut_of(graph, frozenset({0})))
    assert weights_of(parts.device) == {"u"}
    assert weights_of(parts.server) == {"v", "w"}
    assert (parts.device_inputs, parts.device_outputs) == (("x",), ("a",))
    assert (parts.server_inputs, parts.server_outputs) == (("a",), ("y",))
    server = onnx.ModelProto.FromString(parts.server)
    assert [n.name for n in server.graph.node] == ["", "Mul_2", "Sub_3"]
    assert server.opset_import[0].version == 17
    assert load_model(parts.server).tensors[0].shape == (2,)
    feeds = {"x": np.array([1, 1], np.float32)}
    np.testing.assert_array_equal(together(run, parts, feeds)["y"], [7, 14])


def test_all_on_one_side():
    data = zoo.build("squeezenet")
    graph = load_model(data)
    everything = tuple(range(len(graph.operators)))
    cut = _cut(everything)
    local = split(data, graph, cut)
    assert local.server is None
    assert (local.uploads, local.downloads) == ((), ())
    remote = split(data, graph, _cut(()))
    assert remote.device is None
    assert remote.uploads == ("data_0",)
    assert remote.downloads == ("softmaxout_1",)
    # The weights travel as they are, none lost: the graph of the part is that of the whole.
    assert load_model(remote.server).weight_bytes == graph.weight_bytes


def _cut(on_device):
    from dds.cut.pieces import Cut

    return Cut(on_device, (), (), 0, 0, 0.0)


def test_input_read_by_both_sides_output_of_the_device_and_passed_through(cut_of, run):
    nodes = [node("Relu", "x", "a"), node("Add", "a x", "y")]
    outputs = [value("y"), value("a"), value("x"), value("c")]
    data = model(nodes, [value("x"), value("unread")], outputs, {"c": [8, 9]})
    graph = load_model(data)
    parts = split(data, graph, cut_of(graph, frozenset({0})))
    assert parts.uploads == ("x", "a")
    assert parts.device_outputs == ("a", "c")
    feeds = {"x": np.array([-1, 2], np.float32), "unread": np.zeros(2, np.float32)}
    joined = together(run, parts, feeds)
    assert list(joined) == ["y", "a", "x", "c"]
    for tensor, expected in {"y": [-1, 4], "a": [0, 2], "x": [-1, 2], "c": [8, 9]}.items():
        np.testing.assert_array_equal(joined[tensor], expected)
    # With every operator on the server, the constant is still computed on the device.
    remote = split(data, graph, cut_of(graph, frozenset()))
    assert remote.device_outputs == ("c",)
    np.testing.assert_array_equal(together(run, remote, feeds)["c"], [8, 9])


def test_bodies_that_capture_tensors_and_weights(cuts, run):
    def branch(kind):
        inner = [node(kind, "a w", "t"), node("Mul", "t u", "out")]
        return helper.make_graph(inner, kind, [], [value("out")])

    nodes = [
        node("Relu", "x", "a"),
        node("Abs", "x", "b"),
        node("If", "c", "d", then_branch=branch("Add"), else_branch=branch("Sub")),
        node("Mul", "d b", "y"),
    ]
    inputs = [value("x"), value("c", (), TensorProto.BOOL)]
    data = model(nodes, inputs, [value("y")], {"w": [1, 2], "u": [3, 4]})
    graph = load_model(data)
    for flag in (True, False):
        feeds = {"x": np.array([-3, 5], np.float32), "c": np.array(flag)}
        whole = run(data, feeds)
        for cut in cuts(graph, 20):
            np.testing.assert_array_equal(
                together(run, split(data, graph, cut), feeds)["y"], whole["y"]
            )


def test_initialisers_stay_declared_before_ir_4(cut_of, run):
    inputs = [value("x"), value("w")]
    nodes = [node("Relu", "x", "a"), node("Mul", "a w", "y")]
    data = model(nodes, inputs, [value("y")], {"w": [2, 3]}, ir=3, opset=9)
    graph = load_model(data)
    parts = split(data, graph, cut_of(graph, frozenset({0})))
    assert [v.name for v in onnx.ModelProto.FromString(parts.server).graph.input] == ["a", "w"]
    answer = together(run, parts, {"x": np.array([1, 1], np.float32)})
    np.testing.assert_array_equal(answer["y"], [2, 3])


def test_a_graph_of_dynamic_inputs_fixes_the_parts(cut_of):
    data = model(
        [node("Relu", "x", "a"), node("Neg", "a", "y")], [value("x", ("N",))], [value("y", ("N",))]
    )
    graph = load_model(data, shapes={"x": (6,)})
    parts = split(data, graph, cut_of(graph, frozenset({0})))
    assert load_model(parts.device).tensors[0].shape == (6,)


SMALL = model([node("Relu", "x", "a"), node("Neg", "a", "y")], [value("x")], [value("y")])


class TestWrongInput:
    def test_a_cut_that_flows_back(self):
        with pytest.raises(InvalidInput, match="'Neg_1' on the device reads from 'Relu_0'"):
            split(SMALL, load_model(SMALL), _cut((1,)))

    @pytest.mark.parametrize("v", [-1, 2])
    def test_a_cut_of_another_graph(self, v):
        with pytest.raises(InvalidInput, match=f"operator {v} is not among the 2"):
            split(SMALL, load_model(SMALL), _cut((v,)))

    def test_a_graph_of_another_model(self):
        graph = load_model(zoo.topology("squeezenet"))
        with pytest.raises(InvalidInput, match="is not in this model"):
            split(SMALL, graph, _cut(()))
        graph = load_model(SMALL)
        shorter = replace(graph, operators=graph.operators[:1], outputs=(1,))
        with pytest.raises(InvalidInput, match="has 1 operators and the model 2"):
            split(SMALL, shorter, _cut(()))

    def test_a_missing_tensor(self):
        graph = load_model(SMALL)
        parts = split(SMALL, graph, _cut((0,)))
        with pytest.raises(InvalidInput, match="tensor 'a' is missing"):
            parts.server_feeds({"x": 1}, {})


def test_importing_the_package_imports_no_onnx():
    code = "import sys, dds.model; assert not {'onnx', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_package_offers_its_names_lazily():
    import dds.model

    assert dds.model.load_model is load_model
    assert isinstance(split(SMALL, load_model(SMALL), _cut(())), dds.model.SplitModel)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        dds.model.nothing  # noqa: B018
