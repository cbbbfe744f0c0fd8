"""Models by digest, and which leases may run them, on a server or a helper.

A model is kept as long as a lease that uploaded it; leases that bring the same bytes share it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Generic, Protocol, TypeVar

from dds.session.refusals import Busy, UnknownModel
from dds.units import format_bytes

__all__ = ["ModelStore", "Stored"]


class Stored(Protocol):
    """A model as it is kept: its SHA-256 digest, and the bytes it occupies."""

    @property
    def digest(self) -> str:
        """Of its ONNX bytes."""
        ...

    @property
    def size(self) -> int:
        """Bytes."""
        ...


M = TypeVar("M", bound=Stored)


class ModelStore(Generic[M]):
    """Models by digest, within `room` bytes, and not more than `most`.

    Room is reserved before a model is received, so that uploads in progress count as well.
    """

    def __init__(self, room: int, most: int = 2**14) -> None:
        self._room = room
        self._most = most
        self._models: dict[str, M] = {}
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
        if len(self) >= self._most:
            raise Busy(f"{len(self)} models are in use, and no more may be; try again later")
        self._reserved += size
        try:
            yield
        finally:
            self._reserved -= size

    def add(self, model: M, lease: str) -> None:
        """Keep a model, whose room was reserved, for a lease; one of its digest stays as it is."""
        self._models.setdefault(model.digest, model)
        self.allow(model.digest, lease)

    def allow(self, digest: str, lease: str) -> None:
        """Let a further lease use a model that is here; raises UnknownModel if it is not."""
        if digest not in self._models:
            raise UnknownModel(f"model {digest[:12]!r} is not here; upload it first")
        self._leases.setdefault(digest, set()).add(lease)

    def has(self, digest: str, lease: str) -> bool:
        """Whether the model is here for a lease."""
        return lease in self._leases.get(digest, ())

    def get(self, digest: str, lease: str) -> M:
        """The model, for a lease that announced it; raises UnknownModel otherwise."""
        if not self.has(digest, lease):
            raise UnknownModel(
                f"lease {lease!r} has uploaded no model {digest[:12]!r}; call PutModel first"
            )
        return self._models[digest]

    def hand_over(self, digests: Iterable[str], lease: str, heir: str) -> None:
        """What a lease uses of these models is used by its heir instead."""
        for digest in digests:
            leases = self._leases[digest]
            leases.add(heir)
            leases.discard(lease)

    def forget(self, lease: str) -> None:
        """The lease is over: models that no other lease uses are dropped."""
        for digest, leases in list(self._leases.items()):
            leases.discard(lease)
            if not leases:
                del self._leases[digest], self._models[digest]
