"""Which helpers a device may use, and what is known of their links."""

from __future__ import annotations

import math
from dataclasses import dataclass

from dds.errors import InvalidInput
from dds.units import parse_address

__all__ = ["TeamConfig"]


@dataclass(frozen=True, slots=True)
class TeamConfig:
    """The helpers that a device may use.

    addresses: ``HOST:PORT`` of each; bandwidth: of every link, bytes/s, rtt: of every link, s, None
    for measured; shared: one transfer at a time among all (WiFi); measure: seconds to try plans in
    and choose the fastest, 0 to trust the schedule; check_every: so many inferences, and an input
    whose outputs are known is played again, 0 for never.

    Raises InvalidInput for an address that is none, or comes twice, and for what is out of range.
    """

    addresses: tuple[str, ...]
    bandwidth: float | None = None
    rtt: float | None = None
    shared: bool = False
    measure: float = 2.0
    check_every: int = 100

    def __post_init__(self) -> None:
        for address in self.addresses:
            try:
                _, port = parse_address(address)
            except InvalidInput as error:
                raise InvalidInput(f"helpers: {error}") from error
            if not port:
                raise InvalidInput(f"helpers: {address!r} has port 0; say which one")
        if not self.addresses or len(set(self.addresses)) < len(self.addresses):
            raise InvalidInput("helpers: need at least one address, and none twice")
        if self.bandwidth is not None and not self.bandwidth > 0.0:
            raise InvalidInput(f"helpers' bandwidth is {self.bandwidth!r}; need bytes/s > 0")
        if self.rtt is not None and not 0.0 <= self.rtt < math.inf:
            raise InvalidInput(f"helpers' rtt is {self.rtt!r}; need seconds >= 0")
        if not 0.0 <= self.measure < math.inf:
            raise InvalidInput(f"measure_plans is {self.measure!r}; need seconds >= 0")
        if self.check_every < 0:
            raise InvalidInput(f"check_every is {self.check_every!r}; need a number >= 0")
