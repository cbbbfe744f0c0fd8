"""The strategies draw what they promise, and the assertions notice what is wrong."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st

import dds.testing
from dds.cut.pieces import Frontier
from dds.errors import InvalidInput
from dds.market.client import Client
from dds.market.document import Instance, solve
from dds.market.equilibrium import Equilibrium, competitive, nash
from dds.market.tariff import Barrier, Clearing, Flat, Linear, PiecewiseLinear, Power
from dds.testing import (
    assert_equilibrium,
    cheapest,
    clients,
    costs_in_quanta,
    frontiers,
    markets,
    posted,
    pure_equilibria,
    small_markets,
    tariffs,
)

quick = settings(deadline=None, derandomize=True, max_examples=50)
search = settings(
    deadline=None,
    max_examples=1800,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
    derandomize=True,
)


# --- the corners are within reach -----------------------------------------------------------------


@pytest.mark.parametrize("kind", [Clearing, Flat, Linear, Power, Barrier, PiecewiseLinear])
def test_every_kind_of_tariff_is_drawn(kind: type) -> None:
    assert find(tariffs(), lambda tariff: isinstance(tariff, kind), settings=search)


def local(client: Client) -> bool:
    """Whether a client may compute locally."""
    return any(piece.server_work == 0.0 for piece in client.frontier.pieces)


CORNERS: dict[str, Callable[[Instance], bool]] = {
    "one client": lambda m: len(m.clients) == 1,
    "identical clients": lambda m: len({replace(c, name="") for c in m.clients}) < len(m.clients),
    "everybody must offload": lambda m: all(not local(c) for c in m.clients),
    "somebody never offloads": lambda m: any(
        local(c) and len(c.frontier.pieces) == 1 for c in m.clients
    ),
    "a bound from below": lambda m: any(c.min_share for c in m.clients),
    "a bound from above": lambda m: any(math.isfinite(c.max_share) for c in m.clients),
    "a quantum": lambda m: m.quantum is not None,
    "no quantum": lambda m: m.quantum is None,
    "price-takers": lambda m: m.concept == "competitive",
    "time that is worth a billionth": lambda m: any(c.value_of_time == 1e-9 for c in m.clients),
    "demand that jumps": lambda m: solve(m).outcome.price_below is not None,
    "nobody buys": lambda m: not solve(m).shares.any(),
    "all is sold": lambda m: solve(m).total == m.tariff.capacity,
}


@pytest.mark.parametrize("corner", CORNERS)
def test_every_corner_of_a_market_is_drawn(corner: str) -> None:
    assert find(markets(), CORNERS[corner], settings=search)


@quick
@given(markets(), st.data())
def test_a_market_has_an_equilibrium(market: Instance, data: st.DataObject) -> None:
    """Nothing drawn is invalid or infeasible, whichever concept is asked for."""
    concept = data.draw(st.sampled_from(["nash", "competitive"]))
    assert solve(replace(market, concept=concept)).shares.shape == (len(market.clients),)
    assert len({client.name for client in market.clients}) == len(market.clients)


@quick
@given(small_markets(max_clients=3, max_quanta=4))
def test_a_small_market_is_small_and_has_an_equilibrium(market: Instance) -> None:
    assert market.quantum is not None
    assert len(market.clients) <= 3
    for client in market.clients:
        assert max(costs_in_quanta(client, market.quantum)) <= 4
    assert solve(market).shares.shape == (len(market.clients),)


@quick
@given(frontiers(local=True), frontiers(local=False), clients(max_min_share=0.25))
def test_what_is_asked_for_is_drawn(local: Frontier, remote: Frontier, client: Client) -> None:
    assert sum(piece.server_work == 0.0 for piece in local.pieces) == 1
    assert all(piece.server_work > 0.0 for piece in remote.pieces)
    if all(piece.server_work > 0.0 for piece in client.frontier.pieces):
        assert client.min_share <= 0.25


# --- the assertion notices ------------------------------------------------------------------------

CLIENTS = (
    Client(Frontier.from_points([(0.1, 0.5), (0.3, 0.2), (2.0, 0.0)]), 2.0, name="camera"),
    Client(Frontier.from_points([(0.2, 0.4), (0.9, 0.0)]), 1.0, 0.125, 1.0, "drone"),
    Client(Frontier.from_points([(0.5, 0.3)]), 0.5, name="robot"),
)
TARIFF = Linear(0.1, 0.3)


def changed(found: Equilibrium, field: str, client: int, value: Any) -> Equilibrium:
    values = getattr(found, field).copy()
    values[client] = value
    return replace(found, **{field: values})


def moved(found: Equilibrium, client: int, share: float) -> Equilibrium:
    """Another share, with everything that follows from it."""
    shares = found.shares.copy()
    shares[client] = share
    latencies, cuts = found.table.latencies(shares, found.quantum)
    total = float(sum(map(Fraction, shares.tolist())))
    price = TARIFF.price_at(total)
    return replace(found, shares=shares, latencies=latencies, pieces=cuts, total=total, price=price)


@pytest.mark.parametrize("quantum", [None, Fraction(1, 1000)])
def test_an_equilibrium_passes_and_no_other_profile(quantum: Fraction | None) -> None:
    found = nash(CLIENTS, TARIFF, quantum=quantum)
    assert_equilibrium(CLIENTS, TARIFF, found, quantum)
    for client in range(3):
        for factor in (0.5, 0.99, 1.01, 2.0):
            share = round(float(found.shares[client]) * factor, 3)
            if share != found.shares[client]:
                with pytest.raises(AssertionError):
                    assert_equilibrium(CLIENTS, TARIFF, moved(found, client, share), quantum)


def test_a_regret_of_one_quantum_is_noticed() -> None:
    """In quanta the assertion is exact: the neighbour of a best share is not best."""
    unit = Fraction(1, 1000)
    found = nash(CLIENTS, TARIFF, quantum=unit)
    for off in (-1, 1):
        share = float(Fraction(found.shares[0]).limit_denominator(1000) + off * unit)
        with pytest.raises(AssertionError, match=r"client [012] has"):
            assert_equilibrium(CLIENTS, TARIFF, moved(found, 0, share), unit)


@pytest.mark.parametrize(
    ("field", "client", "value", "said"),
    [
        ("latencies", 0, 9.0, "client 0: latency"),
        ("pieces", 0, 2, "client 0: piece and share disagree"),
        ("regret", 1, -1.0, "client 1: negative regret"),
        ("regret", 1, math.nan, "client 1: negative regret"),
    ],
)
def test_a_wrong_number_is_named(field: str, client: int, value: Any, said: str) -> None:
    found = nash(CLIENTS, TARIFF)
    with pytest.raises(AssertionError, match=said):
        assert_equilibrium(CLIENTS, TARIFF, changed(found, field, client, value))


def test_a_wrong_total_price_or_bound_is_noticed() -> None:
    found = nash(CLIENTS, TARIFF)
    with pytest.raises(AssertionError, match="total"):
        assert_equilibrium(CLIENTS, TARIFF, replace(found, total=found.total * 1.01))
    with pytest.raises(AssertionError, match=r"price is not pi\(F\)|pays"):
        assert_equilibrium(CLIENTS, TARIFF, replace(found, price=found.price * 1.01))
    for client, said in (
        (replace(CLIENTS[0], max_share=0.01), "above max_share"),
        (replace(CLIENTS[0], min_share=3.0, max_share=4.0), "below min_share"),
    ):
        with pytest.raises(AssertionError, match=said):
            assert_equilibrium([client, *CLIENTS[1:]], TARIFF, found)
    with pytest.raises(AssertionError, match="oversold"):
        assert_equilibrium(CLIENTS, Linear(0.1, 0.3, 0.01), found)


def test_who_must_offload_and_has_nothing_is_noticed() -> None:
    robot = [CLIENTS[2]]
    found = replace(nash(robot, TARIFF), shares=np.zeros(1), total=0.0)
    with pytest.raises(AssertionError, match="client 0 must offload, and has share 0"):
        assert_equilibrium(robot, TARIFF, found)


def test_a_price_that_clears_nothing_is_noticed() -> None:
    found = competitive(CLIENTS, 0.9)
    assert_equilibrium(CLIENTS, Clearing(0.9), found)
    dearer = competitive(CLIENTS, 0.8)
    with pytest.raises(AssertionError, match="too high"):
        assert_equilibrium(CLIENTS, Clearing(0.9), dearer)
    with pytest.raises(AssertionError, match="oversold"):
        assert_equilibrium(CLIENTS, Clearing(0.8), found)


# --- search and enumeration -----------------------------------------------------------------------


@quick
@given(small_markets(max_clients=1))
def test_the_search_for_the_cheapest_multiple_finds_it(market: Instance) -> None:
    (client,), unit = market.clients, market.quantum
    assert unit is not None
    price = Fraction(1, 3)
    waits = costs_in_quanta(client, unit)
    found = cheapest(client, lambda _: price, None, unit)
    assert found == min((wait + n * unit * price, n * unit) for n, wait in waits.items())


def test_the_cheapest_share_by_search_is_that_of_calculus() -> None:
    """1/f + 4 f is least at f = 1/2."""
    client = Client(Frontier.from_points([(0.0, 1.0)]), 1.0)
    cost, share = cheapest(client, lambda _: Fraction(4), None)
    assert float(share) == pytest.approx(0.5, rel=1e-6)
    assert float(cost) == pytest.approx(4.0)
    quarter = Fraction(1, 4)
    assert cheapest(replace(client, max_share=0.25), lambda _: Fraction(4), None)[1] == quarter
    assert cheapest(client, lambda _: Fraction(4), quarter)[1] == quarter
    nothing, none = cheapest(replace(client, min_share=1.0), lambda _: Fraction(4), Fraction(1, 2))
    assert (nothing > 10**200, none) == (True, 0)


def test_equilibria_of_a_game_worked_by_hand() -> None:
    """At pi = F/8 the cost 1/n + n (n + X)/8 is least at 2 alone and at 1 or 2 beside one."""
    client = Client(Frontier.from_points([(0.0, 1.0)]), 1.0, max_share=3.0)
    one = Fraction(1)
    assert costs_in_quanta(client, one) == {1: 1, 2: Fraction(1, 2), 3: Fraction(1, 3)}
    assert pure_equilibria([client], Linear(0.0, 0.25), one) == [(1,)]
    assert pure_equilibria([client], Linear(0.0, 0.125), one) == [(2,)]
    assert pure_equilibria([client] * 2, Linear(0.0, 0.125), one) == [(1, 1), (1, 2), (2, 1)]
    assert pure_equilibria([client] * 2, Flat(0.0, 2.0), one) == [(1, 1)]


def test_a_tariff_as_a_function_ends_at_its_capacity() -> None:
    sells = posted(Barrier(1.0, 0.3), Fraction(1, 10))
    assert sells(Fraction(2, 10)) == 3
    assert sells(Fraction(3, 10)) is None


def test_who_may_buy_anything_cannot_be_enumerated() -> None:
    boundless = Client(Frontier.from_points([(0.0, 1.0)]), 1.0, name="greedy")
    with pytest.raises(InvalidInput, match="'greedy' may buy any share"):
        pure_equilibria([boundless], Flat(1.0), Fraction(1))


# --- the package ----------------------------------------------------------------------------------


def test_everything_public_is_listed_documented_and_on_the_map() -> None:
    for name in dds.testing.__all__:
        assert getattr(dds.testing, name).__doc__, name
    page = dds.testing.__doc__ or ""
    for module in ("graphs", "assertions_cut", "markets", "assertions_market", "enumeration"):
        assert f"``{module}``" in page
    assert "``messages``" in page
    assert "``fake_link``" in page
