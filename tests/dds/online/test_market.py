"""The online market against fresh solves, after any history."""

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dds import Client, Flat, Frontier, Infeasible, InvalidInput, Linear, competitive, nash
from dds.market.table import ClientTable
from dds.online import Market
from dds.testing import assert_equilibrium
from dds.testing.markets import clients, tariffs

CLOSE = 1e-9


def plain(*points, value=1.0, low=0.0, high=math.inf):
    return Client(Frontier.from_points(points), value, low, high)


PHONE = plain((0.1, 1.0), (3.0, 0.0))
CAMERA = plain((0.2, 0.5), (4.0, 0.0), high=0.5)


def rows_of(found):
    columns = (found.shares, found.pieces, found.latencies, found.payments)
    return dict(
        zip(found.ids.tolist(), zip(*(c.tolist() for c in columns), strict=True), strict=True)
    )


def assert_same_as_fresh(market, members, solve):
    """Clearing equals a fresh solve of the members in order of id, or fails as it does."""
    if not members:
        assert market.clear().total == 0.0
        return
    players = list(members.values())
    try:
        fresh = solve(players, market.tariff, quantum=market.quantum)
    except Infeasible:
        with pytest.raises(Infeasible):
            market.clear()
        return
    cleared = market.clear()
    found = market.allocations()
    assert found.ids.tolist() == list(members)
    assert cleared.clients == len(market) == len(members)
    # Near a pole the price tells apart totals that are equal to rounding.
    steepness = market.tariff.slope_at(fresh.total) * fresh.total / max(fresh.price, 1e-300)
    rel = CLOSE + 4e-12 * steepness
    if cleared.price != pytest.approx(fresh.price, rel=rel, abs=1e-300):
        # Everybody is held at a bound and a range of prices clears: ours is the least.
        assert cleared.price < fresh.price
        assert market.demand_at(fresh.price) == pytest.approx(cleared.total, rel=1e-12)
    if cleared.tied and cleared.total != pytest.approx(fresh.total, rel=CLOSE, abs=1e-300):
        # Tied clients that fit to the last bit: rounding decides whether the solver serves the
        # last of them; an online market leaves a hair of room, so that it never oversells.
        sold = min(market.tariff.supply(fresh.price), market.tariff.capacity)
        assert fresh.total == pytest.approx(sold, rel=CLOSE)
        assert cleared.total < fresh.total
        return
    assert cleared.total == pytest.approx(fresh.total, rel=CLOSE, abs=1e-300)
    assert math.fsum(found.shares) == pytest.approx(cleared.total, rel=1e-12, abs=1e-300)
    np.testing.assert_allclose(found.shares, fresh.shares, rtol=CLOSE, atol=1e-12)
    np.testing.assert_allclose(found.latencies, fresh.latencies, rtol=CLOSE)
    np.testing.assert_allclose(found.payments, found.shares * cleared.price, rtol=1e-15)
    for one in found:
        assert market.allocation(one.id) == one


@st.composite
def histories(draw, least=1):
    """Joins of clients of a few kinds, leaves, updates and clearings."""
    kinds = draw(st.lists(clients(name="", max_min_share=0.01), min_size=1, max_size=4))
    operations = draw(
        st.lists(
            st.tuples(
                st.sampled_from(["join", "join", "join", "leave", "update", "clear", "many"]),
                st.integers(0, 10**6),
                st.integers(0, 3),
            ),
            min_size=draw(st.integers(least, max(least, 40))),
            max_size=200,
        )
    )
    return kinds, operations


def play(market, history, after_clear):
    """Apply a history to a market and to a plain dict of its members."""
    kinds, operations = history
    members = {}
    for what, number, kind in operations:
        client = kinds[kind % len(kinds)]
        chosen = list(members)[number % len(members)] if members else None
        revision = market.revision
        if what == "join" or chosen is None:
            members[market.join(client)] = client
        elif what == "many":
            several = [kinds[(kind + i) % len(kinds)] for i in range(number % 4)]
            members |= dict(zip(market.join_many(several), several, strict=True))
        elif what == "leave":
            market.leave(chosen)
            del members[chosen]
        elif what == "update":
            market.update(chosen, client)
            members[chosen] = client
        else:
            after_clear(members)
            continue
        assert market.revision == revision + (what != "many" or number % 4 > 0 or chosen is None)
    after_clear(members)
    return members


@given(histories(), tariffs())
@settings(max_examples=60, deadline=None)
def test_any_history_ends_where_a_fresh_solve_does(history, tariff):
    market = Market(tariff)
    play(market, history, lambda members: assert_same_as_fresh(market, members, competitive))


@given(histories(150), st.floats(0.05, 20.0))
@settings(max_examples=15, deadline=None)
def test_long_histories_of_a_clearing_market(history, capacity):
    market = Market(capacity)
    play(market, history, lambda members: assert_same_as_fresh(market, members, competitive))


@given(
    histories(),
    st.sampled_from([Linear(0.0, 0.5, 4.0), Flat(0.25, 2.0)]),
    st.sampled_from([None, Fraction(1, 10)]),
    st.sampled_from(["nash", "competitive"]),
)
@settings(max_examples=25, deadline=None)
def test_solved_markets_are_in_equilibrium_after_any_history(history, tariff, quantum, concept):
    kinds, operations = history
    history = kinds, operations[:15]
    market = Market(tariff, concept=concept, quantum=quantum)
    solve = competitive if concept == "competitive" else nash

    def check(members):
        players = list(members.values())
        if not players:
            return
        try:
            cleared = market.clear()
        except Infeasible:
            with pytest.raises(Infeasible):
                solve(players, tariff, quantum=quantum)
            return
        found = market.allocations()
        online = replace(
            solve(players, tariff, quantum=quantum),
            shares=found.shares,
            pieces=found.pieces,
            latencies=found.latencies,
            regret=np.zeros(len(players)),
            price=cleared.price,
            total=cleared.total,
        )
        assert_equilibrium(players, tariff, online, quantum)

    play(market, history, check)


@given(histories(), st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_changes_are_the_difference_of_full_allocations(history, back):
    market = Market(1.5)
    seen = []

    def remember(_):
        try:
            market.clear()
        except Infeasible:
            return
        seen.append((market.revision, rows_of(market.allocations())))

    play(market, history, remember)
    if not seen:
        return
    since, before = seen[-1 - back % len(seen)]
    now, changes = rows_of(market.allocations()), market.changes(since)
    assert rows_of(changes) == {i: row for i, row in now.items() if before.get(i) != row}
    assert changes.left.tolist() == sorted(before.keys() - now.keys())
    assert rows_of(market.changes(0)) == now


def test_a_clean_up_keeps_the_last_clearing_and_every_place_in_the_queue(monkeypatch):
    monkeypatch.setattr("dds.online.market.GARBAGE", 3)
    market = Market(1.2)
    members = {market.join(PHONE): PHONE for _ in range(6)}
    at = market.clear().revision
    before = rows_of(market.allocations())
    for i in (0, 3):
        market.update(i, CAMERA)
        market.update(i, PHONE)
    for i in (1, 2):
        market.leave(i)
        del members[i]
    assert rows_of(market.allocations()) == {i: before[i] for i in members}
    assert market.changes(at).left.tolist() == [1, 2]
    for _ in range(40):
        market.update(4, CAMERA)
        members[4] = CAMERA
        assert market.changes(at).left.tolist() == [1, 2]
    assert market._state.count < 30
    assert_same_as_fresh(market, members, competitive)
    assert market.join(PHONE) == 6


def test_forgotten_clearings_are_refused(monkeypatch):
    monkeypatch.setattr("dds.online.market.HISTORY", 4)
    market = Market(1.2)
    for _ in range(20):
        market.join(PHONE)
        market.clear()
    with pytest.raises(InvalidInput, match=r"since is 2; need a revision from \d+ to 40"):
        market.changes(2)
    assert market.changes(34).ids.tolist() == [17, 18, 19]
    with pytest.raises(InvalidInput, match="since is 41"):
        market.changes(41)


def test_identical_clients_are_served_in_order_of_id_also_after_an_update():
    market = Market(2.5)
    ids = [market.join(plain((0.0, 1.0), (1.0, 0.0))) for _ in range(3)]
    cleared = market.clear()
    assert (cleared.price, cleared.tied, cleared.served) == (0.25, 3, 1)
    assert [a.share for a in market.allocations()] == [2.0, 0.0, 0.0]
    market.update(ids[0], plain((0.0, 1.0), (1.0, 0.0)))
    market.clear()
    assert [a.share for a in market.allocations()] == [2.0, 0.0, 0.0]
    market.leave(ids[0])
    market.clear()
    assert [a.share for a in market.allocations()] == [2.0, 0.0]


def test_clients_that_cannot_be_served_lose_nothing():
    market = Market(1.0)
    first = market.join(plain((0.1, 1.0), low=0.7))
    market.clear()
    before = market.allocation(first)
    second = market.join(plain((0.1, 1.0), low=0.7))
    with pytest.raises(Infeasible, match=r"ask for 1\.4 cores at any price, and 1 may be sold"):
        market.clear()
    with pytest.raises(Infeasible):
        market.price_at(1.0)
    assert market.price_at(1.4) == pytest.approx(1.0 / 0.49)
    assert market.allocation(first) == before
    market.leave(second)
    assert market.clear().price == pytest.approx(1.0, rel=1e-15)


def test_demand_without_a_limit_is_infeasible():
    market = Market(Flat(0.0))
    market.join(PHONE)
    assert market.demand_at(0.0) == math.inf
    with pytest.raises(Infeasible, match="no limit at price 0"):
        market.clear()


@pytest.mark.parametrize("market", [Market(2.0), Market(Linear(0.0, 1.0), concept="nash")])
def test_questions_about_prices(market):
    market.join_many([PHONE, CAMERA])
    assert market.demand_at(1.69) == pytest.approx(0.5 + 1.0 / 1.3)
    for capacity in (0.3, 0.7):
        fresh = competitive([PHONE, CAMERA], capacity)
        assert market.price_at(capacity) == pytest.approx(fresh.price, rel=CLOSE)
    assert market.demand_at(0.0) == math.inf
    assert market.demand_at(1e9) == 0.0
    for bad in (0.0, math.nan, math.inf, -1.0, 1e300):
        with pytest.raises(InvalidInput, match="capacity is"):
            market.price_at(bad)
    for bad in (math.nan, math.inf, -1.0, 1e300):
        with pytest.raises(InvalidInput, match="price is"):
            market.demand_at(bad)


def test_an_empty_market_sells_nothing_at_the_least_price():
    for market in (Market(2.0), Market(Linear(0.5, 1.0), concept="nash"), Market(Flat(0.5))):
        least = 0.0 if market.tariff.kind == "clearing" else 0.5
        assert (market.clear().price, market.cleared.total, len(market)) == (least, 0.0, 0)
        assert len(market.allocations()) == len(market.changes(0)) == 0
        assert market.price_at(1.0) == market.demand_at(1.0) == 0.0


def test_clearing_again_without_a_change_is_the_same_clearing():
    market = Market(2.0)
    market.join(PHONE)
    assert market.clear() is market.clear()
    assert market.revision == 2


def test_what_is_refused_says_so_in_one_line():
    market = Market(2.0)
    known = market.join(PHONE)
    market.leave(known)
    for act in (
        lambda: market.leave(known),
        lambda: market.update(known, PHONE),
        lambda: market.allocation(known),
        lambda: market.leave(17),
        lambda: market.leave(-1),
    ):
        with pytest.raises(InvalidInput, match=r"^id -?\d+ is not in the market; [^\n]*$"):
            act()
    with pytest.raises(InvalidInput, match="need a dds"):
        market.join("phone")
    with pytest.raises(InvalidInput, match="need a dds"):
        market.join_many([PHONE, 3])
    revision = market.revision
    with pytest.raises(InvalidInput, match="use other units"):
        market.join(plain((0.1, 1e-200), (1.0, 0.0)))
    assert market.revision == revision
    with pytest.raises(InvalidInput, match="concept is"):
        Market(2.0, concept="social")
    late = market.join(PHONE)
    with pytest.raises(InvalidInput, match=f"id {late} has no allocation yet; call clear first"):
        market.allocation(late)


def test_a_table_joins_at_one_revision_and_deeper_clients_may_follow():
    market = Market(1.5)
    ids = market.join_many(ClientTable.of([PHONE, CAMERA]))
    assert (list(ids), market.revision) == ([0, 1], 1)
    deep = plain((0.1, 1.0), (0.3, 0.5), (0.5, 0.2), (0.9, 0.1), (2.0, 0.0))
    members = {0: PHONE, 1: CAMERA, market.join(deep): deep}
    assert_same_as_fresh(market, members, competitive)
    assert market.join_many([]) == range(3, 3)
    assert market.ids().tolist() == [0, 1, 2]


@given(histories(), tariffs())
@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_without_numba_the_answers_are_the_same(without_numba, history, tariff):
    kinds, operations = history
    market = Market(tariff)
    history = kinds, operations[:40]
    play(market, history, lambda members: assert_same_as_fresh(market, members, competitive))


def test_a_joining_client_never_lowers_the_price():
    rng = np.random.default_rng(7)
    market, last = Market(3.0), 0.0
    for _ in range(300):
        a, w = np.sort(rng.uniform(0.1, 2.0, 4)), np.sort(rng.uniform(0.01, 1.0, 4))[::-1]
        points = [*zip(a.tolist(), w.tolist(), strict=True), (3.0, 0.0)]
        market.join(
            plain(*points, value=float(rng.uniform(0.1, 9.0)), high=float(rng.uniform(1, 3)))
        )
        price = market.clear().price
        assert price >= last
        last = price
