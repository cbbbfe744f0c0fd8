"""What single nodes read for a slice, against what the ONNX specification says."""

from __future__ import annotations

import pytest
from onnx import helper

from dds.model import load_model
from dds.model.graph import Reach
from dds.model.reach import broadcast_axis, reach
from dds.model.shapes import Form, Forms
from dds.testing.models import text_model

ALL = Reach(-1)
ROWS = tuple((Reach(axis),) for axis in range(4))


def reached(kind, varying, constants, output, opset=17, **attributes):
    """The reach of a node that reads tensors of these shapes, the varying ones first."""
    reads = [f"t{k}" for k in range(len(varying) + len(constants))]
    shapes = dict(zip(reads, [*varying, *constants], strict=True)) | {"y": output}
    forms = Forms({name: Form("float32", shape) for name, shape in shapes.items()}, "")
    node = helper.make_node(kind, reads, ["y"], **attributes)
    return reach(node, forms, reads[: len(varying)], opset)


def test_convolutions() -> None:
    found = reached(
        "Conv", [(1, 6, 9, 9)], [(4, 6, 3, 3)], (1, 4, 5, 9), strides=[2, 1], pads=[1, 2, 1, 2],
        dilations=[1, 2],
    )  # fmt: skip
    assert found == ((Reach(0),), (ALL,), (Reach(2, 2, 3, 1),), (Reach(3, 1, 5, 2),))
    grouped = reached("Conv", [(1, 6, 9, 9)], [(4, 3, 1, 1)], (1, 4, 9, 9), group=2)
    assert grouped[1] == (Reach(1, 3, 3, 0, 2),)
    # Half the padding, the odd one behind or before.
    for rule, before in (("SAME_UPPER", 1), ("SAME_LOWER", 2), ("VALID", 0)):
        made = 6 if rule == "VALID" else 9
        same = reached("Conv", [(1, 1, 9)], [(1, 1, 4)], (1, 1, made), auto_pad=rule)
        assert same[2] == (Reach(2, 1, 4, before),)
    # A window that sees padding alone; weights that vary.
    far = reached("Conv", [(1, 1, 4)], [(1, 1, 1)], (1, 1, 6), pads=[1, 1])
    assert far == ((Reach(0),), (ALL,), ())
    assert reached("Conv", [(1, 1, 4), (1, 1, 1)], [], (1, 1, 4)) == ((), (), ())


def test_pools() -> None:
    given = {"kernel_shape": [2, 2], "strides": [2, 2]}
    shapes = [(1, 3, 8, 8)], [], (1, 3, 4, 4)
    window = ((Reach(0),), (Reach(1),), (Reach(2, 2, 2),), (Reach(3, 2, 2),))
    assert reached("MaxPool", *shapes, **given) == window
    assert reached("AveragePool", *shapes, count_include_pad=1, **given) == window
    assert reached("MaxPool", *shapes, ceil_mode=1, **given) == (*window[:2], (), ())
    assert reached("GlobalAveragePool", [(1, 3, 8, 8)], [], (1, 3, 1, 1)) == (*ROWS[:2], (), ())


def test_operators_that_broadcast() -> None:
    shape = (1, 3, 4, 4)
    assert reached("Add", [shape, (1, 3, 1, 1)], [], shape) == (
        (Reach(0), Reach(0)), (Reach(1), Reach(1)), (Reach(2), ALL), (Reach(3), ALL),
    )  # fmt: skip
    assert reached("Mul", [shape, (4,)], [], shape)[2:] == ((Reach(2), ALL), (Reach(3), Reach(0)))
    assert reached("Clip", [shape], [(), ()], shape) == ROWS
    old = helper.make_node("Add", ["a", "b"], ["y"], broadcast=1, axis=1)
    assert [broadcast_axis((3,), shape, axis, old, 6) for axis in range(4)] == [None, 0, None, None]
    assert broadcast_axis((3, 1, 1), shape, 1, old, 7) == 0


def test_concats_shuffles_and_reshapes() -> None:
    pair = [(1, 2, 4, 4), (1, 3, 4, 4)]
    found = reached("Concat", pair, [], (1, 5, 4, 4), axis=-3)
    assert found[1] == (Reach(1), Reach(1, before=2))
    assert found[2] == (Reach(2), Reach(2))
    assert reached("Concat", pair[:1], pair[1:], (1, 5, 4, 4), axis=1)[1:3] == ((), (Reach(2),))
    parted = reached("Reshape", [(1, 6, 4, 4)], [(5,)], (1, 2, 3, 4, 4))
    assert parted == ((Reach(0),), (), (), (Reach(2),), (Reach(3),))
    turned = reached("Transpose", [(1, 2, 3, 4, 4)], [], (1, 3, 2, 4, 4), perm=[0, 2, 1, 3, 4])
    assert turned[1:3] == ((Reach(2),), (Reach(1),))
    assert reached("Transpose", [(2, 3)], [], (3, 2)) == ((Reach(1),), (Reach(0),))
    assert reached("Flatten", [(1, 6, 4, 4)], [], (1, 96)) == ((Reach(0),), ())
    assert reached("Flatten", [(1, 6, 1, 1)], [], (1, 6)) == ((Reach(0),), (Reach(1),))


def test_a_tensor_read_twice_in_two_ways() -> None:
    forms = Forms({"x": Form("f", (1, 2, 4)), "y": Form("f", (1, 4, 4))}, "")
    node = helper.make_node("Concat", ["x", "x"], ["y"], axis=1)
    assert reach(node, forms, ["x"], 17) == ((Reach(0),), (), (Reach(2),))


def test_matrices_and_norms() -> None:
    assert reached("Gemm", [(2, 8)], [(8, 5), (5,)], (2, 5)) == ((Reach(0),), (ALL,))
    assert reached("Gemm", [(8, 2)], [(8, 5)], (2, 5), transA=1) == ((), (ALL,))
    assert reached("Gemm", [(2, 8), (8, 5)], [], (2, 5)) == ((), ())
    assert reached("MatMul", [(1, 7, 8)], [(8, 5)], (1, 7, 5)) == ((Reach(0),), (Reach(1),), (ALL,))
    assert reached("MatMul", [(7, 8), (8, 5)], [], (7, 5)) == ((), ())
    shape = (1, 3, 4, 4)
    assert reached("BatchNormalization", [shape], [(3,)] * 4, shape) == ROWS
    assert reached("BatchNormalization", [shape], [(3,)] * 4, shape, training_mode=1) == ((),) * 4
    assert reached("LRN", [shape], [], shape, size=5)[1] == ()
    assert reached("Softmax", [shape], [], shape, opset=12) == (ROWS[0], (), (), ())
    assert reached("Softmax", [shape], [], shape, axis=1) == (ROWS[0], (), *ROWS[2:])


@pytest.mark.parametrize(
    ("kind", "attributes"),
    [("MaxPool", {"kernel_shape": [2]}), ("Conv", {"group": 0}), ("Transpose", {"perm": [0]})],
)
def test_attributes_that_do_not_fit_give_no_reach(kind, attributes) -> None:
    constants = [(1, 1, 1, 1)] if kind == "Conv" else []
    assert reached(kind, [(1, 1, 4, 4)], constants, (1, 1, 4, 4), **attributes) == ()


def test_operators_without_a_rule() -> None:
    assert reached("DepthToSpace", [(1, 4, 2, 2)], [], (1, 1, 4, 4), blocksize=2) == ()
    assert reached("Relu", [(1, 4)], [], (1, 4), domain="com.example") == ()


def test_what_is_read_besides_the_first_output_cannot_be_sliced() -> None:
    """Where a pool found its values, it counts from the first row of what it is given."""
    pool = "MaxPool <kernel_shape = [2,2], strides = [2,2]> (x)"
    for returned in ("int64[1,2,3,2] where", "float[1,2,3,2] y, int64[1,2,3,2] where"):
        model = text_model(f"(float[1,2,6,4] x) => ({returned}) {{y, where = {pool}}}")
        (operator,) = load_model(model).operators
        assert operator.reach == ()
