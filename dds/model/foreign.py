"""Models from strangers: what is checked before any runtime sees their bytes.

They must be what was announced, a valid ONNX model with its weights inside and every dimension
fixed, made of standard operators only, and within bounds on memory and work that follow from its
shapes alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dds.errors import InvalidInput
from dds.model.graph import ModelGraph
from dds.units import format_bytes

if TYPE_CHECKING:
    import onnx

__all__ = ["Bounds", "check_bounded", "check_foreign"]

#: Operator sets that may run: those whose operators the ONNX checker knows.
_DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml"})
#: Operators whose work depends on their input, which `Bounds.flops` cannot bound.
_UNBOUNDED = frozenset({"Loop", "Scan"})


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one inference may take: bytes of all its tensors, floating point operations."""

    tensor_bytes: int = 2**31
    flops: float = 1e12


def check_foreign(data: bytes, digest: str, bounds: Bounds) -> ModelGraph:
    """The graph of a model that may run.

    Raises InvalidInput when the bytes are not of this SHA-256 digest, are no model that may run,
    or need more than the bounds allow.
    """
    from dds.model.importer import load_model

    graph = load_model(data)
    if graph.digest != digest:
        raise InvalidInput(
            f"model.digest: the bytes received have SHA-256 {graph.digest[:12]}..., announced was "
            f"{digest[:12]}...; send the model that the digest was taken of"
        )
    _check_domains(data)
    memory = sum(tensor.bytes for tensor in graph.tensors)
    if memory > bounds.tensor_bytes:
        raise InvalidInput(
            f"the model's tensors take {format_bytes(memory)}; allowed here are "
            f"{format_bytes(bounds.tensor_bytes)}"
        )
    if graph.flops > bounds.flops:
        raise InvalidInput(
            f"the model takes {graph.flops:.3g} FLOP an inference; allowed here are "
            f"{bounds.flops:.3g}"
        )
    return graph


def check_bounded(data: bytes) -> None:
    """Raises InvalidInput for a model with loops, whose work nothing bounds beforehand."""
    from dds.model.onnxfile import open_onnx

    source = open_onnx(data).model
    kinds = set(_kinds(source.graph.node))
    for function in source.functions:
        kinds.update(_kinds(function.node))
    if loops := sorted(kinds & _UNBOUNDED):
        raise InvalidInput(
            f"the model has a {loops[0]}, whose time depends on its input; run and profile it "
            "yourself"
        )


def _check_domains(data: bytes) -> None:
    from dds.model.onnxfile import open_onnx

    model = open_onnx(data).model
    allowed = _DOMAINS | {function.domain for function in model.functions}
    for owner in (model, *model.functions):
        for opset in owner.opset_import:
            if opset.domain not in allowed:
                raise InvalidInput(
                    f"operator set {opset.domain!r} is not allowed here; export the model with "
                    "standard ONNX operators"
                )


def _kinds(nodes: Iterable[onnx.NodeProto]) -> Iterable[str]:
    """Operator types of nodes, and of all inside their bodies."""
    from dds.model.dataflow import bodies

    for node in nodes:
        yield node.op_type
        for body in bodies(node):
            yield from _kinds(body.node)
