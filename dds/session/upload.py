"""How the server-side part of a model travels: once, in chunks, under its digest."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass

from dds.errors import InvalidInput

__all__ = ["CHUNK_BYTES", "ModelHeader", "ModelReceipt", "check_digest", "receive"]

#: Largest piece of a model in one message, bytes.
CHUNK_BYTES = 2**20

_DIGEST = re.compile(r"[0-9a-f]{64}")


def check_digest(where: str, value: str) -> None:
    """Raises InvalidInput, naming the place, unless the value is a SHA-256 digest."""
    if not _DIGEST.fullmatch(value):
        raise InvalidInput(f"{where}: need a SHA-256 digest, 64 lower-case hexadecimal digits")


@dataclass(frozen=True, slots=True)
class ModelHeader:
    """Announces a model: the lease that brings it, the SHA-256 digest of its bytes, their number.

    Raises InvalidInput for a malformed digest or a size below 1.
    """

    lease: str
    digest: str
    size: int

    def __post_init__(self) -> None:
        check_digest("model.digest", self.digest)
        if not 1 <= self.size < 2**63:
            raise InvalidInput(f"model.size is {self.size!r}; need the number of bytes, at least 1")


@dataclass(frozen=True, slots=True)
class ModelReceipt:
    """The server has the model; known: it had it before this upload."""

    digest: str
    known: bool

    def __post_init__(self) -> None:
        check_digest("receipt.digest", self.digest)


async def receive(header: ModelHeader, chunks: AsyncIterator[bytes]) -> bytes:
    """Collect the announced number of bytes; raises InvalidInput when more or fewer come."""
    parts: list[bytes] = []
    received = 0
    async for chunk in chunks:
        received += len(chunk)
        if received > header.size:
            raise InvalidInput(f"model.size: {header.size} bytes were announced, more came")
        parts.append(chunk)
    if received < header.size:
        raise InvalidInput(f"model.size: {header.size} bytes were announced, {received} came")
    return b"".join(parts)
