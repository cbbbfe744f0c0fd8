"""Tatonnement: it ends at the competitive equilibrium, or where demand jumps it does not end."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dds.cut.pieces import Frontier
from dds.dynamics import tatonnement
from dds.errors import Infeasible, InvalidInput
from dds.market.client import Client
from dds.market.equilibrium import competitive
from dds.market.tariff import Barrier, Flat, Linear, Power
from dds.market.tariff_base import Tariff

quick = settings(deadline=None, derandomize=True, max_examples=25)

JUMPY = Client(Frontier.from_points([(1.0, 0.0), (0.0, 1.0)]), 1.0, name="jumpy")


@st.composite
def single(draw: st.DrawFn) -> list[Client]:
    """Clients on one piece each: demand is continuous."""
    sizes = st.floats(0.1, 10.0)
    return [
        Client(
            Frontier.from_points([(draw(sizes), draw(sizes))]),
            draw(st.floats(1e-3, 1e3)),
            0.0,
            draw(st.just(math.inf) | st.floats(0.1, 2.0)),
            f"{i}",
        )
        for i in range(draw(st.integers(1, 5)))
    ]


@quick
@given(single(), st.floats(0.05, 20.0))
def test_with_one_piece_each_it_ends_where_the_market_clears(
    clients: list[Client], capacity: float
) -> None:
    found = tatonnement(clients, capacity)
    market = competitive(clients, capacity)
    assert found.converged
    np.testing.assert_allclose(found.shares, market.shares, rtol=1e-6)
    assert np.all(found.regrets == 0.0)
    if market.price > 0.0 and abs(found.excess[-1]) > 0.0:
        assert found.totals[-1] == pytest.approx(min(capacity, market.total), rel=1e-8)


@quick
@given(single(), st.sampled_from([Linear(0.0, 1.0), Linear(0.0, 9.0), Power(0.0, 1.0, 2)]))
def test_a_rising_tariff_too(clients: list[Client], tariff: Tariff) -> None:
    """Supply of elasticity 1 or 1/2, demand of 1/2 at most: every step shrinks the error."""
    found = tatonnement(clients, tariff)
    market = competitive(clients, tariff)
    assert found.converged
    assert found.totals[-1] == pytest.approx(market.total, rel=1e-6)
    assert found.prices[-1] == pytest.approx(market.price, rel=1e-6)


def test_a_step_of_2_is_newton_in_logarithms_on_fixed_pieces() -> None:
    """D = sqrt(w W / p): one step of 2 ends at p = w W / C^2."""
    alone = Client(Frontier.from_points([(0.0, 1.0)]), 4.0)
    found = tatonnement([alone], 4.0, step=2.0, price=1.0)
    assert (found.converged, found.rounds) == (True, 1)
    assert found.prices[-1] == pytest.approx(0.25)


def test_a_step_of_1_halves_the_distance() -> None:
    alone = Client(Frontier.from_points([(0.0, 1.0)]), 4.0)
    found = tatonnement([alone], 4.0, step=1.0, price=1.0, rounds=3)
    np.testing.assert_allclose(np.log(found.prices / 0.25), math.log(4.0) / 2.0 ** np.arange(4))


def test_where_demand_jumps_it_never_ends_and_the_solver_says_who_is_tied() -> None:
    found = tatonnement([JUMPY], 1.0, price=1.0)
    assert not found.converged
    assert found.totals[-10:].min() == 0.0
    assert found.totals[-10:].max() >= 2.0
    assert competitive([JUMPY], 1.0).price == pytest.approx(0.25, rel=1e-9)


def test_where_supply_is_too_elastic_it_overshoots_for_ever() -> None:
    """Near pi(0) a small change of price sells much more or less; smaller steps help."""
    alone = [Client(Frontier.from_points([(1.0, 0.125)]), 0.125)]
    tariff = Barrier(0.25, 2.0)
    swinging = tatonnement(alone, tariff, step=0.3)
    assert not swinging.converged
    assert swinging.excess[-8:].min() < 0.0 < swinging.excess[-8:].max()
    calm = tatonnement(alone, tariff, step=0.1)
    assert calm.converged
    assert calm.prices[-1] == pytest.approx(competitive(alone, tariff).price, rel=1e-6)


def test_it_clears_at_nothing_where_there_is_plenty() -> None:
    twins = [replace(JUMPY, name=name, max_share=1.5) for name in "ab"]
    found = tatonnement(twins, 10.0)
    assert found.converged
    assert found.totals[-1] == 3.0
    assert found.excess[-1] == -7.0
    assert found.prices[-1] <= 1e-9


def test_a_flat_tariff_is_its_own_price() -> None:
    found = tatonnement([JUMPY], Flat(0.16, 10.0))
    assert found.converged
    assert found.prices[-1] == 0.16
    assert found.totals[-1] == pytest.approx(2.5)


def test_nobody_asks() -> None:
    found = tatonnement([Client(Frontier.from_points([(1.0, 0.0)]), 1.0)], 1.0)
    assert found.converged
    assert found.totals[-1] == 0.0


def test_who_must_have_more_than_there_is_cannot_be_served() -> None:
    stuck = Client(Frontier.from_points([(0.0, 1.0)]), 1.0, 2.0)
    with pytest.raises(Infeasible, match="ask for 2 cores at any price, and 1 are for sale"):
        tatonnement([stuck], 1.0)
    with pytest.raises(Infeasible, match="give a capacity or max_share"):
        tatonnement([stuck], Flat(1.0))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"step": 0.0}, "step is 0.0"),
        ({"step": 3.0}, "step is 3.0"),
        ({"price": -1.0}, "price is -1.0"),
        ({"price": "1"}, "price is '1'"),
        ({"rounds": True}, "rounds is True"),
        ({"tolerance": float("nan")}, "tolerance is nan"),
        ({"tolerance": -1.0}, "tolerance is -1.0"),
        ({"tolerance": float("inf")}, "tolerance is inf"),
        ({"clients": []}, "at least one"),
        ({"tariff": -1.0}, "capacity"),
    ],
)
def test_wrong_arguments_are_one_line(arguments: dict[str, object], message: str) -> None:
    given_: dict[str, object] = {"clients": [JUMPY], "tariff": 1.0, **arguments}
    with pytest.raises(InvalidInput, match=message):
        tatonnement(**given_)  # type: ignore[arg-type]
