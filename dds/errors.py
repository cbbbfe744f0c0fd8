"""Errors that say whose fault it is.

Every error DDS raises on purpose is a :class:`DdsError` whose text is one line
that names the place (field, node, flag) and the fix.  Command lines turn them
into exit code 2, gRPC servers into the status of :attr:`DdsError.status`.
"""

from __future__ import annotations

__all__ = ["DdsError", "Infeasible", "InternalError", "InvalidInput", "first_line"]


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


def first_line(error: Exception) -> str:
    r"""What an error of somebody else's says, in one line of at most 300 characters.

    >>> first_line(RuntimeError("no such node\nat line 7 of a file of theirs"))
    'no such node'
    """
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:300]
