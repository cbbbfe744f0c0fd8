"""The lower bound on the total cost, against every profile, and tight where clients are many."""

from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dds.cut.pieces import Frontier
from dds.errors import Infeasible, InvalidInput
from dds.market.client import Client
from dds.market.table import ClientTable
from dds.pool import Measured, Pool, pooled, total_bound


@settings(deadline=None, max_examples=80, derandomize=True)
@given(st.data())
def test_no_profile_is_below(games: ModuleType, data: st.DataObject) -> None:
    instance = data.draw(games.pools())
    try:
        found = pooled(instance.clients, instance.server)
    except Infeasible:
        return
    bound = total_bound(found, gap=0.0, intervals=data.draw(st.sampled_from([0, 1, 20])))
    costs = [c for p in games.profiles(instance) if (c := games.total(instance, p)) is not None]
    assert bound <= min(costs)


@pytest.mark.parametrize("measured", [False, True])
def test_many_clients_are_almost_convex(measured: bool) -> None:
    """Within 0.5 % of any choice of pieces: the equilibrium is good, and the bound knows."""
    rng = np.random.default_rng(3)
    base = np.vstack((rng.uniform(0.01, 0.1, (2, 150)), rng.uniform(0.3, 2.0, 150)))
    work = np.vstack((rng.uniform(0.05, 0.4, (2, 150)), np.zeros(150)))
    table = ClientTable.from_arrays(base, work, rng.uniform(0.1, 3.0, 150), rate=0.5)
    curve = Measured((0.0, 0.3, 0.35, 0.8, 0.95), (1.0, 1.0, 1.5, 1.6, 9.0)) if measured else None
    found = pooled(table, Pool(6) if curve is None else Pool(6, curve))
    bound = total_bound(found)
    assert bound <= found.cost <= 1.005 * bound


def test_more_intervals_are_never_worse() -> None:
    pieces = Frontier.from_points([(0.1, 0.5), (0.4, 0.2), (1.0, 0.0)])
    found = pooled([Client(pieces, 1.0, rate=0.5) for _ in range(12)], Pool(2))
    bounds = [total_bound(found, gap=0.0, intervals=n) for n in (0, 1, 4, 16, 64)]
    assert bounds == sorted(bounds)
    assert bounds[0] < bounds[-1]


def test_nobody_offloads_then_there_is_no_gap() -> None:
    found = pooled([Client(Frontier.from_points([(0.3, 0.0)]), 2.0)], Pool(1))
    assert total_bound(found) == pytest.approx(0.6, rel=1e-12)
    with pytest.raises(InvalidInput, match="gap is nan"):
        total_bound(found, gap=float("nan"))
