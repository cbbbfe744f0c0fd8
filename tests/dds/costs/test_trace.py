"""Links that follow a trace: rates by time, transfers against step-by-step counting, bad files."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dds.costs import Link
from dds.costs.trace import SLOWEST, LinkTrace, Steady, read_trace
from dds.errors import InvalidInput

#: Seconds and bytes/s that add up without rounding.
STEPS = st.lists(st.integers(1, 8), min_size=1, max_size=6)
RATES = st.integers(0, 6).map(lambda k: 512.0 * k)


@st.composite
def traces(draw):
    """(seconds each rate lasts, rates); not all 0."""
    lasts = draw(STEPS)
    rates = draw(st.lists(RATES, min_size=len(lasts), max_size=len(lasts)).filter(any))
    return lasts, rates


def starts(lasts):
    return [float(sum(lasts[:k])) for k in range(len(lasts))]


def counted(lasts, rates, start, size):
    """When `size` bytes have been sent, second by second."""
    seconds = [rate for last, rate in zip(lasts, rates, strict=True) for _ in range(last)]
    time, end = start, start
    while size > 0.0:
        rate = seconds[int(time) % len(seconds)]
        rest = int(time) + 1 - time
        if rate and size <= rate * rest:
            return time + size / rate - start
        size -= rate * rest
        time = end = int(time) + 1.0
    return end - start


@given(traces(), st.integers(0, 400), st.integers(0, 100))
def test_transfers_take_the_rates_on_the_way(trace, quarters, blocks):
    lasts, rates = trace
    link = LinkTrace(starts(lasts), rates, rates[::-1], duration=float(sum(lasts)))
    start, size = quarters / 4.0, 128.0 * blocks
    assert link.uplink_time(start, size) == pytest.approx(
        counted(lasts, rates, start, size), abs=1e-9
    )


@given(traces(), st.integers(0, 400))
def test_a_rate_holds_until_the_next_and_the_trace_begins_again(trace, quarters):
    lasts, rates = trace
    link = LinkTrace(starts(lasts), rates, [1e6] * len(rates), duration=float(sum(lasts)), rtt=0.5)
    seconds = [rate for last, rate in zip(lasts, rates, strict=True) for _ in range(last)]
    expected = max(seconds[(quarters // 4) % len(seconds)], SLOWEST)
    assert link.at(quarters / 4.0) == Link(expected, 1e6, 0.5)


@given(traces(), st.floats(0.0, 100.0), st.floats(0.0, 1e5), st.floats(0.0, 1e5))
def test_sending_in_two_goes_takes_as_long_as_in_one(trace, start, first, second):
    lasts, rates = trace
    link = LinkTrace(starts(lasts), [1.0] * len(rates), rates, duration=float(sum(lasts)))
    half = link.downlink_time(start, first)
    both = link.downlink_time(start, first + second)
    assert half <= both + 1e-6
    # Where the first ends as the link goes down, rounding may put it on the other side.
    assert both <= half + link.downlink_time(start + half, second) + 1e-6


def test_a_steady_link_is_the_link():
    link = Link(100.0, 50.0, 0.1)
    path = Steady(link)
    assert path.at(7.0) is link
    assert path.uplink_time(3.0, 10.0) + path.downlink_time(3.0, 5.0) + link.rtt == (
        link.transfer_time(10.0, 5.0)
    )


class TestFiles:
    def test_one_rate_for_both_directions(self):
        link = read_trace("time_s,mbps\n5,8\n7,0\n8,16\n", "a.csv", rtt=0.25)
        assert link.duration == 4.0
        assert link.at(1.9) == Link(1e6, 1e6, 0.25)
        assert link.at(2.5) == Link(SLOWEST, SLOWEST, 0.25)
        assert link.at(3.0) == Link(2e6, 2e6, 0.25)
        assert link.at(4.0) == link.at(0.0)
        # Half a second of the first rate, one second of nothing, then twice as fast.
        assert link.uplink_time(1.5, 1.5e6) == 2.0

    def test_what_spreadsheets_write_before_the_first_column_is_left_out(self):
        assert read_trace("\ufefftime_s,mbps\n0,8\n", "a.csv").at(0.0).uplink == 1e6

    def test_a_rate_for_each_direction(self):
        link = read_trace("time_s, uplink_mbps, downlink_mbps\n0,8,16\n\n", "a.csv")
        assert link.at(123.0) == Link(1e6, 2e6)

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("", "a.csv:1: the header is ''; need time_s,mbps or time_s,uplink"),
            ("t,x\n0,1\n", "a.csv:1: the header is 't,x'"),
            ("time_s,mbps\n", "a.csv: no rows below the header"),
            ("time_s,mbps\n0,1\n1\n", "a.csv:3: 1 columns; the header has 2"),
            ("time_s,mbps\n0,fast\n", "a.csv:2: mbps is 'fast'; need a finite number"),
            ("time_s,mbps\n0,-1\n", "a.csv:2: mbps is '-1'"),
            ("time_s,mbps\n0,nan\n", "a.csv:2: mbps is 'nan'"),
            ("time_s,mbps\n0,1\n\n0,2\n", "a.csv:4: time_s does not ascend"),
            ("time_s,mbps\n0,0\n1,0\n", "a.csv: mbps is 0 in every row"),
            ("time_s,mbps\n0," + 200_000 * "1" + "\n", "a.csv:2: a cell is too long"),
            (200_000 * "t", "a.csv:1: a cell is too long"),
            ('time_s,mbps\n"0\n",1\n1,fast\n', "a.csv:4: mbps is 'fast'"),
            ("time_s,mbps\n0,1\n1e308,1\n", "a.csv: trace.duration is inf"),
            ("time_s,mbps\n0,1e305\n", "a.csv: trace.uplinks"),
        ],
    )
    def test_what_is_no_trace_is_one_line(self, text, says):
        with pytest.raises(InvalidInput) as error:
            read_trace(text, "a.csv")
        assert str(error.value).startswith(says)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("times", "rates", "duration", "says"),
    [
        ([], [], 1.0, "trace.times"),
        ([1.0], [1.0], 2.0, "trace.times"),
        ([0.0, 1.0], [1.0, 1.0], 1.0, "trace.times"),
        ([0.0], [1.0], float("inf"), "trace.duration"),
        ([0.0], [], 1.0, "trace.uplinks: 0 rates for 1 times"),
        ([0.0], [0.0], 1.0, "trace.uplinks: need"),
        ([0.0], [1e-300], 1e-300, "trace.uplinks: carry 0 bytes"),
        ([0.0], [1e300], 1e300, "trace.uplinks: carry inf bytes"),
    ],
)
def test_numbers_out_of_range(times, rates, duration, says):
    with pytest.raises(InvalidInput, match=says):
        LinkTrace(times, rates, rates, duration=duration)
