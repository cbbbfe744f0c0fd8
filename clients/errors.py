"""What only a client of a running server meets; everything else is in :mod:`dds.errors`."""

from __future__ import annotations

from dds.errors import DdsError

__all__ = ["CallFailed", "Gone", "MarketRefused"]


class CallFailed(DdsError):
    """A call to the server failed.

    status: the name of its gRPC status code; retry_after: seconds after which the server would
    like to be asked again, None if it did not say.
    """

    def __init__(self, status: str, text: str, retry_after: float | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.retry_after = retry_after


class Gone(CallFailed):
    """Whoever was called is not there, or not any more.

    who: was called; how: that shows, such as "its connection broke".
    """

    def __init__(self, who: str, how: str) -> None:
        super().__init__("UNAVAILABLE", f"{who} is gone: {how}")
        self.how = how


class MarketRefused(DdsError):
    """The market would not have this client; the text says why."""

    status = "FAILED_PRECONDITION"
