"""Rules of thumb: worked by hand, by enumeration, and never better than what optimises."""

import math
from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dds.cut.pieces import Frontier
from dds.errors import Infeasible
from dds.market.client import Client
from dds.market.social import social
from dds.market.table import ClientTable
from dds.pool import Pool, mean_latency, pooled, pooled_baselines, reserved_baselines

NAMES = ["local-only", "edge-only", "full-speed", "equal-share", "selfish"]
#: Sends everything (0.1 s, 1 core s), half of it (0.4, 0.4), or computes alone (1 s).
PIECES = Frontier.from_points([(0.4, 0.4), (1.0, 0.0), (0.1, 1.0)])


def twins(count: int, **fields: float) -> list[Client]:
    return [Client(PIECES, 1.0, **({"max_share": 1.0, "rate": 0.1} | fields)) for _ in range(count)]


def test_on_a_pool_by_hand() -> None:
    """Four clients of 0.1/s on one core: x = 1/(1 - 0.4) when all of them send everything."""
    found = pooled_baselines(twins(4), Pool(1))
    assert list(found) == NAMES
    means = {name: b.mean_latency for name, b in found.items()}
    half = 0.4 + 0.4 / (1 - 4 * 0.04)
    assert means["local-only"] == 1.0
    assert means["edge-only"] == pytest.approx(0.1 + 1 / (1 - 0.4))
    assert means["full-speed"] == pytest.approx(half)  # 0.8 is the least of 0.8, 1, 1.1
    assert means["equal-share"] == 1.0  # with a quarter of a core: 1.4, 1, 4.1
    assert means["selfish"] == pytest.approx(half)
    overloaded = pooled_baselines(twins(4, rate=0.3), Pool(1))["edge-only"]
    assert math.isinf(overloaded.mean_latency)
    assert np.all(np.isinf(overloaded.latencies))


def test_with_leases_by_hand() -> None:
    """Four clients, two cores, a lease of at most one."""
    means = {k: b.mean_latency for k, b in reserved_baselines(twins(4), 2.0).items()}
    assert means == pytest.approx(
        {
            "local-only": 1.0,
            "edge-only": 0.1 + 1 / 0.5,
            "full-speed": 0.4 + 0.4 / 0.5,
            "equal-share": 1.0,
            # One gives up; the other three, at 2/3 of a core, have 0.4 + 0.6: as good as alone.
            "selfish": 1.0,
        }
    )


def test_a_lease_below_min_share_is_none() -> None:
    forced = replace(twins(1)[0], frontier=Frontier.from_points([(0.1, 1.0)]), min_share=0.9)
    found = reserved_baselines([forced, replace(forced, name="b")], 1.0)
    assert all(math.isinf(b.mean_latency) for b in found.values())
    assert np.all(np.isinf(found["edge-only"].latencies))
    with pytest.raises(Infeasible):
        social([forced, replace(forced, name="b")], 1.0)


@settings(deadline=None, max_examples=60, derandomize=True)
@given(st.data())
def test_on_a_pool_none_is_better_than_the_best_profile(
    games: ModuleType, data: st.DataObject
) -> None:
    instance = data.draw(games.pools())
    costs = [c for p in games.profiles(instance) if (c := games.total(instance, p)) is not None]
    baselines = pooled_baselines(instance.clients, instance.server)
    value = sum(c.value_of_time for c in instance.clients)
    least = float(min(costs)) / value if costs else math.inf
    for baseline in baselines.values():
        assert baseline.settled
        assert baseline.mean_latency >= least * (1 - 1e-12)
    if costs:
        found = pooled(instance.clients, instance.server).mean_latency
        assert found <= 1.02 * min(b.mean_latency for b in baselines.values()) + 1e-12


@settings(deadline=None, max_examples=60, derandomize=True)
@given(st.data())
def test_the_selfish_end_where_no_client_is_faster_elsewhere(
    games: ModuleType, data: st.DataObject
) -> None:
    instance = data.draw(games.pools())
    found = pooled_baselines(instance.clients, instance.server)["selfish"]
    if not found.settled or math.isinf(found.mean_latency):
        return
    # The latencies say which profiles these may be.
    for profile in games.profiles(instance):
        times = [games.latency(instance, profile, i) for i in range(len(profile))]
        if None not in times and np.allclose([float(t) for t in times], found.latencies, rtol=1e-9):
            for i, other in games.deviations(instance, profile):
                after = games.latency(instance, other, i)
                assert after is None or float(after) >= found.latencies[i] * (1 - 1e-9)
            return
    pytest.fail("no profile has these latencies")


def test_with_leases_none_is_better_than_the_social_optimum() -> None:
    rng = np.random.default_rng(4)
    clients = [
        Client(
            Frontier.from_points([(a, w), (a + 0.2, w / 3), (a + alone, 0.0)]),
            value,
            max_share=2.0,
            rate=0.1,
        )
        for a, w, alone, value in rng.uniform(0.05, 1.5, (40, 4))
    ]
    best = social(clients, 6.0)
    means = [b.mean_latency for b in reserved_baselines(clients, 6.0).values()]
    value = sum(c.value_of_time for c in clients)
    assert best.cost / value <= min(means) * (1 + 1e-12)
    assert best.cost / value < 0.9 * max(means)


def test_the_mean_is_weighted_by_the_value_of_time() -> None:
    table = ClientTable.of(
        [replace(c, value_of_time=v) for c, v in zip(twins(2), (1.0, 3.0), strict=True)]
    )
    assert mean_latency(table, np.array([1.0, 2.0])) == 1.75
