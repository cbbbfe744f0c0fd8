"""A plan for links that change: every two-tier cut that may be wanted, found once.

The cuts behind a plan (:mod:`dds.tiers.ways`) minimise weighted sums of a few numbers each, with
weights that depend on links and shares only.  So three hulls (:func:`dds.hull`) hold all of them,
and a plan for other links or another share is a few products and comparisons.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from dds.costs.link import Link
from dds.costs.roofline import Timing
from dds.cut.hull import CutHull, hull
from dds.cut.pieces import Cut, Piece
from dds.errors import InvalidInput
from dds.model.graph import ModelGraph
from dds.tiers.links import Offer, TierLinks
from dds.tiers.plan import TierPlan, TierTimes, works_of
from dds.tiers.solver import TierFrontier, checked_value, envelope, joint_cuts, question
from dds.tiers.ways import Question, best_plan

__all__ = ["TierHull", "tier_hull"]

Floats = NDArray[np.float64]

_ONE_CORE = Offer()
#: Least bandwidth in the hulls' boxes, bytes/s: that of the hop between edge and cloud is in the
#: units of an edge share, which may be large.
_SLOWEST = 1e-30
#: Pairs of cuts whose work is listed beforehand, which takes about 10 microseconds for each; where
#: there are more, it is added up when asked for.
_MOST_WORKS = 2**16


@dataclass(frozen=True, eq=False)
class _Points:
    """The cuts of one hull as the rows of a matrix: L, D_up, D_down, W."""

    hull: CutHull

    @cached_property
    def rows(self) -> Floats:
        """K x 4."""
        return np.column_stack((self.hull.L, self.hull.D_up, self.hull.D_down, self.hull.W))

    def best(self, local: float, link: Link, work: float) -> Piece:
        """(local L + D_up/b_up + D_down/b_down, W) of least A + work W."""
        weights = (local, 1.0 / link.uplink, 1.0 / link.downlink, work)
        k = int(self.rows.dot(weights).argmin())
        elapsed, up, down, behind = self.rows[k].tolist()
        base = local * elapsed + up / link.uplink + down / link.downlink
        return Piece(base, behind, self.hull.cuts[k])


@dataclass(frozen=True, eq=False)
class TierHull:
    """Plans for one model on three tiers, whatever the links and offers; from :func:`tier_hull`.

    graph, times: of the model; device_edge, edge_cloud, device_cloud: the hulls that the cuts of a
    plan come from; works_by_id: core seconds on edge and cloud of each two of their cuts, which the
    hulls keep alive, or of none; engine: for the few questions that need a search after all.
    """

    graph: ModelGraph = field(repr=False)
    times: TierTimes = field(repr=False)
    device_edge: CutHull = field(repr=False)
    edge_cloud: CutHull = field(repr=False)
    device_cloud: CutHull = field(repr=False)
    works_by_id: Mapping[tuple[int, int], tuple[float, float] | None] = field(repr=False)
    engine: str | None = None

    def plan(
        self,
        links: TierLinks,
        *,
        edge_offer: Offer = _ONE_CORE,
        cloud_offer: Offer = _ONE_CORE,
        value_of_time: float = 1.0,
    ) -> TierPlan:
        """What :func:`dds.three_tier` finds, without a search.

        Raises InvalidInput for a link slower than the hull's, and a value of time not > 0.
        """
        w = checked_value(value_of_time)
        self._check(links)
        return best_plan(self, question(links, edge_offer, cloud_offer, w))

    def frontier(
        self, links: TierLinks, *, cloud_offer: Offer = _ONE_CORE, value_of_time: float = 1.0
    ) -> TierFrontier:
        """What :func:`dds.tier_frontier` finds, without a search; errors as :meth:`plan`."""
        w = checked_value(value_of_time)
        self._check(links)
        return envelope(lambda asked: best_plan(self, asked), links, cloud_offer, w)

    # ---- dds.tiers.ways.Search -------------------------------------------------------------

    @property
    def everything(self) -> Cut:
        """The cut that keeps all operators."""
        return self.device_edge.cuts[-1]

    def near(self, question: Question) -> Piece:
        """Device and edge."""
        link = question.links.device_edge
        return self._near.best(1.0, link, question.x)

    def far(self, question: Question) -> Piece:
        """Edge and cloud."""
        link = question.links.edge_cloud
        return self._far.best(question.x, link, 1.0 / question.cloud.share)

    def past(self, question: Question, link: Link) -> Piece:
        """Device and cloud."""
        return self._past.best(1.0, link, 1.0 / question.cloud.share)

    def joint(self, question: Question, most: float) -> tuple[Cut, Cut]:
        """Both cuts by one minimum cut of two copies."""
        return joint_cuts(self.graph, self.times, question, most, self.engine)

    def edge_seconds(self, cut: Cut) -> float:
        """We(S): in the hull of edge and cloud, what the edge takes is the local time."""
        return cut.local_time

    def works(self, first: Cut, second: Cut) -> tuple[float, float] | None:
        """Looked up where both cuts are of the hulls."""
        try:
            return self.works_by_id[id(first), id(second)]
        except KeyError:
            return works_of(self.times, first, second)

    def _check(self, links: TierLinks) -> None:
        slowest = self.device_edge.uplinks[0]
        for name in ("device_edge", "edge_cloud", "device_cloud"):
            link = getattr(links, name)
            if link is not None and min(link.uplink, link.downlink) < slowest:
                raise InvalidInput(
                    f"links.{name} is slower than the {slowest:g} bytes/s of this hull; make one "
                    "with a lower slowest"
                )

    @cached_property
    def _near(self) -> _Points:
        return _Points(self.device_edge)

    @cached_property
    def _far(self) -> _Points:
        return _Points(self.edge_cloud)

    @cached_property
    def _past(self) -> _Points:
        return _Points(self.device_cloud)


def tier_hull(
    graph: ModelGraph,
    device: Timing,
    edge: Timing,
    cloud: Timing,
    *,
    slowest: float = 1e3,
    most: int = 512,
    engine: str | None = None,
) -> TierHull:
    """Everything that plans over three tiers are made of, for all links and offers.

    graph, device, edge, cloud, engine: as for :func:`dds.three_tier`; slowest: the least bandwidth
    a link between them may have, bytes/s; most: cuts per hull.
    Raises InvalidInput for what :func:`dds.three_tier` refuses, for bounds out of range, and for a
    model of so many cuts that a hull is not complete: then ask :func:`dds.three_tier` each time.
    """
    times = TierTimes.of(graph, device, edge, cloud)
    if not _SLOWEST <= slowest < math.inf:
        raise InvalidInput(f"slowest is {slowest!r}; need bytes/s >= {_SLOWEST:g}")
    # Both hops in series are slower than each; edge and cloud are told in units of an edge share.
    boxes = (slowest, math.inf), (_SLOWEST, math.inf), (slowest / 2.0, math.inf)
    tiers = (times.device, times.edge), (times.edge, times.cloud), (times.device, times.cloud)
    near, far, past = (
        hull(graph, here, there, uplinks=box, downlinks=box, most=most, engine=engine)
        for (here, there), box in zip(tiers, boxes, strict=True)
    )
    if not (near.complete and far.complete and past.complete):
        raise InvalidInput(
            f"model {graph.name!r} has more than {most} cuts that some link makes best; raise "
            "most, or ask three_tier for each link"
        )
    every = near.cuts[-1]
    pairs: list[tuple[Cut, Cut]] = []
    if len(near.cuts) * len(far.cuts) <= _MOST_WORKS:
        pairs += [(s, t) for s in near.cuts for t in (*far.cuts, every)]
        pairs += [(cut, cut) for cut in past.cuts]
    works = {(id(s), id(t)): works_of(times, s, t) for s, t in pairs}
    return TierHull(graph, times, near, far, past, works, engine)
