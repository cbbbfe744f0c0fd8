"""The dual bound against the convexified problem (cvxpy) and against random allocations."""

from __future__ import annotations

import math
from dataclasses import replace

import cvxpy
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dds.cut.pieces import Frontier
from dds.errors import Infeasible, InvalidInput
from dds.market.bound import dual_bound, ratio_of
from dds.market.client import Client
from dds.market.table import ClientTable
from dds.testing import clients

quick = settings(deadline=None, derandomize=True, max_examples=40)


def crowd(seed: int, count: int, *, bounded: bool) -> list[Client]:
    """Clients with three pieces each, one of them local-only."""
    rng = np.random.default_rng(seed)
    people = []
    for i in range(count):
        base = np.sort(rng.uniform(0.0, 2.0, 3))
        work = [*np.sort(rng.uniform(0.2, 2.0, 2))[::-1], 0.0]
        low = float(rng.choice([0.0, 0.5])) if bounded else 0.0
        high = low + float(rng.uniform(0.2, 2.0)) if bounded else math.inf
        points = list(zip(base.tolist(), work, strict=True))
        people.append(
            Client(Frontier.from_points(points), float(rng.gamma(2, 1)), low, high, f"{i}")
        )
    return people


def convexified(people: list[Client], capacity: float) -> float:
    """The least cost if clients may split their time between pieces: a convex program."""
    cost, sold, rules = [], [], []
    for client in people:
        w, parts = client.value_of_time, []
        for piece in client.frontier.pieces:
            part = cvxpy.Variable(nonneg=True)
            parts.append(part)
            cost.append(w * piece.base_latency * part)
            if piece.server_work > 0.0:
                if client.min_share > capacity:
                    rules.append(part == 0)
                    continue
                cores = cvxpy.Variable(nonneg=True)
                sold.append(cores)
                cost.append(w * piece.server_work * cvxpy.quad_over_lin(part, cores))
                rules.append(cores >= client.min_share * part)
                rules.append(cores <= min(client.max_share, capacity) * part)
        rules.append(sum(parts) == 1)
    problem = cvxpy.Problem(cvxpy.Minimize(sum(cost)), [*rules, sum(sold) <= capacity])
    problem.solve(solver=cvxpy.CLARABEL)
    return float(problem.value)


@pytest.mark.parametrize("bounded", [False, True])
@pytest.mark.parametrize(("seed", "capacity"), [(0, 0.7), (1, 2.0), (2, 6.0), (3, 0.6)])
def test_the_bound_is_the_convexified_optimum(seed: int, capacity: float, bounded: bool) -> None:
    people = crowd(seed, 6, bounded=bounded)
    found = dual_bound(people, capacity)
    assert found.value == pytest.approx(convexified(people, capacity), rel=1e-5)


@st.composite
def crowds(draw: st.DrawFn) -> tuple[list[Client], float]:
    people = [draw(clients(name=f"{i}")) for i in range(draw(st.integers(1, 5)))]
    return people, draw(st.sampled_from([0.5, 1.0, 3.0, 1e-6, 1e6]) | st.floats(0.1, 10.0))


@quick
@given(crowds(), st.integers(0, 2**32 - 1))
def test_no_allocation_is_below_the_bound(market: tuple[list[Client], float], seed: int) -> None:
    people, capacity = market
    try:
        found = dual_bound(people, capacity)
    except Infeasible:
        needed = [c.min_share for c in people if all(p.server_work for p in c.frontier.pieces)]
        assert math.fsum(needed) >= capacity * (1.0 - 1e-9)
        return
    rng = np.random.default_rng(seed)
    for _ in range(20):
        part = rng.dirichlet(np.full(len(people), 0.5)) * capacity
        cost = 0.0
        for client, most in zip(people, part.tolist(), strict=True):
            share = min(most, client.max_share)
            usable = share > 0.0 and share >= client.min_share
            waits = [
                piece.base_latency + (piece.server_work / share if piece.server_work else 0.0)
                for piece in client.frontier.pieces
                if usable or not piece.server_work
            ]
            cost += client.value_of_time * min(waits, default=math.inf)
        assert found.value <= cost * (1.0 + 1e-12)


@quick
@given(crowds(), st.sampled_from([1e-12, 1e12]))
def test_units_do_not_matter(market: tuple[list[Client], float], scale: float) -> None:
    """Credits scale the bound; cores, with the work, leave it as it is."""
    people, capacity = market
    try:
        found = dual_bound(people, capacity)
    except Infeasible:
        return
    slack = 1e-9 * (found.value + found.price * capacity)
    dear = [replace(c, value_of_time=c.value_of_time * scale) for c in people]
    scaled = dual_bound(dear, capacity).value / scale
    assert scaled == pytest.approx(found.value, abs=slack, rel=0.0)
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
    again = dual_bound(other, capacity * scale).value
    assert again == pytest.approx(found.value, abs=slack, rel=0.0)


def test_the_example_of_the_design() -> None:
    """A = (1, 0), W = (0, 1): the envelope of T leaves 1 along 1 - f/4, to 2 cores."""
    jumpy = Client(Frontier.from_points([(1.0, 0.0), (0.0, 1.0)]), 1.0, name="jumpy")
    assert dual_bound([jumpy, replace(jumpy, name="other")], 3.0).value == pytest.approx(
        1.25, rel=1e-9
    )
    assert dual_bound([jumpy], 4.0).value == pytest.approx(0.25, rel=1e-9)
    # Nobody has 2 of 1 core: on shares up to 1, T = 1 whatever it does.
    assert dual_bound([jumpy], 1.0).value == pytest.approx(1.0, rel=1e-9)


def test_nobody_counts_on_cores_that_others_must_have() -> None:
    """Of 3 cores 2 are spoken for, so the second client can never buy its min_share of 2."""
    stuck = Client(Frontier.from_points([(0.0, 1.0)]), 1.0, 2.0, 2.0, "stuck")
    wide = Client(Frontier.from_points([(9.0, 0.0), (0.0, 1.0)]), 1.0, 2.0, 3.0, "wide")
    found = dual_bound([stuck, wide], 3.0)
    assert found.value == pytest.approx(9.5, rel=1e-9)
    np.testing.assert_allclose(found.room, [3.0, 1.0], rtol=1e-9)


@pytest.mark.parametrize("capacity", [0, -1.0, math.inf, math.nan, True, "4", None])
def test_a_capacity_is_a_number_of_cores(capacity: float) -> None:
    jumpy = Client(Frontier.from_points([(1.0, 0.0), (0.0, 1.0)]), 1.0)
    with pytest.raises(InvalidInput, match="capacity is"):
        dual_bound([jumpy], capacity)


def test_wrong_clients_and_too_little_room_are_said() -> None:
    stuck = Client(Frontier.from_points([(0.0, 1.0)]), 1.0, 2.0, name="stuck")
    with pytest.raises(InvalidInput, match=r"clients\[0\] is str; need a Client"):
        dual_bound(["stuck"], 1.0)  # type: ignore[list-item]
    with pytest.raises(Infeasible, match="need 2 cores at least, and capacity is 1"):
        dual_bound([stuck], 1.0)
    with pytest.raises(InvalidInput, match="at least one"):
        dual_bound(ClientTable.of([]), 1.0)


def test_ratios_have_a_floor() -> None:
    assert [ratio_of(3.0, 2.0), ratio_of(1.0, 1.0 + 1e-12), ratio_of(0.0, 0.0)] == [1.5, 1.0, 1.0]
    assert math.isinf(ratio_of(1.0, 0.0))
