"""The cheapest way to use three tiers, out of four two-tier cuts.

Operators S1 run on the device and S2 ⊇ S1 on device or edge.  Round trips and payments depend only
on which tiers are used, and with those given, what remains is a sum of a cost of S1 and one of
S2, because We(S2 - S1) = We(V - S1) + We(S2) - We(V):

    [L(S1) + D(S1)/b1 + x We(V - S1)]  +  [x We(S2) + D(S2)/b2 + y Wc(V - S2)]  -  x We(V)

with x = 1/f and y = 1/fc.  Each bracket is minimised on its own, as a two-tier cut; both
together are a bound from below on every plan that uses three tiers, and the best such plan when
they come out nested.  Only when they do not, and the bound is below what every other way of using
the tiers costs, both are searched together (:mod:`dds.tiers.joint`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from dds.costs.link import Link
from dds.cut.pieces import Cut, Piece
from dds.tiers.links import Offer, TierLinks, relayed
from dds.tiers.plan import TierPlan, TierTimes, put_together

__all__ = ["Question", "Search", "best_plan"]


@dataclass(frozen=True, slots=True)
class Question:
    """Which plan minimises T~ = T + (payments to edge and cloud) / w, at one share of the edge.

    x: 1/f of the edge, per core; links; cloud: the offer of the cloud; edge_rent, cloud_rent: what
    using a tier costs over the value of time, s; idle: whether the edge must stay idle.
    """

    x: float
    links: TierLinks
    cloud: Offer
    edge_rent: float
    cloud_rent: float
    idle: bool = False

    def cost(self, plan: TierPlan) -> float:
        """T~ of a plan, s."""
        rent = self.edge_rent * (plan.edge_work > 0.0) + self.cloud_rent * (plan.cloud_work > 0.0)
        return plan.base_latency + self.x * plan.edge_work + rent


class Search(Protocol):
    """Finds the two-tier cuts; round trips and rents are not theirs."""

    @property
    def times(self) -> TierTimes:
        """Of the model's operators."""
        ...

    @property
    def everything(self) -> Cut:
        """The cut that keeps all operators."""
        ...

    def near(self, question: Question) -> Piece:
        """Device and edge: (L(S1) + D/b1, We(V - S1)) of least A + x W."""
        ...

    def far(self, question: Question) -> Piece:
        """Edge and cloud: (x We(S2) + D/b2, Wc(V - S2)) of least A + W/fc."""
        ...

    def past(self, question: Question, link: Link) -> Piece:
        """Device and cloud, over this link: (L(S) + D/b, Wc(V - S)) of least A + W/fc."""
        ...

    def joint(self, question: Question, most: float) -> tuple[Cut, Cut]:
        """S1 within S2 of least near and far cost together, if that is below `most`, s."""
        ...

    def works(self, first: Cut, second: Cut) -> tuple[float, float] | None:
        """What :func:`dds.tiers.plan.works_of` says of these cuts."""
        ...


#: What rounding may add to a bound that has a difference in it, relative to what is subtracted.
_ROUNDING = 2.0**-48
#: A bound that is lower by less than this fraction is lower by rounding.
_LOWER = 1.0 - 2.0**-43


@dataclass(frozen=True, slots=True)
class _Way:
    """One way to use the tiers: the least that it can cost, T~ in s, and the cuts that would."""

    cost: float
    first: Cut
    second: Cut
    direct: bool = False


def best_plan(search: Search, question: Question) -> TierPlan:
    """The plan of least T~, exact to about 1e-12 of itself."""
    links, x, cloud = question.links, question.x, question.cloud
    ways = _edge_idle(search, question)
    if question.idle:
        return _plan(search, question, min(ways, key=_cost))
    near, far = search.near(question), search.far(question)
    to_edge = near.base_latency + x * near.server_work + links.device_edge.rtt + question.edge_rent
    ways.append(_Way(to_edge, _cut(near), search.everything))
    best = min(ways, key=_cost)
    to_cloud = far.base_latency + far.server_work / cloud.share + links.edge_cloud.rtt
    counted_twice = x * search.times.edge_total * (1.0 + _ROUNDING)
    bound = to_edge + (to_cloud - counted_twice) + question.cloud_rent
    if best.cost == 0.0 or best.cost * _LOWER <= bound:
        return _plan(search, question, best)
    both = _Way(bound, _cut(near), _cut(far))
    if search.works(both.first, both.second) is None:
        both = _Way(bound, *search.joint(question, best.cost))
    plan = _plan(search, question, both)
    return plan if question.cost(plan) < best.cost else _plan(search, question, best)


def _edge_idle(search: Search, question: Question) -> list[_Way]:
    """Local-only, and device and cloud by either path."""
    links = question.links
    ways = [_Way(search.times.device_total, search.everything, search.everything)]
    paths = [(relayed(links), False)]
    if links.device_cloud is not None:
        paths.append((links.device_cloud, True))
    for link, direct in paths:
        past = search.past(question, link)
        latency = past.base_latency + past.server_work / question.cloud.share + link.rtt
        ways.append(_Way(latency + question.cloud_rent, _cut(past), _cut(past), direct))
    return ways


def _plan(search: Search, question: Question, way: _Way) -> TierPlan:
    works = search.works(way.first, way.second)
    assert works is not None  # noqa: S101 -- the cuts of a way are nested
    return put_together(
        question.links, question.cloud, way.first, way.second, works, direct=way.direct
    )


def _cut(piece: Piece) -> Cut:
    assert piece.cut is not None  # noqa: S101 -- a search makes every piece from a cut
    return piece.cut


def _cost(way: _Way) -> float:
    return way.cost
