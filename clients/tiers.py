"""Device, edge and cloud: what a client with a cloud behind its server plans with.

What inferences taught scales whole segments, and a plan does not change when all its times are
told in another unit.  So a device d times as slow, hops l times and servers e times is, in units of
d seconds, the same device with hops of d/l times the bandwidth and shares of d/e times the cores:
the hull that was found once serves whatever is learned later.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray

from clients.costs import Costs
from clients.planning import Options, Placement
from dds.costs.link import Link
from dds.cut.network import make_cut
from dds.cut.pieces import Cut, Frontier, Piece
from dds.model.fusion import Fusion
from dds.model.graph import ModelGraph
from dds.predict.correction import Correction, Segment, Times
from dds.tiers.hull import TierHull, tier_hull
from dds.tiers.links import Offer, TierLinks
from dds.tiers.plan import TierPlan
from dds.tiers.ways import Question, best_plan

__all__ = ["ThreeTiers"]

Seconds = NDArray[np.float64]

#: Least bandwidth that a hop may be planned with, bytes/s.
_SLOWEST = 1.0


@dataclass(frozen=True)
class ThreeTiers:
    """One model on a device, an edge server and a cloud server.

    graph; fusion: groups of operators that no tier takes apart; device, edge, cloud: seconds per
    operator of `graph`, on the device and on one sold core; edge_cloud: the second hop; direct_rtt:
    of the path past the edge, which has the bandwidth of the first hop, s, None without one; offer:
    what is rented in the cloud; value_of_time: w, credits/s per s; all_there: everything is in the
    cloud, as a baseline.
    """

    graph: ModelGraph
    fusion: Fusion
    device: Seconds
    edge: Seconds
    cloud: Seconds
    edge_cloud: Link
    direct_rtt: float | None
    offer: Offer
    value_of_time: float
    all_there: bool = False

    @classmethod
    def of(
        cls,
        edge: Costs,
        cloud: Costs,
        edge_cloud: Link,
        direct_rtt: float | None,
        offer: Offer,
        value_of_time: float,
        *,
        all_there: bool = False,
    ) -> ThreeTiers:
        """From the costs at either server; what one of them fuses is not taken apart."""
        fusion = edge.fusion.join(edge.graph, cloud.fusion)
        seconds = edge.device, edge.server, cloud.server
        hops = edge_cloud, direct_rtt
        return cls(edge.graph, fusion, *seconds, *hops, offer, value_of_time, all_there)

    @property
    def groups(self) -> int:
        """Groups of operators that are never taken apart."""
        return len(self.fusion.groups)

    @cached_property
    def hull(self) -> TierHull:
        """All plans of the fused graph."""
        device, edge, cloud = (
            np.array([seconds[list(group)].sum() for group in self.fusion.groups])
            for seconds in (self.device, self.edge, self.cloud)
        )
        fused = self.fusion.fused(self.graph)
        # Importing numba would cost many times what it saves once per client.
        return tier_hull(fused, device, edge, cloud, slowest=_SLOWEST, engine="python")

    def options(self, link: Link, learned: Correction) -> Options:
        """Every placement that is best at some share of the edge."""
        if self.all_there:
            placement = self._everything_there(link)
            taken = learned.corrected(self.times(placement, 1.0, link)).total
            piece = Piece(taken + self.rent(placement), 0.0, placement.first)
            return Options(Frontier((piece,)), (placement,))
        unit = _Unit.of(learned)
        found = self.hull.frontier(
            self._links(link, unit),
            cloud_offer=unit.offer(self.offer),
            value_of_time=self.value_of_time * unit.device,
        )
        pieces = tuple(
            Piece(unit.device * piece.base_latency, unit.server * piece.server_work, piece.cut)
            for piece in found.frontier.pieces
        )
        return Options(Frontier(pieces), tuple(map(self._placement, found.plans)))

    def rent(self, placement: Placement) -> float:
        """What the share in the cloud costs where it is used, in s of latency."""
        return self.offer.payment / self.value_of_time if placement.on_cloud else 0.0

    def best(self, share: float, link: Link, learned: Correction) -> Callable[[], Placement]:
        """The best plan at the share of the edge there is, which is paid for in any case."""
        if self.all_there:
            return partial(self._everything_there, link)
        unit = _Unit.of(learned)
        offer = unit.offer(self.offer)
        question = Question(
            unit.server / unit.device / share if share > 0.0 else 0.0,
            self._links(link, unit),
            offer,
            edge_rent=0.0,
            cloud_rent=offer.payment / (self.value_of_time * unit.device),
            idle=share <= 0.0,
        )
        return partial(self._placement, best_plan(self.hull, question))

    def times(self, placement: Placement, share: float, link: Link) -> Times:
        """What the segments take, uncorrected: the link is both hops, the server edge and cloud."""
        first, second = placement.first, placement.second
        tier = np.full(placement.operators, 2)
        tier[list(second.on_device)] = 1
        tier[list(first.on_device)] = 0
        links = self._links(link, _Unit())
        hops = server = 0.0
        if placement.on_edge or placement.on_cloud:
            near = links.device_cloud if placement.direct else links.device_edge
            assert near is not None  # noqa: S101 -- the plan has taken it
            hops += near.transfer_time(first.uplink_bytes, first.downlink_bytes)
        if placement.on_edge:
            server += float(self.edge[tier == 1].sum()) / share
        if placement.on_cloud:
            server += float(self.cloud[tier == 2].sum()) / self.offer.share
            if not placement.direct:
                hops += self.edge_cloud.transfer_time(second.uplink_bytes, second.downlink_bytes)
        return Times(float(self.device[tier == 0].sum()), hops, server)

    def _everything_there(self, link: Link) -> Placement:
        """All operators in the cloud, by the way that takes less time."""
        nothing = make_cut(self.graph, (), self.device)
        ways = (False,) if self.direct_rtt is None else (False, True)
        placements = (Placement(nothing, nothing, len(self.graph.operators), way) for way in ways)
        return min(placements, key=lambda placement: self.times(placement, 1.0, link).link)

    def _links(self, link: Link, unit: _Unit) -> TierLinks:
        direct = None
        if self.direct_rtt is not None:
            direct = unit.link(Link(link.uplink, link.downlink, self.direct_rtt))
        return TierLinks(unit.link(link), unit.link(self.edge_cloud), direct)

    def _placement(self, plan: TierPlan) -> Placement:
        first = self._cut(plan.first)
        second = first if plan.second is plan.first else self._cut(plan.second)
        return Placement(first, second, len(self.graph.operators), plan.direct)

    def _cut(self, groups: Cut) -> Cut:
        """A cut of the fused graph as one of the model's own."""
        return make_cut(self.graph, self.fusion.expand(groups), self.device)


@dataclass(frozen=True, slots=True)
class _Unit:
    """Factors of device, hops and servers; the device's is the unit of time, s."""

    device: float = 1.0
    hops: float = 1.0
    server: float = 1.0

    @classmethod
    def of(cls, learned: Correction) -> _Unit:
        return cls(*(learned.factor(s) for s in (Segment.DEVICE, Segment.LINK, Segment.SERVER)))

    def link(self, link: Link) -> Link:
        """The hop, in this unit of time."""
        scale = self.device / self.hops
        up, down = (max(rate * scale, _SLOWEST) for rate in (link.uplink, link.downlink))
        return Link(up, down, link.rtt / scale)

    def offer(self, offer: Offer) -> Offer:
        """The cloud's share in this unit; what it costs a second stays the same."""
        scale = self.device / self.server
        return Offer(offer.share * scale, offer.price / scale)
