"""Cuts measured with the real onnxruntime, and chosen among."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dds.costs import Link
from dds.cut import frontier, make_cut, min_cut, score
from dds.errors import InvalidInput
from dds.model import load_model, zoo
from dds.profile.cuts import MeasuredCut, best_measured, measured_cut, near_cuts, repeat
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
    assert (found.device_s > 0.0) == (kept > 0)
    assert (found.server_s > 0.0) == (kept < len(GRAPH.operators))
    assert found.repeats == 9
    assert measured_cut(DATA, GRAPH, cut, budget=0.0).on_device == found.on_device


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
    assert slow.device_s == 8.0 * first.device_s
    assert slow.server_s == 2.0 * first.server_s
    assert len(list((tmp_path / "cuts").iterdir())) == 1
    measured_cut(DATA, GRAPH, range(21), cache=tmp_path, budget=0.0)
    measured_cut(DATA, GRAPH, range(20), device=Platform(Runtime(2)), cache=tmp_path, budget=0.0)
    assert len(list((tmp_path / "cuts").iterdir())) == 3


@pytest.mark.parametrize(
    "damage",
    [
        "",
        "[]",
        "{}",
        '{"format": "dds-cut/1"}',
        '{"format": "dds-cut/1", "on_device": 7}',
        "[" * 9999,
    ],
)
def test_a_damaged_file_is_replaced(damage: str, tmp_path: Path) -> None:
    measured_cut(DATA, GRAPH, (), cache=tmp_path, budget=0.0)
    (file,) = (tmp_path / "cuts").iterdir()
    file.write_text(damage)
    again = measured_cut(DATA, GRAPH, (), cache=tmp_path, budget=0.0)
    kept = json.loads(file.read_text())
    assert (kept["server_s"], kept["repeats"]) == (again.server_s, again.repeats)


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
        device_s=cut.local_time,
        server_s=float(work[kept:].sum()),
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


def test_runs_are_repeated_until_they_agree() -> None:
    def once(times: list[float]):
        return lambda: (times.pop(0), 1.0)

    now = iter(range(100))
    runs, error = repeat(once([1.0] * 20), 0.01, 99.0, lambda: float(next(now)))
    assert (len(runs), error) == (9, 0.0)
    scattered = [1.0 + 0.5 * (k % 2) for k in range(40)]
    now = iter(range(100))
    runs, error = repeat(once(scattered.copy()), 0.001, 20.0, lambda: float(next(now)))
    # Nine runs, then one look at the clock a run until it says 20.
    assert len(runs) == 28
    assert error > 0.001


def test_a_few_disturbed_runs_do_not_change_the_noise() -> None:
    quiet = [1.0 + 0.01 * (k % 5) for k in range(9)]
    noises = []
    for last in (1.02, 50.0):
        times = [*quiet[:-1], last]
        runs, error = repeat(lambda times=times: (times.pop(0), 0.0), 0.0, 0.0, lambda: 0.0)
        assert len(runs) == 9
        noises.append(error)
    assert 0.0 < noises[0] <= noises[1] < 0.02


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda: measured_cut(DATA, GRAPH, (5,)), "on_device"),
        (lambda: best_measured(DATA, GRAPH, [], LINK, 1.0), "no cut to measure"),
        (lambda: best_measured(DATA, GRAPH, [()], LINK, 0.0), "share is 0.0"),
        (lambda: near_cuts(GRAPH, [1.0] * 66, [1.0] * 66, LINK, 1.0, most=0), "most is 0"),
        (lambda: MeasuredCut((), -1.0, 0.0, 0.0, 0, 0, 1), "device_s is -1.0"),
    ],
)
def test_wrong_input_is_one_line(make, complaint: str) -> None:
    with pytest.raises(InvalidInput, match=complaint):
        make()


@pytest.mark.parametrize("name", ["noise", "budget"])
def test_bounds_that_are_no_numbers_are_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match=f"{name} is not a number"):
        measured_cut(DATA, GRAPH, range(20), **{name: float("nan")})
