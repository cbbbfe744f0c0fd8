"""What the server keeps of a model, in a :class:`dds.session.store.ModelStore`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dds.model.graph import ModelGraph

__all__ = ["StoredModel", "TensorSpec"]


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """An input or output of a model: name, numpy name of its type, fixed shape."""

    name: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class StoredModel:
    """A model ready to run.

    digest: SHA-256 of its ONNX bytes; data: those bytes, whose weights the session reads;
    graph: of the model; session: ``onnxruntime.InferenceSession``.
    """

    digest: str
    data: bytes
    graph: ModelGraph
    session: Any
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    @property
    def size(self) -> int:
        """Bytes it was sent as, which is about what it occupies."""
        return len(self.data)
