"""The link between a client and the server."""

from __future__ import annotations

import math
from dataclasses import dataclass

from dds.errors import InvalidInput

__all__ = ["Link"]


@dataclass(frozen=True, slots=True)
class Link:
    """A client's network link.

    uplink, downlink: bandwidth in bytes/s (> 0, ``inf`` allowed);
    rtt: round trip in seconds (>= 0), paid once by every cut but local-only.

    Raises InvalidInput naming the field that is out of range.
    """

    uplink: float
    downlink: float
    rtt: float = 0.0

    def __post_init__(self) -> None:
        for name in ("uplink", "downlink"):
            value = getattr(self, name)
            if math.isnan(value) or value <= 0.0:
                raise InvalidInput(f"link.{name} is {value!r}; need bytes/s > 0")
        if not (math.isfinite(self.rtt) and self.rtt >= 0.0):
            raise InvalidInput(f"link.rtt is {self.rtt!r}; need seconds >= 0")

    def transfer_time(self, uplink_bytes: float, downlink_bytes: float) -> float:
        """D_up / b_up + D_down / b_down + rtt in seconds."""
        return uplink_bytes / self.uplink + downlink_bytes / self.downlink + self.rtt
