"""Windows of single nodes against what the ONNX specification says, and of a real model."""

from __future__ import annotations

import pytest
from onnx import helper

from dds.model import load_model, zoo
from dds.model.shapes import Form, Forms
from dds.model.window import Window, window

BY_HAND = [
    # kind, shapes of the inputs, attributes, window
    ("Conv", [(1, 3, 8, 8), (16, 3, 3, 5)], {}, Window((3, 5), (1, 1), 1)),
    (
        "Conv",
        [(1, 8, 8, 8), (8, 1, 3, 3)],
        {"group": 8, "strides": [2, 1], "kernel_shape": [3, 3]},
        Window((3, 3), (2, 1), 8),
    ),
    ("ConvTranspose", [(1, 4, 5, 5), (4, 2, 7, 7)], {"group": 2}, Window((7, 7), (1, 1), 2)),
    ("QLinearConv", [(1, 4, 9), (), (), (4, 4, 2)], {}, Window((2,), (1,), 1)),
    ("MaxPool", [(1, 3, 8, 8)], {"kernel_shape": [3, 3], "strides": [2, 2]},
     Window((3, 3), (2, 2), 1)),
    ("AveragePool", [(1, 3, 8)], {"kernel_shape": [4]}, Window((4,), (1,), 1)),
    ("GlobalAveragePool", [(1, 3, 7, 6)], {}, Window((7, 6), (1, 1), 1)),
    ("GlobalMaxPool", [None], {}, Window((), (), 1)),
    ("Conv", [(1, 3, 8, 8)], {}, Window((), (), 1)),
    ("Relu", [(1, 3, 8, 8)], {}, Window((), (), 1)),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "inputs", "attributes", "expected"), BY_HAND)
def test_windows_by_hand(kind, inputs, attributes, expected) -> None:
    names = [f"t{k}" for k in range(len(inputs))]
    forms = {
        name: Form("float32", shape)
        for name, shape in zip(names, inputs, strict=True)
        if shape is not None
    }
    node = helper.make_node(kind, names, ["y"], **attributes)
    assert window(node, Forms(forms, "")) == expected


def test_the_graph_of_a_real_model_carries_them() -> None:
    graph = load_model(zoo.topology("shufflenet"))
    convolutions = [operator for operator in graph.operators if operator.kind == "Conv"]
    assert {operator.kernel for operator in convolutions} == {(1, 1), (3, 3)}
    # ShuffleNet v1 with 4 groups: its depthwise convolutions have a group per channel.
    assert {operator.groups for operator in convolutions} >= {1, 4, 136, 272, 544}
    assert all(
        operator.kernel == operator.stride == () and operator.groups == 1
        for operator in graph.operators
        if operator.kind in ("Relu", "Transpose", "Gemm")
    )
