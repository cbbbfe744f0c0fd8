"""Cuts measured with the real onnxruntime, and chosen among."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dds.costs import Link
from dds.cut import frontier, make_cut, min_cut, score
from dds.errors import InvalidInput
from dds.model import load_model, zoo
from dds.profile.cuts import (
    Halves,
    MeasuredCut,
    Round,
    best_measured,
    measured_cut,
    measured_cuts,
    near_cuts,
    repeat,
    summary,
)
from dds.profile.platform import Platform
from dds.profile.runtime import Runtime
from dds.testing import chains, graphs, links, operator_times

DATA = zoo.build("squeezenet")
GRAPH = load_model(DATA)
LINK = Link(1e6, 2e6, 0.01)


@pytest.mark.parametrize("kept", [0, 20, len(GRAPH.operators)])
def test_the_halves_of_a_cut_are_measured(kept: int) -> None:
    found = measured_cut(DATA, GRAPH, range(kept), budget=0.0)
    cut = make_cut(GRAPH, range(kept), np.ones(len(GRAPH.operators)))
    assert found.on_device == cut.on_device
    assert (found.uplink_bytes, found.downlink_bytes) == (cut.uplink_bytes, cut.downlink_bytes)
    assert (found.local_time > 0.0) == (kept > 0)
    assert (found.server_work > 0.0) == (kept < len(GRAPH.operators))
    assert found.repeats == 9
    assert measured_cut(DATA, GRAPH, cut, budget=0.0).on_device == found.on_device


def test_what_keeps_all_on_one_side_takes_what_the_whole_takes() -> None:
    everything = range(len(GRAPH.operators))
    for cut, part in (((), "server_work"), (everything, "local_time")):
        found = measured_cut(DATA, GRAPH, cut, noise=0.0, budget=99.0)
        assert (found.noise, found.repeats) == (0.0, 9)
        assert getattr(found, part) == found.whole
    # On another runtime it is not the same: it has to be measured.
    other = measured_cut(DATA, GRAPH, (), server=Platform(Runtime(1, "none")), budget=0.0)
    assert other.server_work != other.whole
    same = measured_cut(DATA, GRAPH, everything, server=Platform(Runtime(1, "none")), budget=0.0)
    assert same.local_time == same.whole


def test_a_measurement_is_kept_and_stretched_for_a_slower_device(tmp_path: Path) -> None:
    first = measured_cut(DATA, GRAPH, range(20), cache=tmp_path, budget=0.0)
    assert measured_cut(DATA, GRAPH, range(20), cache=tmp_path, budget=0.0) == first
    slow = measured_cut(
        DATA,
        GRAPH,
        range(20),
        device=Platform(duty=0.5, frequency=0.25),
        server=Platform(frequency=0.5),
        cache=tmp_path,
        budget=0.0,
    )
    assert slow.local_time == 8.0 * first.local_time
    assert slow.server_work == 2.0 * first.server_work
    assert slow.whole == 8.0 * first.whole
    assert len(list((tmp_path / "cuts").iterdir())) == 1
    measured_cut(DATA, GRAPH, range(21), cache=tmp_path, budget=0.0)
    measured_cut(DATA, GRAPH, range(20), device=Platform(Runtime(2)), cache=tmp_path, budget=0.0)
    assert len(list((tmp_path / "cuts").iterdir())) == 3


def test_cuts_are_measured_when_they_are_asked_for(tmp_path: Path) -> None:
    cuts = [range(20), range(21), range(22)]
    found = measured_cuts(DATA, GRAPH, cuts, cache=tmp_path, budget=0.0)
    for number, cut in enumerate(cuts, 1):
        assert next(found).on_device == tuple(cut)
        assert len(list((tmp_path / "cuts").iterdir())) == number
        # A model may be large: its halves do not stay in memory.
        assert not [one for one in gc.get_objects() if type(one) is Halves]
    assert list(found) == []


def test_what_is_kept_is_measured_again_for_less_noise_and_more_time(tmp_path: Path) -> None:
    def measured(noise: float, budget: float) -> MeasuredCut:
        return measured_cut(DATA, GRAPH, range(20), cache=tmp_path, noise=noise, budget=budget)

    measured(0.5, 0.0)
    (file,) = (tmp_path / "cuts").iterdir()
    file.write_text(json.dumps({**json.loads(file.read_text()), "noise": 3.0}))
    noisy = measured(3.0, 99.0)
    assert noisy.noise == 3.0
    # Its nine rounds took as long as all the time there is: they are as good as it gets.
    assert measured(0.5, 9 * noisy.whole) == noisy
    assert measured(0.5, 99.0).noise <= 0.5


class Clocked:
    """Rounds on a machine whose speed changes: the halves take parts of the whole."""

    def __init__(self, parts: tuple[float, float], speeds: Iterable[float]) -> None:
        self.parts, self.speeds = parts, iter(speeds)

    def __call__(self) -> Round:
        whole = next(self.speeds)
        return Round(whole, self.parts[0] * whole, self.parts[1] * whole)


@given(
    st.tuples(st.floats(0.0, 2.0), st.floats(0.01, 2.0)),
    st.lists(st.floats(1e-4, 10.0), min_size=9, max_size=9),
    st.floats(1e-3, 10.0),
)
def test_how_fast_the_machine_is_cancels(
    parts: tuple[float, float], speeds: list[float], whole: float
) -> None:
    rounds, noise = repeat(Clocked(parts, speeds), 0.0, 0.0, lambda: 0.0)
    assert noise == pytest.approx(0.0, abs=1e-12)
    cut = make_cut(GRAPH, range(20), np.ones(len(GRAPH.operators)))
    found = summary(cut, rounds, noise).scaled_to(whole)
    assert (found.local_time, found.server_work) == pytest.approx(
        (parts[0] * whole, parts[1] * whole), rel=1e-9
    )


def test_cuts_measured_at_different_speeds_are_compared_at_one(tmp_path: Path) -> None:
    cuts = [range(20), range(21), range(len(GRAPH.operators))]
    first = best_measured(DATA, GRAPH, cuts, LINK, 1.0, cache=tmp_path, budget=0.0)
    # One of them was measured, it turns out, when everything took three times as long.
    for file in (tmp_path / "cuts").iterdir():
        fields = json.loads(file.read_text())
        if fields["on_device"] == list(range(21)):
            for name in ("local_time", "server_work", "whole"):
                fields[name] *= 3.0
            file.write_text(json.dumps(fields))
    again = best_measured(DATA, GRAPH, cuts, LINK, 1.0, cache=tmp_path, budget=0.0)
    assert again.chosen.on_device == first.chosen.on_device
    for before, after in zip(first.measured, again.measured, strict=True):
        assert after.whole == again.chosen.whole
        assert after.local_time / after.whole == pytest.approx(before.local_time / before.whole)
        assert after.server_work / after.whole == pytest.approx(before.server_work / before.whole)


@pytest.mark.parametrize(
    "damage",
    [
        "",
        "[]",
        "{}",
        '{"format": "dds-cut/1"}',
        '{"format": "dds-cut/2"}',
        '{"format": "dds-cut/2", "on_device": 7}',
        "[" * 9999,
    ],
)
def test_a_damaged_file_is_replaced(damage: str, tmp_path: Path) -> None:
    measured_cut(DATA, GRAPH, (), cache=tmp_path, budget=0.0)
    (file,) = (tmp_path / "cuts").iterdir()
    file.write_text(damage)
    again = measured_cut(DATA, GRAPH, (), cache=tmp_path, budget=0.0)
    kept = json.loads(file.read_text())
    assert (kept["server_work"], kept["repeats"]) == (again.server_work, again.repeats)


def test_the_least_measured_latency_is_chosen() -> None:
    cuts = [(), range(20), range(len(GRAPH.operators))]
    best = best_measured(DATA, GRAPH, cuts, LINK, 1.0, budget=0.0)
    latencies = [cut.latency(LINK, 1.0) for cut in best.measured]
    assert best.chosen == best.measured[int(np.argmin(latencies))]
    assert [cut.on_device for cut in best.measured] == [tuple(cut) for cut in cuts]


@settings(deadline=None)
@given(st.data())
def test_latency_is_that_of_a_piece(data: st.DataObject) -> None:
    graph = data.draw(graphs(min_operators=1, max_operators=6))
    times, work = data.draw(operator_times(graph)), data.draw(operator_times(graph, positive=True))
    link, kept = data.draw(links()), data.draw(st.integers(0, len(graph.operators)))
    cut = make_cut(graph, range(kept), times)
    found = MeasuredCut(
        on_device=cut.on_device,
        local_time=cut.local_time,
        server_work=float(work[kept:].sum()),
        whole=1.0,
        noise=0.0,
        uplink_bytes=cut.uplink_bytes,
        downlink_bytes=cut.downlink_bytes,
        repeats=1,
    )
    expected = score(cut, work, link).latency(2.0)
    assert found.latency(link, 2.0) == pytest.approx(expected, rel=1e-12)


@settings(deadline=None)
@given(st.data())
def test_near_cuts_come_best_first_and_near(data: st.DataObject) -> None:
    graph = data.draw(graphs(min_operators=1, max_operators=8))
    times, work = data.draw(operator_times(graph)), data.draw(operator_times(graph, positive=True))
    link, most = data.draw(links()), data.draw(st.integers(1, 9))
    near = near_cuts(graph, times, work, link, 1.0, most=most, within=0.5)
    latencies = [score(cut, work, link).latency(1.0) for cut in near]
    least = frontier(graph, times, work, link).latency(1.0)
    assert near[0].on_device == min_cut(graph, times, work, link, 1.0).cut.on_device
    assert 1 <= len(near) <= most
    assert len({cut.on_device for cut in near}) == len(near)
    assert latencies[1:] == sorted(latencies[1:])
    assert all(latency <= 1.5 * least * (1.0 + 1e-9) for latency in latencies)


@settings(deadline=None, max_examples=50)
@given(st.data())
def test_every_cut_of_a_chain_may_be_near(data: st.DataObject) -> None:
    graph = data.draw(chains(max_operators=6))
    times, work = (
        data.draw(operator_times(graph, positive=True)),
        data.draw(operator_times(graph, positive=True)),
    )
    link = Link(1e6, 1e6)
    near = near_cuts(graph, times, work, link, 1.0, most=99, within=1e30)
    assert sorted(len(cut.on_device) for cut in near) == list(range(len(graph.operators) + 1))


def once(times: list[float]) -> Callable[[], Round]:
    return lambda: Round(2.0, times.pop(0), 1.0)


def test_rounds_are_repeated_until_they_agree() -> None:
    now = iter(range(100))
    rounds, error = repeat(once([1.0] * 20), 0.01, 99.0, lambda: float(next(now)))
    assert (len(rounds), error) == (9, 0.0)
    scattered = [1.0 + 0.5 * (k % 2) for k in range(40)]
    now = iter(range(100))
    rounds, error = repeat(once(scattered), 0.001, 20.0, lambda: float(next(now)))
    # Nine rounds, then one look at the clock a round until it says 20.
    assert len(rounds) == 28
    assert error > 0.001


def test_a_few_disturbed_rounds_do_not_change_the_noise() -> None:
    quiet = [1.0 + 0.01 * (k % 5) for k in range(9)]
    noises = []
    for last in (1.02, 50.0):
        rounds, error = repeat(once([*quiet[:-1], last]), 0.0, 0.0, lambda: 0.0)
        assert len(rounds) == 9
        noises.append(error)
    assert 0.0 < noises[0] <= noises[1] < 0.02


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda: measured_cut(DATA, GRAPH, (5,)), "on_device"),
        (lambda: best_measured(DATA, GRAPH, [], LINK, 1.0), "no cut to measure"),
        (lambda: best_measured(DATA, GRAPH, [()], LINK, 0.0), "share is 0.0"),
        (lambda: near_cuts(GRAPH, [1.0] * 66, [1.0] * 66, LINK, 1.0, most=0), "most is 0"),
        (lambda: MeasuredCut((), -1.0, 0.0, 1.0, 0.0, 0, 0, 1), "local_time is -1.0"),
        (lambda: MeasuredCut((), 0.0, 1.0, 0.0, 0.0, 0, 0, 1), "whole is 0.0"),
        (lambda: MeasuredCut((), 0.0, 1.0, 1.0, 0.0, 0, 0, 1).scaled_to(-2.0), "whole is -2.0"),
    ],
)
def test_wrong_input_is_one_line(make, complaint: str) -> None:
    with pytest.raises(InvalidInput, match=complaint):
        make()


@pytest.mark.parametrize("name", ["noise", "budget"])
def test_bounds_that_are_no_numbers_are_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match=f"{name} is not a number"):
        measured_cut(DATA, GRAPH, range(20), **{name: float("nan")})
