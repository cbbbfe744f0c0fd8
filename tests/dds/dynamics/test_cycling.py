"""Where moves lead on for ever: instances with everything counted in rationals."""

from __future__ import annotations

import itertools
from fractions import Fraction

from dds.cut.pieces import Frontier
from dds.dynamics import cycling_market, sequential, simultaneous
from dds.market.client import Client
from dds.market.equilibrium import nash
from dds.market.tariff import PiecewiseLinear
from dds.testing import costs_in_quanta, pure_equilibria

ONE = Fraction(1)

#: pi = 1 + F up to 4 cores, then ten times as steep: convex, increasing.
STEEP = PiecewiseLinear((0.0, 4.0, 8.0), (1.0, 5.0, 45.0))
BETTER = (
    Client(Frontier.from_points([(5.0, 62.0), (78.0, 0.0)]), 1.0, 2.0, 5.0, "a"),
    Client(Frontier.from_points([(5.0, 32.0), (60.0, 0.0)]), 1.0, 1.0, 4.0, "b"),
)
#: Shares of a and b, one of them moving at a time, and back again.
CIRCLE = [(2, 3), (2, 0), (4, 0), (4, 1), (0, 1), (0, 3), (2, 3)]


def cost(mover: int, profile: tuple[int, ...]) -> Fraction:
    wait = costs_in_quanta(BETTER[mover], ONE)[profile[mover]]
    return wait + profile[mover] * STEEP.exact_price(Fraction(sum(profile)))


def test_better_replies_can_cycle_under_a_convex_increasing_tariff() -> None:
    """Each move of the circle saves something, yet not all are best: those would end."""
    best = 0
    for before, after in itertools.pairwise(CIRCLE):
        (mover,) = (i for i in range(2) if before[i] != after[i])
        assert cost(mover, after) < cost(mover, before)
        options = [
            (*after[:mover], own, *after[mover + 1 :])
            for own in costs_in_quanta(BETTER[mover], ONE)
        ]
        best += cost(mover, after) == min(cost(mover, option) for option in options)
    assert best < len(CIRCLE) - 1


def test_best_replies_end_from_every_profile_of_the_circle() -> None:
    equilibria = pure_equilibria(BETTER, STEEP, ONE)
    for profile in CIRCLE:
        found = sequential(BETTER, STEEP, quantum=ONE, start=profile)
        assert found.converged
        assert tuple(found.shares) in equilibria


def test_the_cycling_market_is_what_it_says() -> None:
    clients, tariff = cycling_market()
    load = sum(c.frontier.pieces[0].server_work * c.rate for c in clients) / tariff.capacity
    assert load == 6.0
    assert simultaneous(clients, tariff).cycle == 2
    solved = nash(clients, tariff)
    assert 0.0 < solved.total < tariff.capacity
    assert sequential(clients, tariff).converged
