"""What an agent reckons with: seconds per operator on both sides, the link, and what runs as one.

The cut is searched in the fused graph, whose operators are what neither side's runtime takes
apart; the pieces that come back are cuts of the model itself, ready to be split.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from dds.costs import Link, Timing, operator_times
from dds.cut.network import make_cut, score
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
    what counts); link: between them.
    """

    graph: ModelGraph
    fusion: Fusion
    device: Seconds
    server: Seconds
    link: Link

    @cached_property
    def fused(self) -> ModelGraph:
        """The graph that is cut."""
        return self.fusion.fused(self.graph)

    def frontier(self, correction: Correction | None = None) -> Frontier:
        """Every piece that is best at some share, after what inferences have taught so far."""
        device, server, link = self._corrected(correction)
        # Once per client and game: importing numba would cost hundreds of times the search.
        found = frontier(
            self.fused, self._grouped(device), self._grouped(server), link, engine="python"
        )
        return Frontier(tuple(self._expanded(piece, device) for piece in found.pieces))

    def everything_on_server(self, correction: Correction | None = None) -> Piece:
        """The piece that keeps nothing on the device."""
        device, server, link = self._corrected(correction)
        return score(make_cut(self.graph, (), device), server, link)

    def times(self, cut: Cut, share: float) -> Times:
        """What the segments of an inference take, uncorrected; share in cores, any without work."""
        there = np.ones(len(self.graph.operators), bool)
        there[list(cut.on_device)] = False
        offloads = bool(there.any())
        work = float(self.server[there].sum())
        return Times(
            device=float(self.device[~there].sum()),
            link=self.link.transfer_time(cut.uplink_bytes, cut.downlink_bytes) if offloads else 0.0,
            server=work / share if work else 0.0,
        )

    def _corrected(self, correction: Correction | None) -> tuple[Seconds, Seconds, Link]:
        if correction is None:
            return self.device, self.server, self.link
        return (
            self.device * correction.factor(Segment.DEVICE),
            self.server * correction.factor(Segment.SERVER),
            correction.corrected_link(self.link),
        )

    def _grouped(self, seconds: Seconds) -> Seconds:
        return np.array([seconds[list(group)].sum() for group in self.fusion.groups])

    def _expanded(self, piece: Piece, device: Seconds) -> Piece:
        """The same piece, its cut of the fused graph as one of the model's own."""
        assert piece.cut is not None  # noqa: S101 -- a frontier of a graph has cuts
        cut = make_cut(self.graph, self.fusion.expand(piece.cut), device)
        return Piece(piece.base_latency, piece.server_work, cut)


def per_operator(graph: ModelGraph, timing: Timing | Profile) -> Seconds:
    """Seconds per operator of `graph`; a profile's group counts at its last operator."""
    if not isinstance(timing, Profile):
        return operator_times(graph, timing)
    seconds = np.zeros(len(graph.operators))
    fusion = timing.fusion
    for group, time in zip(fusion.groups, timing.operator_times(fusion.fused(graph)), strict=True):
        seconds[group[-1]] = time
    return seconds
