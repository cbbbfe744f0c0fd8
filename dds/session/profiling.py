"""How a client asks the server to measure a model that it has brought there."""

from __future__ import annotations

from dataclasses import dataclass

from dds.errors import InvalidInput
from dds.session.upload import check_digest

__all__ = ["ProfileRequest"]


@dataclass(frozen=True, slots=True)
class ProfileRequest:
    """Measure the model of this SHA-256 digest, which `lease` has uploaded.

    repeats: runs to measure, 0 for as many as the server likes; it may stop earlier.

    Raises InvalidInput for a malformed digest or a count that is not one of 32 bits.
    """

    lease: str
    digest: str
    repeats: int = 0

    def __post_init__(self) -> None:
        check_digest("profile.digest", self.digest)
        if not 0 <= self.repeats < 2**32:
            raise InvalidInput(f"profile.repeats is {self.repeats!r}; need a whole number >= 0")
