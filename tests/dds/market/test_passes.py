"""Passes over a table: against the definition of an answer, and compiled against numpy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dds.market.client import Client
from dds.market.passes import LOCAL, UNSURE, answer_all, enclose, root_totals, standing
from dds.market.replies import Quote, respond_all
from dds.market.table import ClientTable
from dds.testing.markets import clients

tables = st.lists(clients(), min_size=1, max_size=6).map(ClientTable.of)
prices = st.sampled_from([0.0, 0.25, 1.0]) | st.floats(1e-4, 1e4)
slopes = st.sampled_from([0.0, 1.0]) | st.floats(1e-6, 1e6)
loads = st.sampled_from([1e100, 0.75, 2.0])
per_engine = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def costs(table: ClientTable, shares: np.ndarray, quote: Quote) -> np.ndarray:
    """``w T(f) + price f + slope f^2 / 2``, by the table's latencies."""
    paid = (quote.price + quote.slope * shares / 2.0) * shares
    return np.asarray(table.value * table.latencies(shares)[0] + paid)


@pytest.mark.usefixtures("engine")
@per_engine
@given(tables, prices, slopes, loads)
def test_everybody_answers_with_a_cheapest_share(
    table: ClientTable, price: float, slope: float, load: float
) -> None:
    if price == slope == 0.0:
        slope = 1.0
    quote = Quote(load, price, slope)
    found, known = answer_all(table, quote), respond_all(table, quote)
    allowed = np.isfinite(known.costs)
    np.testing.assert_allclose(
        costs(table, found.shares, quote)[allowed], known.costs[allowed], rtol=1e-12
    )
    np.testing.assert_array_equal(found.shares[~allowed], known.shares[~allowed])
    modes = found.modes
    assert np.array_equal(modes == LOCAL, found.shares == 0.0)
    held = (modes >= 0) & (modes & 3 > 0) & allowed
    ends = np.minimum(table.high, load)
    assert np.all((found.shares == table.low)[held] | (found.shares == ends)[held])


@pytest.mark.usefixtures("engine")
@per_engine
@given(tables, prices, slopes, st.floats(1.0, 3.0), st.floats(1.0, 3.0), st.data())
def test_who_is_enclosed_answers_in_one_way_throughout(
    table: ClientTable, price: float, slope: float, more: float, steeper: float, data: st.DataObject
) -> None:
    price = price or 0.5
    low, high = Quote(1e100, price, slope), Quote(1e100, price * more, slope * steeper)
    found = enclose(table, low, high)
    sure = found.modes != UNSURE
    at, also = data.draw(st.floats(0.0, 1.0)), data.draw(st.floats(0.0, 1.0))
    quote = Quote(
        1e100,
        low.price + at * (high.price - low.price),
        low.slope + also * (high.slope - low.slope),
    )
    shares = found.shares(quote)
    assert np.all(shares[~sure] == 0.0)
    filled = np.where(sure, shares, answer_all(table, quote).shares)
    best = respond_all(table, quote).costs
    np.testing.assert_allclose(costs(table, filled, quote), best, rtol=1e-12)


@pytest.mark.usefixtures("engine")
def test_a_narrow_zone_encloses_nearly_everybody(crowded: ClientTable) -> None:
    table = crowded
    found = enclose(table, Quote(1e100, 1.0, 0.1), Quote(1e100, 1.0001, 0.10001))
    assert (found.modes == UNSURE).mean() < 0.05


@pytest.mark.parametrize(("price", "slope"), [(0.4, 0.0), (0.4, 0.3), (1e-3, 50.0), (0.0, 2.0)])
def test_compiled_and_numpy_answer_alike(
    price: float, slope: float, crowded: ClientTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    quote = Quote(1e100, price, slope)
    found = []
    for compiled in (True, False):
        monkeypatch.setattr("dds.market.passes.compiling_pays", lambda _, c=compiled: c)
        found.append(answer_all(crowded, quote))
    one, other = found
    np.testing.assert_array_equal(one.modes, other.modes)
    np.testing.assert_allclose(one.shares, other.shares, rtol=1e-13)
    assert len(set(one.modes.tolist())) > 5


@pytest.mark.usefixtures("engine")
@given(st.lists(st.floats(1e-6, 1e6), max_size=20), st.floats(0.0, 1e6))
@per_engine
def test_totals_solve_the_cubic(roots: list[float], ratio: float) -> None:
    ratios = np.array([ratio, ratio * 1.01, ratio * 1.02])
    totals = root_totals(np.array(roots), ratios)
    for r, total in zip(ratios.tolist(), totals.tolist(), strict=True):
        left = []
        for g in roots:
            low, high = 0.0, 1.0
            for _ in range(80):
                y = (low + high) / 2.0
                low, high = (low, y) if (1.0 + r * g * y) * y * y > 1.0 else (y, high)
            left.append(g * high)
        assert total == pytest.approx(math.fsum(left), rel=1e-13, abs=0.0)


@pytest.mark.usefixtures("engine")
@per_engine
@given(tables, st.floats(0.01, 100.0), st.floats(0.0, 10.0), st.data())
def test_no_move_saves_more_than_the_bound(
    table: ClientTable, price: float, slope: float, data: st.DataObject
) -> None:
    """At pi(F) = price + slope (F - F0), which is convex, against a grid of moves."""
    shares = answer_all(table, Quote(1e100, price * data.draw(st.floats(0.5, 2.0)), slope)).shares
    room = data.draw(st.sampled_from([math.inf, 0.5]))
    found = standing(table, shares, price, slope, slope, room)
    latencies, pieces = table.latencies(shares)
    np.testing.assert_allclose(found.latencies, latencies)
    for i, (share, row) in enumerate(zip(shares.tolist(), found.rows.tolist(), strict=True)):
        if share > 0.0 and row != UNSURE:
            assert row == pieces[i]
        client = Client(table.client(i).frontier, float(table.value[i]))
        others = price - slope * share  # pi at the others' demand
        now = client.value_of_time * latencies[i] + share * price
        top = min(float(table.high[i]), share + room, 1e3)
        moves = [0.0] if table.local_base[i] < math.inf else []
        moves += [m for m in np.geomspace(1e-3, 1e3, 40).tolist() if table.low[i] <= m <= top]
        for move in moves:
            if others + slope * move < 0.0:
                continue
            waits = [
                piece.base_latency + (piece.server_work / move if piece.server_work else 0.0)
                for piece in client.frontier.pieces
                if (piece.server_work > 0.0) == (move > 0.0)
            ]
            then = client.value_of_time * min(waits, default=math.inf) + move * (
                others + slope * move
            )
            assert now - then <= found.savings[i] + 1e-9 * (now + then)
