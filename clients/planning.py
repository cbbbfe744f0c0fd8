"""Where each operator is to run: what a client plays the market with, and plans again with later.

A planner knows a model's costs; :class:`TwoTiers` is device and server, as
:class:`clients.tiers.ThreeTiers` is device, edge and cloud.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Protocol

import numpy as np

from clients.costs import Costs
from dds.costs.link import Link
from dds.costs.trace import SLOWEST
from dds.cut.hull import CutHull, hull
from dds.cut.network import make_cut
from dds.cut.pieces import Cut, Frontier
from dds.predict.correction import Correction, Segment, Times

__all__ = ["Options", "Placement", "Planner", "TwoTiers"]


@dataclass(frozen=True, slots=True)
class Placement:
    """Which operators of a model run where.

    first: the cut between the device and the rest; second: the cut between device or edge and
    the cloud, which contains the first; operators: of the model; direct: whether data goes from
    the device to the cloud without passing the edge.
    """

    first: Cut
    second: Cut
    operators: int
    direct: bool = False

    @property
    def on_edge(self) -> int:
        """Operators on the edge."""
        return len(self.second.on_device) - len(self.first.on_device)

    @property
    def on_cloud(self) -> int:
        """Operators in the cloud."""
        return self.operators - len(self.second.on_device)

    def same(self, other: Placement) -> bool:
        """Whether both put every operator in the same place, by the same way."""
        return (self.first.on_device, self.second.on_device, self.direct) == (
            other.first.on_device,
            other.second.on_device,
            other.direct,
        )


@dataclass(frozen=True, slots=True)
class Options:
    """What a client can choose from: the pieces it plays with, and where each runs what."""

    frontier: Frontier
    placements: tuple[Placement, ...]


class Planner(Protocol):
    """One model's costs; link: of the device now; learned: from inferences so far."""

    @property
    def groups(self) -> int:
        """Groups of operators that are never taken apart."""
        ...

    def options(self, link: Link, learned: Correction) -> Options:
        """Every placement that is best at some share."""
        ...

    def best(self, share: float, link: Link, learned: Correction) -> Callable[[], Placement]:
        """The best placement at the share there is, found without a search; listed when called."""
        ...

    def rent(self, placement: Placement) -> float:
        """What the share in the cloud costs where it is used, in s of latency."""
        ...

    def times(self, placement: Placement, share: float, link: Link) -> Times:
        """What the segments of an inference take, uncorrected."""
        ...


@dataclass(frozen=True)
class TwoTiers:
    """Device and server; all_there: nothing is kept on the device, as a baseline."""

    costs: Costs
    all_there: bool = False

    @property
    def groups(self) -> int:
        """Groups of operators that are never taken apart."""
        return len(self.costs.fusion.groups)

    def options(self, link: Link, learned: Correction) -> Options:
        """Every placement that is best at some share."""
        # What the costs keep of the fused graph is worth keeping.
        costs = self.costs if link == self.costs.link else replace(self.costs, link=link)
        pieces = (
            (costs.everything_on_server(learned),)
            if self.all_there
            else costs.frontier(learned).pieces
        )
        placements = (self._placement(piece.cut) for piece in pieces if piece.cut is not None)
        return Options(Frontier(pieces), tuple(placements))

    def best(self, share: float, link: Link, learned: Correction) -> Callable[[], Placement]:
        """The best of the hull's cuts, or of those that were measured, at this share."""
        if self.all_there or share <= 0.0:
            return partial(self._placement, self._cuts[0 if self.all_there else -1])
        link = learned.corrected_link(link)
        weights = (
            learned.factor(Segment.DEVICE),
            *(1.0 / link.uplink, 1.0 / link.downlink, link.rtt),
            learned.factor(Segment.SERVER) / share,
        )
        return partial(self._nth, int(self._rows.dot(weights).argmin()))

    def rent(self, placement: Placement) -> float:  # noqa: ARG002 -- there is no cloud
        """Nothing."""
        return 0.0

    def times(self, placement: Placement, share: float, link: Link) -> Times:
        """What the segments of an inference take, uncorrected."""
        return replace(self.costs, link=link).times(placement.first, share)

    def _placement(self, cut: Cut) -> Placement:
        return Placement(cut, self._everything, len(self.costs.graph.operators))

    @cached_property
    def _everything(self) -> Cut:
        graph = self.costs.graph
        return make_cut(graph, range(len(graph.operators)), self.costs.device)

    @cached_property
    def _hull(self) -> CutHull:
        costs = self.costs
        device, server = costs.grouped(costs.device), costs.grouped(costs.server)
        box = (SLOWEST, float("inf"))
        return hull(costs.fused, device, server, uplinks=box, downlinks=box, engine="python")

    @cached_property
    def _cuts(self) -> tuple[Cut, ...]:
        """Cuts of the model itself, where some were measured; nothing kept first."""
        costs = self.costs
        measured = (make_cut(costs.graph, kept, costs.device) for kept in costs.measured)
        return (make_cut(costs.graph, (), costs.device), *measured, self._everything)

    def _nth(self, k: int) -> Placement:
        measured = self.costs.measured
        return self._placement(self._cuts[k] if measured else self.costs.cut(self._hull.cuts[k]))

    @cached_property
    def _rows(self) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        """K x 5: L, D_up, D_down, whether anything crosses, W."""
        if not self.costs.measured:
            of = self._hull
            crosses = [float(k < len(of.W) - 1) for k in range(len(of.W))]
            return np.column_stack((of.L, of.D_up, of.D_down, crosses, of.W))
        rows = []
        for cut in self._cuts:
            times, some = self.costs.times(cut, 1.0), float(cut is not self._everything)
            rows.append((times.device, cut.uplink_bytes, cut.downlink_bytes, some, times.server))
        return np.array(rows, np.float64)
