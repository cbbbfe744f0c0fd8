"""Filling: no core is worth more elsewhere, and a move costs what a new filling does."""

from __future__ import annotations

import math

import cvxpy
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dds.market.filling import Filling, Levels, filled

Floats = NDArray[np.float64]
Problem = tuple[Floats, Floats, Floats, float]

quick = settings(deadline=None, derandomize=True, max_examples=90)
SIZES = st.sampled_from([1.0, 0.5, 2.0]) | st.floats(1e-6, 1e6)


@st.composite
def problems(draw: st.DrawFn, *, least: int = 1) -> Problem:
    """Roots, bounds and a capacity that the lower bounds fit into, sometimes barely."""
    rows = []
    for _ in range(draw(st.integers(least, 6))):
        if draw(st.integers(0, 3)) == 0:
            rows.append((0.0, 0.0, 0.0))  # computes locally
            continue
        low = draw(st.just(0.0) | SIZES)
        high = draw(st.just(math.inf) | st.just(low or 1.0) | SIZES.map(lambda s, low=low: low + s))
        rows.append((draw(SIZES), low, high))
    roots, low, high = (np.array(column) for column in zip(*rows, strict=True))
    more = draw(st.sampled_from([1.0, 1e-3, 1e-9, 0.0, 1e3]))
    scale = 10.0 ** draw(st.sampled_from([0, -12, 12]))
    capacity = max(math.fsum(low.tolist()) * (1.0 + 1e-12) + more, 1e-6)
    return roots, low * scale, high * scale, capacity * scale


def cost_of(roots: Floats, shares: Floats) -> float:
    used = roots > 0.0
    if np.any(shares[used] <= 0.0):
        return math.inf
    return math.fsum((roots[used] ** 2 / shares[used]).tolist())


@quick
@given(problems())
def test_a_core_is_worth_as_much_wherever_it_could_go(problem: Problem) -> None:
    roots, low, high, capacity = problem
    shares = filled(roots, low, high, capacity)
    total = math.fsum(shares.tolist())
    assert total <= capacity
    assert np.all(shares >= low)
    assert np.all(shares <= high)
    hungry = shares < high * (1.0 - 1e-9)
    if hungry.any():
        assert total >= capacity * (1.0 - 1e-9)
        with np.errstate(divide="ignore", invalid="ignore"):
            worth = roots / shares
        giving = (shares > low * (1.0 + 1e-9)) & (roots > 0.0)
        if giving.any():
            assert worth[hungry].max() <= worth[giving].min() * (1.0 + 1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_the_least_cost_is_what_cvxpy_finds(seed: int) -> None:
    rng = np.random.default_rng(seed)
    roots, low = rng.uniform(0.1, 2.0, 12), rng.uniform(0.0, 0.2, 12)
    high = low + rng.uniform(0.0, 1.0, 12)
    shares = cvxpy.Variable(12)
    problem = cvxpy.Problem(
        cvxpy.Minimize(roots**2 @ cvxpy.inv_pos(shares)),
        [cvxpy.sum(shares) <= 3.0, shares >= low, shares <= high],
    )
    problem.solve(solver=cvxpy.CLARABEL)
    found = cost_of(roots, filled(roots, low, high, 3.0))
    assert found == pytest.approx(float(problem.value), rel=1e-6)


def test_worked_by_hand() -> None:
    """Roots 1 and 3 share 4 cores as 1 and 3; the second may have 2, so the first has 2."""
    roots, none = np.array([1.0, 3.0]), np.zeros(2)
    free = filled(roots, none, np.array([math.inf, math.inf]), 4.0)
    np.testing.assert_allclose(free, [1.0, 3.0], rtol=1e-12)
    np.testing.assert_allclose(filled(roots, none, np.array([9.0, 2.0]), 4.0), [2.0, 2.0])
    np.testing.assert_allclose(filled(roots, none, np.array([0.5, 2.0]), 4.0), [0.5, 2.0])


@quick
@given(problems(least=2), st.data())
def test_a_move_costs_what_a_filling_from_scratch_does(
    problem: Problem, data: st.DataObject
) -> None:
    roots, low, high, capacity = problem
    count = len(roots)
    movers = np.array(sorted(data.draw(st.sets(st.integers(0, count - 1), min_size=1))))
    rest = np.setdiff1d(np.arange(count), movers)
    crowd = Levels.of(roots[rest], low[rest], high[rest])
    filling = Filling(roots[movers], low[movers], high[movers], crowd, capacity)
    row = data.draw(st.integers(0, len(movers) - 1))
    other = data.draw(st.integers(0, count - 1))
    twin = (float(roots[other]), float(low[other]), float(high[other]))
    asked = filling.costs_after(np.array([row]), *(np.array([value]) for value in twin))[0]
    # Sums over everybody lose the digits that the largest term does not leave.
    slack = 1e-12 * math.fsum((roots[low > 0.0] ** 2 / low[low > 0.0]).tolist())
    for values, value in zip((roots, low, high), twin, strict=True):
        values[movers[row]] = value
    needed = math.fsum(low.tolist())
    moved = filling.moved(row, *twin)
    if needed > capacity:
        assert math.isinf(asked)
    elif needed < capacity * (1.0 - 1e-6):  # else rounding decides what is left
        scratch = cost_of(roots, filled(roots, low, high, capacity))
        assert asked == pytest.approx(scratch, rel=1e-6, abs=slack)
        assert moved.cost == pytest.approx(scratch, rel=1e-6, abs=slack)
