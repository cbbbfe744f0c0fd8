"""What a model says of its own inputs and outputs."""

from __future__ import annotations

from collections.abc import Sequence

import onnx

from dds.engines.engine import TensorSpec
from dds.errors import InvalidInput
from dds.model import dtypes
from dds.model.onnxfile import OnnxFile, text

__all__ = ["signature"]


def signature(file: OnnxFile) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """The model's inputs, weights left out, and its outputs, as declared.

    Raises InvalidInput for what is no tensor, or declared without its type or rank.
    """
    graph = file.model.graph
    weights = file.weights.keys()
    return _specs([v for v in graph.input if v.name not in weights]), _specs(graph.output)


def _specs(declared: Sequence[onnx.ValueInfoProto]) -> tuple[TensorSpec, ...]:
    return tuple(_spec(value) for value in declared)


def _spec(value: onnx.ValueInfoProto) -> TensorSpec:
    name = text(value.name, "model input or output")
    tensor = value.type.tensor_type
    if not value.type.HasField("tensor_type") or not tensor.HasField("shape"):
        raise InvalidInput(
            f"{name!r} is not declared as a tensor with a shape; export the model with types of "
            "its inputs and outputs"
        )
    shape = tuple(d.dim_value if d.HasField("dim_value") else -1 for d in tensor.shape.dim)
    return TensorSpec(name, dtypes.name_of(tensor.elem_type, repr(name)), shape)
