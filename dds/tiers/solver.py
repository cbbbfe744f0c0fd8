"""Device, edge and cloud: the exact split of a model over three tiers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from dds.costs.link import Link
from dds.costs.roofline import Timing
from dds.cut.network import make_cut
from dds.cut.pieces import Cut, CutFields, Frontier, Piece
from dds.cut.solver import min_cut
from dds.errors import InvalidInput
from dds.model.graph import ModelGraph
from dds.tiers.joint import joint_cut
from dds.tiers.links import Offer, TierLinks
from dds.tiers.plan import TierPlan, TierTimes, works_of
from dds.tiers.ways import Question, best_plan

__all__ = ["TierFrontier", "envelope", "question", "three_tier", "tier_frontier"]

_ONE_CORE = Offer()
#: Credits/s per s; as for markets.
_LEAST_VALUE = 1e-100


def three_tier(
    graph: ModelGraph,
    device: Timing,
    edge: Timing,
    cloud: Timing,
    links: TierLinks,
    *,
    edge_offer: Offer = _ONE_CORE,
    cloud_offer: Offer = _ONE_CORE,
    value_of_time: float = 1.0,
    engine: str | None = None,
) -> TierPlan:
    """The plan of least ``w T + f pe [edge used] + fc pc [cloud used]``, exactly.

    where
      T         L(S1) + D(S1)/b1 + We(S2 - S1)/f + D(S2)/b2 + Wc(V - S2)/fc + round trips, s
      S1 ⊆ S2   operators on the device, and on device or edge; both closed under predecessors
      f, pe     share and price of edge_offer, cores and credits/s per core; fc, pc: cloud_offer
      w         value_of_time, credits/s per s

    A tier is used when an operator runs there; a hop's round trip is paid when data crosses it.
    With a direct path from the device to the cloud, plans that leave the edge idle may take it.

    device: seconds per operator there; edge, cloud: on one core of each, > 0; engine: as for
    :func:`dds.frontier`.  Exact to about 1e-12 of the cost.

    Raises InvalidInput for what :func:`dds.frontier` refuses, and a value of time not > 0.

    Source: monotone labels as a minimum cut of copies (Ishikawa 2003); two separate minimum cuts
    suffice where they are nested (docs/tiers.md).

    >>> from dds.costs import Link
    >>> from dds.model.graph import ModelGraph, Operator, Tensor
    >>> tensors = tuple(Tensor(n, (), "float32", b) for n, b in zip("abcd", (100, 10, 1, 1)))
    >>> steps = tuple(Operator(f"f{k}", "F", (k,), (k + 1,)) for k in range(3))
    >>> chain = ModelGraph(steps, tensors, inputs=(0,), outputs=(3,))
    >>> links = TierLinks(Link(100.0, 100.0), Link(10.0, 10.0))
    >>> plan = three_tier(chain, [0.1, 9.0, 9.0], [0.1, 0.5, 9.0], [0.1, 0.4, 0.5], links)
    >>> plan.on_device, plan.on_edge, plan.on_cloud(chain)
    ((0,), (1,), (2,))
    """
    search = CutSearch(graph, TierTimes.of(graph, device, edge, cloud), engine)
    w = checked_value(value_of_time)
    asked = question(links, edge_offer, cloud_offer, w)
    return best_plan(search, asked)


@dataclass(frozen=True)
class TierFrontier:
    """What a client with a cloud behind the edge can ask of the edge's market.

    frontier: pieces ``T~(f) = A~ + We / f``, where A~ = A + payment for the cloud / w: what the
    client minimises, which its latency is only where the cloud is free; plans: the plan behind each
    piece.  The last needs no share of the edge: local-only, or the device with the cloud.
    """

    frontier: Frontier
    plans: tuple[TierPlan, ...]


def tier_frontier(
    graph: ModelGraph,
    device: Timing,
    edge: Timing,
    cloud: Timing,
    links: TierLinks,
    *,
    cloud_offer: Offer = _ONE_CORE,
    value_of_time: float = 1.0,
    engine: str | None = None,
) -> TierFrontier:
    """Every plan that is best at some share of the edge server, f > 0.

    ``T~(f) = min over plans of A + fc pc [cloud used] / w + We / f``; a
    :class:`dds.Client` with this frontier plays the edge's market like any other.
    Arguments and errors are those of :func:`three_tier`.

    Source: Eisner and Severance (1976), on :func:`three_tier` at the x = 1/f where two plans
    cost the same.
    """
    search = CutSearch(graph, TierTimes.of(graph, device, edge, cloud), engine)
    w = checked_value(value_of_time)
    return envelope(lambda asked: best_plan(search, asked), links, cloud_offer, w)


def question(links: TierLinks, edge: Offer, cloud: Offer, value_of_time: float) -> Question:
    """What is asked at an offer of the edge."""
    return Question(
        1.0 / edge.share, links, cloud, edge.payment / value_of_time, cloud.payment / value_of_time
    )


def checked_value(value_of_time: float) -> float:
    """The value of time; raises InvalidInput unless it is finite and >= 1e-100."""
    if not _LEAST_VALUE <= value_of_time < math.inf:
        raise InvalidInput(
            f"value_of_time is {value_of_time!r}; need credits/s per s >= {_LEAST_VALUE:g}"
        )
    return value_of_time


#: A plan must beat the envelope by this fraction to join: what two sums may differ by.
_LOWER = 1.0 - 2.0**-43


def envelope(
    best: Callable[[Question], TierPlan], links: TierLinks, cloud: Offer, value_of_time: float
) -> TierFrontier:
    """All plans that `best` finds at some x >= 0, as lines T~ = A~ + x We, by falling We."""
    rent = cloud.payment / value_of_time

    def asked(x: float, *, idle: bool = False) -> tuple[float, TierPlan]:
        """The best plan at x, with its A~."""
        plan = best(Question(x, links, cloud, 0.0, rent, idle))
        return plan.base_latency + rent * (plan.cloud_work > 0.0), plan

    chain, waiting = [asked(0.0)], [asked(0.0, idle=True)]
    while waiting:
        (a, left), (b, right) = chain[-1], waiting[-1]
        less = left.edge_work - right.edge_work
        if less <= 0.0 or b <= a:
            chain[-1] = waiting.pop()  # nowhere behind the plan before it
            continue
        x = (b - a) / less
        c, between = asked(x)
        lower = c + x * between.edge_work < (a + x * left.edge_work) * _LOWER
        if lower and right.edge_work < between.edge_work < left.edge_work:
            waiting.append((c, between))
        else:
            chain.append(waiting.pop())
    pieces = tuple(Piece(base, plan.edge_work, plan.first) for base, plan in chain)
    return TierFrontier(Frontier(pieces), tuple(plan for _, plan in chain))


@dataclass(frozen=True, eq=False)
class CutSearch:
    """Two-tier cuts by minimum cuts of the graph; implements :class:`dds.tiers.ways.Search`."""

    graph: ModelGraph
    times: TierTimes
    engine: str | None

    @cached_property
    def everything(self) -> Cut:
        """The cut that keeps all operators."""
        return Cut.later(_everything, self.graph, self.times)

    def near(self, question: Question) -> Piece:
        """Device and edge."""
        share = 1.0 / question.x if question.x else math.inf
        link = without_rtt(question.links.device_edge)
        times = self.times
        return min_cut(self.graph, times.device, times.edge, link, share, engine=self.engine)

    def far(self, question: Question) -> Piece:
        """Edge and cloud."""
        link, share = without_rtt(question.links.edge_cloud), question.cloud.share
        edge = question.x * self.times.edge
        return min_cut(self.graph, edge, self.times.cloud, link, share, engine=self.engine)

    def past(self, question: Question, link: Link) -> Piece:
        """Device and cloud."""
        times, share, link = self.times, question.cloud.share, without_rtt(link)
        return min_cut(self.graph, times.device, times.cloud, link, share, engine=self.engine)

    def edge_seconds(self, cut: Cut) -> float:
        """We(S)."""
        return float(self.times.edge[list(cut.on_device)].sum())

    def works(self, first: Cut, second: Cut) -> tuple[float, float] | None:
        """(We(S2 - S1), Wc(V - S2)), or None."""
        return works_of(self.times, first, second)

    def joint(self, question: Question, most: float) -> tuple[Cut, Cut]:
        """Both cuts by one minimum cut of two copies."""
        return joint_cuts(self.graph, self.times, question, most, self.engine)


def _everything(graph: ModelGraph, times: TierTimes) -> CutFields:
    return tuple(range(len(graph.operators))), (), (), 0, 0, times.device_total


def joint_cuts(
    graph: ModelGraph, times: TierTimes, question: Question, most: float, engine: str | None
) -> tuple[Cut, Cut]:
    """(S1, S2) of least near and far cost together."""
    first, second = joint_cut(
        graph,
        times.device,
        question.x * times.edge,
        times.cloud / question.cloud.share,
        question.links.device_edge,
        question.links.edge_cloud,
        most,
        engine=engine,
    )
    return make_cut(graph, first, times.device), make_cut(graph, second, times.device)


def without_rtt(link: Link) -> Link:
    """The link for those who count round trips themselves."""
    return Link(link.uplink, link.downlink)
