"""What an agent reckons with: seconds per operator on both sides, the link, and what runs as one.

The cut is searched in the fused graph, whose operators are what neither side's runtime takes
apart; the pieces that come back are cuts of the model itself, ready to be split.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from dds.costs import Link, Timing, operator_times
from dds.cut.network import make_cut
from dds.cut.pieces import Cut, Frontier, Piece
from dds.cut.solver import frontier
from dds.model.fusion import Fusion
from dds.model.graph import ModelGraph
from dds.predict.correction import Correction, Segment, Times
from dds.profile.profile import Profile

__all__ = ["Costs", "per_operator"]

Seconds = NDArray[np.float64]


@dataclass(frozen=True)
class Costs:
    """One model between one device and one server.

    graph: the model's; fusion: groups of its operators that are cut as one; device, server:
    seconds per operator of `graph`, on the device and on one sold core (the sum over a group is
    what counts); link: between them; measured: (device seconds, server work) of cuts whose
    halves were really run, by the operators on the device.
    """

    graph: ModelGraph
    fusion: Fusion
    device: Seconds
    server: Seconds
    link: Link
    measured: Mapping[tuple[int, ...], tuple[float, float]] = field(default_factory=dict)

    @cached_property
    def fused(self) -> ModelGraph:
        """The graph that is cut."""
        return self.fusion.fused(self.graph)

    def grouped(self, seconds: Seconds) -> Seconds:
        """Seconds per operator of the fused graph."""
        return np.array([seconds[list(group)].sum() for group in self.fusion.groups])

    def cut(self, groups: Cut | Iterable[int]) -> Cut:
        """A cut of the fused graph, or the groups on the device, as a cut of the model's own."""
        return make_cut(self.graph, self.fusion.expand(groups), self.device)

    def frontier(self, correction: Correction | None = None) -> Frontier:
        """Every piece that is best at some share, after what inferences have taught so far.

        Once some cuts were measured, the model is taken apart at no other: sums over operators
        do not know what splitting costs, so cuts that were not measured would look too good.
        """
        learned = correction or Correction()
        # Once per client and game: importing numba would cost hundreds of times the search.
        found = frontier(
            self.fused,
            self.grouped(self.device) * learned.factor(Segment.DEVICE),
            self.grouped(self.server) * learned.factor(Segment.SERVER),
            learned.corrected_link(self.link),
            engine="python",
        )
        cuts = [self.cut(piece.cut) for piece in found.pieces if piece.cut is not None]
        if self.measured:
            cuts = [cut for cut in cuts if not self.inside(cut)]
            cuts += [make_cut(self.graph, on_device, self.device) for on_device in self.measured]
        return Frontier(tuple(self._piece(cut, learned) for cut in cuts))

    def everything_on_server(self, correction: Correction | None = None) -> Piece:
        """The piece that keeps nothing on the device."""
        return self._piece(make_cut(self.graph, (), self.device), correction or Correction())

    def inside(self, cut: Cut) -> bool:
        """Whether the cut takes the model apart: something on either side."""
        return 0 < len(cut.on_device) < len(self.graph.operators)

    def times(self, cut: Cut, share: float) -> Times:
        """What the segments of an inference take, uncorrected; share in cores, any without work."""
        local, work = self._seconds(cut)
        offloads = len(cut.on_device) < len(self.graph.operators)
        return Times(
            device=local,
            link=self.link.transfer_time(cut.uplink_bytes, cut.downlink_bytes) if offloads else 0.0,
            server=work / share if offloads else 0.0,
        )

    def _seconds(self, cut: Cut) -> tuple[float, float]:
        """(L, W) of a cut, measured where it was."""
        if cut.on_device in self.measured:
            return self.measured[cut.on_device]
        here = np.zeros(len(self.graph.operators), bool)
        here[list(cut.on_device)] = True
        return float(self.device[here].sum()), float(self.server[~here].sum())

    def _piece(self, cut: Cut, learned: Correction) -> Piece:
        """The piece of a cut, each segment times its factor."""
        local, work = self._seconds(cut)
        local, work = local * learned.factor(Segment.DEVICE), work * learned.factor(Segment.SERVER)
        cut = replace(cut, local_time=local)
        if len(cut.on_device) == len(self.graph.operators):
            return Piece(local, 0.0, cut)
        link = learned.corrected_link(self.link)
        return Piece(local + link.transfer_time(cut.uplink_bytes, cut.downlink_bytes), work, cut)


def per_operator(graph: ModelGraph, timing: Timing | Profile) -> Seconds:
    """Seconds per operator of `graph`; a profile's group counts at its last operator."""
    if not isinstance(timing, Profile):
        return operator_times(graph, timing)
    seconds = np.zeros(len(graph.operators))
    fusion = timing.fusion
    for group, time in zip(fusion.groups, timing.operator_times(fusion.fused(graph)), strict=True):
        seconds[group[-1]] = time
    return seconds
