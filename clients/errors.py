"""What only a client of a running server meets; everything else is in :mod:`dds.errors`."""

from __future__ import annotations

from dds.errors import DdsError

__all__ = ["CallFailed", "MarketRefused"]


class CallFailed(DdsError):
    """A call to the server failed.

    status: the name of its gRPC status code; retry_after: seconds after which the server would
    like to be asked again, None if it did not say.
    """

    def __init__(self, status: str, text: str, retry_after: float | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.retry_after = retry_after


class MarketRefused(DdsError):
    """The market would not have this client, or was lost; the text says why."""

    status = "FAILED_PRECONDITION"
