"""Whatever the bytes, load_model answers with a graph or with one line of InvalidInput."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from dds.errors import InvalidInput
from dds.model import zoo
from dds.model.importer import load_model

FLOAT = TensorProto.FLOAT
X, Y = (helper.make_tensor_value_info(name, FLOAT, [2]) for name in "xy")
WEIGHT = numpy_helper.from_array(np.ones(2, np.float32), "w")


def model(nodes, inputs=(X,), outputs=(Y,), weights=(), **more):
    graph = helper.make_graph(list(nodes), "g", list(inputs), list(outputs), list(weights))
    more.setdefault("opset_imports", [helper.make_opsetid("", 17)])
    return helper.make_model(graph, ir_version=10, **more)


def node(kind, inputs, outputs, **attributes):
    return helper.make_node(kind, inputs.split(), outputs.split(), **attributes)


def external(tensor):
    bad = onnx.TensorProto()
    bad.CopyFrom(tensor)
    bad.ClearField("raw_data")
    bad.data_location = TensorProto.EXTERNAL
    bad.external_data.add(key="location", value="/etc/passwd")
    return bad


def without_values(shape, **fields):
    return TensorProto(name="w", data_type=FLOAT, dims=shape, **fields)


def branch(*weights):
    inner = [node("Add", "x inner", "out")]
    out = helper.make_tensor_value_info("out", FLOAT, [2])
    return helper.make_graph(inner, "body", [], [out], list(weights))


def conditional(*weights):
    body = branch(*weights)
    nodes = [node("If", "c", "y", then_branch=body, else_branch=body)]
    condition = helper.make_tensor_value_info("c", TensorProto.BOOL, [])
    return model(nodes, [X, condition])


def sparse():
    values = numpy_helper.from_array(np.ones(1, np.float32), "w")
    indices = numpy_helper.from_array(np.zeros(1, np.int64), "i")
    return helper.make_sparse_tensor(values, indices, [2**28])


def with_sparse():
    made = model([node("Add", "x w", "y")])
    made.graph.sparse_initializer.append(sparse())
    return made


def renamed(tensor, name):
    other = onnx.TensorProto()
    other.CopyFrom(tensor)
    other.name = name
    return other


def function_chain(depth):
    opset = [helper.make_opsetid("", 17), helper.make_opsetid("f", 1)]
    functions = [
        helper.make_function("f", f"F{k}", ["a"], ["b"], [
            helper.make_node(f"F{k + 1}", ["a"], ["b"], domain="f")
            if k + 1 < depth else node("Relu", "a", "b")
        ], opset)
        for k in range(depth)
    ]  # fmt: skip
    call = helper.make_node("F0", ["x"], ["y"], domain="f")
    return model([call], functions=functions, opset_imports=opset)


def doubling_functions(depth):
    """Each calls the next one twice: 2^depth nodes when unfolded."""
    opset = [helper.make_opsetid("", 17), helper.make_opsetid("f", 1)]
    functions = [
        helper.make_function("f", f"F{k}", ["a"], ["c"], [
            helper.make_node(f"F{k + 1}", ["a"], ["b"], domain="f"),
            helper.make_node(f"F{k + 1}", ["b"], ["c"], domain="f"),
        ] if k + 1 < depth else [node("Relu", "a", "c")], opset)
        for k in range(depth)
    ]  # fmt: skip
    call = helper.make_node("F0", ["x"], ["y"], domain="f")
    return model([call], functions=functions, opset_imports=opset)


def relu(**more):
    return model([node("Relu", "x", "y")], **more)


ADD = node("Add", "x w", "y")
HUGE = helper.make_tensor_value_info("x", FLOAT, [2**40, 2**40])
LONG = helper.make_tensor_value_info("axes", TensorProto.INT64, [2**30])

HOSTILE = {
    "cycle": (
        model([node("Add", "x b", "a"), node("Relu", "a", "b"), node("Relu", "b", "y")]),
        r"node 0 \(Add\) reads tensor 'b'",
    ),
    "missing initialiser": (model([ADD]), r"node 0 \(Add\) reads tensor 'w'"),
    "duplicate producer": (
        model([node("Relu", "x", "y"), node("Neg", "x", "y")]),
        r"node 1 \(Neg\) produces tensor 'y', which exists",
    ),
    "overwritten input": (model([node("Relu", "x", "x")]), "produces tensor 'x', which exists"),
    "duplicate initialiser": (model([ADD], weights=[WEIGHT, WEIGHT]), "'w' occurs twice"),
    "unproduced output": (model([node("Relu", "x", "z")]), "output 'y' is produced by no node"),
    "no output": (model([node("Relu", "x", "y")], outputs=[]), "returns nothing"),
    "unknown opset": (relu(opset_imports=[helper.make_opsetid("", 9999)]), "needs opset 9999"),
    "unknown operator": (model([node("Frobnicate", "x", "y")]), "Frobnicate"),
    "unknown domain": (
        model([helper.make_node("Relu", ["x"], ["y"], domain="nowhere")]),
        "nowhere",
    ),
    "external data": (model([ADD], weights=[external(WEIGHT)]), "'w' has external data"),
    "external data in a node": (
        model([node("Constant", "", "w", value=external(WEIGHT)), ADD]),
        r"node 0 \(Constant\) has external data",
    ),
    "external data in a body": (
        conditional(external(renamed(WEIGHT, "inner"))),
        r"node 0 \(If\) has external data",
    ),
    "sparse initialiser": (with_sparse(), "sparse"),
    "sparse constant": (model([node("Constant", "", "w", sparse_value=sparse()), ADD]), "sparse"),
    "weights cut short": (
        model([ADD], weights=[without_values([2], raw_data=b"123")]),
        "'w' needs 8 bytes",
    ),
    "weights missing": (model([ADD], weights=[without_values([2])]), "'w' needs 8 bytes"),
    "negative dimension": (
        model([ADD], weights=[without_values([-2], raw_data=b"12345678")]),
        "'w' has the negative dimension -2",
    ),
    "unknown element type": (
        model([ADD], weights=[TensorProto(name="w", data_type=99, dims=[2], raw_data=b"12")]),
        "'w' has element type 99",
    ),
    "unnamed initialiser": (model([ADD], weights=[renamed(WEIGHT, "")]), "initialiser has no name"),
    "overflowing input": (model([node("Relu", "x", "y")], [HUGE]), "'x' is larger than 1 TiB"),
    "overflowing tensor": (
        model(
            [node("ConstantOfShape", "n", "big"), node("Add", "x big", "y")],
            weights=[numpy_helper.from_array(np.array([2**40, 2]), "n")],
            outputs=[helper.make_tensor_value_info("y", FLOAT, None)],
        ),
        "larger than 1 TiB",
    ),
    "rank from a length": (
        model([node("Unsqueeze", "x axes", "y")], [X, LONG]),
        r"node 0 \(Unsqueeze\) reads shape or axes from 'axes'",
    ),
    "attribute out of range": (
        model([node("Softmax", "x", "y", axis=2**63 - 1)]),
        r"node 0 \(Softmax\) has the attribute 'axis' out of range",
    ),
    "deep function chain": (function_chain(150), "chain of functions longer"),
    "exponential functions": (doubling_functions(50), "unfolds into more than"),
    "recursive function": (
        model(
            [helper.make_node("F", ["x"], ["y"], domain="f")],
            functions=[
                helper.make_function(
                    "f",
                    "F",
                    ["a"],
                    ["b"],
                    [helper.make_node("F", ["a"], ["b"], domain="f")],
                    [helper.make_opsetid("f", 1)],
                )
            ],
            opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("f", 1)],
        ),
        "function 'F' calls itself",
    ),
    "wrong arity": (model([node("Relu", "x x", "y")]), "Relu"),
    "contradictory shapes": (
        model(
            [node("MatMul", "x w", "y")],
            weights=[numpy_helper.from_array(np.ones((3, 4), np.float32), "w")],
        ),
        "MatMul",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_models_are_refused_by_name(name):
    made, message = HOSTILE[name]
    with pytest.raises(InvalidInput, match=message) as caught:
        load_model(made.SerializeToString())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "data",
    [b"", b"\0", b"not a model", b"\x08\x07", b"\xff" * 64, b"\x3a\x00", b"PK\x03\x04" * 9],
)
def test_bytes_that_are_no_model(data):
    with pytest.raises(InvalidInput, match="model"):
        load_model(data)


@pytest.mark.parametrize("field", [b"\n\x01x", b"\x12\x01y"])
def test_names_that_are_not_text(field):
    """Field 1 of a node is an input's name, field 2 an output's; of a value, 1 is its name."""
    data = relu().SerializeToString()
    assert field in data
    with pytest.raises(InvalidInput, match="not UTF-8"):
        load_model(data.replace(field, field[:2] + b"\xff"))


VICTIMS = (
    zoo.topology("squeezenet"),
    zoo.topology("alexnet"),
    model([ADD], weights=[WEIGHT]).SerializeToString(),
    conditional(renamed(WEIGHT, "inner")).SerializeToString(),
    function_chain(3).SerializeToString(),
)


def _refusal(data):
    """What load_model says against these bytes; a word if nothing."""
    try:
        load_model(data)
    except InvalidInput as error:
        return str(error)
    return "opens"


@settings(deadline=None, max_examples=180, derandomize=True)
@given(st.data())
def test_damaged_models_never_raise_anything_else(data):
    victim = bytearray(data.draw(st.sampled_from(VICTIMS)))
    at = data.draw(st.integers(0, len(victim) - 1))
    harm = data.draw(st.sampled_from(("truncate", "flip", "cut out", "repeat")))
    if harm == "truncate":
        del victim[at:]
    elif harm == "flip":
        spots = data.draw(st.lists(st.integers(0, len(victim) - 1), min_size=1, max_size=4))
        for spot in spots:
            victim[spot] = data.draw(st.integers(0, 255))
    else:
        length = data.draw(st.integers(1, 40))
        middle = victim[at : at + length]
        victim[at : at + length] = middle * 2 if harm == "repeat" else b""
    assert _refusal(bytes(victim)).isprintable()


@settings(deadline=None, max_examples=120, derandomize=True)
@given(st.binary(max_size=200))
def test_noise_never_raises_anything_else(data):
    assert _refusal(data).isprintable()
