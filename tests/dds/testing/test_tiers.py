"""What is asserted of plans can fail, and all labelings are tried."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import find, given

from dds import Link, Offer, TierLinks
from dds.model.graph import ModelGraph, Operator, Tensor
from dds.testing import chains
from dds.testing.tiers import assert_plan, cheapest_plan, labelings, offers, tier_links
from dds.tiers.plan import TierTimes, make_plan

TENSORS = tuple(Tensor(n, (), "float32", b) for n, b in zip("abcd", (100, 10, 20, 5), strict=True))
CHAIN = ModelGraph(
    tuple(Operator(f"f{k}", "T", (k,), (k + 1,)) for k in range(3)), TENSORS, (0,), (3,)
)
SECONDS = np.array([9.0, 9.0, 9.0]), np.array([2.0, 4.0, 6.0]), np.array([1.0, 1.0, 3.0])
LINKS = TierLinks(Link(10.0, 5.0, 0.5), Link(20.0, 10.0, 0.25), Link(4.0, 1.0, 2.0))
CLOUD = Offer(2.0, 0.5)


def plan(first, second, *, direct=False):
    times = TierTimes(*SECONDS)
    return make_plan(CHAIN, times, LINKS, CLOUD, range(first), range(second), direct=direct)


@pytest.mark.parametrize("change", ["base_latency", "edge_work", "cloud_work", "payment"])
def test_a_plan_with_a_number_that_is_off_is_refused(change) -> None:
    right = plan(1, 2)
    assert_plan(right, CHAIN, SECONDS, LINKS, CLOUD)
    wrong = replace(right, **{change: getattr(right, change) * (1.0 + 1e-9)})
    with pytest.raises(AssertionError):
        assert_plan(wrong, CHAIN, SECONDS, LINKS, CLOUD)


def test_a_plan_in_which_data_flows_back_or_jumps_is_refused() -> None:
    three, two = plan(1, 2), plan(2, 2)
    for wrong in (
        replace(three, first=two.first, second=three.first),
        replace(three, direct=True),
        replace(two, direct=True),
    ):
        with pytest.raises(AssertionError):
            assert_plan(wrong, CHAIN, SECONDS, LINKS, CLOUD)
    links = TierLinks(LINKS.device_edge, LINKS.edge_cloud)
    with pytest.raises(AssertionError):
        assert_plan(plan(2, 2, direct=True), CHAIN, SECONDS, links, CLOUD)


@given(chains())
def test_a_chain_has_a_labeling_for_every_two_points(graph) -> None:
    count = len(graph.operators)
    points = {(len(s), len(t)) for s, t in labelings(graph)}
    assert points == {(i, j) for j in range(count + 1) for i in range(j + 1)}


@pytest.mark.parametrize(
    ("device", "price", "least"),
    [
        # local-only
        ((1.0, 1.0, 1.0), 0.5, 2.0 * 3.0),
        # f0, then relayed: 1 + (10/10 + 5/5 + 1/2) + (10/20 + 5/10 + 1/4) + 4/2; 2 cores at 1/2
        ((1.0, 90.0, 90.0), 0.5, 2.0 * 6.75 + 1.0),
        # a cloud too dear: f0 and f1, then the edge: (20/10 + 5/5 + 1/2) + 6; 1 core at 1/4
        ((0.0, 0.0, 90.0), 50.0, 2.0 * 9.5 + 0.25),
    ],
)
def test_the_cheapest_plan_is_found_by_trying(device, price, least) -> None:
    seconds = np.array(device), *SECONDS[1:]
    market = LINKS, Offer(1.0, 0.25), Offer(2.0, price), 2.0
    assert math.isclose(cheapest_plan(CHAIN, seconds, market), least)


def test_links_with_and_without_a_direct_path_and_free_offers_are_drawn() -> None:
    assert find(tier_links(), lambda links: links.device_cloud is None)
    assert find(tier_links(), lambda links: links.device_cloud is not None)
    assert find(offers(), lambda offer: offer.price == 0.0)
    assert find(offers(), lambda offer: offer.price > 0.0)
