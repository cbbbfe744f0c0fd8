"""What only a client of a running server meets; everything else is in :mod:`dds.errors`."""

from __future__ import annotations

from dds.errors import DdsError

__all__ = ["CallFailed", "MarketRefused"]


class CallFailed(DdsError):
    """A call to the server failed; `status` is the name of its gRPC status code."""

    def __init__(self, status: str, text: str) -> None:
        super().__init__(text)
        self.status = status


class MarketRefused(DdsError):
    """The market would not have this client, or was lost; the text says why."""

    status = "FAILED_PRECONDITION"
