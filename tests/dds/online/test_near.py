"""A Nash market cleared near its last equilibrium: against the definition, and a fresh solve."""

from __future__ import annotations

import numpy as np
import pytest

from dds.market.equilibrium import nash
from dds.market.replies import best_replies
from dds.market.table import ClientTable
from dds.market.tariff import Barrier, Linear, Power
from dds.market.tariff_base import Tariff
from dds.online import Market, near

COUNT = 400
TARIFFS = [
    Linear(0.1, 10.0 / COUNT),
    Linear(0.0, 1e-3, 0.02 * COUNT),
    Barrier(0.3, 0.1 * COUNT),
    Power(0.1, 8.0 / COUNT**2, 2),
]


def drawn(rng: np.random.Generator, count: int) -> ClientTable:
    """Clients with four ways to offload, every third with a largest share."""
    local = rng.lognormal(0.0, 0.5, count)
    work = np.sort(rng.random((4, count)), axis=0)[::-1] * local
    base = np.sort(rng.random((4, count)), axis=0) * local
    return ClientTable.from_arrays(
        np.vstack((base, local)),
        np.vstack((work, np.zeros(count))),
        rng.lognormal(0.0, 0.5, count),
        max_share=np.where(np.arange(count) % 3 == 0, 0.4, np.inf),
    )


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let few clients be many."""
    monkeypatch.setattr(near, "MANY", 100)


def in_equilibrium(market: Market, table: ClientTable) -> None:
    """Nobody gains more than 1e-9 of its cost by moving alone."""
    held = market.allocations()
    cleared = market.cleared
    assert cleared is not None
    assert cleared.total == pytest.approx(held.shares.sum(), rel=1e-12)
    price = market.tariff.price_at(held.shares.sum())
    assert cleared.price == pytest.approx(price, rel=1e-9)
    cost = table.value * held.latencies + held.payments
    best = best_replies(table, market.tariff, held.shares.sum() - held.shares).costs
    assert np.all(cost <= best * (1.0 + 1e-9))


@pytest.mark.parametrize("tariff", TARIFFS, ids=lambda t: type(t).__name__)
def test_after_any_join_leave_and_update_nobody_gains(tariff: Tariff) -> None:
    rng = np.random.default_rng(8)
    table, others = drawn(rng, COUNT), drawn(rng, 60)
    market = Market(tariff, concept="nash")
    clients = {id: table.client(id) for id in market.join_many(table)}  # noqa: A001
    market.clear()
    close = 0
    for step in range(36):
        client, old = others.client(step), int(rng.choice(list(clients)))
        if step % 3 == 0:
            clients[market.join(client)] = client
        elif step % 3 == 1:
            market.leave(old)
            del clients[old]
        else:
            market.update(old, client)
            clients[old] = client
        cleared = market.clear()
        record = market._state.last
        assert record is not None
        close += record.quote is not None
        if step % 6:
            continue
        now = ClientTable.of(list(clients.values())).take(np.arange(len(clients)))
        in_equilibrium(market, now)
        assert cleared.price == pytest.approx(nash(now, tariff).price, rel=2e-2)
    assert close > 18


def test_what_a_near_clearing_gave_is_read_in_every_way() -> None:
    rng = np.random.default_rng(2)
    market = Market(TARIFFS[0], concept="nash")
    market.join_many(drawn(rng, COUNT))
    market.clear()
    before = market.revision
    new = drawn(rng, 3)
    ids = [market.join(new.client(i)) for i in range(3)]
    cleared = market.clear()
    record = market._state.last
    assert record is not None
    assert record.quote is not None
    assert len(record.rows) < COUNT / 2
    held = market.allocations()
    for id in (*ids, 0, 17):  # noqa: A001
        place = int(np.searchsorted(held.ids, id))
        assert market.allocation(id).share == pytest.approx(held.shares[place], rel=1e-12)
    changed = market.changes(before)
    assert set(ids) <= set(changed.ids.tolist())
    again = Market.from_bytes(market.to_bytes())
    assert again.cleared == cleared
    np.testing.assert_allclose(again.allocations().shares, held.shares, rtol=1e-12)
    again.leave(ids[0])
    market.leave(ids[0])
    assert again.clear().price == pytest.approx(market.clear().price, rel=1e-6)


def test_a_newcomer_that_shakes_the_market_is_solved_for() -> None:
    rng = np.random.default_rng(4)
    table = drawn(rng, COUNT)
    market = Market(TARIFFS[0], concept="nash")
    market.join_many(table)
    market.clear()
    giant = ClientTable.from_arrays(
        np.array([[0.1], [50.0]]), np.array([[40.0], [0.0]]), np.array([50.0])
    )
    market.join(giant.client(0))
    market.clear()
    record = market._state.last
    assert record is not None
    assert record.quote is None
    clients = [table.client(i) for i in range(COUNT)] + [giant.client(0)]
    in_equilibrium(market, ClientTable.of(clients))


def test_many_changes_make_a_new_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near, "MOST", 5)
    rng = np.random.default_rng(6)
    table, others = drawn(rng, COUNT), drawn(rng, 20)
    market = Market(TARIFFS[0], concept="nash")
    market.join_many(table)
    market.clear()
    for i in range(20):
        market.join(others.client(i))
        market.clear()
        assert len(market._changed.joined) <= 6
    clients = [t.client(i) for t, n in ((table, COUNT), (others, 20)) for i in range(n)]
    in_equilibrium(market, ClientTable.of(clients))
