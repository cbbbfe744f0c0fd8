"""Where every client has one way to offload the market is convex: other solvers know it too.

Price-takers then maximise a concave welfare whose dual is the clearing price (cvxpy), and the
Nash game is a variational inequality, F(f) = (-w W / f^2 + pi(F) + f pi'(F))_i (scipy).
"""

from __future__ import annotations

import cvxpy
import numpy as np
import pytest
import scipy.optimize
from numpy.typing import NDArray

from dds.cut.pieces import Frontier
from dds.market.client import Client
from dds.market.equilibrium import competitive, nash
from dds.market.tariff import Barrier, Linear, Power
from dds.market.tariff_base import Tariff

Floats = NDArray[np.float64]


def single_piece(seed: int, count: int, *, bounded: bool) -> tuple[list[Client], Floats]:
    """Clients that must offload in one way, and their w W."""
    rng = np.random.default_rng(seed)
    base, work, value = (
        rng.uniform(0.0, 1.0, count),
        rng.uniform(0.1, 2.0, count),
        rng.gamma(2, 1, count),
    )
    low = rng.uniform(0.01, 0.1, count) if bounded else np.zeros(count)
    high = rng.uniform(0.2, 1.0, count) if bounded else np.full(count, np.inf)
    clients = [
        Client(Frontier.from_points([(a, w)]), float(v), float(least), float(most), f"c{i}")
        for i, (a, w, v, least, most) in enumerate(zip(base, work, value, low, high, strict=True))
    ]
    return clients, work * value


@pytest.mark.parametrize("bounded", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_the_clearing_price_is_the_dual_of_capacity(seed: int, bounded: bool) -> None:
    clients, stake = single_piece(seed, 12, bounded=bounded)
    capacity = 2.5
    shares = cvxpy.Variable(12)
    scarce = cvxpy.sum(shares) <= capacity
    bounds = [shares >= [c.min_share for c in clients]]
    bounds += [shares[i] <= c.max_share for i, c in enumerate(clients) if c.max_share < np.inf]
    problem = cvxpy.Problem(cvxpy.Minimize(stake @ cvxpy.inv_pos(shares)), [scarce, *bounds])
    problem.solve(solver=cvxpy.CLARABEL)
    found = competitive(clients, capacity)
    assert found.price == pytest.approx(float(scarce.dual_value), rel=1e-3)
    np.testing.assert_allclose(found.shares, shares.value, rtol=1e-3)
    waits = found.table.value @ (found.latencies - found.table.base[0])
    assert waits == pytest.approx(float(problem.value), rel=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_price_takers_at_a_linear_tariff_maximise_a_welfare(seed: int) -> None:
    """min sum w W / f + integral of pi up to F: its derivative in f is w W / f^2 = pi(F)."""
    clients, stake = single_piece(seed, 10, bounded=False)
    shares = cvxpy.Variable(10)
    total = cvxpy.sum(shares)
    cvxpy.Problem(
        cvxpy.Minimize(stake @ cvxpy.inv_pos(shares) + 0.25 * total + 0.5 * 0.5 * total**2)
    ).solve(solver=cvxpy.CLARABEL)
    found = competitive(clients, Linear(0.25, 0.5))
    np.testing.assert_allclose(found.shares, shares.value, rtol=1e-3)
    assert found.price == pytest.approx(0.25 + 0.5 * float(total.value), rel=1e-3)


@pytest.mark.parametrize(
    "tariff",
    [Linear(0.25, 0.5), Linear(0.0, 2.0), Power(0.125, 0.25, 3), Barrier(0.25, 6.0)],
    ids=["linear", "linear from 0", "power", "barrier"],
)
@pytest.mark.parametrize("seed", range(3))
def test_a_nash_equilibrium_is_a_fixed_point_of_everybodys_first_order_condition(
    seed: int, tariff: Tariff
) -> None:
    """f^2 (pi(F) + f pi'(F)) = w W for everybody, at the F that they add up to."""
    clients, stake = single_piece(seed, 8, bounded=False)

    def answers(load: float) -> Floats:
        price, slope = terms(tariff, load)
        return np.array(
            [
                scipy.optimize.brentq(
                    lambda f, goal=goal: f * f * (price + f * slope) - goal, 0.0, 1e3, xtol=1e-14
                )
                for goal in stake
            ]
        )

    most = min(tariff.capacity, 100.0) * (1.0 - 1e-9)
    load = scipy.optimize.brentq(lambda at: answers(at).sum() - at, 1e-3, most, xtol=1e-13)
    found = nash(clients, tariff)
    assert found.total == pytest.approx(load, rel=1e-9)
    np.testing.assert_allclose(found.shares, answers(load), rtol=1e-7)
    assert found.price == pytest.approx(terms(tariff, load)[0], rel=1e-8)


def terms(tariff: Tariff, load: float) -> tuple[float, float]:
    """pi(F) and pi'(F) by the formulas."""
    match tariff:
        case Linear():
            return tariff.base_price + tariff.slope * load, tariff.slope
        case Power():
            k = tariff.exponent
            return tariff.base_price + tariff.scale * load**k, k * tariff.scale * load ** (k - 1)
        case Barrier():
            spare = 1.0 - load / tariff.capacity
            return tariff.base_price / spare, tariff.base_price / spare**2 / tariff.capacity
    raise AssertionError(tariff)


@pytest.mark.parametrize("count", [1, 2, 10, 100])
def test_equal_clients_share_equally_as_worked_by_hand(count: int) -> None:
    """w W = 1 each, pi = F: 1 = f^2 (n f + f), so f = (n + 1)^(-1/3)."""
    twin = Client(Frontier.from_points([(0.5, 1.0)]), 1.0)
    found = nash([twin] * count, Linear(0.0, 1.0))
    np.testing.assert_allclose(found.shares, (count + 1.0) ** (-1.0 / 3.0), rtol=1e-6)
    takers = competitive([twin] * count, Linear(0.0, 1.0))
    np.testing.assert_allclose(takers.shares, count ** (-1.0 / 3.0), rtol=1e-9)
