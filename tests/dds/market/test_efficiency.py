"""Efficiency of an equilibrium: at least 1, and no less than against the true optimum."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dds.cut.pieces import Frontier
from dds.market.client import Client
from dds.market.document import Instance, solve
from dds.market.efficiency import efficiency
from dds.market.equilibrium import competitive, nash
from dds.market.social import social
from dds.market.tariff import Barrier, Flat, Linear
from dds.testing import markets

quick = settings(deadline=None, derandomize=True, max_examples=40)

JUMPY = Client(Frontier.from_points([(1.0, 0.0), (0.0, 1.0)]), 1.0, name="jumpy")


@quick
@given(markets(), st.data())
def test_the_ratio_bounds_the_loss(market: Instance, data: st.DataObject) -> None:
    found = solve(market)
    made = efficiency(found)
    assert made.ratio >= 1.0
    assert made.cores >= found.total * (1.0 - 1e-12)
    if made.cores > 0.0:
        other = social(market.clients, made.cores)  # what can be reached costs at least the bound
        assert made.bound <= other.cost * (1.0 + 1e-9)
        assert made.cost <= made.ratio * other.cost * (1.0 + 1e-9)


def test_where_everything_is_sold_well_the_ratio_is_1() -> None:
    clients = [Client(Frontier.from_points([(0.1, 1.0)]), float(v), name=f"{v}") for v in (1, 4, 9)]
    made = efficiency(competitive(clients, 3.0))
    assert made.hard
    assert made.cores == 3.0
    assert made.ratio == pytest.approx(1.0, rel=1e-9)


def test_a_dear_barrier_leaves_cores_idle_and_the_ratio_says_so() -> None:
    """One client, W = 1: f = C / (1 + sqrt(p0 C^2)) by hand; the optimum has all of C."""
    alone = [Client(Frontier.from_points([(0.0, 1.0)]), 1.0)]
    found = nash(alone, Barrier(1.0, 4.0))
    assert found.total == pytest.approx(4.0 / (1.0 + 4.0), rel=1e-9)
    assert efficiency(found).ratio == pytest.approx(5.0, rel=1e-6)


def test_without_a_capacity_it_compares_with_the_cores_sold() -> None:
    found = nash([JUMPY, replace(JUMPY, name="other")], Linear(0.05, 0.01))
    made = efficiency(found)
    assert made.cores == found.total
    assert not made.hard
    assert made.ratio == pytest.approx(1.0, rel=1e-6)


def test_nobody_buys_anything() -> None:
    made = efficiency(nash([JUMPY], Flat(1.0)))
    assert (made.ratio, made.cost, made.cores) == (1.0, 1.0, 0.0)
