"""Errors that say whose fault it is.

Every error DDS raises on purpose is a :class:`DdsError` whose text is one line
that names the place (field, node, flag) and the fix.  Command lines turn them
into exit code 2, gRPC servers into the status of :attr:`DdsError.status`.
"""

from __future__ import annotations

__all__ = ["DdsError", "Infeasible", "InternalError", "InvalidInput"]


class DdsError(Exception):
    """Base of every error raised on purpose; ``str(error)`` is one line."""

    #: Name of the gRPC status code this error becomes on the wire.
    status: str = "INTERNAL"


class InvalidInput(DdsError, ValueError):
    """The caller's data is wrong; the text names the place and the fix."""

    status = "INVALID_ARGUMENT"


class Infeasible(DdsError):
    """The question is well formed but has no answer that a theorem covers.

    The text names the condition that fails.
    """

    status = "FAILED_PRECONDITION"


class InternalError(DdsError):
    """A promise of DDS itself was broken: a defect to report."""

    status = "INTERNAL"
