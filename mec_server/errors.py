"""What only a server with others behind it refuses; see :mod:`dds.session.refusals` for the rest.

``status`` is the name of the gRPC status code the error becomes.
"""

from __future__ import annotations

from dds.errors import DdsError

__all__ = ["NoUpstream", "UpstreamFailed"]


class NoUpstream(DdsError):
    """The call goes further than this server knows."""

    status = "FAILED_PRECONDITION"

    def __init__(self) -> None:
        super().__init__("this server has no upstream; start it with --upstream HOST:PORT")


class UpstreamFailed(DdsError):
    """The upstream refused, or did not answer.

    status: the gRPC status it answered; retry_after: as for :class:`~dds.session.refusals.Busy`.
    """

    def __init__(self, status: str, text: str, retry_after: float | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.retry_after = retry_after
