"""The cheapest way to use three tiers, out of four two-tier cuts.

Operators S1 run on the device and S2 ⊇ S1 on device or edge.  Round trips and payments depend only
on which tiers are used, and with those given, what remains is a sum of a cost of S1 and one of
S2, because We(S2 - S1) = We(V - S1) + We(S2) - We(V):

    [L(S1) + D(S1)/b1 + x We(V - S1)]  +  [x We(S2) + D(S2)/b2 + y Wc(V - S2)]  -  x We(V)

with x = 1/f and y = 1/fc.  Each bracket is minimised on its own, as a two-tier cut; both
together are a bound from below on every plan that uses three tiers, and the best such plan when
they come out nested.  Where they do not, a bound is sought at other x, see :func:`_may_pay`.  Only
when every such bound is below what all other ways of using the tiers cost, both are searched
together (:mod:`dds.tiers.joint`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
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

    def edge_seconds(self, cut: Cut) -> float:
        """We(S) of what a cut of edge and cloud keeps, core s."""
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
    links, x = question.links, question.x
    ways = _edge_idle(search, question)
    if question.idle:
        return _plan(search, question, min(ways, key=_cost))
    near, far = search.near(question), search.far(question)
    to_edge = near.base_latency + x * near.server_work + links.device_edge.rtt + question.edge_rent
    ways.append(_Way(to_edge, _cut(near), search.everything))
    best = min(ways, key=_cost)
    bound = _bound(search, question, near, far)
    if best.cost == 0.0 or best.cost * _LOWER <= bound.value:
        return _plan(search, question, best)
    both = _Way(bound.value, _cut(near), _cut(far))
    if search.works(both.first, both.second) is None:
        if not _may_pay(search, question, bound, best.cost * _LOWER):
            return _plan(search, question, best)
        both = _Way(bound.value, *search.joint(question, best.cost))
    plan = _plan(search, question, both)
    return plan if question.cost(plan) < best.cost else _plan(search, question, best)


@dataclass(frozen=True, slots=True)
class _Bound:
    """At an edge of x, no plan on three tiers costs less than `value`, s: that of near and far."""

    x: float
    value: float
    near: Piece
    far: Piece

    def slope(self, search: Search) -> float:
        """Core s by which the bound grows with x."""
        kept = search.edge_seconds(_cut(self.far))
        return self.near.server_work + kept - search.times.edge_total


def _bound(search: Search, question: Question, near: Piece, far: Piece) -> _Bound:
    """Of the cuts that are best at the question's x."""
    links, x = question.links, question.x
    value = near.base_latency + x * near.server_work + links.device_edge.rtt + question.edge_rent
    value += far.base_latency + far.server_work / question.cloud.share + links.edge_cloud.rtt
    value += question.cloud_rent - x * search.times.edge_total * (1.0 + _ROUNDING)
    return _Bound(x, value, near, far)


def _may_pay(search: Search, question: Question, last: _Bound, enough: float) -> bool:
    """Whether a plan on three tiers might cost less than `enough`, s; last: the bound at x.

    A faster edge makes no plan dearer, so a bound at any x' <= x holds at x too.  Both brackets are
    minima of lines in x', so their sum less x' We(V) is concave: the x' to try next is where the
    tangents on either side of its maximum meet.
    """
    first = _bound_at(search, question, 0.0)
    while first.value < enough:
        up, down = first.slope(search), last.slope(search)
        if up <= 0.0 or down >= 0.0:
            return True  # the greatest bound is at an end, and known
        ahead = (last.value - down * (last.x - first.x) - first.value) / (up - down)
        x = first.x + ahead
        if not first.x < x < last.x or first.value + up * ahead < enough:
            return True
        between = _bound_at(search, question, x)
        if between.value >= enough:
            return False
        if between.slope(search) > 0.0:
            first = between
        else:
            last = between
    return False


def _bound_at(search: Search, question: Question, x: float) -> _Bound:
    faster = replace(question, x=x)
    return _bound(search, faster, search.near(faster), search.far(faster))


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
