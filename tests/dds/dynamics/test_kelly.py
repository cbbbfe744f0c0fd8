"""Kelly's mechanism: bids against a search over all bids, and what is known by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import scipy.optimize
from hypothesis import given, settings
from hypothesis import strategies as st

from dds.cut.pieces import Frontier
from dds.dynamics import Kelly, cycling_market, kelly
from dds.errors import Infeasible, InvalidInput
from dds.market.client import Client
from dds.market.equilibrium import competitive
from dds.testing import frontiers

quick = settings(deadline=None, derandomize=True, max_examples=30)

SIZES = st.floats(0.1, 10.0)


@st.composite
def crowds(draw: st.DrawFn, *, single: bool) -> list[Client]:
    people = []
    for i in range(draw(st.integers(2, 5))):
        pieces = (
            Frontier.from_points([(draw(SIZES), draw(SIZES))])
            if single
            else draw(frontiers(max_pieces=3))
        )
        people.append(Client(pieces, draw(SIZES), name=f"{i}"))
    return people


def cheapest_bid(client: Client, others: float, capacity: float) -> float:
    """The least ``w T + b`` over all bids, by a search on each piece, where it is convex."""
    found = []
    for piece in client.frontier.pieces:
        w, base, work = client.value_of_time, piece.base_latency, piece.server_work
        if not work:
            found.append(w * base)
            continue

        def cost(log_bid: float, w: float = w, base: float = base, work: float = work) -> float:
            bid = math.exp(log_bid)
            share = capacity * bid / (bid + others)
            within = min(max(share, client.min_share), client.max_share)
            bid = others * within / (capacity - within) if within < capacity else math.inf
            return w * (base + work / within) + bid

        best = scipy.optimize.minimize_scalar(
            cost, bounds=(-60.0, 60.0), method="bounded", options={"xatol": 1e-12, "maxiter": 500}
        )
        found.append(float(best.fun))
    return min(found)


def assert_right_about_itself(people: list[Client], found: Kelly) -> None:
    """Shares follow the rule, and no regret is smaller than what a search over bids finds."""
    total = math.fsum(found.bids.tolist())
    assert found.price == pytest.approx(total / found.capacity)
    for i, client in enumerate(people):
        share, bid = float(found.shares[i]), float(found.bids[i])
        assert share == pytest.approx(min(found.capacity * bid / total, client.max_share))
        own = client.value_of_time * float(found.latencies[i]) + bid
        saved = own - cheapest_bid(client, total - bid, found.capacity)
        assert saved <= found.regret[i] + 1e-6 * own


@quick
@given(crowds(single=True), SIZES)
def test_with_one_piece_each_it_is_an_equilibrium(people: list[Client], capacity: float) -> None:
    """Johari and Tsitsiklis: exists and is unique for two clients or more."""
    found = kelly(people, capacity)
    assert_right_about_itself(people, found)
    costs = np.array([c.value_of_time for c in people]) * found.latencies + found.bids
    assert np.all(found.regret <= 1e-7 * costs)
    assert math.fsum(found.shares.tolist()) == pytest.approx(capacity, rel=1e-9)


@quick
@given(crowds(single=False), SIZES)
def test_with_frontiers_it_says_what_is_regretted(people: list[Client], capacity: float) -> None:
    try:
        found = kelly(people, capacity)
    except Infeasible:
        return  # see the tests of a client that bids alone
    if found.price > 0.0:
        assert_right_about_itself(people, found)


@pytest.mark.parametrize("count", [2, 3, 10, 100])
def test_equal_clients_bid_n_minus_1_over_n_squared_as_worked_by_hand(count: int) -> None:
    """b^2 = (w W / C) (N b - b), so b = (w W / C) (N - 1), and everybody has C / N."""
    twin = Client(Frontier.from_points([(0.5, 3.0)]), 2.0)
    found = kelly([replace(twin, name=f"{i}") for i in range(count)], 4.0)
    np.testing.assert_allclose(found.bids, 6.0 / 4.0 * (count - 1), rtol=1e-9)
    np.testing.assert_allclose(found.shares, 4.0 / count, rtol=1e-9)
    assert found.max_regret <= 1e-9 * found.bids[0]


@quick
@given(crowds(single=True), SIZES)
def test_price_takers_are_where_the_market_is(people: list[Client], capacity: float) -> None:
    found = kelly(people, capacity, anticipating=False)
    market = competitive(people, capacity)
    np.testing.assert_allclose(found.shares, market.shares, rtol=1e-6)
    assert found.price == pytest.approx(market.price, rel=1e-6)
    costs = market.table.value * market.latencies + market.payments
    assert np.all(found.regret <= 1e-7 * costs)


def test_those_who_anticipate_bid_less() -> None:
    people = [Client(Frontier.from_points([(0.0, 1.0)]), float(v), name=f"{v}") for v in (1, 2, 8)]
    clever, taking = kelly(people, 1.0), kelly(people, 1.0, anticipating=False)
    assert clever.price < taking.price
    assert clever.shares[2] < taking.shares[2]  # the largest shades its bid most


def test_the_cycling_market_has_no_equilibrium_of_bids() -> None:
    """Two bid 1/2 each: a third gains 2 - 1/2 - sqrt(2).  Three bid 1 each, at 2.5 > 2.

    On the only piece b^2 = (P - b) / 2 for everybody who bids, so bidders bid the same: there
    are no other profiles to look at.
    """
    clients, _ = cycling_market()
    found = kelly(clients, 1.0)
    assert np.count_nonzero(found.bids) == 2
    np.testing.assert_allclose(found.bids[found.bids > 0.0], 0.5, rtol=1e-6)
    assert found.max_regret == pytest.approx(1.5 - math.sqrt(2.0), rel=1e-6)


def test_of_four_equal_clients_two_bid_and_two_stay_local() -> None:
    """With m bidders each bears m - 1/2; another would bear 1/2 + sqrt(m (m - 1)); local is 1.7."""
    pieces = Frontier.from_points([(0.0, 0.5), (1.7, 0.0)])
    found = kelly([Client(pieces, 1.0, name=f"{i}") for i in range(4)], 1.0)
    assert np.count_nonzero(found.bids) == 2
    assert found.max_regret <= 1e-9


def test_where_nobody_can_stand_a_neighbour_there_is_no_equilibrium() -> None:
    """Two bidders bear 1.5 each, and local is 1.2; one bidder alone would bid less and less."""
    pieces = Frontier.from_points([(0.0, 0.5), (1.2, 0.0)])
    found = kelly([Client(pieces, 1.0, name=f"{i}") for i in range(4)], 1.0)
    assert found.max_regret > 0.1


def test_where_one_alone_would_offload_it_has_no_best_bid() -> None:
    """The whole core gives the second 3 s, and local 2 s."""
    fast = Client(Frontier.from_points([(0.0, 1.0), (2.0, 0.0)]), 1.0, name="fast")
    slow = Client(Frontier.from_points([(0.0, 3.0), (2.0, 0.0)]), 1.0, name="slow")
    with pytest.raises(Infeasible, match="alone has no best bid"):
        kelly([fast, slow], 1.0)


def test_where_there_is_plenty_nobody_bids() -> None:
    twin = Client(Frontier.from_points([(1.0, 0.0), (0.0, 1.0)]), 1.0, 0.0, 2.0)
    for anticipating in (True, False):
        found = kelly([twin, replace(twin, name="other")], 9.0, anticipating=anticipating)
        assert found.bids.tolist() == [0.0, 0.0]
        assert found.shares.tolist() == [2.0, 2.0]
        assert found.max_regret == 0.0


def test_one_that_bids_alone_has_no_best_bid() -> None:
    alone = Client(Frontier.from_points([(0.0, 1.0)]), 1.0)
    with pytest.raises(Infeasible, match="alone has no best bid"):
        kelly([alone], 1.0)


def test_who_must_offload_and_does_not_fit_is_said() -> None:
    stuck = Client(Frontier.from_points([(0.0, 1.0)]), 1.0, 2.0)
    with pytest.raises(Infeasible):
        kelly([stuck], 1.0)
    with pytest.raises(InvalidInput, match="capacity is"):
        kelly([stuck], -1.0)
