import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import nnls

from dds.predict import roofline

LAW = np.array([3e-6, 2e-11, 1e-10, 0.0, 4e-10])


def work(rng: np.random.Generator, rows: int) -> np.ndarray:
    return np.asarray(np.exp(rng.uniform(4.0, 18.0, (rows, 4))))


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6), st.integers(30, 200))
def test_a_law_is_found_though_some_rows_are_far_off(seed: int, rows: int) -> None:
    rng = np.random.default_rng(seed)
    given_work = work(rng, rows)
    seconds = roofline.evaluate(LAW, given_work)
    disturbed = seconds * np.where(rng.random(rows) < 0.1, 20.0, 1.0)
    found = roofline.fit(given_work, disturbed, np.ones(rows))
    assert (found >= 0.0).all()
    error = np.abs(roofline.evaluate(found, given_work) / seconds - 1.0)
    assert np.median(error) < 0.02


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.integers(6, 60))
def test_least_squares_with_bounds_agree_with_scipy(seed: int, rows: int) -> None:
    rng = np.random.default_rng(seed)
    columns, weights = rng.uniform(-0.5, 1.0, (rows, 5)), rng.uniform(0.1, 1.0, rows)
    ours = roofline._least_squares(columns, weights)
    root = np.sqrt(weights)
    theirs, _ = nnls(columns * root[:, None], root)

    def loss(x: np.ndarray) -> float:
        return float((weights * (columns @ x - 1.0) ** 2).sum())

    assert (ours >= 0.0).all()
    assert loss(ours) == pytest.approx(loss(theirs), rel=1e-7, abs=1e-9)


def test_no_rows_leave_the_least_time() -> None:
    found = roofline.fit(np.zeros((0, 4)), np.zeros(0), np.zeros(0))
    assert found.tolist() == [0.0] * 5
    assert roofline.evaluate(found, np.ones((2, 4))) == pytest.approx([1e-7, 1e-7])
