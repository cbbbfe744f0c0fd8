"""A plan over three tiers: which operators run where, and what that takes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from dds.costs.roofline import Timing, operator_times, server_times
from dds.cut.network import make_cut
from dds.cut.pieces import Cut, Piece
from dds.errors import InvalidInput
from dds.model.graph import ModelGraph
from dds.tiers.links import Offer, TierLinks

__all__ = ["TierPlan", "TierTimes", "make_plan", "put_together", "works_of"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class TierPlan:
    """Where each operator runs, and what that takes.

    first: the cut between the device and the rest, S1; second: the cut between device or edge and
    the cloud, S2, which contains S1; direct: whether tensors go from the device to the cloud
    without passing the edge (then both cuts are the same); base_latency: A, everything but the
    edge server's part, s; edge_work, cloud_work: We(S2 - S1) and Wc(V - S2), core s; payment: for
    the cloud, credits/s, 0 where it is not used.
    """

    first: Cut
    second: Cut
    direct: bool
    base_latency: float
    edge_work: float
    cloud_work: float
    payment: float

    def latency(self, edge_share: float) -> float:
        """T(f) = A + We / f in seconds; infinite when We > 0 and the share is 0."""
        return Piece(self.base_latency, self.edge_work).latency(edge_share)

    @property
    def on_device(self) -> tuple[int, ...]:
        """Operators on the device, S1, ascending."""
        return self.first.on_device

    @property
    def on_edge(self) -> tuple[int, ...]:
        """Operators on the edge server, S2 - S1, ascending."""
        return tuple(sorted(set(self.second.on_device).difference(self.first.on_device)))

    def on_cloud(self, graph: ModelGraph) -> tuple[int, ...]:
        """Operators in the cloud, V - S2, ascending; graph: the plan's."""
        kept = set(self.second.on_device)
        return tuple(v for v in range(len(graph.operators)) if v not in kept)


@dataclass(frozen=True, eq=False)
class TierTimes:
    """Seconds per operator: on the device, on one core of the edge, on one core of the cloud."""

    device: Floats
    edge: Floats
    cloud: Floats

    @classmethod
    def of(cls, graph: ModelGraph, device: Timing, edge: Timing, cloud: Timing) -> TierTimes:
        """What :func:`dds.three_tier` is given, as seconds; InvalidInput names the tier."""
        seconds = [operator_times(graph, device)]
        for tier, timing in (("edge", edge), ("cloud", cloud)):
            try:
                seconds.append(server_times(graph, timing))
            except InvalidInput as error:
                raise InvalidInput(f"{tier}: {error}") from error
        return cls(*seconds)

    @cached_property
    def device_total(self) -> float:
        """L(V), s."""
        return float(self.device.sum())

    @cached_property
    def edge_total(self) -> float:
        """We(V), core s."""
        return float(self.edge.sum())


def make_plan(
    graph: ModelGraph,
    times: TierTimes,
    links: TierLinks,
    offer: Offer,
    on_device: Iterable[int],
    not_in_cloud: Iterable[int],
    *,
    direct: bool = False,
) -> TierPlan:
    """The plan that keeps S1 = `on_device` on the device and S2 = `not_in_cloud` out of the cloud.

    offer: of the cloud.  Raises InvalidInput where data would flow back, for S1 not within S2,
    and for a direct plan that uses the edge, or has no link to go directly.
    """
    first = make_cut(graph, on_device, times.device)
    second = make_cut(graph, not_in_cloud, times.device)
    works = works_of(times, first, second)
    if works is None:
        name = graph.operators[min(set(first.on_device).difference(second.on_device))].name
        raise InvalidInput(f"not_in_cloud: {name!r} is missing, which runs on the device")
    if direct and (works[0] or links.device_cloud is None):
        raise InvalidInput(
            "direct: the edge has operators to run" if works[0] else "links.device_cloud is None"
        )
    return put_together(links, offer, first, second, works, direct=direct)


def works_of(times: TierTimes, first: Cut, second: Cut) -> tuple[float, float] | None:
    """(We(S2 - S1), Wc(V - S2)), core s, of two cuts; None if S1 is not within S2."""
    tier = np.full(len(times.device), 2)
    tier[list(second.on_device)] = 1
    here = list(first.on_device)
    if first is not second and np.any(tier[here] == 2):
        return None
    tier[here] = 0
    return float(times.edge[tier == 1].sum()), float(times.cloud[tier == 2].sum())


def put_together(
    links: TierLinks,
    offer: Offer,
    first: Cut,
    second: Cut,
    works: tuple[float, float],
    *,
    direct: bool,
) -> TierPlan:
    """The plan of two nested cuts; works: as of :func:`works_of`.

    As every operator takes the edge and the cloud some time, a tier without work is not used, and
    whoever does not use it pays neither its round trip nor its price.
    """
    edge_work, cloud_work = works
    base = first.local_time + cloud_work / offer.share
    near = links.device_cloud if direct and links.device_cloud else links.device_edge
    if edge_work or cloud_work:
        base += near.transfer_time(first.uplink_bytes, first.downlink_bytes)
    if cloud_work and not direct:
        base += links.edge_cloud.transfer_time(second.uplink_bytes, second.downlink_bytes)
    payment = offer.payment if cloud_work else 0.0
    return TierPlan(first, second, direct, base, edge_work, cloud_work, payment)
