"""Slowdown curves against closed forms, the sums of Erlang, exact arithmetic and differences."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dds.errors import InvalidInput
from dds.pool import Measured, Pool, ProcessorSharing, Slowdown

CURVES = (
    *(ProcessorSharing(k) for k in (1, 2, 3, 8, 64)),
    ProcessorSharing(4, width=4),
    ProcessorSharing(6, width=2),
    Measured((0.0, 0.5, 0.9), (1.0, 1.5, 6.0)),
    Measured((0.0, 0.25, 0.5, 2.0), (0.5, 2.0, 2.5, 2.5)),
)
LOADS = st.sampled_from([0.0, 0.25, 0.5, 0.9, 1.0, 2.0, 5.0]) | st.floats(0.0, 1.1)


def erlang_c(lanes: int, offered: float) -> float:
    """The delay probability, from its definition."""
    terms = [offered**j / math.factorial(j) for j in range(lanes)]
    queue = offered**lanes / math.factorial(lanes) / (1.0 - offered / lanes)
    return queue / (sum(terms) + queue)


@pytest.mark.parametrize("load", [0.0, 0.1, 0.5, 0.9, 0.99])
def test_closed_forms(load: float) -> None:
    assert float(ProcessorSharing(1)(load)) == pytest.approx(1 / (1 - load), rel=1e-13)
    assert float(ProcessorSharing(2)(load)) == pytest.approx(1 / (1 - load**2), rel=1e-13)
    for lanes in (3, 7, 20):
        expected = 1 + erlang_c(lanes, lanes * load) / (lanes * (1 - load))
        assert float(ProcessorSharing(lanes)(load)) == pytest.approx(expected, rel=1e-12)
        # Lanes of two cores each do everything twice as fast.
        wide = ProcessorSharing(2 * lanes, width=2)
        assert float(wide(load)) == pytest.approx(expected / 2, rel=1e-12)


@pytest.mark.parametrize("curve", CURVES, ids=lambda c: c.version)
@settings(deadline=None, max_examples=40)
@given(load=LOADS)
def test_floats_are_the_exact_curve(curve: Slowdown, load: float) -> None:
    exact = curve.exact(Fraction(load))
    if exact is None:
        assert math.isinf(float(curve(load)))
    else:
        assert float(curve(load)) == pytest.approx(float(exact), rel=1e-11)


@pytest.mark.parametrize("curve", CURVES, ids=lambda c: c.version)
@settings(deadline=None, max_examples=40)
@given(load=st.floats(0.001, 0.99))
def test_the_slope_is_the_derivative(curve: Slowdown, load: float) -> None:
    step = Fraction(1, 10**12)
    here, there = curve.exact(Fraction(load)), curve.exact(Fraction(load) + step)
    slope = float(curve.slope(load))
    if here is None or there is None:
        assert math.isinf(slope) or load == curve.limit
    else:
        assert slope == pytest.approx(float((there - here) / step), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("curve", CURVES, ids=lambda c: c.version)
def test_curves_rise_are_vectorised_and_stay_above_their_chords(curve: Slowdown) -> None:
    loads = np.linspace(0.0, 0.999 * curve.limit, 301)
    x = curve(loads)
    assert x.shape == loads.shape
    assert np.all(np.diff(x) >= 0.0)
    np.testing.assert_array_equal(x, [float(curve(load)) for load in loads.tolist()])
    for load in (*loads[::10].tolist(), 0.5, 0.25, curve.limit):
        if np.isinf(here := float(curve(load))):
            continue
        below, above = curve.chords(load)
        assert 0.0 <= below < np.inf
        line = here + np.where(loads > load, above, below) * (loads - load)
        assert np.all(x >= line - 1e-12 * (x + here))
        assert float(curve.slope(load)) >= above * (1.0 - 1e-6)


def test_no_requests_at_all_have_a_slope() -> None:
    assert [float(ProcessorSharing(k).slope(0.0)) for k in (1, 2, 5)] == [1.0, 0.0, 0.0]
    assert float(ProcessorSharing(40).slope(1e-12)) == 0.0


def test_versions_tell_curves_apart() -> None:
    assert len({curve.version for curve in CURVES}) == len(CURVES)
    a, b = (Measured((0, 1), (1, x)) for x in (2, 3))
    assert a.version == Measured((0.0, 1.0), (1.0, 2.0)).version != b.version


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: ProcessorSharing(0), "cores is 0"),
        (lambda: ProcessorSharing(2.0), "cores is 2.0"),
        (lambda: ProcessorSharing(2, width=1.0), "width is 1.0"),
        (lambda: ProcessorSharing(3, width=2), "does not divide"),
        (lambda: ProcessorSharing(2048), "1024 lanes"),
        (lambda: Measured((0.0,), (1.0,)), "at least 2"),
        (lambda: Measured((0.1, 0.2), (1.0, 1.0)), "idle"),
        (lambda: Measured((0.0, 0.5, 0.5), (1.0, 1.0, 1.0)), r"loads\[2\]"),
        (lambda: Measured((0.0, math.inf), (1.0, 1.0)), r"loads\[1\]"),
        (lambda: Measured((0.0, 1.0), (1.0, 0.5)), r"slowdowns\[1\]"),
        (lambda: Measured((0.0, 1.0), (math.nan, 0.5)), r"slowdowns\[0\]"),
        (lambda: Pool(0.0), "capacity"),
        (lambda: Pool(1.5), "whole cores"),
        (lambda: Pool(4, ProcessorSharing(2)), "of 2 cores"),
        (lambda: Pool(4, 2.0), "ProcessorSharing"),
    ],
)
def test_what_is_no_curve_is_refused(make, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        make()
