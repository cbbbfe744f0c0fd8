"""Device, helpers and server: what a client with helpers plays the market with.

Cuts come from :func:`dds.parallel_frontier`, once; what inferences teach, and other links, only
weigh them anew.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray

from clients.costs import Costs
from clients.planning import Options, Placement
from dds.costs.link import Link
from dds.cut.crossing import best_of
from dds.cut.network import make_cut
from dds.cut.pieces import Cut, Frontier, Piece
from dds.parallel.frontier import parallel_frontier
from dds.parallel.workers import Worker, WorkerLinks, seconds_of
from dds.predict.correction import Correction, Segment, Times

__all__ = ["HelpedTiers"]

#: Cuts to schedule beyond those that are best without helpers: each takes tens of ms.
_MOST = 12
#: No operator of a server takes less, s.
_LEAST = 1e-9


@dataclass(frozen=True)
class HelpedTiers:
    """A :class:`clients.planning.Planner` of device and helpers, and the server.

    server: seconds per operator on one sold core; cuts: some that are best at some share, whose
    ``local_time`` is what device and helpers take for their part, as scheduled, s.
    """

    costs: Costs
    server: NDArray[np.float64]
    cuts: tuple[Cut, ...]

    @classmethod
    def of(cls, costs: Costs, workers: Sequence[Worker], links: WorkerLinks) -> HelpedTiers:
        """Schedule the device's part of every cut worth it.

        workers: the device, and its helpers; all with some seconds for every operator.
        """
        server = _spread(costs, seconds_of(costs.graph, workers[:1])[:, 0])
        found = parallel_frontier(
            costs.graph, workers, links, server, costs.link, most=_MOST, engine="python"
        )
        nothing = make_cut(costs.graph, (), costs.device)
        # Nothing kept is always worth weighing: a device can become slow.
        cuts = {cut.on_device: cut for cut in (nothing, *(plan.cut for plan in found.plans))}
        return cls(costs, server, tuple(cuts.values()))

    @property
    def groups(self) -> int:
        """Operators: schedules take groups apart."""
        return len(self.costs.graph.operators)

    def options(self, link: Link, learned: Correction) -> Options:
        """Every placement that is best at some share, of the cuts there are."""
        link = learned.corrected_link(link)
        device, server = (learned.factor(s) for s in (Segment.DEVICE, Segment.SERVER))
        base = self._rows[:, :4] @ _weights(device, link)
        work = self._rows[:, 4] * server
        order = sorted(range(len(self.cuts)), key=lambda k: (-work[k], base[k]))
        count = best_of(
            order, len(order), [float(base[k]) for k in order], [float(work[k]) for k in order]
        )
        pieces = tuple(
            Piece(float(base[k]), float(work[k]), replace(self.cuts[k], local_time=device * local))
            for k in order[:count]
            for local in (self.cuts[k].local_time,)
        )
        return Options(Frontier(pieces), tuple(self._placement(k) for k in order[:count]))

    def best(self, share: float, link: Link, learned: Correction) -> Callable[[], Placement]:
        """The best of the cuts at this share."""
        link = learned.corrected_link(link)
        base = self._rows[:, :4] @ _weights(learned.factor(Segment.DEVICE), link)
        work = self._rows[:, 4] * learned.factor(Segment.SERVER)
        if share > 0.0:
            return partial(self._placement, int((base + work / share).argmin()))
        return partial(self._placement, int(np.where(work > 0.0, np.inf, base).argmin()))

    def rent(self, placement: Placement) -> float:  # noqa: ARG002 -- there is no cloud
        """Nothing."""
        return 0.0

    def times(self, placement: Placement, share: float, link: Link) -> Times:
        """What the segments of an inference take, uncorrected."""
        row = self._rows[self._place[placement.first.on_device]]
        return Times(
            device=float(row[0]),
            link=float(row[1:4] @ _weights(1.0, link)[1:]),
            server=float(row[4] / share) if row[4] else 0.0,
        )

    def _placement(self, k: int) -> Placement:
        return Placement(self.cuts[k], self._everything, len(self.costs.graph.operators))

    @cached_property
    def _everything(self) -> Cut:
        count = len(self.costs.graph.operators)
        return make_cut(self.costs.graph, range(count), self.costs.device)

    @cached_property
    def _place(self) -> dict[tuple[int, ...], int]:
        return {cut.on_device: k for k, cut in enumerate(self.cuts)}

    @cached_property
    def _rows(self) -> NDArray[np.float64]:
        """K x 5: L', D_up, D_down, whether anything crosses, W."""
        count = len(self.costs.graph.operators)
        rows = []
        for cut in self.cuts:
            there = np.ones(count, bool)
            there[list(cut.on_device)] = False
            work = float(self.server[there].sum())
            crosses = float(len(cut.on_device) < count)
            rows.append((cut.local_time, cut.uplink_bytes, cut.downlink_bytes, crosses, work))
        return np.array(rows, np.float64)


def _spread(costs: Costs, device: NDArray[np.float64]) -> NDArray[np.float64]:
    """The server's seconds per operator; those of a group are shared out as on the device."""
    seconds = np.zeros(len(device))
    for group in map(list, costs.fusion.groups):
        own = device[group]
        total = own.sum()
        shares = own / total if total > 0.0 else np.full(len(group), 1.0 / len(group))
        seconds[group] = costs.server[group].sum() * shares
    return np.maximum(seconds, _LEAST)


def _weights(device: float, link: Link) -> NDArray[np.float64]:
    """Of L', D_up, D_down and whether anything crosses."""
    return np.array([device, 1.0 / link.uplink, 1.0 / link.downlink, link.rtt])
