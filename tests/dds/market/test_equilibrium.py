"""Equilibria against their definition, every profile of small games, and what may not matter."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import combinations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dds.cut.pieces import Frontier
from dds.market.client import Client
from dds.market.document import Instance, solve
from dds.market.equilibrium import Equilibrium, competitive, nash
from dds.market.tariff import Barrier, Clearing, Flat, Linear, PiecewiseLinear, Power, Tariff
from dds.testing import (
    assert_equilibrium,
    costs_in_quanta,
    markets,
    posted,
    pure_equilibria,
    small_markets,
)

quick = settings(deadline=None, derandomize=True, max_examples=60)
few = settings(deadline=None, derandomize=True, max_examples=30)


def quanta(found: Equilibrium) -> tuple[int, ...]:
    """Everybody's share in quanta."""
    assert found.quantum is not None
    counted = [Fraction(share) / found.quantum for share in found.shares.tolist()]
    assert all(abs(n - round(n)) < 1e-9 for n in counted)
    return tuple(round(n) for n in counted)


@quick
@given(markets())
def test_nobody_gains_by_moving_alone(market: Instance) -> None:
    found = solve(market)
    assert_equilibrium(market.clients, market.tariff, found, market.quantum)


# --- every profile of small games ---------------------------------------------------------------


@settings(deadline=None, derandomize=True, max_examples=90)
@given(small_markets(concept="nash").filter(lambda m: not isinstance(m.tariff, Clearing)))
def test_nash_finds_one_of_the_pure_equilibria_that_enumeration_finds(market: Instance) -> None:
    assert market.quantum is not None
    possible = pure_equilibria(market.clients, market.tariff, market.quantum)
    assert possible, "the theory promises an equilibrium"
    found = solve(market)
    assert quanta(found) in possible
    assert found.max_regret == 0.0


@settings(deadline=None, derandomize=True, max_examples=90)
@given(small_markets())
def test_price_takers_share_what_clears_the_market(market: Instance) -> None:
    """Everybody's share is best at the price, and nothing more could be sold there.

    The price is the lowest such, or, where all is sold, one at which demand is the same.
    """
    assert market.quantum is not None
    waits = [costs_in_quanta(client, market.quantum) for client in market.clients]
    lowest = clearing_price(waits, market.tariff, market.quantum)
    found = solve(replace(market, concept="competitive"))
    shares = quanta(found)
    sells = posted(market.tariff, market.quantum)
    if not math.isclose(found.price, lowest, rel_tol=1e-9):
        assert found.price > lowest
        assert sells((sum(shares) + 1) * market.quantum) is None, "more was for sale"
        unit = Fraction(found.price) * market.quantum
        assert [best_quanta(wait, unit)[0] for wait in waits] == list(shares)
        return
    best = [best_quanta(wait, lowest * market.quantum) for wait in waits]
    for share, choices in zip(shares, best, strict=True):
        assert share in choices
        # Whoever is indifferent and got less would not have fitted.
        level = sells((sum(shares) + choices[-1] - share) * market.quantum)
        assert share == choices[-1] or level is None or level > lowest


def best_quanta(wait: dict[int, Fraction], unit: Fraction) -> list[int]:
    """Every number of quanta that costs least at ``unit`` credits/s per quantum, ascending."""
    costs = {n: cost + n * unit for n, cost in wait.items()}
    least = min(costs.values())
    return sorted(n for n, cost in costs.items() if cost == least)


def clearing_price(
    waits: Sequence[dict[int, Fraction]], tariff: Tariff, quantum: Fraction
) -> Fraction:
    """The lowest price at which the least of the best demands is sold, in rationals.

    Demand changes only at prices where somebody is indifferent, supply only at pi(n q).
    """
    sells = posted(tariff, quantum)
    most = sum(max(wait) for wait in waits)
    levels = [sells(n * quantum) for n in range(most + 1)]
    prices = {level for level in levels if level is not None}
    for wait in waits:
        prices |= {(wait[n] - wait[m]) / ((m - n) * quantum) for n in wait for m in wait if n < m}
    floor = sells(Fraction(0))
    assert floor is not None
    for price in sorted(p for p in prices if p >= floor):
        unit = levels[sum(best_quanta(wait, price * quantum)[0] for wait in waits)]
        if unit is not None and unit <= price:
            return price
    raise AssertionError("no price clears the market")


# --- what may not matter ------------------------------------------------------------------------


@few
@given(markets(), st.randoms(use_true_random=False))
def test_the_order_of_clients_does_not_matter_to_price_takers(market: Instance, random) -> None:
    shuffled = list(market.clients)
    random.shuffle(shuffled)
    one = competitive(market.clients, market.tariff, quantum=market.quantum)
    two = competitive(shuffled, market.tariff, quantum=market.quantum)
    assert math.isclose(one.price, two.price, rel_tol=1e-9)


@few
@given(st.data())
def test_the_order_of_clients_does_not_matter_where_nothing_jumps(data: st.DataObject) -> None:
    """With one way to offload and no other choice the equilibrium is unique."""
    players = data.draw(convex_clients())
    tariff = data.draw(smooth)
    order = data.draw(st.permutations(range(len(players))))
    for solver in (nash, competitive):
        one = solver(players, tariff)
        two = solver([players[i] for i in order], tariff)
        np.testing.assert_allclose(two.shares, one.shares[order], rtol=1e-5)
        assert math.isclose(one.price, two.price, rel_tol=1e-6)
        for i, j in combinations(range(len(players)), 2):
            if replace(players[i], name="") == replace(players[j], name=""):
                assert math.isclose(one.shares[i], one.shares[j], rel_tol=1e-5)


smooth = st.sampled_from(
    [
        Linear(0.25, 0.5),
        Linear(0.0, 1.0),
        Barrier(0.25, 8.0),
        Power(0.125, 0.25, 3),
        PiecewiseLinear((0.0, 1.0, 2.0), (0.25, 0.5, 2.0)),
        Flat(0.5),
    ]
)
_worth = st.sampled_from([0.5, 1.0, 4.0]) | st.floats(0.1, 10.0)


@st.composite
def convex_clients(draw: st.DrawFn) -> list[Client]:
    """Clients that must offload, in one way each, some of them equal."""
    return [
        Client(Frontier.from_points([(draw(_worth), draw(_worth))]), draw(_worth), name=f"c{i}")
        for i in range(draw(st.integers(1, 5)))
    ]


#: Factors that change no digit of a float.
factors = st.sampled_from([2.0**-30, 0.25, 2.0, 1024.0])


@quick
@given(small_markets(), factors)
def test_the_unit_of_credit_does_not_matter(market: Instance, factor: float) -> None:
    if isinstance(market.tariff, PiecewiseLinear):
        return  # its prices are decimals: a factor would change more than the unit
    worth = [replace(c, value_of_time=factor * c.value_of_time) for c in market.clients]
    scaled = replace(market, clients=tuple(worth), tariff=dearer(market.tariff, factor))
    assert_same_game(market, solve(scaled), quanta(solve(scaled)))


def assert_same_game(market: Instance, found: Equilibrium, shares: tuple[int, ...]) -> None:
    """Shares of the game in other units, in quanta, are right in this one."""
    assert market.quantum is not None
    if market.concept == "competitive" or isinstance(market.tariff, Clearing):
        assert shares == quanta(solve(market))
    else:  # where there are several equilibria, any will do
        assert shares in pure_equilibria(market.clients, market.tariff, market.quantum)
    assert found.max_regret <= 1e-9 * found.table.value.max() * found.latencies.max()


def dearer(tariff: Tariff, factor: float) -> Tariff:
    """The tariff in a credit that is worth ``1 / factor``."""
    match tariff:
        case Flat():
            return replace(tariff, price=factor * tariff.price)
        case Linear():
            return replace(
                tariff, base_price=factor * tariff.base_price, slope=factor * tariff.slope
            )
        case Power():
            return replace(
                tariff, base_price=factor * tariff.base_price, scale=factor * tariff.scale
            )
        case Barrier():
            return replace(tariff, base_price=factor * tariff.base_price)
    return tariff


@quick
@given(small_markets(), factors)
def test_the_unit_of_compute_does_not_matter(market: Instance, factor: float) -> None:
    """In half cores everything doubles but latencies, and a unit costs half."""
    if isinstance(market.tariff, PiecewiseLinear):
        return
    assert market.quantum is not None
    scaled = Instance(
        market.concept,
        finer(market.tariff, factor),
        market.quantum * Fraction(factor),
        tuple(in_finer_cores(client, factor) for client in market.clients),
    )
    assert_same_game(market, solve(scaled), quanta(solve(scaled)))


def in_finer_cores(client: Client, factor: float) -> Client:
    points = [(p.base_latency, factor * p.server_work) for p in client.frontier.pieces]
    return replace(
        client,
        frontier=Frontier.from_points(points),
        min_share=factor * client.min_share,
        max_share=factor * client.max_share,
    )


def finer(tariff: Tariff, factor: float) -> Tariff:
    """The tariff for cores of ``1 / factor`` the size."""
    capacity = factor * tariff.capacity
    match tariff:
        case Clearing():
            return Clearing(capacity)
        case Flat():
            return Flat(tariff.price / factor, capacity)
        case Linear():
            return Linear(tariff.base_price / factor, tariff.slope / factor**2, capacity)
        case Power():
            k = tariff.exponent
            return Power(tariff.base_price / factor, tariff.scale / factor ** (k + 1), k, capacity)
        case Barrier():
            return Barrier(tariff.base_price / factor, capacity)
    raise AssertionError(tariff)


@few
@given(markets(concept="competitive"), st.data())
def test_one_more_client_never_lowers_the_price_of_price_takers(
    market: Instance, data: st.DataObject
) -> None:
    twin = data.draw(st.sampled_from(market.clients))
    if twin.frontier.pieces and all(p.server_work for p in twin.frontier.pieces):
        return  # it might not fit
    more = (*market.clients, replace(twin, name="one more"))
    before, after = solve(market), solve(replace(market, clients=more))
    assert after.price >= before.price * (1.0 - 1e-9)


@few
@given(markets(concept="competitive"), st.floats(1.0, 4.0))
def test_more_capacity_never_raises_the_price_of_price_takers(
    market: Instance, factor: float
) -> None:
    capacity = market.tariff.capacity
    before = competitive(market.clients, capacity, quantum=market.quantum)
    after = competitive(market.clients, factor * capacity, quantum=market.quantum)
    assert after.price <= before.price * (1.0 + 1e-9)


@few
@given(markets())
def test_a_search_that_starts_at_an_equilibrium_ends_at_one(market: Instance) -> None:
    find = nash if market.concept == "nash" else competitive
    first = solve(market)
    again = find(market.clients, market.tariff, quantum=market.quantum, start=first)
    assert_equilibrium(market.clients, market.tariff, again, market.quantum)
