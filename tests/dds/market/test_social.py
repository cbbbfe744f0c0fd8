"""The social optimum against every profile of pieces, each filled by another method."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import scipy.optimize
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dds.cut.pieces import Frontier
from dds.errors import Infeasible, InvalidInput
from dds.market.client import Client
from dds.market.equilibrium import competitive
from dds.market.social import SocialOptimum, social
from dds.market.table import ClientTable
from dds.testing import clients

quick = settings(deadline=None, derandomize=True, max_examples=50)
Mode = tuple[float, float, float, float]  # w A, w W, least and largest share


def modes(client: Client, capacity: float) -> list[Mode]:
    w, most = client.value_of_time, min(client.max_share, capacity)
    return [
        (w * p.base_latency, w * p.server_work, client.min_share, most)
        if p.server_work
        else (w * p.base_latency, 0.0, 0.0, 0.0)
        for p in client.frontier.pieces
    ]


def least_cost(profile: tuple[Mode, ...], capacity: float) -> float:
    """The best cost on fixed pieces: the price of a core by root finding in its logarithm."""
    waits = math.fsum(mode[0] for mode in profile)
    _, stake, low, high = (np.array(column) for column in zip(*profile, strict=True))
    sold = stake > 0.0
    stake, low, high = stake[sold], low[sold], high[sold]
    if not sold.any():
        return waits
    if math.fsum(low.tolist()) > capacity or np.any(low > high):
        return math.inf

    def shares(log_price: float) -> NDArray[np.float64]:
        return np.clip(np.sqrt(stake) * math.exp(-log_price / 2.0), low, high)

    if math.fsum(high.tolist()) <= capacity:
        bought = high
    elif math.fsum(low.tolist()) >= capacity * (1.0 - 1e-12):
        bought = low
    else:
        bought = shares(
            scipy.optimize.brentq(
                lambda x: shares(x).sum() / capacity - 1.0, -200.0, 200.0, xtol=1e-14
            )
        )
    return waits + math.fsum((stake / bought).tolist()) if np.all(bought > 0.0) else math.inf


def optimum(people: list[Client], capacity: float) -> float:
    options = [modes(client, capacity) for client in people]
    return min(least_cost(profile, capacity) for profile in itertools.product(*options))


def assert_sound(people: list[Client], capacity: float, found: SocialOptimum) -> None:
    """Shares allowed and within capacity, latencies right, cost their sum, bound below it."""
    assert math.fsum(found.shares.tolist()) <= capacity * (1.0 + 1e-15)
    total = 0.0
    for i, client in enumerate(people):
        share = float(found.shares[i])
        piece = client.frontier.pieces[int(found.pieces[i])]
        assert (share > 0.0) == (piece.server_work > 0.0)
        if share > 0.0:
            assert client.min_share * (1.0 - 1e-12) <= share <= client.max_share
        assert found.latencies[i] == pytest.approx(piece.latency(share), rel=1e-12)
        total += client.value_of_time * piece.latency(share)
    assert found.cost == pytest.approx(total, rel=1e-12)
    assert found.dual <= found.bound * (1.0 + 1e-12)
    assert found.bound <= found.cost
    assert found.gap >= 0.0


@st.composite
def crowds(draw: st.DrawFn) -> tuple[list[Client], float]:
    people = [draw(clients(name=f"{i}")) for i in range(draw(st.integers(1, 4)))]
    return people, draw(st.sampled_from([0.5, 1.0, 3.0, 1e-6, 1e6]) | st.floats(0.1, 10.0))


@quick
@given(crowds())
def test_the_truth_lies_between_bound_and_cost(market: tuple[list[Client], float]) -> None:
    people, capacity = market
    best = optimum(people, capacity)
    try:
        found = social(people, capacity)
    except Infeasible:
        assert math.isinf(best) or math.isinf(optimum(people, capacity * (1.0 - 1e-9)))
        return
    assert_sound(people, capacity, found)
    assert found.bound <= best * (1.0 + 1e-9)
    assert best <= found.cost * (1.0 + 1e-9)


def cells(count: int) -> list[tuple[list[Client], float]]:
    """Seeded contested markets small enough for every profile."""
    rng = np.random.default_rng(7)
    found = []
    for _ in range(count):
        size = int(rng.integers(1, 6))
        types = [
            (np.sort(rng.uniform(0, 1, 3)), [*-np.sort(-rng.uniform(0.1, 1, 2)), 0.0])
            for _ in range(2)
        ]
        people = []
        for i in range(size):
            base, work = types[int(rng.integers(2))]
            points = [(float(a), float(w)) for a, w in zip(base, work, strict=True)]
            value = float(rng.choice([1.0, float(rng.lognormal())]))
            most = float(rng.choice([math.inf, 1.0]))
            people.append(Client(Frontier.from_points(points), value, 0.0, most, f"{i}"))
        found.append((people, size * float(2.0 ** rng.uniform(-6, 1))))
    return found


def test_nearly_always_it_is_the_optimum_and_never_far_from_it() -> None:
    losses = np.array([social(*cell).cost / optimum(*cell) - 1.0 for cell in cells(60)])
    assert np.all(losses >= -1e-9)
    assert (losses <= 1e-9).mean() >= 0.95
    assert losses.max() <= 0.02


def test_it_is_no_worse_than_the_market_and_better_where_cores_find_no_buyer() -> None:
    twins = [
        Client(Frontier.from_points([(1.0, 0.0), (0.0, 1.0)]), 1.0, name=name) for name in "abc"
    ]
    for capacity in (0.5, 1.5, 3.0, 5.0, 7.0):
        market = competitive(twins, capacity)
        cost = float(market.table.value @ market.latencies)
        assert social(twins, capacity).cost <= cost * (1.0 + 1e-12)
    # One core finds no buyer at the clearing price 1/4, and gives T = 1 as local-only does;
    # of 1.5 cores one client makes 2/3.
    assert social(twins, 1.5).cost == pytest.approx(2.0 + 2.0 / 3.0, rel=1e-9)


def test_plenty_gives_everybody_its_largest_share() -> None:
    twin = Client(Frontier.from_points([(1.0, 0.0), (0.0, 1.0)]), 1.0, 0.0, 2.0)
    found = social([twin, twin], 100.0)
    assert found.shares.tolist() == [2.0, 2.0]
    assert (found.cost, found.price, found.moves) == (1.0, 0.0, 0)
    assert found.gap <= 1e-14


def test_branching_finds_which_of_the_large_ones_to_serve() -> None:
    """Ten who need 3 cores of 10, worth 10..19: three of them; the market alone misses it."""
    large = [
        Client(Frontier.from_points([(1.0, 0.0), (0.0, 1e-3)]), 10.0 + i, 3.0, 3.0, f"large {i}")
        for i in range(10)
    ]
    small = [
        Client(Frontier.from_points([(1.0, 0.0), (0.0, 1e-3)]), 3.0 + i / 10.0, 0.9, 0.9, f"{i}")
        for i in range(6)
    ]
    found = social(large + small, 10.0)
    assert found.shares[7:10].tolist() == [3.0, 3.0, 3.0]
    assert np.count_nonzero(found.shares[10:]) == 1
    assert found.bound > found.dual


def test_a_table_and_a_list_are_the_same_and_order_does_not_matter() -> None:
    for people, capacity in cells(10):
        found = social(people, capacity)
        again = social(ClientTable.of(people), capacity)
        assert again.cost == found.cost
        np.testing.assert_array_equal(again.shares, found.shares)
        assert social(people[::-1], capacity).cost == pytest.approx(found.cost, rel=1e-3)
        assert not found.shares.flags.writeable


def test_a_few_thousand_clients_end_near_the_bound() -> None:
    rng = np.random.default_rng(3)
    base = np.sort(rng.uniform(0.0, 1.0, (4, 5000)), axis=0)
    work = -np.sort(-rng.uniform(0.1, 1.0, (4, 5000)), axis=0)
    work[-1] = 0.0
    table = ClientTable.from_arrays(base, work, rng.lognormal(0.0, 1.0, 5000), max_share=4.0)
    found = social(table, 200.0)
    assert found.gap <= 1e-4
    assert math.fsum(found.shares.tolist()) <= 200.0


@pytest.mark.parametrize("capacity", [0.0, math.inf, math.nan, "1"])
def test_a_wrong_capacity_is_one_line(capacity: float) -> None:
    with pytest.raises(InvalidInput, match="capacity is"):
        social([Client(Frontier.from_points([(1.0, 0.0)]), 1.0)], capacity)


def test_it_says_that_it_is_no_equilibrium() -> None:
    assert not SocialOptimum.is_equilibrium


def test_a_branch_that_leaves_nothing_for_who_must_offload_is_no_allocation() -> None:
    greedy = Client(Frontier.from_points([(0.01, 0.01), (7.0, 0.0)]), 1.0, 0.5, 2.0)
    found = social([greedy, Client(Frontier.from_points([(7.0, 0.1)]), 1.0)], 0.5)
    assert found.shares.tolist() == pytest.approx([0.0, 0.5])
    assert found.cost == pytest.approx(14.2)


def test_local_only_clients_cost_what_they_cost() -> None:
    found = social([Client(Frontier.from_points([(2.0, 0.0)]), 3.0)], 1.0)
    assert (found.cost, found.shares.tolist()) == (6.0, [0.0])
    assert found.gap <= 1e-14


@settings(deadline=None, derandomize=True, max_examples=25)
@given(crowds(), st.sampled_from([1e-12, 1e12]))
def test_units_do_not_matter(market: tuple[list[Client], float], scale: float) -> None:
    """Credits scale the cost; cores, with the work, leave it as it is."""
    people, capacity = market
    try:
        found = social(people, capacity)
    except Infeasible:
        return
    dear = [replace(c, value_of_time=c.value_of_time * scale) for c in people]
    assert social(dear, capacity).cost == pytest.approx(found.cost * scale, rel=1e-6)
    other = [
        replace(
            c,
            frontier=Frontier.from_points(
                [(p.base_latency, p.server_work * scale) for p in c.frontier.pieces]
            ),
            min_share=c.min_share * scale,
            max_share=c.max_share * scale,
        )
        for c in people
    ]
    assert social(other, capacity * scale).cost == pytest.approx(found.cost, rel=1e-6)
