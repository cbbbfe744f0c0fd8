"""A node of an ONNX model while PyTorch functions are made of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dds.errors import InvalidInput

__all__ = ["Node", "Run"]

Tensor = Any
#: From the node's inputs, None where an optional one is left out, to its outputs.
Run = Callable[..., Any]


@dataclass(frozen=True)
class Node:
    """A node while it is loaded.

    where: what messages call it; given: its attributes; shape: of its first input, None where it
    is left open; constants: for each input its tensor where that is known already; present: for
    each input whether it is there; outputs: how many; more: whether any but the first is used.
    """

    where: str
    given: Mapping[str, Any]
    shape: tuple[int, ...] | None
    constants: Sequence[Tensor | None]
    present: Sequence[bool]
    outputs: int
    more: bool

    def get(self, name: str, default: Any) -> Any:
        """An attribute, or its default."""
        return self.given.get(name, default)

    def has(self, slot: int) -> bool:
        """Whether there is such an input."""
        return slot < len(self.present) and self.present[slot]

    def value(self, slot: int, what: str, default: Any = None) -> Any:
        """An input that must be constant, as a list or number; the default where there is none."""
        if not self.has(slot):
            return default
        found = self.constants[slot]
        if found is None:
            raise self.refused(f"{what} that are computed while it runs")
        return found.tolist()

    def axes(self, slot: int) -> list[int] | None:
        """Axes given as an attribute, as older versions have it, or as an input."""
        found = self.get("axes", None)
        return list(found) if found is not None else self.value(slot, "axes")

    def refused(self, what: str) -> InvalidInput:
        """The error for something this node asks for."""
        return InvalidInput(f"torch has no {self.where} with {what}; keep it on onnxruntime")
