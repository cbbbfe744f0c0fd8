"""A client's walk against dense search, and its three implementations against each other."""

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dds.market.replies import BOUNDLESS, Quote, respond_all
from dds.market.table import ClientTable
from dds.online.walk import Bids, shares_at, walk
from dds.testing.markets import clients

NAMES = ("at", "before", "after", "row")


def bids_of(table):
    return Bids(table.base, table.work, table.value, table.low, table.high, table.local_base)


def cost(client, share, price):
    return client.value_of_time * client.frontier.latency(share) + share * price


@given(clients(name="", max_pieces=6), st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=20))
@settings(max_examples=120, deadline=None)
def test_the_walk_answers_every_price_as_well_as_a_dense_search_can(client, prices):
    bids = bids_of(ClientTable.of([client]))
    can_stay = any(piece.server_work == 0.0 for piece in client.frontier.pieces)
    for price in prices:
        share = float(shares_at(bids, np.array([0]), math.sqrt(price))[0])
        own = cost(client, share, price)
        grid = np.geomspace(max(client.min_share, 1e-9), min(client.max_share, 1e12), 400)
        options = [*grid.tolist(), *([0.0] if can_stay else [])]
        assert share in (0.0, client.min_share) or client.min_share <= share <= client.max_share
        assert own <= min(cost(client, f, price) for f in options) * (1.0 + 1e-12)
        quoted = respond_all(ClientTable.of([client]), Quote(BOUNDLESS, price, 0.0))
        assert own <= float(quoted.costs[0]) * (1.0 + 1e-12)


@given(clients(name="", max_pieces=6))
@settings(max_examples=120, deadline=None)
def test_events_form_a_chain_of_falling_demand(client):
    events = walk(bids_of(ClientTable.of([client])), 0, 1)
    assert np.all(np.diff(events.at) > 0.0)
    if not len(events.at):
        return
    assert (events.at[0], events.before[0]) == (0.0, 0.0)
    assert np.array_equal(events.after[:-1], events.before[1:])
    for s, before, after in zip(events.at[1:], events.before[1:], events.after[1:], strict=True):
        larger, smaller = (own / s if own > 0.0 else -own for own in (before, after))
        assert smaller <= larger * (1.0 + 1e-12)


def crowd(count, depth=6, seed=3):
    rng = np.random.default_rng(seed)
    base = np.sort(
        rng.choice([0.0, 0.25, 0.5, 1.0, 2.0, *rng.uniform(0.01, 2.0, 20)], (depth, count)), 0
    )
    work = -np.sort(-rng.choice([0.25, 0.5, 1.0, *rng.uniform(0.01, 2.0, 20)], (depth, count)), 0)
    work[-1, rng.random(count) < 0.7] = 0.0
    low = np.where(rng.random(count) < 0.5, 0.0, rng.uniform(0.1, 0.5, count))
    high = np.where(rng.random(count) < 0.4, math.inf, low + rng.choice([0.0, 0.5, 2.0], count))
    high = np.maximum(high, 0.01)
    return ClientTable.from_arrays(
        base, work, rng.uniform(0.1, 10.0, count), min_share=low, max_share=high
    )


def test_numpy_plain_python_and_numba_give_the_same_bits(request):
    bids = bids_of(crowd(2000))
    compiled = walk(bids, 0, 2000)
    rows = np.arange(1999, -1, -1)
    shares = {s: shares_at(bids, rows, s) for s in (0.0, 0.3, 1.0, 7.0)}
    request.getfixturevalue("without_numba")
    together = walk(bids, 0, 2000)
    for name in NAMES:
        assert np.array_equal(getattr(compiled, name), getattr(together, name))
    for row in range(0, 2000, 20):
        alone, part = walk(bids, row, row + 1), compiled.where(compiled.row == row)
        assert all(np.array_equal(getattr(alone, name), getattr(part, name)) for name in NAMES)
    for s, expected in shares.items():
        assert np.array_equal(shares_at(bids, rows, s), expected)
        assert np.array_equal(shares_at(bids, rows[:1], s), expected[:1])
