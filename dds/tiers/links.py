"""What three tiers are joined by, and what a client can rent of a tier."""

from __future__ import annotations

import math
from dataclasses import dataclass

from dds.costs.link import Link
from dds.errors import InvalidInput

__all__ = ["Offer", "TierLinks", "relayed"]

#: Bytes/s; as for hulls.
_SLOWEST = 1e-100
#: Cores, and credits/s; as for markets.
_LEAST, _MOST = 1e-100, 1e100


@dataclass(frozen=True, slots=True)
class TierLinks:
    """The links between three tiers.

    device_edge, edge_cloud: the two hops; device_cloud: the direct path, None where all data
    passes the edge.
    Raises InvalidInput for a link slower than 1e-100 bytes/s: times would overflow.
    """

    device_edge: Link
    edge_cloud: Link
    device_cloud: Link | None = None

    def __post_init__(self) -> None:
        for name in ("device_edge", "edge_cloud", "device_cloud"):
            link = getattr(self, name)
            if link is not None and min(link.uplink, link.downlink) < _SLOWEST:
                raise InvalidInput(
                    f"links.{name} is slower than {_SLOWEST:g} bytes/s; need more, or no link"
                )


@dataclass(frozen=True, slots=True)
class Offer:
    """What a client can rent of a tier: `share` cores at `price` credits/s per core.

    A client pays for the tiers that it uses.
    Raises InvalidInput for a share below 1e-100, a price that is not finite and >= 0, and more than
    1e100 credits/s for both.
    """

    share: float = 1.0
    price: float = 0.0

    def __post_init__(self) -> None:
        if not self.share >= _LEAST:
            raise InvalidInput(f"offer.share is {self.share!r}; need cores >= {_LEAST:g}")
        if not 0.0 <= self.price < math.inf:
            raise InvalidInput(f"offer.price is {self.price!r}; need credits/s per core >= 0")
        if self.price and math.isinf(self.share):
            raise InvalidInput("offer.share is inf at a price > 0; need a finite number of cores")
        if self.payment > _MOST:
            raise InvalidInput(
                f"offer.price is {self.price!r} for {self.share:g} cores; need at most {_MOST:g} "
                "credits/s in all"
            )

    @property
    def payment(self) -> float:
        """Credits a second, where the tier is used."""
        return self.share * self.price if self.price else 0.0


def relayed(links: TierLinks) -> Link:
    """Both hops as one link: the edge has a tensor whole before it sends it on.

    1/b = 1/b1 + 1/b2 either way, rtt = rtt1 + rtt2.
    """
    near, far = links.device_edge, links.edge_cloud
    return Link(
        _in_series(near.uplink, far.uplink),
        _in_series(near.downlink, far.downlink),
        near.rtt + far.rtt,
    )


def _in_series(first: float, second: float) -> float:
    per_byte = 1.0 / first + 1.0 / second
    return 1.0 / per_byte if per_byte else math.inf
