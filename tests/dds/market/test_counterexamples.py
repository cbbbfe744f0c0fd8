"""Where the guarantees end: every claim with its smallest instance.

Games are enumerated in rationals, so "there is no equilibrium" and "there are three" are facts.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from dds.cut.pieces import Frontier
from dds.errors import Infeasible
from dds.market.client import Client
from dds.market.equilibrium import competitive, nash
from dds.market.tariff import Barrier, Linear, PiecewiseLinear, Power
from dds.testing import costs_in_quanta, pure_equilibria
from dds.testing.enumeration import Price

ONE = Fraction(1)

#: A = (1, 0), W = (0, 1): worth offloading at prices up to 1/4, and then with 2 cores.
JUMPY = Client(Frontier.from_points([(1.0, 0.0), (0.0, 1.0)]), 1.0, name="jumpy")


# --- price-takers: clearing need not be exact ---------------------------------------------------


@pytest.mark.parametrize("capacity", [0.5, 1.0, 1.999])
def test_one_client_that_wants_2_cores_or_none_buys_none_of_fewer(capacity: float) -> None:
    found = competitive([JUMPY], capacity)
    assert found.price == pytest.approx(0.25, rel=1e-9)
    assert found.shares.tolist() == [0.0]
    assert found.max_regret == 0.0


def test_at_the_jump_the_tied_are_served_in_order_while_they_fit() -> None:
    many = [replace(JUMPY, name=f"jumpy {i}") for i in range(5)]
    found = competitive(many, 7.0)
    np.testing.assert_allclose(found.shares, [2.0, 2.0, 2.0, 0.0, 0.0], rtol=1e-6)
    assert found.price == pytest.approx(0.25, rel=1e-9)
    assert found.max_regret <= 1e-9
    # From price just below 1/4 the others ask for 10 cores: no price sells exactly 7.
    assert found.outcome.price_below is not None
    assert found.outcome.shares_below is not None
    assert found.outcome.price_below < found.price
    assert found.outcome.shares_below.sum() == pytest.approx(10.0, rel=1e-6)


def test_price_and_tariff_need_not_agree_at_a_jump() -> None:
    """pi = F: at 1/4 the client is indifferent, pi(0) = 0 and pi(2) = 2."""
    found = competitive([JUMPY], Linear(0.0, 1.0))
    assert found.price == pytest.approx(0.25, rel=1e-9)
    assert found.total == 0.0


# --- the barrier --------------------------------------------------------------------------------


@pytest.mark.parametrize("stake", [1e-3, 1.0, 1e3, 1e9])
@pytest.mark.parametrize("concept", [nash, competitive])
def test_a_barrier_never_sells_its_capacity(concept, stake: float) -> None:
    crowd = [Client(Frontier.from_points([(0.0, stake)]), 1.0, name=f"c{i}") for i in range(3)]
    continuous = concept(crowd, Barrier(0.1, 1.0))
    assert sum(map(Fraction, continuous.shares.tolist())) < 1
    in_quanta = concept(crowd, Barrier(0.1, 1.0), quantum=Fraction(1, 20))
    assert in_quanta.total <= 0.95
    assert in_quanta.price <= 0.1 / 0.05 * (1.0 + 1e-12) or concept is competitive


# --- tariffs that no theorem covers -------------------------------------------------------------


@pytest.mark.parametrize(
    ("condition", "make"),
    [
        ("concave", lambda: Power(0.0, 1.0, 0.5)),  # type: ignore[arg-type]
        ("concave", lambda: PiecewiseLinear((0.0, 1.0, 2.0), (0.0, 1.0, 1.25))),
        ("decreasing", lambda: Linear(1.0, -0.25)),
        ("decreasing", lambda: PiecewiseLinear((0.0, 1.0), (1.0, 0.5))),
        ("stepped", lambda: PiecewiseLinear((0.0, 1.0, 1.0, 2.0), (0.0, 0.0, 2.0, 2.0))),
    ],
)
def test_they_are_refused_by_the_condition_that_fails(condition: str, make) -> None:
    with pytest.raises(Infeasible, match=condition):
        make()


def _wide(work: float) -> Client:
    """Must have 2 or 3 cores; the third saves ``work / 6`` credits/s."""
    return Client(Frontier.from_points([(0.0, work)]), 1.0, 2.0, 3.0, "2 or 3")


def _narrow(local: float) -> Client:
    """Local-only or 1 core, which saves ``local - 1`` credits/s."""
    return Client(Frontier.from_points([(local, 0.0), (0.0, 1.0)]), 1.0, 0.0, 1.0, "0 or 1")


def _listed(*levels: float) -> Price:
    """The unit price at 0, 1, 2, ... cores."""
    exact = [Fraction(level) for level in levels]
    return lambda load: exact[int(load)] if load < len(exact) else None


def test_a_stepped_tariff_can_have_no_pure_equilibrium() -> None:
    """Free up to 2 cores, 2 up to 3, then 3: each wants what the other's choice makes dear.

    The wide client pays 6 more for its third core while the narrow one stays away, and
    3 x 3 - 2 x 2 = 5 if it does not; the narrow one pays 2 beside two cores and 3 beside three.
    """
    stepped = _listed(0, 0, 0, 2, 3)
    assert pure_equilibria([_wide(33.0), _narrow(3.5)], stepped, ONE) == []
    # What it takes are both steps: at either level alone somebody is content.
    assert pure_equilibria([_wide(33.0), _narrow(3.5)], _listed(0, 0, 0, 2, 2), ONE) == [(3, 1)]
    assert pure_equilibria([_wide(33.0), _narrow(3.5)], _listed(0, 0, 0, 3, 3), ONE) == [(2, 0)]


def test_a_saturating_tariff_can_have_no_pure_equilibrium() -> None:
    """pi = F up to 3, then nearly flat: the third core costs 5, but 3.75 beside another's one."""
    saturating = _listed(0, 1, 2, 3, 3.25)
    clients = [_wide(27.0), _narrow(4.125)]
    assert pure_equilibria(clients, saturating, ONE) == []
    with pytest.raises(Infeasible, match="concave"):
        PiecewiseLinear((0.0, 3.0, 4.0), (0.0, 3.0, 3.25))
    # The same clients where pi goes on as it began.
    straight = Linear(0.0, 1.0)
    found = nash(clients, straight, quantum=ONE)
    assert tuple(found.shares) in pure_equilibria(clients, straight, ONE)


def test_the_clients_without_equilibrium_move_in_a_circle() -> None:
    """Every best response leads on: (2, 1), (3, 1), (3, 0), (2, 0) and back."""
    price = _listed(0, 0, 0, 2, 3)
    clients = [_wide(33.0), _narrow(3.5)]
    waits = [costs_in_quanta(client, ONE) for client in clients]

    def cost(mover: int, profile: tuple[int, ...]) -> Fraction:
        unit = price(Fraction(sum(profile)))
        assert unit is not None
        return waits[mover][profile[mover]] + profile[mover] * unit

    circle = [(2, 1), (3, 1), (3, 0), (2, 0), (2, 1)]
    for before, after in itertools.pairwise(circle):
        mover = next(i for i in range(2) if before[i] != after[i])
        assert cost(mover, after) < cost(mover, before)


# --- equilibria are not unique ------------------------------------------------------------------


def test_of_two_equal_clients_either_may_be_the_one_that_offloads() -> None:
    """pi = F/10: two cores alone cost 1/2 + 0.4 < 1, two more beside them 1/2 + 0.8 > 1."""
    twins = [replace(JUMPY, name=name, max_share=4.0) for name in "ab"]
    tariff = Linear(0.0, 0.1)
    assert pure_equilibria(twins, tariff, ONE) == [(0, 2), (2, 0)]
    found = nash(twins, tariff, quantum=ONE)
    assert tuple(found.shares) in [(0.0, 2.0), (2.0, 0.0)]
    assert found.max_regret == 0.0


def test_equilibria_may_differ_in_price_and_demand() -> None:
    wide = Client(Frontier.from_points([(1.0, 8.0), (8.0, 0.0)]), 2.0, 0.0, 2.0, "wide")
    quick = Client(Frontier.from_points([(0.0, 2.0), (3.0, 0.0)]), 2.0, 0.0, 2.0, "quick")
    tariff = Linear(0.25, 1.0)
    assert pure_equilibria([wide, quick], tariff, ONE) == [(0, 1), (2, 0)]
    prices = [tariff.price_at(float(sum(profile))) for profile in [(0, 1), (2, 0)]]
    assert prices == [1.25, 2.25]
    assert nash([wide, quick], tariff, quantum=ONE).price in prices


def test_only_the_solver_in_quanta_promises_no_regret_at_all() -> None:
    """A grid changes the game: what is best among halves need not be among thirds."""
    found = [nash([JUMPY], Linear(0.0, 0.1), quantum=Fraction(1, n)).total for n in (1, 2, 3)]
    assert found == [2.0, 1.5, pytest.approx(5.0 / 3.0)]
    assert nash([JUMPY], Linear(0.0, 0.1)).total == pytest.approx(5.0 ** (1.0 / 3.0))
