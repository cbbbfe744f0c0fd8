"""Readers in other threads see whole revisions and never wait for the writer."""

import math
import threading

import numpy as np
import pytest

from dds import Client, Frontier
from dds.online import Market


def client(value):
    return Client(Frontier.from_points([(0.1, 1.0), (0.3, 0.4), (2.0, 0.0)]), value, 0.0, 1.5)


@pytest.fixture
def small_limits(monkeypatch):
    """Let growth, clean-ups and forgetting happen within a few hundred steps."""
    monkeypatch.setattr("dds.online.market.GARBAGE", 8)
    monkeypatch.setattr("dds.online.market.HISTORY", 8)


def read(market, stop, failures):
    """Check whatever must hold of any one revision."""
    last, capacity = 0, market.tariff.capacity
    try:
        while not stop.is_set():
            revision = market.revision
            found = market.allocations()
            assert revision >= last
            assert found.revision >= revision
            last = found.revision
            assert np.all(np.diff(found.ids) > 0)
            assert math.fsum(found.shares) <= capacity * (1.0 + 1e-12)
            prices = (found.payments / np.where(found.shares > 0, found.shares, 1.0))[
                found.shares > 0
            ]
            assert len(prices) == 0 or np.ptp(prices) <= 1e-12 * prices[0]
            cleared = market.cleared
            if cleared is not None:
                changes = market.changes(max(cleared.revision, market.revision - 1))
                assert len(changes) <= len(found) + 50
            price = market.price_at(capacity)
            assert price >= 0.0
            assert market.demand_at(4.0) >= 0.0
    except BaseException as error:  # a thread's failure must reach the test
        failures.append(error)
        raise


def test_readers_see_only_whole_revisions(small_limits):
    market = Market(5.0)
    rng = np.random.default_rng(11)
    stop, failures = threading.Event(), []
    readers = [threading.Thread(target=read, args=(market, stop, failures)) for _ in range(3)]
    for reader in readers:
        reader.start()
    ids = []
    try:
        for step in range(600):
            if len(ids) < 30 or rng.random() < 0.4:
                ids.append(market.join(client(float(rng.uniform(0.5, 2.0)))))
            elif rng.random() < 0.5:
                market.leave(ids.pop(int(rng.integers(len(ids)))))
            else:
                market.update(
                    ids[int(rng.integers(len(ids)))], client(float(rng.uniform(0.5, 2.0)))
                )
            if step % 2:
                market.clear()
    finally:
        stop.set()
        for reader in readers:
            reader.join()
    assert not failures
    assert len(market) == len(ids)


def test_writers_take_turns():
    market = Market(5.0)
    taken = [[] for _ in range(4)]

    def write(mine):
        for _ in range(50):
            mine.append(market.join(client(1.0)))
            market.clear()

    writers = [threading.Thread(target=write, args=(mine,)) for mine in taken]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert sorted(i for mine in taken for i in mine) == list(range(200))
    assert all(mine == sorted(mine) for mine in taken)
    assert market.clear().clients == 200


def test_readers_do_not_wait_for_a_writer():
    market = Market(5.0)
    one = market.join(client(1.0))
    market.clear()
    with market._lock:  # a writer at work
        assert market.allocation(one).share > 0.0
        assert market.price_at(0.5) > 0.0
        assert market.demand_at(1.0) > 0.0
        assert len(market.changes(0)) == len(market.allocations()) == 1
        assert Market.from_bytes(market.to_bytes()).revision == 2


def test_a_reader_in_the_middle_of_a_leave_sees_the_client():
    market = Market(5.0)
    ids = market.join_many([client(1.0), client(2.0)])
    market.clear()
    state = market._state
    state.rows.close(0, state.revision + 1)  # what leave writes before it publishes
    again = Market.from_bytes(market.to_bytes())
    assert list(again.ids()) == list(market.ids()) == list(ids)
    again.leave(ids[0])


def test_a_reader_in_the_middle_of_growth_sees_whole_pieces():
    market = Market(5.0)
    first, _ = market.join_many([client(1.0), client(2.0)])
    market.clear()
    shares, rows = market.allocations().shares, market._state.rows
    rows.base = np.vstack([rows.base, np.full_like(rows.base, math.inf)])  # and work is to come
    assert np.array_equal(market.allocations().shares, shares)
    assert market.allocation(first).share == shares[0]
    assert len(Market.from_bytes(market.to_bytes())) == 2
