"""load_model: what becomes an operator, what folds, what is refused and how."""

from __future__ import annotations

import hashlib

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from dds.errors import InvalidInput
from dds.model import zoo
from dds.model.importer import load_model

FLOAT, INT = TensorProto.FLOAT, TensorProto.INT64


def value(name, shape, kind=FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def weight(name, array):
    return numpy_helper.from_array(np.asarray(array), name)


def model(nodes, inputs, outputs, weights=(), ir=10, opset=17, **more):
    graph = helper.make_graph(nodes, "test", inputs, outputs, list(weights))
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("custom", 1)]
    made = helper.make_model(graph, opset_imports=opsets, ir_version=ir, **more)
    return made.SerializeToString()


def node(kind, inputs, outputs, **attributes):
    return helper.make_node(kind, inputs.split(), outputs.split(), **attributes)


def relu_chain(batch=2, **more):
    nodes = [node("Relu", "x", "a", name="first"), node("Relu", "a", "y")]
    return model(nodes, [value("x", [batch, 3])], [value("y", [batch, 3])], **more)


def names(graph, tensors):
    return [graph.tensors[t].name for t in tensors]


def test_operators_tensors_and_digest_of_a_small_model(tmp_path):
    data = relu_chain()
    graph = load_model(data)
    assert [(op.name, op.kind, op.node) for op in graph.operators] == [
        ("first", "Relu", 0),
        ("Relu_1", "Relu", 1),
    ]
    assert [(t.name, t.shape, t.dtype, t.bytes) for t in graph.tensors] == [
        ("x", (2, 3), "float32", 24),
        ("a", (2, 3), "float32", 24),
        ("y", (2, 3), "float32", 24),
    ]
    assert names(graph, graph.inputs) == ["x"]
    assert names(graph, graph.outputs) == ["y"]
    assert graph.digest == hashlib.sha256(data).hexdigest()
    assert graph.name == "test"
    path = tmp_path / "model.onnx"
    path.write_bytes(data)
    assert load_model(path) == load_model(str(path)) == graph


def test_constants_fold_into_weight_bytes():
    nodes = [
        node("Constant", "", "c", value=weight("", np.ones((3, 4), np.float32))),
        node("Add", "c w", "folded"),
        node("MatMul", "x folded", "a"),
        node("Add", "a b", "y"),
    ]
    weights = [weight("w", np.ones((3, 4), np.float32)), weight("b", np.ones(4, np.float32))]
    graph = load_model(model(nodes, [value("x", [2, 3])], [value("y", [2, 4])], weights))
    assert [(op.kind, op.weight_bytes) for op in graph.operators] == [("MatMul", 48), ("Add", 16)]
    assert graph.operators[0].macs == 2 * 3 * 4


def test_initialisers_listed_as_inputs_are_weights():
    inputs = [value("x", [2, 3]), value("w", [3, 3])]
    weights = [weight("w", np.eye(3, dtype=np.float32))]
    for ir in (3, 10):
        data = model([node("MatMul", "x w", "y")], inputs, [value("y", [2, 3])], weights, ir, 8)
        graph = load_model(data)
        assert names(graph, graph.inputs) == ["x"]
        assert graph.weight_bytes == 36


def test_names_are_made_unique_without_displacing_given_ones():
    nodes = [
        node("Relu", "x", "a", name="same"),
        node("Relu", "a", "b", name="same"),
        node("Relu", "b", "c"),
        node("Relu", "c", "y", name="Relu_2"),
    ]
    graph = load_model(model(nodes, [value("x", [1])], [value("y", [1])]))
    assert [op.name for op in graph.operators] == ["same", "same_2", "Relu_2_2", "Relu_2"]


def test_unread_input_passed_through_input_constant_output_and_dead_node():
    nodes = [
        node("Relu", "x", "y"),
        node("Neg", "x", "dead"),
        node("Identity", "w", "constant"),
    ]
    outputs = [value(name, [2]) for name in ("y", "x", "constant", "w")]
    weights = [weight("w", np.ones(2, np.float32))]
    inputs = [value("x", [2]), value("unread", [5])]
    graph = load_model(model(nodes, inputs, outputs, weights))
    assert [op.kind for op in graph.operators] == ["Relu"]
    assert names(graph, graph.inputs) == ["x", "unread"]
    # Constants never cross a cut: they are no outputs of the graph.
    assert names(graph, graph.outputs) == ["y", "x"]


def test_optional_inputs_and_outputs_and_a_repeated_input():
    nodes = [
        helper.make_node("Clip", ["x", "", "high"], ["a"]),
        helper.make_node("Mul", ["a", "a"], ["b"]),
        helper.make_node("Dropout", ["b"], ["y", ""]),
    ]
    weights = [weight("high", np.float32(3))]
    graph = load_model(model(nodes, [value("x", [2])], [value("y", [2])], weights))
    assert [names(graph, op.inputs) for op in graph.operators] == [["x"], ["a"], ["b"]]
    assert [names(graph, op.outputs) for op in graph.operators] == [["a"], ["b"], ["y"]]


def test_a_control_flow_node_reads_what_its_bodies_capture():
    def branch(kind):
        inner = [node(kind, "a w", "t"), node("Neg", "t", "out")]
        return helper.make_graph(inner, kind, [], [value("out", [2])])

    nodes = [
        node("Relu", "x", "a"),
        node("If", "c", "y", then_branch=branch("Add"), else_branch=branch("Sub")),
    ]
    inputs = [value("x", [2]), value("c", [], TensorProto.BOOL)]
    weights = [weight("w", np.ones(2, np.float32))]
    graph = load_model(model(nodes, inputs, [value("y", [2])], weights))
    assert names(graph, graph.operators[1].inputs) == ["c", "a"]
    assert graph.operators[1].weight_bytes == 8


def test_random_operators_are_not_folded():
    nodes = [node("RandomNormal", "", "r", shape=[2]), node("Add", "x r", "y")]
    graph = load_model(model(nodes, [value("x", [2])], [value("y", [2])]))
    assert [op.kind for op in graph.operators] == ["RandomNormal", "Add"]


def test_shape_arithmetic_is_followed_where_onnx_loses_it():
    """A mean over "all axes from 1 to the rank", as exporters write it."""
    nodes = [
        node("Shape", "x", "shape"),
        node("Size", "shape", "rank"),
        node("Range", "one rank one", "axes"),
        node("ReduceSum", "x axes", "y", keepdims=0),
    ]
    weights = [weight("one", np.int64(1))]
    graph = load_model(model(nodes, [value("x", [2, 3, 4])], [value("y", None)], weights))
    assert graph.tensors[graph.outputs[0]].shape == (2,)


class TestShapes:
    def test_open_inputs_are_all_named_and_how_to_fix_them(self):
        values = [value("x", ["N", 3, None]), value("a b", ["N", 7]), value("z", None)]
        data = model([node("Concat", "x", "y", axis=0)], values, [value("y", None)])
        with pytest.raises(InvalidInput) as refused:
            load_model(data, shapes={"z": (1,)})
        assert str(refused.value) == (
            "input 'x' has the open shape (N, 3, ?), input 'a b' has the open shape (N, 7); fix "
            "them, for example --shape x=1,3,224 --shape 'a b=1,7' on a command line, "
            "shapes={'x': (1, 3, 224), 'a b': (1, 7)} in Python"
        )

    def test_of_very_many_open_inputs_some_are_named(self):
        values = [value(f"x{k}", ["N\n"]) for k in range(25)]
        data = model([node("Relu", "x0", "y")], values, [value("y", None)])
        with pytest.raises(InvalidInput, match="and 5 more inputs; fix them") as refused:
            load_model(data)
        assert "\n" not in str(refused.value)

    def test_an_input_without_a_shape(self):
        data = model([node("Relu", "x", "y")], [value("x", None)], [value("y", None)])
        with pytest.raises(InvalidInput, match="input 'x' has no shape"):
            load_model(data)
        assert load_model(data, shapes={"x": (4, 5)}).tensors[1].shape == (4, 5)

    def test_shapes_fixes_it_everywhere(self):
        graph = load_model(relu_chain("N"), shapes={"x": (7, 3)})
        assert {t.shape for t in graph.tensors} == {(7, 3)}

    @pytest.mark.parametrize(
        ("shapes", "message"),
        [
            ({"z": (7, 3)}, "no input 'z'; its inputs are 'x'"),
            ({"x": (7, 4)}, "dimension 1 of 'x' is fixed at 3"),
            ({"x": (7, 3, 1)}, "'x' has 2 dimensions"),
            ({"x": (-1, 3)}, "whole numbers"),
            ({"x": (1.5, 3)}, "whole numbers"),
            ({"x": "ab"}, "whole numbers"),
            ({"x": (float("nan"), 3)}, "whole numbers"),
            ({"x": 3}, "whole numbers"),
            ({"x": (2**60, 3)}, "larger than 1 TiB"),
        ],
    )
    def test_shapes_that_do_not_fit(self, shapes, message):
        with pytest.raises(InvalidInput, match=message):
            load_model(relu_chain("N"), shapes=shapes)

    def test_data_dependent_dimensions(self):
        nodes = [node("NonZero", "x", "where", name="find"), node("Cast", "where", "y", to=FLOAT)]
        data = model(nodes, [value("x", [4])], [value("y", None)])
        with pytest.raises(InvalidInput, match=r"'where' of node 0 'find' \(NonZero\)"):
            load_model(data)

    def test_values_without_a_fixed_size(self):
        nodes = [node("SequenceConstruct", "x x", "s"), node("SequenceAt", "s i", "y")]
        weights = [weight("i", np.int64(0))]
        with pytest.raises(InvalidInput, match=r"'s'.*sequence type, which has no fixed size"):
            load_model(model(nodes, [value("x", [2])], [value("y", [2])], weights))
        text = model(
            [node("Identity", "x", "y")],
            [value("x", [2], TensorProto.STRING)],
            [value("y", [2], TensorProto.STRING)],
        )
        with pytest.raises(InvalidInput, match="'x' has element type string"):
            load_model(text)

    def test_packed_types_have_fractional_bytes(self):
        data = model(
            [node("Identity", "x", "y")],
            [value("x", [3, 3], TensorProto.INT4)],
            [value("y", [3, 3], TensorProto.INT4)],
            opset=21,
        )
        assert [(t.dtype, t.bytes) for t in load_model(data).tensors] == [("int4", 5)] * 2


def test_paths_that_are_no_model(tmp_path):
    with pytest.raises(InvalidInput, match="no such model file"):
        load_model(tmp_path / "none.onnx")
    with pytest.raises(InvalidInput, match="is a directory"):
        load_model(tmp_path)
    with pytest.raises(InvalidInput, match="cannot read"):
        load_model("nul\0byte")


def test_the_zoo_loads_from_topologies_alone():
    graph = load_model(zoo.topology("shufflenet"))
    assert len(graph.operators) == 203
    assert {op.kind for op in graph.operators} >= {"Conv", "Sum", "Transpose"}


def test_the_importer_agrees_with_onnxruntime_on_every_shape(run):
    """Every tensor of a real model, run with every tensor as an output."""
    data = zoo.build("squeezenet")
    graph = load_model(data)
    proto = onnx.ModelProto.FromString(data)
    del proto.graph.output[:]
    proto.graph.output.extend(onnx.ValueInfoProto(name=t.name) for t in graph.tensors[1:])
    picture = np.zeros(graph.tensors[0].shape, np.float32)
    arrays = run(proto.SerializeToString(), {graph.tensors[0].name: picture})
    for tensor in graph.tensors[1:]:
        array = arrays[tensor.name]
        assert (tensor.shape, tensor.dtype, tensor.bytes) == (
            array.shape,
            array.dtype.name,
            array.nbytes,
        )
