"""Plans from a hull are the plans that a search finds."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dds import DEVICES, InvalidInput, Link, Offer, TierLinks, three_tier, tier_frontier, tier_hull
from dds.model.importer import load_model
from dds.model.zoo import NAMES, topology
from dds.testing import graphs, operator_times
from dds.testing.tiers import assert_plan, cheapest_plan, offers, tier_links
from dds.tiers import hull


@st.composite
def instances(draw):
    graph = draw(graphs(max_operators=6))
    times = [draw(operator_times(graph, positive=positive)) for positive in (False, True, True)]
    return graph, tuple(times)


@given(drawn=instances(), links=tier_links(), edge=offers(), cloud=offers())
@settings(max_examples=90, deadline=None)
def test_no_plan_is_cheaper(drawn, links, edge, cloud) -> None:
    graph, seconds = drawn
    found = tier_hull(graph, *seconds, slowest=1e-3, engine="python")
    plan = found.plan(links, edge_offer=edge, cloud_offer=cloud, value_of_time=2.0)
    assert_plan(plan, graph, seconds, links, cloud)
    cost = 2.0 * plan.latency(edge.share) + plan.payment + edge.payment * bool(plan.on_edge)
    assert math.isclose(
        cost, cheapest_plan(graph, seconds, (links, edge, cloud, 2.0)), rel_tol=1e-9
    )


@pytest.mark.parametrize("name", NAMES)
def test_on_real_models_plan_and_frontier_are_those_of_a_search(name) -> None:
    graph = load_model(topology(name))
    rng = np.random.default_rng(len(name))
    flops = np.array([v.flops + 1e5 for v in graph.operators])
    seconds = tuple(flops / 10.0**s * rng.uniform(0.3, 3.0, len(flops)) for s in (9.5, 10.5, 11))
    found = tier_hull(graph, *seconds)
    for _ in range(5):
        links = TierLinks(*(Link(*(10.0 ** rng.uniform(4, 8, 2)), 0.01) for _ in range(3)))
        edge, cloud = (Offer(float(10.0 ** rng.uniform(-1, 1)), 0.01) for _ in range(2))
        plan = found.plan(links, edge_offer=edge, cloud_offer=cloud)
        other = three_tier(graph, *seconds, links, edge_offer=edge, cloud_offer=cloud)
        assert_plan(plan, graph, seconds, links, cloud)
        costs = [
            each.latency(edge.share) + each.payment + edge.payment * bool(each.on_edge)
            for each in (plan, other)
        ]
        assert math.isclose(*costs, rel_tol=1e-11)
    frontier = found.frontier(links, cloud_offer=cloud).frontier
    searched = tier_frontier(graph, *seconds, links, cloud_offer=cloud).frontier
    for share in (1e-4, 0.1, 1.0, 10.0, 1e4):
        assert math.isclose(frontier.latency(share), searched.latency(share), rel_tol=1e-11)


@pytest.mark.parametrize("name", ["alexnet", "resnet50", "vgg19"])
def test_on_real_models_bounds_leave_little_to_search_in_one(name, monkeypatch) -> None:
    """Of these 300 links, the bound at the share alone leaves 81 to 119."""
    graph = load_model(topology(name))
    tiers = (DEVICES[n] for n in ("raspberry-pi-3b", "edge-core", "cloud-gpu"))
    found = tier_hull(graph, *tiers)
    joint, original = [], hull.joint_cuts
    monkeypatch.setattr(hull, "joint_cuts", lambda *a: joint.append(a) or original(*a))
    rng = np.random.default_rng(1)
    for _ in range(300):
        links = TierLinks(*(Link(*(10.0 ** rng.uniform(4, 8, 2)), 0.02) for _ in range(3)))
        found.plan(links, edge_offer=Offer(float(10.0 ** rng.uniform(-2, 1))))
    assert len(joint) <= 3


def test_a_link_outside_the_box_and_a_hull_that_is_not_complete_are_refused() -> None:
    graph = load_model(topology("squeezenet"))
    flops = np.array([v.flops + 1e5 for v in graph.operators])
    seconds = flops / 1e9, flops / 2e10, flops / 2e11
    found = tier_hull(graph, *seconds, slowest=1e5)
    slow, fast = Link(1e4, 1e6), Link(1e6, 1e6)
    for links in (TierLinks(slow, fast), TierLinks(fast, slow), TierLinks(fast, fast, slow)):
        with pytest.raises(InvalidInput, match="slowest"):
            found.plan(links)
        with pytest.raises(InvalidInput, match="slowest"):
            found.frontier(links)
    with pytest.raises(InvalidInput, match="most"):
        tier_hull(graph, *seconds, most=2)
    with pytest.raises(InvalidInput, match="slowest"):
        tier_hull(graph, *seconds, slowest=0.0)
    with pytest.raises(InvalidInput, match="value_of_time"):
        found.plan(TierLinks(fast, fast), value_of_time=-1.0)


def test_cuts_that_are_too_many_for_a_table_are_looked_at_when_asked(monkeypatch) -> None:
    graph = load_model(topology("squeezenet"))
    flops = np.array([v.flops + 1e5 for v in graph.operators])
    seconds = flops / 1e9, flops / 2e10, flops / 2e11
    monkeypatch.setattr(hull, "_MOST_WORKS", 10)
    found = tier_hull(graph, *seconds, engine="python")
    assert not found.works_by_id
    links = TierLinks(Link(2e6, 2e6), Link(6e6, 6e6))
    plan = found.plan(links)
    assert math.isclose(plan.latency(1.0), three_tier(graph, *seconds, links).latency(1.0))
