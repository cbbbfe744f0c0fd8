import math

import numpy as np
import pytest

from dds import InvalidInput, Link, Offer, TierLinks
from dds.model.graph import ModelGraph, Operator, Tensor
from dds.tiers.links import relayed
from dds.tiers.plan import TierTimes, make_plan

TENSORS = tuple(Tensor(n, (), "float32", b) for n, b in zip("abcd", (100, 10, 20, 5), strict=True))
CHAIN = ModelGraph(
    tuple(Operator(f"f{k}", "T", (k,), (k + 1,)) for k in range(3)), TENSORS, (0,), (3,)
)
TIMES = TierTimes(np.array([9.0, 9.0, 9.0]), np.array([2.0, 4.0, 6.0]), np.array([1.0, 1.0, 3.0]))
LINKS = TierLinks(Link(10.0, 5.0, 0.5), Link(20.0, 10.0, 0.25), Link(4.0, 1.0, 2.0))
CLOUD = Offer(2.0, 0.5)


@pytest.mark.parametrize(
    ("first", "second", "direct", "base", "edge", "cloud"),
    [
        # local-only: no link, no rent
        ([0, 1, 2], [0, 1, 2], False, 27.0, 0.0, 0.0),
        # device, edge, cloud: 9 + (10/10 + 5/5 + .5) + (20/20 + 5/10 + .25) + 3/2
        ([0], [0, 1], False, 9.0 + 2.5 + 1.75 + 1.5, 4.0, 3.0),
        # device and edge: no second hop
        ([0], [0, 1, 2], False, 9.0 + 2.5, 10.0, 0.0),
        # relayed: both hops carry the same
        ([0], [0], False, 9.0 + 2.5 + (10 / 20 + 5 / 10 + 0.25) + 2.0, 0.0, 4.0),
        # direct
        ([0], [0], True, 9.0 + (10 / 4 + 5 / 1 + 2.0) + 2.0, 0.0, 4.0),
        # everything in the cloud
        ([], [], False, (10.0 + 1.0 + 0.5) + (5.0 + 0.5 + 0.25) + 2.5, 0.0, 5.0),
    ],
)
def test_what_a_plan_costs(first, second, direct, base, edge, cloud) -> None:
    plan = make_plan(CHAIN, TIMES, LINKS, CLOUD, first, second, direct=direct)
    assert math.isclose(plan.base_latency, base)
    assert (plan.edge_work, plan.cloud_work) == (edge, cloud)
    assert plan.payment == (1.0 if cloud else 0.0)
    assert plan.latency(4.0) == plan.base_latency + edge / 4.0
    assert plan.latency(0.0) == (math.inf if edge else plan.base_latency)


@pytest.mark.parametrize(
    ("first", "second", "direct", "says"),
    [
        ([0, 1], [0], False, "'f1' is missing"),
        ([1], [0, 1], False, "f0"),
        ([0], [0, 2], False, "f1"),
        ([0, 7], [0, 7], False, "7"),
        ([0], [0, 1], True, "edge has operators"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(first, second, direct, says) -> None:
    with pytest.raises(InvalidInput, match=says):
        make_plan(CHAIN, TIMES, LINKS, CLOUD, first, second, direct=direct)


def test_a_direct_plan_needs_a_direct_link() -> None:
    links = TierLinks(LINKS.device_edge, LINKS.edge_cloud)
    with pytest.raises(InvalidInput, match=r"links\.device_cloud is None"):
        make_plan(CHAIN, TIMES, links, CLOUD, [0], [0], direct=True)


def test_two_hops_in_series() -> None:
    link = relayed(LINKS)
    assert math.isclose(link.transfer_time(60, 30), 6.0 + 6.0 + 0.5 + 3.0 + 3.0 + 0.25)
    fast = Link(math.inf, math.inf)
    assert relayed(TierLinks(fast, fast)) == fast


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Offer(0.0), "share"),
        (lambda: Offer(math.nan), "share"),
        (lambda: Offer(1.0, -1.0), "price"),
        (lambda: Offer(1.0, math.inf), "price"),
        (lambda: Offer(math.inf, 1.0), "share"),
        (lambda: Offer(5e-324), "share"),
        (lambda: Offer(1e308, 1e308), "price"),
        (lambda: TierLinks(Link(1e-200, 1.0), Link(1.0, 1.0)), "device_edge"),
        (lambda: TierLinks(Link(1.0, 1.0), Link(1.0, 1e-200)), "edge_cloud"),
        (lambda: TierLinks(Link(1.0, 1.0), Link(1.0, 1.0), Link(1e-200, 1.0)), "device_cloud"),
    ],
)
def test_bad_links_and_offers_are_named(make, says) -> None:
    with pytest.raises(InvalidInput, match=says):
        make()
