"""What only a running server or helper refuses; everything else is in :mod:`dds.errors`.

``status`` is the name of the gRPC status code the error becomes.
"""

from __future__ import annotations

from dds.errors import DdsError

__all__ = ["Busy", "LeaseRefused", "TooLate", "UnknownModel"]


class LeaseRefused(DdsError):
    """The call names no lease that allows it."""

    status = "PERMISSION_DENIED"


class UnknownModel(DdsError):
    """The model is not here."""

    status = "NOT_FOUND"


class Busy(DdsError):
    """A bound on memory or waiting requests is reached; try again later.

    retry_after: seconds after which that is worth while, None if nobody can tell.
    """

    status = "RESOURCE_EXHAUSTED"

    def __init__(self, text: str, retry_after: float | None = None) -> None:
        super().__init__(text)
        self.retry_after = retry_after


class TooLate(DdsError):
    """The caller's deadline cannot be met."""

    status = "DEADLINE_EXCEEDED"
