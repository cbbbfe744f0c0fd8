"""Online correction: biases are learned whatever a few outliers say, steps are noticed."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dds.costs import Link
from dds.errors import InvalidInput
from dds.predict.correction import Correction, Segment, Times

#: Inferences within which a constant bias is learned, and a step noticed.
LEARNED, NOTICED = 10, 4
PREDICTED = Times(0.02, 0.05, 0.01)

factors = st.floats(0.05, 20.0)
noises = st.floats(0.98, 1.02)
#: What an inference may take when something went wrong with it.
accidents = st.floats(1e-4, 1e4)


def device(seconds: float) -> Times:
    return Times(seconds, PREDICTED.link, PREDICTED.server)


def learn(correction: Correction, ratios: list[float]) -> list[Correction]:
    """The corrections after each inference whose device took so many times what was predicted."""
    found = []
    for ratio in ratios:
        correction = correction.observe(device(ratio * PREDICTED.device), PREDICTED)
        found.append(correction)
    return found


@st.composite
def with_accidents(draw: st.DrawFn, factor: float, least: int) -> list[float]:
    """Blocks of five noisy ratios around a factor, at most one of each block an accident."""
    ratios: list[float] = []
    while len(ratios) < least:
        block = [factor * draw(noises) for _ in range(5)]
        if draw(st.booleans()):
            block[draw(st.integers(0, 4))] = draw(accidents)
        ratios += block
    return ratios


@settings(deadline=None, max_examples=180)
@given(st.data(), factors)
def test_a_constant_bias_is_learned_whatever_the_outliers(data: st.DataObject, factor) -> None:
    ratios = data.draw(with_accidents(factor, 40))
    for correction in learn(Correction(), ratios)[LEARNED - 1 :]:
        assert correction.factor(Segment.DEVICE) == pytest.approx(factor, rel=0.05)


@settings(deadline=None, max_examples=240)
@given(st.data(), factors, st.sampled_from([1.3, 2.0, 10.0, 1 / 1.3, 0.5, 0.1]))
def test_a_step_is_noticed_at_once_and_followed(data: st.DataObject, factor, step) -> None:
    before = data.draw(st.lists(noises.map(lambda n: n * factor), min_size=8, max_size=40))
    steady = learn(Correction(), before)[-1]
    after = data.draw(st.lists(noises.map(lambda n: n * factor * step), min_size=NOTICED,
                               max_size=NOTICED))  # fmt: skip
    seen = learn(steady, after)
    changes = [change for correction in seen for change in correction.changes]
    assert [change.segment for change in changes] == [Segment.DEVICE]
    assert changes[0].after / changes[0].before == pytest.approx(step, rel=0.1)
    assert seen[-1].factor(Segment.DEVICE) == pytest.approx(factor * step, rel=0.05)


@settings(deadline=None, max_examples=120)
@given(st.data())
def test_single_accidents_are_no_change(data: st.DataObject) -> None:
    ratios: list[float] = []
    while len(ratios) < 60:
        block = [1.0] * 5
        block[data.draw(st.integers(0, 4))] = data.draw(accidents)
        ratios += block
    assert not any(correction.changes for correction in learn(Correction(), ratios))


@settings(deadline=None, max_examples=120)
@given(
    st.lists(st.tuples(st.floats(1e-3, 1e3), st.floats(1e-3, 1e3)), min_size=1, max_size=40),
    st.sampled_from([2.0**-10, 0.5, 4.0, 2.0**20]),
)
def test_the_unit_of_time_does_not_matter(pairs, unit: float) -> None:
    here = there = Correction()
    for measured, predicted in pairs:
        here = here.observe(device(measured), device(predicted))
        there = there.observe(device(unit * measured), device(unit * predicted))
    for segment in Segment:
        assert here.factor(segment) == pytest.approx(there.factor(segment), rel=1e-9)


seconds = st.just(0.0) | st.floats(0.0, 1e300)


@settings(deadline=None, max_examples=180)
@given(st.lists(st.tuples(st.builds(Times, *[seconds] * 3), st.builds(Times, *[seconds] * 3)),
                max_size=40))  # fmt: skip
def test_nothing_that_can_be_measured_makes_nonsense(pairs) -> None:
    correction = Correction()
    for measured, predicted in pairs:
        correction = correction.observe(measured, predicted)
        for segment in Segment:
            assert 0.0 < correction.factor(segment) < math.inf
            assert correction[segment].spread > 0.0
        for change in correction.changes:
            assert 0.0 < change.after < math.inf


def test_segments_learn_apart() -> None:
    correction = Correction()
    for _ in range(LEARNED):
        correction = correction.observe(Times(0.04, 0.05, 0.0025), PREDICTED)
    factors = [correction.factor(segment) for segment in Segment]
    assert factors == pytest.approx([2.0, 1.0, 0.25])
    assert correction.corrected(PREDICTED).total == pytest.approx(0.04 + 0.05 + 0.0025)


def test_a_segment_that_is_not_there_teaches_nothing() -> None:
    correction = Correction()
    for _ in range(LEARNED):
        correction = correction.observe(Times(0.04, 0.0, 0.0), Times(0.04, 0.0, 0.0))
    assert correction.count == LEARNED
    assert correction.link == correction.server == Correction().link


def test_one_bad_first_inference_moves_nothing() -> None:
    assert learn(Correction(), [50.0])[-1].factor(Segment.DEVICE) == 1.0


def test_the_error_falls_while_it_runs() -> None:
    rng = np.random.default_rng(1)
    ratios = 1.35 * np.exp(0.03 * rng.standard_normal(50))
    before, after = [], []
    correction = Correction()
    for ratio in ratios:
        predicted = correction.corrected(PREDICTED).device
        measured = ratio * PREDICTED.device
        before.append(abs(PREDICTED.device / measured - 1.0))
        after.append(abs(predicted / measured - 1.0))
        correction = correction.observe(device(measured), PREDICTED)
    assert np.mean(before) > 0.2
    assert np.mean(after) < 0.05


def test_costs_are_corrected_per_segment() -> None:
    correction = learn(Correction(), [3.0] * LEARNED)[-1]
    corrected = correction.corrected(Times(0.2, 0.3, 0.4))
    assert (corrected.link, corrected.server) == (0.3, 0.4)
    assert corrected.device == pytest.approx(0.6)
    assert correction.corrected_link(Link(1e6, 2e6, 0.01)) == Link(1e6, 2e6, 0.01)
    lossy = Correction()
    for _ in range(LEARNED):
        lossy = lossy.observe(Times(0.0, 0.1, 0.0), Times(0.0, 0.05, 0.0))
    link = lossy.corrected_link(Link(1e6, 2e6, 0.01))
    assert link.transfer_time(1e6, 1e6) == pytest.approx(2.0 * (1.0 + 0.5 + 0.01))


@pytest.mark.parametrize("bad", [-1.0, math.nan, math.inf])
def test_what_is_no_time_is_refused(bad: float) -> None:
    with pytest.raises(InvalidInput, match=r"times\.link"):
        Times(0.1, bad, 0.1)
