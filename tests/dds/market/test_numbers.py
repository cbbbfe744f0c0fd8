"""Quanta, decimals and one cubic root, against rational arithmetic."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dds.errors import InvalidInput
from dds.market.numbers import (
    as_printed,
    exact_share,
    exact_sum,
    positive_root,
    quanta_within,
    read_quantum,
    snapped,
    to_quanta,
    to_shares,
)

quick = settings(deadline=None, derandomize=True, max_examples=70)

positive = st.floats(1e-60, 1e60)
quantums = st.sampled_from([Fraction(1, 1000), Fraction(1, 3), Fraction(7, 10), Fraction(5)])


@quick
@given(positive, st.just(0.0) | positive, st.just(0.0) | positive)
def test_positive_root_brackets_the_root_of_the_cubic(
    work: float, price: float, slope: float
) -> None:
    root = float(positive_root(work, price, slope))
    if price == slope == 0.0:
        assert root == math.inf
        return
    assert 0.0 < root < math.inf

    def cubic(share: Fraction) -> Fraction:
        return Fraction(slope) * share**3 + Fraction(price) * share**2

    hair = Fraction(1, 10**13)
    assert cubic(Fraction(root) * (1 - hair)) < Fraction(work) < cubic(Fraction(root) * (1 + hair))


@quick
@given(positive, st.floats(0.1, 10.0), st.floats(0.01, 0.99))
def test_positive_root_allows_a_negative_price_with_a_slope(
    work: float, slope: float, part: float
) -> None:
    """A segment of a table continued to load 0 may have a negative price there."""
    price = -part * slope
    root = Fraction(float(positive_root(work, price, slope)))
    hair = Fraction(1, 10**12)
    low, high = (
        Fraction(slope) * f**3 + Fraction(price) * f**2
        for f in (root * (1 - hair), root * (1 + hair))
    )
    assert low < Fraction(work) < high


def test_positive_root_broadcasts() -> None:
    root = positive_root(np.array([1.0, 4.0]), np.array([[1.0], [4.0]]), 0.0)
    np.testing.assert_allclose(root, [[1.0, 2.0], [0.5, 1.0]])


@quick
@given(st.floats(0.0, 1e6), quantums, st.booleans())
def test_bounds_in_quanta_are_those_of_the_fraction_they_mean(
    value: float, quantum: Fraction, up: bool
) -> None:
    meant = snapped(value, quantum) / quantum
    expected = math.ceil(meant) if up else math.floor(meant)
    assert quanta_within(np.array([value]), quantum, up=up).tolist() == [expected]


@quick
@given(st.integers(0, 10**9), quantums, st.sampled_from([0.0, 1e-13, -1e-13]))
def test_a_float_beside_a_multiple_means_the_multiple(
    count: int, quantum: Fraction, off: float
) -> None:
    value = float(count * quantum) * (1.0 + off)
    assert snapped(value, quantum) == count * quantum
    for up in (True, False):
        assert quanta_within(np.array([value]), quantum, up=up).tolist() == [count]


def test_infinite_bounds_stay_infinite() -> None:
    assert quanta_within(np.array([math.inf]), Fraction(1, 3), up=False).tolist() == [math.inf]


def test_without_a_quantum_a_bound_means_exactly_itself() -> None:
    assert snapped(0.3, None) == Fraction(0.3) != Fraction(3, 10)


@quick
@given(st.integers(0, 2**50), quantums)
def test_quanta_and_shares_are_inverse(count: int, quantum: Fraction) -> None:
    share = to_shares(np.array([float(count)]), quantum)
    assert to_quanta(share, quantum).tolist() == [count]
    assert exact_share(float(share[0]), quantum) == count * quantum
    if count * quantum.numerator < 2**53:
        assert share.tolist() == [float(count * quantum)]


@quick
@given(st.lists(st.floats(0.0, 1e30), max_size=40))
def test_exact_sum_is_a_rounded_sum_and_its_rest(values: list[float]) -> None:
    total, rest = exact_sum(np.array(values))
    exact = sum(map(Fraction, values), Fraction(0))
    assert math.isclose(total, exact, rel_tol=1e-15)
    assert abs(exact - Fraction(total) - Fraction(rest)) <= exact / 2**90


def test_an_infinite_sum_leaves_nothing_over() -> None:
    for count in (2, 50_000):  # in Python, and compiled
        assert exact_sum(np.full(count, math.inf)) == (math.inf, 0.0)


def test_the_sum_of_many_loses_no_digit_that_a_comparison_needs() -> None:
    rng = np.random.default_rng(3)
    values = rng.exponential(size=50_000) * 10.0 ** rng.integers(-12, 12, 50_000)
    total, rest = exact_sum(values)
    exact = sum(map(Fraction, values.tolist()), Fraction(0))
    assert abs(exact - Fraction(total) - Fraction(rest)) <= exact / 2**90


def test_a_float_quantum_means_the_decimal_it_prints_as() -> None:
    assert read_quantum(0.001) == as_printed(0.001) == Fraction(1, 1000)
    assert read_quantum(Fraction(1, 3)) == Fraction(1, 3)
    assert read_quantum(2) == read_quantum(np.int64(2)) == 2
    assert read_quantum(np.float32(0.1)) == Fraction(1, 10)
    assert read_quantum(None) is None


@pytest.mark.parametrize(
    "wrong", [0, 0.0, -1.0, math.nan, math.inf, True, "0.1", 1e-200, Fraction(-1, 2), 10**101]
)
def test_what_is_no_quantum_is_refused_in_one_line(wrong: object) -> None:
    with pytest.raises(InvalidInput, match=r"^quantum is .*\Z"):
        read_quantum(wrong)  # type: ignore[arg-type]
