"""The inequalities against dense grids and enumeration, all in fractions."""

from fractions import Fraction
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proofs.bounds import Claim, at_fixed_price, at_tariff, best_quanta, prunes
from proofs.tariffs import read_tariff

small = st.fractions(0, 4, max_denominator=16)
above = st.fractions(Fraction(1, 16), 4, max_denominator=16)
quanta = st.none() | st.sampled_from([Fraction(1, 4), Fraction(1, 10)])


def grid(low: Fraction, high: Fraction | None, quantum: Fraction | None) -> list[Fraction]:
    """Allowed shares: all quanta up to a bound, or a fine grid with both ends."""
    top = high if high is not None else low + 12
    step = quantum or Fraction(1, 64)
    first = -(-low // step) * step
    shares = [first + n * step for n in range(int((top - first) / step) + 1)]
    if quantum is None:
        shares += [low, top]
    return [f for f in shares if low <= f <= top and f > 0]


@settings(deadline=None)
@given(small, small, above, above, above, small)
def test_a_prune_is_a_lower_bound(
    goal: Fraction,
    value: Fraction,
    base: Fraction,
    work: Fraction,
    price: Fraction,
    extra: Fraction,
) -> None:
    if prunes(goal, value, base, work, price):
        for f in grid(Fraction(0), Fraction(6), None):
            assert value * (base + work / f) + f * (price + extra) >= goal


@settings(deadline=None)
@given(small, above, above, above)
def test_a_prune_is_exact_at_the_bound(
    base: Fraction, value: Fraction, work: Fraction, root: Fraction
) -> None:
    """Where w W P is the square of a fraction, the least cost w A + 2 sqrt(w W P) is one, too."""
    price = root**2 / (value * work)
    least = value * base + 2 * root
    assert prunes(least, value, base, work, price)
    assert not prunes(least + Fraction(1, 10**30), value, base, work, price)


@settings(deadline=None)
@given(st.fractions(0, 10, max_denominator=8), above, small, small, st.none() | small)
def test_above_line_is_exact(
    level: Fraction, work: Fraction, slope: Fraction, low: Fraction, high: Fraction | None
) -> None:
    """True needs every grid point above; false needs a point below, found at the vertex."""
    claim = Claim(Fraction(0), level, work, low, high, None)
    if claim.empty():
        return
    points = grid(low, high, None)
    if slope:
        points += [
            f
            for near in (Fraction(float(work / slope) ** 0.5),)
            for f in (near, near * (1 + Fraction(1, 10**9)))
            if low <= f and (high is None or f <= high)
        ]
    elif high is None:
        points.append(Fraction(10**9))
    values = [work / f + slope * f for f in points]
    if claim.above_line(Fraction(0), slope):
        assert all(value >= level for value in values)
    else:
        assert min(values) < level + Fraction(1, 10**6)


@settings(deadline=None)
@given(above, above, st.sampled_from([Fraction(1, 4), Fraction(1, 10), Fraction(3, 2)]))
def test_best_quanta_by_enumeration(work: Fraction, price: Fraction, quantum: Fraction) -> None:
    n = best_quanta(work, price, quantum)
    assert n is not None
    costs = [work / (m * quantum) + price * m * quantum for m in range(1, 200)]
    assert costs[n - 1] == min(costs)
    assert best_quanta(work, Fraction(0), quantum) is None


@settings(deadline=None)
@given(small, above, small, small, st.none() | small, quanta)
def test_a_fixed_price_claim_holds_iff_the_grid_says_so(
    level: Fraction,
    work: Fraction,
    price: Fraction,
    low: Fraction,
    high: Fraction | None,
    quantum: Fraction | None,
) -> None:
    claim = Claim(Fraction(0), level, work, low, high, quantum)
    doubt = at_fixed_price(claim, price)
    costs = [work / f + price * f for f in grid(low, high, quantum)]
    if doubt is None:
        assert all(cost >= level for cost in costs)
    elif quantum is not None and high is not None:
        assert min(costs) < level


@settings(max_examples=120, deadline=None)
@given(st.data())
def test_a_tariff_claim_is_never_shown_wrongly(games: ModuleType, data: st.DataObject) -> None:
    """Whatever the witness, and tight for the right one."""
    tariff = read_tariff({"tariff": data.draw(st.sampled_from(games.TARIFFS))}, None)
    others = data.draw(st.fractions(0, 2, max_denominator=8))
    quantum = data.draw(quanta)
    work, low = data.draw(above), data.draw(st.fractions(0, 1, max_denominator=4))
    high = data.draw(st.none() | st.fractions(1, 2, max_denominator=4))
    if tariff.capacity is not None:
        room = tariff.capacity - others
        high = room if high is None else min(high, room)
    shares = [f for f in grid(low, high, quantum) if tariff.admits(others + f)]
    if not shares:
        return
    cost = {f: work / f + f * tariff.price(others + f) for f in shares}
    least = min(cost, key=lambda f: cost[f])
    level = cost[least] * data.draw(
        st.sampled_from([Fraction(1, 2), Fraction(999, 1000), Fraction(1), Fraction(1001, 1000)])
    )
    witness = data.draw(st.sampled_from([least, None, *shares[:: len(shares) // 4 + 1]]))
    claim = Claim(Fraction(0), level, work, low, high, quantum)
    doubt = at_tariff(claim, tariff, others, witness)
    if doubt is None:
        assert level <= cost[least]
    elif witness == least:
        # A continuous optimum lies between grid points, a little below the grid's best.
        slack = 1 if quantum is not None else Fraction(95, 100)
        assert level > cost[least] * slack


@pytest.mark.parametrize(
    ("witness", "reason"),
    [
        (None, "no witness is given"),
        (Fraction(9), "leaves capacity behind"),
        (Fraction(1, 2), "its neighbour"),
        (Fraction(1, 4), "is not an allowed share"),
        (Fraction(3, 4), "it costs 2.22"),
    ],
)
def test_a_quantised_claim_says_what_is_wrong(witness: Fraction | None, reason: str) -> None:
    plain = {"kind": "linear", "base_price": 1.0, "slope": 0.25, "capacity": 4.0}
    tariff = read_tariff({"tariff": plain}, None)
    level = Fraction("2.25") if witness == Fraction(1, 2) else Fraction("2.5")
    claim = Claim(Fraction(0), level, Fraction(1), Fraction(1, 2), Fraction(2), Fraction(1, 4))
    doubt = at_tariff(claim, tariff, Fraction(0), witness)
    assert doubt is not None
    assert reason in doubt


def test_two_equally_good_neighbours_are_both_witnesses() -> None:
    """work = n (n + 1) q^2 p makes n and n + 1 quanta cost the same: here 2 and 3."""
    tariff = read_tariff({"tariff": {"kind": "flat", "price": 1.0, "capacity": None}}, None)
    work, quantum = Fraction(6, 16), Fraction(1, 4)
    best = work / (2 * quantum) + 2 * quantum
    claim = Claim(Fraction(0), best, work, Fraction(0), None, quantum)
    for n in (2, 3):
        assert at_tariff(claim, tariff, Fraction(0), n * quantum) is None
    assert at_tariff(claim, tariff, Fraction(0), 4 * quantum) is not None
