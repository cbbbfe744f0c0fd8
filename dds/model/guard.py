"""What onnx's own shape inference does not survive, refused before it sees it.

Inference is C++ and trusts some numbers: an ``axis`` of 2^63 - 1 is a segmentation fault, a
Split with more outputs than it says aborts, an ``axes`` input declared with 2^62 elements
fills the memory.  Fuzzing found these; a length or an axis that only goes wrong on the way
through the model is not caught, so open models from strangers in a process with a memory
limit.
"""

from __future__ import annotations

import onnx

from dds.errors import InvalidInput
from dds.model.dataflow import bodies, describe

__all__ = ["check"]

# Operators that take a rank, or as many repeats, from the length of a vector.
_BY_LENGTH = frozenset({
    "CenterCropPad", "ConstantOfShape", "Expand", "Pad", "Reshape", "Resize", "Slice", "Split",
    "Squeeze", "Tile", "Unsqueeze", "Upsample",
})  # fmt: skip
#: No tensor has as many dimensions, and no Split as many outputs.
_LONGEST = 1024
# Attributes where the ends of int64 mean "to the end", or that are mere values.
_ANY_VALUE = frozenset({"ends", "end", "starts", "start", "value_int", "value_ints", "seed"})


def check(model: onnx.ModelProto) -> None:
    """Raise InvalidInput, naming the node, for numbers that would crash shape inference."""
    _check_graph(model.graph, set())
    for function in model.functions:
        for index, node in enumerate(function.node):
            _check_node(node, index, set())


def _check_graph(graph: onnx.GraphProto, outer: set[str]) -> None:
    long = set(outer)
    for value in (*graph.input, *graph.value_info, *graph.output):
        dims = value.type.tensor_type.shape.dim
        if len(dims) == 1 and dims[0].dim_value > _LONGEST:
            long.add(value.name)
    for index, node in enumerate(graph.node):
        _check_node(node, index, long)


def _check_node(node: onnx.NodeProto, index: int, long: set[str]) -> None:
    for attribute in node.attribute:
        numbers = (attribute.i, *attribute.ints)
        limit = _LONGEST if attribute.name in ("axis", "axes", "perm") else 2**31
        if attribute.name not in _ANY_VALUE and any(not -limit <= n <= limit for n in numbers):
            raise InvalidInput(
                f"{describe(node, index)} has the attribute {attribute.name!r} out of range"
            )
        if attribute.name == "num_outputs" and attribute.i != len(node.output):
            raise InvalidInput(
                f"{describe(node, index)} has {len(node.output)} outputs and num_outputs "
                f"{attribute.i}"
            )
    if node.op_type in _BY_LENGTH:
        for name in node.input[node.op_type != "ConstantOfShape" :]:
            if name in long:
                raise InvalidInput(
                    f"{describe(node, index)} reads shape or axes from {name!r}, which is declared "
                    f"longer than {_LONGEST}; no tensor has as many dimensions"
                )
    for body in bodies(node):
        _check_graph(body, long)
