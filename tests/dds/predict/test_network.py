import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dds.predict.network import Recipe, _gradients, _initial, train

SMALL = Recipe(members=3, hidden=8, steps=300, batch=64, decay=0.1)


def huber(parameters: list[np.ndarray], x: np.ndarray, y: np.ndarray, knee: float) -> float:
    """The summed loss of all members, written down plainly and in double precision."""
    total = 0.0
    for member in range(len(parameters[0])):
        value = x[member].astype(np.float64)
        for layer in range(0, len(parameters), 2):
            if layer:
                value = value / (1.0 + np.exp(-value))
            value = value @ parameters[layer][member] + parameters[layer + 1][member]
        error = np.abs(np.exp(value[:, 0] - y[member]) - 1.0) / knee
        total += knee * float(np.where(error < 1.0, error**2 / 2.0, error - 0.5).mean())
    return total


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 10**6))
def test_gradients_are_those_of_finite_differences(seed: int) -> None:
    rng = np.random.default_rng(seed)
    parameters = _initial((4, 5, 5, 1), 2, rng)
    parameters[4] += 0.1 * rng.standard_normal(parameters[4].shape).astype(np.float32)
    x = rng.standard_normal((2, 7, 4)).astype(np.float32)
    y = 0.3 * rng.standard_normal((2, 7)).astype(np.float32)
    gradients = _gradients(parameters, x, y, 0.5)
    exact = [p.astype(np.float64) for p in parameters]
    for p, gradient in zip(exact, gradients, strict=True):
        place = tuple(int(rng.integers(size)) for size in p.shape)
        before, step = p[place], 1e-4
        p[place] = before + step
        above = huber(exact, x, y, 0.5)
        p[place] = before - step
        below = huber(exact, x, y, 0.5)
        p[place] = before
        assert gradient[place] == pytest.approx((above - below) / (2 * step), abs=3e-3)


def test_a_curve_is_learned_and_training_repeats_itself() -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(-2.0, 2.0, (400, 3))
    y = np.sin(x[:, 0]) + 0.3 * x[:, 1] ** 2
    first = train(x, y, np.ones(400), np.random.default_rng(1), SMALL)
    again = train(x, y, np.ones(400), np.random.default_rng(1), SMALL)
    said = first(x)
    assert said.shape == (3, 400)
    assert np.array_equal(said, again(x))
    assert np.abs(np.median(said, axis=0) - y).mean() < 0.2 * np.abs(y - y.mean()).mean()


def test_rows_of_no_weight_teach_nothing_and_constant_columns_stay_silent() -> None:
    rng = np.random.default_rng(0)
    x = np.column_stack((rng.uniform(-1.0, 1.0, 300), np.full(300, 7.0)))
    wrong = rng.random(300) < 0.3
    y = np.where(wrong, 50.0, x[:, 0])
    ensemble = train(x, y, np.where(wrong, 0.0, 1.0), np.random.default_rng(0), SMALL)
    assert np.abs(np.median(ensemble(x), axis=0) - x[:, 0]).mean() < 0.1
    elsewhere = np.column_stack((x[:, 0], np.full(300, -1e6)))
    assert np.array_equal(ensemble(elsewhere), ensemble(x))
