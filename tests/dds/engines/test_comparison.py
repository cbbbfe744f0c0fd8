"""How far apart answers are, and falling back where they are too far."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from dds.engines import TensorSpec, checked, engine
from dds.engines.comparison import TOLERANCE, allowed, difference, random_feeds
from dds.errors import InvalidInput
from dds.testing.models import text_model

numbers = arrays.arrays(np.float64, st.integers(1, 8), elements=st.floats(-1e9, 1e9))
ADD = text_model(
    "(float[2,3] a, float[3] b) => (float[2,3] y, bool[2,3] p) {y = Add(a, b) p = Less(a, b)}"
)


@given(numbers, st.integers(0, 7), st.floats(0, 1))
def test_difference_is_what_was_added(reference, at: int, part: float) -> None:
    largest = float(np.abs(reference).max())
    value = reference.copy()
    value[at % len(value)] += part * largest
    expected = abs(float(value[at % len(value)] - reference[at % len(value)]))
    scale = largest or 1.0
    assert math.isclose(difference(value, reference), expected / scale, rel_tol=1e-12, abs_tol=0.0)


@given(numbers)
def test_nothing_differs_from_itself(reference) -> None:
    strange = np.concatenate([reference, [np.nan, np.inf, -np.inf]])
    assert difference(strange.copy(), strange) == 0.0


@pytest.mark.parametrize(
    ("value", "reference"),
    [
        (np.zeros(2, np.float32), np.zeros(2)),
        (np.zeros((2, 1)), np.zeros(2)),
        (np.array([1, 2]), np.array([1, 3])),
        (np.array(["a"]), np.array(["b"])),
        (np.array([1.0, np.nan]), np.array([1.0, 2.0])),
        (np.array([1.0, 2.0]), np.array([1.0, np.nan])),
        (np.array([np.inf, 2.0]), np.array([-np.inf, 2.0])),
        (np.array([np.inf, 2.0]), np.array([np.nan, 2.0])),
    ],
)
def test_some_differences_are_endless(value, reference) -> None:
    assert difference(value, reference) == math.inf


def test_the_tolerance_is_that_of_the_type() -> None:
    assert allowed(np.dtype("float32")) == TOLERANCE == allowed(np.dtype("float64"))
    assert allowed(np.dtype("float16")) == 5 * 2.0**-10
    assert allowed(np.dtype("int64")) == 0.0 == allowed(np.dtype("bool"))


def test_open_shapes_and_text_are_not_guessed() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(InvalidInput, match=r"input 'x' is float32 \(\?, 3\): fix its shape"):
        random_feeds([TensorSpec("x", "float32", (-1, 3))], rng)
    with pytest.raises(InvalidInput, match="input 'x' is of type string"):
        random_feeds([TensorSpec("x", "string", (1,))], rng)


class Off:
    """An engine whose answers are off by a factor, or that refuses, perhaps only when it runs."""

    name = "off"

    def __init__(self, factor: float = 1.0, refusal: str = "", late: bool = False) -> None:
        self.factor, self.refusal, self.late, self.closed = factor, refusal, late, 0

    def load(self, model: bytes):
        if self.refusal and not self.late:
            raise InvalidInput(self.refusal)
        self.loaded = engine("onnxruntime").load(model)
        self.inputs, self.outputs = self.loaded.inputs, self.loaded.outputs
        return self

    def run(self, feeds):
        if self.refusal:
            raise InvalidInput(self.refusal)
        found = self.loaded.run(feeds)
        return {
            k: v * np.float32(self.factor) if v.dtype.kind == "f" else v for k, v in found.items()
        }

    def close(self) -> None:
        self.closed += 1


def test_what_is_right_stays_where_it_is() -> None:
    loaded = checked(Off(1 + 1e-6), ADD)
    assert (loaded.engine, loaded.why) == ("off", "")
    assert 5e-7 < loaded.differences["y"] < 2e-6
    assert loaded.differences["p"] == 0.0


@pytest.mark.parametrize("factor", [1.001, 0.0, math.nan, math.inf])
def test_what_is_wrong_falls_back_and_says_so(factor: float) -> None:
    off = Off(factor)
    loaded = checked(off, ADD)
    assert loaded.engine == "onnxruntime"
    assert loaded.why.startswith("off computes 'y' differently: by ")
    assert off.closed == 1
    feeds = {"a": np.ones((2, 3), np.float32), "b": np.zeros(3, np.float32)}
    assert loaded.run(feeds)["y"].tolist() == [[1.0] * 3] * 2


@pytest.mark.parametrize("late", [False, True])
def test_what_is_refused_falls_back_and_says_so(late: bool) -> None:
    off = Off(refusal="off has no Add", late=late)
    loaded = checked(off, ADD)
    assert off.closed == late
    assert (loaded.engine, loaded.why, loaded.differences) == ("onnxruntime", "off has no Add", {})
    assert loaded.inputs[0] == TensorSpec("a", "float32", (2, 3))
    loaded.close()
    with pytest.raises(InvalidInput, match="closed"):
        loaded.run({})


def test_the_tolerance_and_the_feeds_are_the_callers() -> None:
    assert checked(Off(1.001), ADD, tolerance=0.01).engine == "off"
    zero = {"a": np.zeros((2, 3), np.float32), "b": np.zeros(3, np.float32)}
    assert checked(Off(2.0), ADD, feeds=zero).engine == "off"


def test_onnxruntime_is_right_by_definition() -> None:
    loaded = checked(engine("onnxruntime"), ADD)
    assert (loaded.engine, loaded.why, set(loaded.differences.values())) == (
        "onnxruntime",
        "",
        {0.0},
    )


def test_a_model_that_nobody_can_run_is_invalid() -> None:
    with pytest.raises(InvalidInput):
        checked(Off(), b"no model")
