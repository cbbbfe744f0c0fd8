"""What the server remembers: models by digest, and which leases may run them.

A model is kept as long as a lease that uploaded it; leases that bring the same bytes share it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from dds.model.graph import ModelGraph
from dds.units import format_bytes
from mec_server.errors import Busy, UnknownModel

__all__ = ["ModelStore", "StoredModel", "TensorSpec"]


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


class ModelStore:
    """Models by digest, within `room` bytes.

    Room is reserved before a model is received, so that uploads in progress count as well.
    """

    def __init__(self, room: int) -> None:
        self._room = room
        self._models: dict[str, StoredModel] = {}
        self._leases: dict[str, set[str]] = {}
        self._reserved = 0

    def __contains__(self, digest: str) -> bool:
        return digest in self._models

    def __len__(self) -> int:
        return len(self._models)

    @property
    def bytes(self) -> int:
        """Bytes of all models, received or announced."""
        return self._reserved + sum(model.size for model in self._models.values())

    @contextmanager
    def reserve(self, size: int) -> Iterator[None]:
        """Hold room for an upload; raises Busy when too little is left."""
        if self.bytes + size > self._room:
            raise Busy(
                f"a model of {format_bytes(size)} does not fit: models in use take "
                f"{format_bytes(self.bytes)} of {format_bytes(self._room)}; try again later"
            )
        self._reserved += size
        try:
            yield
        finally:
            self._reserved -= size

    def add(self, model: StoredModel, lease: str) -> None:
        """Keep a model, whose room was reserved, for a lease; one of its digest stays as it is."""
        self._models.setdefault(model.digest, model)
        self.allow(model.digest, lease)

    def allow(self, digest: str, lease: str) -> None:
        """Let a further lease use a model that is here; raises UnknownModel if it is not."""
        if digest not in self._models:
            raise UnknownModel(f"model {digest[:12]!r} is not on this server; upload it first")
        self._leases.setdefault(digest, set()).add(lease)

    def get(self, digest: str, lease: str) -> StoredModel:
        """The model, for a lease that announced it; raises UnknownModel otherwise."""
        if lease not in self._leases.get(digest, ()):
            raise UnknownModel(
                f"lease {lease!r} has uploaded no model {digest[:12]!r}; call PutModel first"
            )
        return self._models[digest]

    def forget(self, lease: str) -> None:
        """The lease is over: models that no other lease uses are dropped."""
        for digest, leases in list(self._leases.items()):
            leases.discard(lease)
            if not leases:
                del self._leases[digest], self._models[digest]
