"""Baselines are what they say they are, and never cheaper than the exact plan."""

import math
from itertools import combinations_with_replacement

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dds import DEVICES, Link, Offer, TierLinks, three_tier
from dds.model.graph import ModelGraph, Operator, Tensor
from dds.model.importer import load_model
from dds.model.zoo import NAMES, topology
from dds.testing import chains, closed_sets, graphs, operator_times
from dds.testing.tiers import assert_plan, cheapest_plan, offers, tier_links
from dds.tiers.baselines import BASELINES, tier_baselines, two_point
from dds.tiers.plan import TierTimes, make_plan

SMALL = graphs(max_operators=6)
VALUES = st.just(1.0) | st.floats(1e-3, 1e3)


@st.composite
def instances(draw, shapes=SMALL):
    graph = draw(shapes)
    times = [draw(operator_times(graph, positive=positive)) for positive in (False, True, True)]
    return graph, tuple(times)


def cost(plan, edge, w) -> float:
    """Credits/s."""
    return w * plan.latency(edge.share) + plan.payment + edge.payment * bool(plan.on_edge)


def least(graph, seconds, market, pairs) -> float:
    """The least cost of the plans with these (S1, S2), by either path."""
    links, edge, cloud, w = market
    times = TierTimes(*seconds)
    paths = (False, True) if links.device_cloud else (False,)
    return min(
        cost(make_plan(graph, times, links, cloud, s, t, direct=direct), edge, w)
        for s, t in pairs
        for direct in (paths if s == t else (False,))
    )


@given(drawn=instances(), links=tier_links(), edge=offers(), cloud=offers(), w=VALUES)
@settings(max_examples=90, deadline=None)
def test_each_is_the_best_of_its_own_plans(drawn, links, edge, cloud, w) -> None:
    graph, seconds = drawn
    market = links, edge, cloud, w
    kept = list(closed_sets(graph))
    every = frozenset(range(len(graph.operators)))
    none = frozenset()
    plans = {
        "device-only": [(every, every)],
        "edge-only": [(none, every)],
        "cloud-only": [(none, none)],
        "device+edge": [(s, every) for s in kept],
        "device+cloud": [(s, s) for s in kept],
        "edge+cloud": [(none, s) for s in kept],
    }
    found = tier_baselines(
        graph, *seconds, links,
        edge_offer=edge, cloud_offer=cloud, value_of_time=w, engine="python",
    )  # fmt: skip
    assert tuple(found) == BASELINES
    exact = cheapest_plan(graph, seconds, market)
    for name, plan in found.items():
        assert_plan(plan, graph, seconds, links, cloud)
        paid = cost(plan, edge, w)
        assert math.isclose(paid, least(graph, seconds, market, plans[name]), rel_tol=1e-9), name
        assert paid >= exact * (1.0 - 1e-9)


@given(drawn=instances(), links=tier_links(), edge=offers(), cloud=offers(), w=VALUES)
@settings(max_examples=90, deadline=None)
def test_two_points_are_the_best_of_all_pairs_of_prefixes(drawn, links, edge, cloud, w) -> None:
    graph, seconds = drawn
    prefixes = [frozenset(range(k)) for k in range(len(graph.operators) + 1)]
    plan = two_point(graph, *seconds, links, edge_offer=edge, cloud_offer=cloud, value_of_time=w)
    assert_plan(plan, graph, seconds, links, cloud)
    pairs = list(combinations_with_replacement(prefixes, 2))
    enumerated = least(graph, seconds, (links, edge, cloud, w), pairs)
    assert math.isclose(cost(plan, edge, w), enumerated, rel_tol=1e-9)


@given(drawn=instances(), links=tier_links(), edge=offers(), cloud=offers(), w=VALUES)
@settings(max_examples=90, deadline=None)
def test_the_exact_plan_is_never_dearer(drawn, links, edge, cloud, w) -> None:
    graph, seconds = drawn
    given = {"edge_offer": edge, "cloud_offer": cloud, "value_of_time": w}
    exact = cost(three_tier(graph, *seconds, links, engine="python", **given), edge, w)
    others = [
        *tier_baselines(graph, *seconds, links, engine="python", **given).values(),
        two_point(graph, *seconds, links, **given),
    ]
    assert all(exact <= cost(plan, edge, w) * (1.0 + 1e-9) for plan in others)


@given(drawn=instances(chains()), links=tier_links(), edge=offers(), cloud=offers())
@settings(max_examples=60, deadline=None)
def test_on_a_chain_two_points_are_exact(drawn, links, edge, cloud) -> None:
    graph, seconds = drawn
    given = {"edge_offer": edge, "cloud_offer": cloud}
    exact = three_tier(graph, *seconds, links, engine="python", **given)
    found = two_point(graph, *seconds, links, **given)
    assert math.isclose(cost(found, edge, 1.0), cost(exact, edge, 1.0), rel_tol=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_on_the_zoo_two_points_are_exact_too(name) -> None:
    graph = load_model(topology(name))
    tiers = [DEVICES[n] for n in ("raspberry-pi-3b", "edge-core", "cloud-gpu")]
    for uplink in (2e5, 2e6, 2e7, 2e8):
        links = TierLinks(Link(uplink, 2 * uplink, 0.01), Link(6e6, 6e6, 0.02))
        for share in (0.1, 1.0, 10.0):
            exact = three_tier(graph, *tiers, links, edge_offer=Offer(share))
            found = two_point(graph, *tiers, links, edge_offer=Offer(share))
            assert math.isclose(found.latency(share), exact.latency(share), rel_tol=1e-9)


def test_two_points_miss_a_cut_that_is_no_prefix() -> None:
    """Two branches side by side: the device should run one of them, and the order hides it."""
    sizes = {"image": 100, "a": 400, "b": 20, "answer": 4}
    tensors = tuple(Tensor(name, (), "uint8", size) for name, size in sizes.items())
    steps = (
        Operator("a", "T", (0,), (1,)),
        Operator("b", "T", (0,), (2,)),
        Operator("join", "T", (1, 2), (3,)),
    )
    graph = ModelGraph(steps, tensors, (0,), (3,))
    seconds = [9.0, 1.0, 9.0], [0.5, 5.0, 0.5], [0.2, 5.0, 0.2]
    links = TierLinks(Link(100.0, 100.0), Link(100.0, 100.0))
    exact = three_tier(graph, *seconds, links)
    assert exact.on_device == (1,)
    # 1 + 120/100 + 1 + 4/100 beside 5 + 100/100 + 1 + 4/100
    assert math.isclose(exact.latency(1.0), 3.24)
    assert math.isclose(two_point(graph, *seconds, links).latency(1.0), 7.04)
