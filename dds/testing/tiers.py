"""Three tiers for your own tests: what is drawn, what holds of a plan, and all plans there are.

>>> from hypothesis import given
>>> from dds.testing.tiers import offers, tier_links
>>> @given(tier_links(), offers())
... def test_something(links, offer): ...
"""

# ruff: noqa: S101 - to assert is what this module is for
from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import cache

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from dds.costs.link import Link
from dds.model.graph import ModelGraph
from dds.testing.graphs import closed_sets
from dds.tiers.links import Offer, TierLinks
from dds.tiers.plan import TierPlan

__all__ = ["TierMarket", "assert_plan", "cheapest_plan", "labelings", "offers", "tier_links"]

Floats = NDArray[np.float64]
#: (seconds per operator on the device, on a core of the edge, on a core of the cloud).
Seconds = tuple[Floats, Floats, Floats]
#: (links, offer of the edge, offer of the cloud, value of time).
TierMarket = tuple[TierLinks, Offer, Offer, float]

_BANDWIDTHS = st.sampled_from([1.0, 100.0, 1e6, math.inf]) | st.floats(1e-3, 1e12)


@st.composite
def tier_links(draw: st.DrawFn) -> TierLinks:
    """Any links, from 1e-3 bytes/s to infinitely fast, with and without a direct path."""
    hops = []
    for _ in range(3):
        rtt = draw(st.just(0.0) | st.sampled_from([0.02, 1.0]) | st.floats(0.0, 10.0))
        hops.append(Link(draw(_BANDWIDTHS), draw(_BANDWIDTHS), rtt))
    return TierLinks(hops[0], hops[1], hops[2] if draw(st.booleans()) else None)


@st.composite
def offers(draw: st.DrawFn) -> Offer:
    """Any share at any price, often for nothing."""
    share = draw(st.just(1.0) | st.floats(1e-3, 1e3))
    return Offer(share, draw(st.just(0.0) | st.floats(1e-3, 1e3)))


def labelings(graph: ModelGraph) -> Iterator[tuple[frozenset[int], frozenset[int]]]:
    """Every (S1, S2): operators on the device, and on device or edge; for up to 9 operators."""
    everything = list(closed_sets(graph))
    return ((s, t) for t in everything for s in everything if s <= t)


def assert_plan(
    plan: TierPlan, graph: ModelGraph, seconds: Seconds, links: TierLinks, cloud: Offer
) -> None:
    """Its numbers are those of its operators, by the definitions, and no data flows back."""
    here, kept = frozenset(plan.on_device), frozenset(plan.second.on_device)
    assert here <= kept
    for v, before in enumerate(graph.predecessors):
        assert v not in here or here.issuperset(before)
        assert v not in kept or kept.issuperset(before)
    assert set(plan.on_edge) == kept - here
    assert set(plan.on_cloud(graph)) == set(range(len(graph.operators))) - kept
    assert not plan.direct or (kept == here and links.device_cloud is not None)
    base, edge_work, cloud_work = _measure(
        lambda before: _crossing(graph, before),
        seconds,
        links,
        cloud.share,
        here,
        kept,
        plan.direct,
    )
    assert math.isclose(plan.base_latency, base, rel_tol=1e-12)
    assert math.isclose(plan.edge_work, edge_work, rel_tol=1e-12)
    assert math.isclose(plan.cloud_work, cloud_work, rel_tol=1e-12)
    assert plan.payment == (cloud.payment if cloud_work else 0.0)


def cheapest_plan(graph: ModelGraph, seconds: Seconds, market: TierMarket) -> float:
    """The least ``w T + payments``, credits/s, over all plans there are, by trying them."""
    links, edge, cloud, w = market
    least = math.inf
    crossing = cache(lambda before: _crossing(graph, before))
    for here, kept in labelings(graph):
        paths = (False, True) if here == kept and links.device_cloud else (False,)
        for direct in paths:
            base, edge_work, _ = _measure(crossing, seconds, links, cloud.share, here, kept, direct)
            payments = edge.payment * (here != kept)
            payments += cloud.payment * (len(kept) < len(graph.operators))
            least = min(least, w * (base + edge_work / edge.share) + payments)
    return least


def _measure(
    crossing: Callable[[frozenset[int]], tuple[int, int]],
    seconds: Seconds,
    links: TierLinks,
    share: float,
    here: frozenset[int],
    kept: frozenset[int],
    direct: bool,
) -> tuple[float, float, float]:
    """(A, We, Wc) of a labeling."""
    device, edge, cloud = seconds
    every = range(len(device))
    edge_work = math.fsum(edge[v] for v in kept if v not in here)
    cloud_work = math.fsum(cloud[v] for v in every if v not in kept)
    hops = [links.device_cloud] if direct else [links.device_edge, links.edge_cloud]
    parts = [math.fsum(device[v] for v in here), cloud_work / share]
    for link, before in zip(hops, (here, kept), strict=False):
        if link is not None and len(before) < len(every):
            parts.append(link.transfer_time(*crossing(before)))
    return math.fsum(parts), edge_work, cloud_work


def _crossing(graph: ModelGraph, before: frozenset[int]) -> tuple[int, int]:
    """Bytes up and down over a hop that has these operators in front of it."""
    up = down = 0
    for t, tensor in enumerate(graph.tensors):
        made_before = graph.producer[t] < 0 or graph.producer[t] in before
        if made_before and any(v not in before for v in graph.consumers[t]):
            up += tensor.bytes
        if not made_before and t in graph.outputs:
            down += tensor.bytes
    return up, down
