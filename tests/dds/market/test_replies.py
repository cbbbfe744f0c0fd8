"""A table of clients answers as each of them would alone."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dds.market.document import Instance
from dds.market.numbers import to_quanta
from dds.market.replies import TOLERANCE, Quote, Replies, best_replies, respond_all
from dds.market.response import Bid, reconsider, respond
from dds.market.table import ClientTable
from dds.market.tariff import Clearing, Flat
from dds.testing import costs_in_quanta, markets, small_markets

quick = settings(deadline=None, derandomize=True, max_examples=50)


def row(replies: Replies, i: int) -> Bid:
    return Bid(float(replies.shares[i]), int(replies.pieces[i]), float(replies.costs[i]))


@quick
@given(
    markets(),
    st.floats(1e-3, 1e3),
    st.just(0.0) | st.floats(1e-3, 1e3),
    st.floats(0.25, 4.0),
    st.data(),
)
def test_everybody_answers_a_quote_as_if_alone(
    market: Instance, price: float, slope: float, load: float, data: st.DataObject
) -> None:
    count = len(market.clients)
    bounds = st.lists(st.sampled_from([0.0, 0.25, 1.0]), min_size=count, max_size=count)
    least = np.array(data.draw(bounds))
    quote = Quote(load, price, slope, least, least + 1.0)
    answers = respond_all(ClientTable.of(market.clients), quote, market.quantum)
    for i, client in enumerate(market.clients):
        alone = respond(client, quote.for_client(i), quantum=market.quantum)
        assert row(answers, i) == alone


@quick
@given(markets(), st.data())
def test_everybody_answers_a_probe_as_if_alone(market: Instance, data: st.DataObject) -> None:
    """Shares are random; others' demand leaves what a client must have."""
    table = ClientTable.of(market.clients)
    start = respond_all(table, Quote(market.tariff.capacity, 1.0, 0.0), market.quantum).shares
    others = np.array(
        [
            data.draw(st.sampled_from([0.0, 0.25, 0.5])) * market.tariff.capacity / 2.0
            for _ in market.clients
        ]
    )
    if market.quantum is not None:
        unit = float(market.quantum)
        others = to_quanta(others, market.quantum) * unit
    answers = best_replies(table, market.tariff, others, market.quantum, start)
    for i, client in enumerate(market.clients):
        alone = reconsider(
            client, market.tariff, float(start[i]), float(others[i]), quantum=market.quantum
        )
        assert row(answers, i) == alone


@quick
@given(small_markets(), st.sampled_from([Fraction(1, 4), Fraction(1), Fraction(5)]))
def test_many_answer_in_quanta_exactly(market: Instance, price: Fraction) -> None:
    """Against the cost of every multiple, in rationals; ties go to the smaller share."""
    quantum = market.quantum
    assert quantum is not None
    replies = respond_all(
        ClientTable.of(market.clients), Quote(math.inf, float(price), 0.0), quantum
    )
    for client, share in zip(market.clients, replies.shares.tolist(), strict=True):
        waits = costs_in_quanta(client, quantum)
        best = min(waits, key=lambda n: (waits[n] + n * quantum * price, n))
        assert round(Fraction(share) / quantum) == best


def test_a_quote_for_some_clients_keeps_their_bounds() -> None:
    quote = Quote(2.0, 1.0, 0.5, np.array([0.0, 0.5, 1.0]), 3.0)
    some = quote.for_rows(np.array([2, 0]))
    assert isinstance(some.at_least, np.ndarray)
    assert some.at_least.tolist() == [1.0, 0.0]
    assert some.at_most == 3.0
    one = quote.for_client(1)
    assert (one.load, one.price, one.slope, one.at_least, one.at_most) == (2.0, 1.0, 0.5, 0.5, 3.0)


def test_staying_is_worth_a_billionth_of_ones_cost() -> None:
    """Without it rounding would keep everybody moving for ever."""
    table = ClientTable.from_arrays([[0.0]], [[1.0]], 1.0)
    best = 1.0  # at price 1 the cost is 2, and a share off by h costs h^2 more
    for off, stays in ((0.5 * math.sqrt(TOLERANCE), True), (4.0 * math.sqrt(TOLERANCE), False)):
        here = np.array([best + off])
        answer = best_replies(table, Flat(1.0), np.zeros(1), None, here)
        assert (float(answer.shares[0]) == float(here[0])) is stays


def test_no_clients_answer_nothing() -> None:
    nobody = ClientTable.from_arrays(np.zeros((2, 0)), np.zeros((2, 0)), np.zeros(0))
    assert respond_all(nobody, Quote(1.0, 1.0, 0.0)).shares.shape == (0,)
    assert best_replies(nobody, Clearing(1.0), np.zeros(0)).shares.shape == (0,)
