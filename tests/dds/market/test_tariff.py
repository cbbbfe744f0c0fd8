"""Every kind of tariff against its formula, its derivative and search; what is refused and why."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dds.errors import Infeasible, InvalidInput
from dds.market.tariff import Barrier, Clearing, Flat, Linear, PiecewiseLinear, Power
from dds.market.tariff_base import Tariff
from dds.market.tariff_json import TARIFFS
from dds.testing import tariffs

quick = settings(deadline=None, derandomize=True, max_examples=60)


def formula(tariff: Tariff, load: Fraction) -> Fraction:
    """pi(F) as the documentation writes it."""
    match tariff:
        case Clearing():
            return Fraction(0)
        case Flat():
            return Fraction(tariff.price)
        case Linear():
            return Fraction(tariff.base_price) + Fraction(tariff.slope) * load
        case Power():
            return Fraction(tariff.base_price) + Fraction(tariff.scale) * load**tariff.exponent
        case Barrier():
            return Fraction(tariff.base_price) / (1 - load / Fraction(tariff.capacity))
        case PiecewiseLinear():
            knots = [
                (Fraction(str(x)), Fraction(str(y)))
                for x, y in zip(tariff.loads, tariff.prices, strict=True)
            ]
            lines = [
                y0 + (y1 - y0) / (x1 - x0) * (load - x0) for (x0, y0), (x1, y1) in pairwise(knots)
            ]
            return max(lines, default=knots[0][1])  # a convex function is its highest line
    raise AssertionError(tariff)


@st.composite
def loads(draw: st.DrawFn, tariff: Tariff) -> Fraction:
    """A load that the tariff admits; its kinks and capacity among them."""
    most = Fraction(tariff.capacity) if math.isfinite(tariff.capacity) else Fraction(60)
    part = draw(st.fractions(0, 1, max_denominator=1000))
    load = draw(st.sampled_from([*tariff.kinks, part * most, Fraction(float(part * most))]))
    return load if tariff.admits(load) else most / 3


@quick
@given(st.data())
def test_prices_are_those_of_the_formula(data: st.DataObject) -> None:
    tariff = data.draw(tariffs())
    load = data.draw(loads(tariff))
    exact = formula(tariff, load)
    assert tariff.exact_price(load) == exact
    rounded = float(load)
    assert tariff.price_at(rounded) in (float(formula(tariff, Fraction(rounded))), math.inf)
    if tariff.admits(Fraction(rounded)):
        there = np.array([rounded])
        error = float(tariff.rounding(there)[0])
        assert math.isclose(
            tariff.prices_at(there)[0], float(formula(tariff, Fraction(rounded))), rel_tol=error
        )


@quick
@given(st.data())
def test_slopes_are_those_of_the_lines_beside_a_load(data: st.DataObject) -> None:
    """pi is convex: a one-sided derivative lies between the chord to a point and the one beyond."""
    tariff = data.draw(tariffs())
    load = data.draw(loads(tariff))
    left, right = tariff.exact_left_slope(load), tariff.exact_slope(load)
    assert 0 <= left <= right
    assert left == right or load in tariff.kinks
    hair = Fraction(1, 10**12)
    if tariff.admits(load + 2 * hair):
        near = (tariff.exact_price(load + hair) - tariff.exact_price(load)) / hair
        assert right <= near
        assert float(near) == pytest.approx(float(right), rel=1e-6, abs=1e-6)
    if load > hair:
        near = (tariff.exact_price(load) - tariff.exact_price(load - hair)) / hair
        assert near <= left
        assert float(near) == pytest.approx(float(left), rel=1e-6, abs=1e-6)


@quick
@given(st.data())
def test_every_tariff_is_nondecreasing_and_convex(data: st.DataObject) -> None:
    tariff = data.draw(tariffs())
    a, b = sorted((data.draw(loads(tariff)), data.draw(loads(tariff))))
    low, middle, high = (tariff.exact_price(f) for f in (a, (a + b) / 2, b))
    assert 0 <= low <= middle <= high
    assert 2 * middle <= low + high


@quick
@given(st.data())
def test_supply_is_the_largest_load_at_a_price(data: st.DataObject) -> None:
    tariff = data.draw(tariffs())
    price = data.draw(st.floats(0.0, 20.0) | st.just(float(tariff.exact_price(Fraction(0)))))
    sold = tariff.supply(price)
    assert 0.0 <= sold <= tariff.capacity
    if sold == 0.0:
        assert tariff.price_at(min(tariff.capacity / 2, 1e-6)) > price * (1.0 - 1e-9) or (
            price <= tariff.exact_price(Fraction(0))
        )
        return
    if math.isinf(sold):
        assert tariff.price_at(1e30) <= price
        return
    less = Fraction(sold) * (1 - Fraction(1, 10**9))
    more = Fraction(sold) * (1 + Fraction(1, 10**9))
    assert tariff.exact_price(less) <= price
    assert not tariff.admits(more) or tariff.exact_price(more) > price


@quick
@given(st.data())
def test_best_share_is_cheaper_than_those_beside_it(data: st.DataObject) -> None:
    """``work / f + f pi(X + f)`` is convex in f: no better share nearby, none anywhere."""
    tariff = data.draw(tariffs())
    work = data.draw(st.sampled_from([0.25, 1.0, 4.0]) | st.floats(1e-6, 1e6))
    others = float(data.draw(loads(tariff)))
    if tariff.strict and others >= tariff.capacity:
        return
    best = float(tariff.best_shares(np.array([work]), np.array([others]))[0])

    def cost(share: Fraction) -> Fraction:
        return Fraction(work) / share + share * formula(tariff, Fraction(others) + share)

    if math.isinf(best):
        assert formula(tariff, Fraction(10**9)) == 0
        return
    assert best > 0.0
    middle = Fraction(best)
    for other in (middle * (1 - Fraction(1, 10**5)), middle * (1 + Fraction(1, 10**5))):
        pole = tariff.strict and Fraction(others) + other >= Fraction(tariff.capacity)
        assert pole or cost(other) >= cost(middle) * (1 - Fraction(1, 10**13))


@pytest.mark.parametrize(
    ("tariff", "others", "expected"),
    [
        (Flat(4.0), 9.0, 0.5),  # f^2 p = 1
        (Linear(0.0, 0.5), 0.0, 1.0),  # f^3 = 1
        (Power(0.0, 1.0 / 3.0, 2), 0.0, 1.0),  # f^2 (pi + f pi') = f^4
        (Barrier(1.0, 2.0), 1.0, 1.0 / (1.0 + math.sqrt(2.0))),
        (PiecewiseLinear((0.0, 1.0), (0.0, 0.5)), 0.0, 1.0),
        (Clearing(1.0), 0.0, math.inf),
    ],
)
def test_best_shares_worked_by_hand(tariff: Tariff, others: float, expected: float) -> None:
    assert tariff.best_shares(np.array([1.0]), np.array([others]))[0] == pytest.approx(expected)


def test_beyond_capacity_nothing_is_for_sale() -> None:
    hard, pole = Linear(1.0, 1.0, 2.0), Barrier(1.0, 2.0)
    assert hard.price_at(2.0) == 3.0
    assert hard.price_at(math.nextafter(2.0, 3.0)) == math.inf
    assert hard.slope_at(2.5) == math.inf
    assert pole.price_at(math.nextafter(2.0, 0.0)) < math.inf
    assert pole.price_at(2.0) == pole.slope_at(2.0) == math.inf
    assert not pole.admits(Fraction(2))
    assert pole.prices_at(np.array([2.0, 3.0])).tolist() == [math.inf, math.inf]


def test_capacity_in_quanta_is_the_multiple_that_it_means() -> None:
    tenth = Fraction(1, 10)
    assert Linear(0.0, 1.0, 0.3).room_quanta(tenth) == 3
    assert Linear(0.0, 1.0, 0.3).room(tenth) == Fraction(3, 10)
    assert Linear(0.0, 1.0, 0.35).room_quanta(tenth) == 3
    assert Barrier(1.0, 0.3).room_quanta(tenth) == 2  # its pole is not for sale
    assert Barrier(1.0, 0.35).room_quanta(tenth) == 3
    assert Linear(0.0, 1.0).room_quanta(tenth) == math.inf
    assert Barrier(1.0, 0.3).on_grid(tenth).exact_price(Fraction(2, 10)) == 3


def test_a_table_means_the_decimals_it_prints() -> None:
    straight = PiecewiseLinear((0.0, 0.1, 0.2, 0.3), (0.1, 0.2, 0.3, 0.4))
    assert straight.kinks == ()
    bent = PiecewiseLinear((0.0, 0.1, 0.2), (0.0, 0.0, 0.1))
    assert bent.kinks == (Fraction(1, 10),)
    assert (bent.exact_left_slope(Fraction(1, 10)), bent.exact_slope(Fraction(1, 10))) == (0, 1)
    assert bent.exact_price(Fraction(5)) == Fraction(49, 10), "the last slope goes on"


# --- refusals: the condition that fails is named ------------------------------------------------


@pytest.mark.parametrize(
    ("make", "condition"),
    [
        (lambda: Linear(1.0, -0.5), r"tariff.slope.*decreasing"),
        (lambda: Power(1.0, -0.5, 2), r"tariff.scale.*decreasing"),
        (lambda: Power(0.0, 1.0, 0.5), r"tariff.exponent.*concave"),  # type: ignore[arg-type]
        (lambda: PiecewiseLinear((0.0, 1.0, 2.0), (0.0, 1.0, 1.5)), r"load 1.0 \(concave\)"),
        (lambda: PiecewiseLinear((0.0, 1.0), (1.0, 0.5)), r"between loads 0.0 and 1.0 \(decr"),
        (lambda: PiecewiseLinear((0.0, 1.0, 1.0), (0.0, 1.0, 2.0)), r"loads\[2\].*stepped"),
    ],
)
def test_a_tariff_that_no_theorem_covers_is_infeasible(make, condition: str) -> None:
    with pytest.raises(Infeasible, match=condition) as caught:
        make()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("make", "place"),
    [
        (lambda: Flat(-1.0), "tariff.price"),
        (lambda: Flat(math.nan), "tariff.price"),
        (lambda: Flat("dear"), "tariff.price"),  # type: ignore[arg-type]
        (lambda: Flat(True), "tariff.price"),
        (lambda: Flat(1e200), "tariff.price"),
        (lambda: Flat(10**400), "tariff.price"),
        (lambda: Flat(1.0, 0.0), "tariff.capacity"),
        (lambda: Clearing(math.inf), "tariff.capacity"),
        (lambda: Barrier(1.0, math.inf), "tariff.capacity"),
        (lambda: Barrier(0.0, 1.0), "tariff.base_price"),
        (lambda: Linear(0.0, 1e-200), "tariff.slope"),
        (lambda: Power(0.0, 1.0, 1.5), "tariff.exponent"),  # type: ignore[arg-type]
        (lambda: Power(0.0, 1.0, 17), "tariff.exponent"),
        (lambda: PiecewiseLinear((), ()), "0 loads and 0 prices"),
        (lambda: PiecewiseLinear((0.0, 1.0), (0.0,)), "2 loads and 1 prices"),
        (lambda: PiecewiseLinear((0.5,), (0.0,)), r"tariff.loads\[0\]"),
        (lambda: PiecewiseLinear((0.0, 2.0, 1.0), (0.0, 1.0, 2.0)), r"tariff.loads\[2\]"),
        (lambda: PiecewiseLinear((0.0, 1.0), (0.0, -1.0)), r"tariff.prices\[1\]"),
    ],
)
def test_a_number_that_no_tariff_has_is_named(make, place: str) -> None:
    with pytest.raises(InvalidInput, match=place) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_numbers_of_numpy_are_numbers() -> None:
    assert Barrier(np.float32(0.5), np.int64(2)) == Barrier(0.5, 2.0)
    assert type(Barrier(np.float32(0.5), np.int64(2)).capacity) is float
    with pytest.raises(InvalidInput, match="need a number"):
        Barrier(0.5, np.complex128(2.0))  # type: ignore[arg-type]


def test_a_kind_of_tariff_is_tested_here_as_soon_as_files_know_it() -> None:
    assert set(TARIFFS.values()) == {Clearing, Flat, Linear, Power, Barrier, PiecewiseLinear}
