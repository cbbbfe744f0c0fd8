"""Runs and the index: sums that do not drift, merges that cancel, crossings that fit."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dds.online.index import NOTHING
from dds.online.runs import BLOCK, EMPTY, SUMS, events_of, merge, pack, renumbered
from dds.online.walk import Events

NUMBERS = st.sampled_from([0.5, 1.0, 3.0, 1e-9, 1e9]) | st.floats(1e-6, 1e6)


@st.composite
def chains(draw):
    """Events of a few clients, each a chain from nothing, by row."""
    found = []
    for row in range(draw(st.integers(1, 30))):
        own, s = 0.0, 0.0
        for _ in range(draw(st.integers(0, 4))):
            new = draw(NUMBERS) * draw(st.sampled_from([1.0, -1.0])) if draw(st.booleans()) else 0.0
            if new != own:
                found.append((s, own, new, float(row)))
                own = new
            s = max(s + draw(NUMBERS), math.nextafter(s, math.inf))
    return Events(*np.array(found).reshape(-1, 4).T.copy())


def exact(events, s):
    """(G, H) at s in rationals."""
    passed = events.where(events.at <= s)
    free = held = Fraction(0)
    for before, after in zip(passed.before.tolist(), passed.after.tolist(), strict=True):
        for own, sign in ((before, -1), (after, 1)):
            free += sign * Fraction(max(own, 0.0))
            held += sign * Fraction(max(-own, 0.0))
    return free, held


def demand(events, s):
    free, held = exact(events, s)
    if free and not s:
        return math.inf
    return float(held + (free / Fraction(s) if free else 0))


@pytest.fixture(params=["as installed", "plain"])
def engine(request):
    """Run with whatever is installed, then without numba."""
    if request.param == "plain":
        request.getfixturevalue("without_numba")


examples = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@given(events=chains())
@examples
def test_demand_is_the_exact_sum_at_every_event(engine, events):
    index = NOTHING.with_run(pack(events))
    for s in {0.0, *events.at.tolist(), 1e10}:
        assert index.demand(s) == pytest.approx(demand(events, s), rel=1e-14, abs=0.0)


@given(events=chains(), data=st.data())
@examples
def test_what_leaves_leaves_nothing(engine, events, data):
    rows = sorted(set(events.row.tolist()))
    gone = data.draw(st.sets(st.sampled_from(rows))) if rows else set()
    left = events.where(~np.isin(events.row, list(gone)))
    index = NOTHING
    for row in rows:
        index = index.with_run(pack(events.where(events.row == row)))
    for row in gone:
        index = index.with_run(pack(events.where(events.row == row), undone=True))
    places = np.arange(int(max(rows, default=0)) + 1) * 2
    whole = events_of(index.compacted(places).runs[0])
    expected = events_of(renumbered(pack(left), places))
    for name in ("at", "before", "after", "row"):
        assert np.array_equal(getattr(whole, name), getattr(expected, name))
    for s in {0.0, *events.at.tolist()}:
        assert index.demand(s) == pytest.approx(demand(left, s), rel=1e-14, abs=0.0)


@given(events=chains(), capacity=NUMBERS, cut=st.integers(0, 30))
@examples
def test_a_crossing_is_the_first_price_at_which_demand_fits(engine, events, capacity, cut):
    index = NOTHING.with_run(pack(events.where(events.row < cut)))
    index = index.with_run(pack(events.where(events.row >= cut)))
    # Fits at every event or not; these events need not fall, so look for any sound bracket.
    found = index.crossing(capacity)
    if found.below >= 0.0:
        assert demand(events, found.below) > capacity * (1.0 - 1e-14)
    if found.above < math.inf:
        assert demand(events, found.above) <= capacity * (1.0 + 1e-14)
    if found.s < math.inf:
        assert found.below <= found.s < found.above
        free, held = exact(events, found.below)
        assert float(free / Fraction(found.s) + held) == pytest.approx(capacity, rel=1e-13)


def test_merges_keep_order_and_sums(engine):
    rng = np.random.default_rng(5)
    runs = []
    for part in range(3):
        row = np.repeat(np.arange(50), 3) + 50.0 * part
        at = np.round(np.cumsum(rng.exponential(1.0, (50, 3)), axis=1), 1).ravel()
        own = rng.uniform(-1e6, 1e-6, 151)
        runs.append(pack(Events(at, own[:-1], own[1:], row)))
    whole = merge(merge(runs[0], runs[1]), merge(runs[2], EMPTY))
    events = events_of(whole)
    keys = list(zip(events.at.tolist(), events.row.tolist(), strict=True))
    assert keys == sorted(keys)
    assert len(keys) == 450
    for b in range(0, len(whole), 7):
        before = events.where(np.arange(450) < b * BLOCK)
        free, held = exact(before, math.inf)
        sums = [Fraction(x) for x in whole[b, SUMS:].tolist()]
        assert abs(sums[0] + sums[1] - free) <= Fraction(1e6) / 2**90
        assert abs(sums[3] + sums[4] - held) <= Fraction(1e6) / 2**90


def test_large_runs_are_merged_into_larger_ones(monkeypatch):
    monkeypatch.setattr("dds.online.index.SMALL", 2)
    monkeypatch.setattr("dds.online.index.MIDDLE", 8)
    index, parts = NOTHING, []
    for row in range(400):
        events = Events(*(np.array([x]) for x in (0.0, 0.0, 1.0 + row, float(row))))
        parts.append(1.0 + row)
        index = index.with_run(pack(events))
        assert index.demand(1.0) == math.fsum(parts)
        largest, large, middle, small = map(len, index.runs)
        assert small <= 2
        assert middle <= 8
        assert large <= max(8, largest // 16)
