"""Timers back off, stop, and refuse times that cannot be waited for."""

import math

import pytest

from dds.errors import InvalidInput
from dds.session.timing import Repeat, Timing


def test_repeats_back_off_to_the_longest() -> None:
    repeat = Repeat(Timing(retry=0.5, longest_retry=3.0))
    assert repeat.due == math.inf
    repeat.start(10.0)
    due = [repeat.due]
    for _ in range(4):
        repeat.again(repeat.due)
        due.append(repeat.due)
    assert due == [10.5, 11.5, 13.5, 16.5, 19.5]
    repeat.start(20.0)
    assert repeat.due == 20.5
    repeat.stop()
    assert repeat.due == math.inf


@pytest.mark.parametrize("name", ["lease", "retry", "longest_retry", "grace"])
@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_times_are_positive(name: str, value: float) -> None:
    with pytest.raises(InvalidInput, match=f"timing.{name} is"):
        Timing(**{name: value})


def test_batch_may_be_zero_and_retries_are_ordered() -> None:
    assert Timing(batch=0.0).batch == 0.0
    with pytest.raises(InvalidInput, match=r"timing\.longest_retry 0\.1 is below retry 0\.5"):
        Timing(longest_retry=0.1)
