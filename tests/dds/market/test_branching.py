"""Branch and bound against looking at every choice: who of several large clients is served."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from dds.cut.pieces import Frontier
from dds.market.bound import dual_bound
from dds.market.branching import LOCAL, branched, on_pieces
from dds.market.client import Client
from dds.market.table import ClientTable


def knapsack(seed: int) -> tuple[list[Client], float]:
    """Clients of one size each, all of it or nothing: a knapsack of 10 cores."""
    rng = np.random.default_rng(seed)
    pieces = Frontier.from_points([(1.0, 0.0), (0.0, 1e-6)])
    sizes, values = rng.uniform(2.0, 5.0, 9), rng.uniform(1.0, 5.0, 9)
    people = [
        Client(pieces, value, size, size, f"{i}")
        for i, (size, value) in enumerate(zip(sizes.tolist(), values.tolist(), strict=True))
    ]
    return people, 10.0


@pytest.mark.parametrize("seed", range(8))
def test_the_best_knapsack_lies_between_bound_and_cost(seed: int) -> None:
    people, capacity = knapsack(seed)
    worth = [
        sum(c.value_of_time * (1.0 - 1e-6 / c.min_share) for c in packed)
        for count in range(5)
        for packed in itertools.combinations(people, count)
        if sum(c.min_share for c in packed) <= capacity
    ]
    best = sum(c.value_of_time for c in people) - max(worth)
    dual = dual_bound(people, capacity)
    found = branched(dual, capacity)
    assert math.fsum(found.shares.tolist()) <= capacity
    assert dual.value <= found.bound <= best * (1.0 + 1e-9)
    assert best * (1.0 - 1e-9) <= found.cost
    assert found.cost - found.bound <= 0.5 * (best - dual.value) or found.cost <= best * 1.01


def test_clients_on_pieces_are_what_the_table_says() -> None:
    frontier = Frontier.from_points([(1.0, 4.0), (3.0, 0.0)])
    table = ClientTable.of([Client(frontier, 4.0, 0.5, 9.0), Client(frontier, 2.0, 0.5, 1.0)])
    roots, low, high, waits = on_pieces(table, np.arange(2), np.array([0, LOCAL]), 2.0)
    assert roots.tolist() == [4.0, 0.0]
    assert (low.tolist(), high.tolist()) == ([0.5, 0.0], [2.0, 0.0])
    assert waits.tolist() == [4.0, 6.0]
