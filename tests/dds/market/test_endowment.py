"""Tradable endowments: nobody below an equal reserved share, money only from cores unsold."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dds.cut.pieces import Frontier
from dds.errors import Infeasible, InvalidInput
from dds.market.client import Client
from dds.market.endowment import endowed
from dds.market.table import ClientTable
from dds.testing import clients

quick = settings(deadline=None, derandomize=True, max_examples=80)


@st.composite
def crowds(draw: st.DrawFn) -> tuple[list[Client], float]:
    people = [draw(clients(name=f"{i}")) for i in range(draw(st.integers(1, 5)))]
    return people, draw(st.sampled_from([0.5, 1.0, 3.0, 1e-6, 1e6]) | st.floats(0.1, 10.0))


def reserved(client: Client, own: float) -> float:
    """w T with ``own`` cores of its own, of which it may leave some idle, by definition."""
    share = min(own, client.max_share)
    waits = [
        piece.base_latency + (piece.server_work / share if piece.server_work else 0.0)
        for piece in client.frontier.pieces
        if not piece.server_work or (share >= client.min_share and share > 0.0)
    ]
    return client.value_of_time * min(waits, default=math.inf)


@quick
@given(crowds())
def test_nobody_is_worse_off_than_with_an_equal_share(market: tuple[list[Client], float]) -> None:
    people, capacity = market
    try:
        found = endowed(people, capacity)
    except Infeasible:
        return
    own = capacity / len(people)
    assert found.endowment == own
    for i, client in enumerate(people):
        bears = client.value_of_time * found.latencies[i] + found.payments[i]
        assert found.payments[i] == pytest.approx(found.price * (found.shares[i] - own))
        alone = reserved(client, own)
        assert bears <= alone + 1e-9 * (abs(alone) + found.price * own)
        if math.isfinite(alone):
            assert client.value_of_time * found.equal[i] == pytest.approx(alone)
            assert found.gains[i] >= -1e-9 * (alone + found.price * own)
        else:
            assert math.isinf(found.equal[i])


@quick
@given(crowds())
def test_the_payments_add_up_to_what_nobody_bought(market: tuple[list[Client], float]) -> None:
    people, capacity = market
    try:
        found = endowed(people, capacity)
    except Infeasible:
        return
    total = math.fsum(found.payments.tolist())
    slack = 1e-9 * found.price * capacity
    assert total == pytest.approx(-found.price * found.unsold, abs=slack, rel=0.0)
    assert found.subsidy == found.price * found.unsold
    assert 0.0 <= found.unsold <= capacity


def test_worked_by_hand() -> None:
    """w W = 1 and 4 of 3 cores: shares 1 and 2, p = 1; each owns 1.5."""
    pieces = Frontier.from_points([(0.0, 1.0)])
    people = [Client(pieces, 1.0, name="a"), Client(pieces, 4.0, name="b")]
    found = endowed(ClientTable.of(people), 3.0)
    np.testing.assert_allclose(found.shares, [1.0, 2.0])
    np.testing.assert_allclose(found.payments, [-0.5, 0.5])
    np.testing.assert_allclose(found.gains, [2.0 / 3.0 - 0.5, 8.0 / 3.0 - 2.5])
    assert found.unsold == pytest.approx(0.0, abs=1e-9)


def test_where_demand_jumps_the_operator_pays_for_the_rest() -> None:
    """One client that wants 2 cores or none owns the only core: it sells it to nobody at 1/4."""
    jumpy = Client(Frontier.from_points([(1.0, 0.0), (0.0, 1.0)]), 1.0)
    found = endowed([jumpy], 1.0)
    assert found.shares.tolist() == [0.0]
    assert found.subsidy == pytest.approx(0.25)
    assert found.gains[0] == pytest.approx(0.25)


def test_it_costs_nothing_where_there_is_plenty() -> None:
    jumpy = Client(Frontier.from_points([(1.0, 0.0), (0.0, 1.0)]), 1.0, 0.0, 2.0)
    found = endowed([jumpy, jumpy], 100.0)
    assert found.price == 0.0
    assert found.payments.tolist() == [0.0, 0.0]
    assert found.subsidy == 0.0


def test_a_wrong_capacity_is_said() -> None:
    with pytest.raises(InvalidInput, match="capacity is"):
        endowed([Client(Frontier.from_points([(1.0, 0.0)]), 1.0)], -1.0)
