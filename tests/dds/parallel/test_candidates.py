"""Schedules worth trying: one per cost of a start, and two that slice nothing."""

import numpy as np
import pytest

from dds.costs import Device
from dds.errors import InvalidInput
from dds.model import load_model
from dds.parallel.candidates import candidates, single_worker
from dds.parallel.rewrite import Source
from dds.parallel.schedule import Schedule, baselines, schedule
from dds.parallel.workers import Worker, WorkerLinks
from dds.testing.models import text_model

MODEL = text_model(
    """(float[1,8,32,32] x, float[8,8,3,3] v, float[8,8,3,3] w) => (float[1,8,32,32] y) {
        a = Conv <pads = [1,1,1,1]> (x, v)
        b = Relu(a)
        c = Conv <pads = [1,1,1,1]> (b, w)
        y = Relu(c)
    }"""
)
SOURCE = Source.read(MODEL, load_model(MODEL))
#: The second worker is faster, and slices pay.
WORKERS = [Worker(Device("emulated", rate, 4e9, 0.0), 1e-6, 0.5) for rate in (1e8, 2e8)]
LINKS = WorkerLinks(1e9)


def placed(found: Schedule) -> list[tuple[object, ...]]:
    return [(task.worker, task.tile) for task in found.tasks]


def test_the_first_is_the_schedule_and_the_last_run_on_one_worker() -> None:
    found = list(candidates(SOURCE, WORKERS, LINKS, (1.0,)))
    assert [each.schedule.sliced for each in found] == [True, False, False]
    assert found[0].schedule == schedule(SOURCE.graph, WORKERS, LINKS)
    assert [{task.worker for task in each.schedule.tasks} for each in found] == [{0, 1}, {1}, {0}]
    assert found[1].schedule == baselines(SOURCE.graph, WORKERS, LINKS)["single"]
    assert found[1].programs == single_worker(SOURCE, WORKERS, LINKS).programs
    for each in found:
        assert [program.worker for program in each.programs] == [0, 1]


def test_a_start_that_costs_too_much_slices_nothing() -> None:
    cheap, dear = (next(candidates(SOURCE, WORKERS, LINKS, (factor,))) for factor in (1.0, 1e6))
    assert cheap.schedule.sliced
    assert not dear.schedule.sliced
    # What is handed in stays as it was.
    assert [worker.overhead for worker in WORKERS] == [1e-6, 1e-6]


def test_none_is_there_twice_and_the_first_stays_first() -> None:
    found = list(candidates(SOURCE, WORKERS, LINKS, (1.0, 1.0, 1e6, 1e7)))
    ways = [placed(each.schedule) for each in found]
    assert all(ways.count(way) == 1 for way in ways)
    assert found[0].schedule.sliced
    # Where nothing pays but the device, that is all there is.
    far = candidates(SOURCE, WORKERS, WorkerLinks(1.0), (1.0, 3.0))
    assert [{task.worker for task in each.schedule.tasks} for each in far] == [{0}]


def test_what_a_schedule_refuses_is_refused() -> None:
    with pytest.raises(InvalidInput, match="overhead"):
        next(candidates(SOURCE, WORKERS, LINKS, (np.nan,)))
    with pytest.raises(InvalidInput, match="workers"):
        next(candidates(SOURCE, [], LINKS, (1.0,)))


def test_nothing_is_searched_before_it_is_asked_for() -> None:
    found = candidates(SOURCE, WORKERS, LINKS, (1.0, np.nan))
    assert next(found).schedule.sliced
    with pytest.raises(InvalidInput, match="overhead"):
        next(found)
