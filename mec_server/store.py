"""What the server remembers: models by digest, and which leases may run them.

A model is kept while a lease uses it.  When room is needed, models that no lease uses any more
go first, the longest unused one first; when that is not enough, the upload is refused.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

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

    digest: SHA-256 of its ONNX bytes; session: ``onnxruntime.InferenceSession``;
    size: bytes it was sent as, which is about what it occupies.
    """

    digest: str
    session: Any
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    size: int


@dataclass(slots=True)
class _Kept:
    model: StoredModel
    used: float
    leases: set[str] = field(default_factory=set)


class ModelStore:
    """Models by digest, within `room` bytes.

    Room is reserved before a model is received, so that uploads in progress count as well.
    """

    def __init__(self, room: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._room = room
        self._clock = clock
        self._kept: dict[str, _Kept] = {}
        self._reserved = 0

    def __contains__(self, digest: str) -> bool:
        return digest in self._kept

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def bytes(self) -> int:
        """Bytes of all models, received or announced."""
        return self._reserved + sum(kept.model.size for kept in self._kept.values())

    @contextmanager
    def reserve(self, size: int) -> Iterator[None]:
        """Hold room for an upload; raises Busy when models in use leave too little."""
        self._make_room(size)
        self._reserved += size
        try:
            yield
        finally:
            self._reserved -= size

    def _make_room(self, size: int) -> None:
        idle = sorted(
            (kept for kept in self._kept.values() if not kept.leases), key=lambda kept: kept.used
        )
        for kept in idle:
            if self.bytes + size <= self._room:
                return
            del self._kept[kept.model.digest]
        if self.bytes + size > self._room:
            raise Busy(
                f"a model of {format_bytes(size)} does not fit: models in use take "
                f"{format_bytes(self.bytes)} of {format_bytes(self._room)}; try again later"
            )

    def add(self, model: StoredModel) -> None:
        """Keep a model whose room was reserved; a second one of its digest changes nothing."""
        self._kept.setdefault(model.digest, _Kept(model, self._clock()))

    def allow(self, digest: str, lease: str) -> StoredModel:
        """Let a lease use a model that is here; raises UnknownModel if it is not."""
        kept = self._kept.get(digest)
        if kept is None:
            raise UnknownModel(f"model {digest[:12]!r} is not on this server; upload it first")
        kept.leases.add(lease)
        kept.used = self._clock()
        return kept.model

    def get(self, digest: str, lease: str) -> StoredModel:
        """The model, for a lease that announced it; raises UnknownModel otherwise."""
        kept = self._kept.get(digest)
        if kept is None or lease not in kept.leases:
            raise UnknownModel(
                f"lease {lease!r} has uploaded no model {digest[:12]!r}; call PutModel first"
            )
        kept.used = self._clock()
        return kept.model

    def forget(self, lease: str) -> None:
        """The lease is over; its models may go when room is needed."""
        for kept in self._kept.values():
            kept.leases.discard(lease)
