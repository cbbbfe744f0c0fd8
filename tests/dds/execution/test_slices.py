"""What slices cost: the formula is the schedule's, the fit is the optimum, measuring measures."""

from __future__ import annotations

import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import nnls

from dds import Worker, WorkerLinks, load_model, schedule
from dds.errors import InvalidInput
from dds.execution.slices import (
    SliceCosts,
    measure_links,
    measure_slices,
    non_negative,
    seconds_per_operator,
)
from dds.model import zoo
from dds.parallel.normalise import normalise
from dds.parallel.program import Compute
from dds.parallel.rewrite import Source
from dds.profile.profile import Profile
from dds.profile.runtime import Runtime
from dds.testing.models import text_model

pinned = pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity"), reason="this system pins no process to a core"
)
#: Two convolutions, each with what follows it.
LAYERS = text_model(
    "(float[1,4,32,32] x) => (float[1,4,32,32] e) <float[4,4,3,3] w = {"
    + ", ".join(str(k / 100) for k in range(144))
    + "}> {a = Conv<pads=[1,1,1,1]>(x, w)\n b = Relu(a)\n c = Conv<pads=[1,1,1,1]>(b, w)\n"
    "d = Relu(c)\n e = Add(d, x)}"
)


@given(st.integers(0, 2**20), st.integers(3, 9), st.integers(1, 3))
def test_the_fit_is_the_best_one_without_negative_numbers(seed, rows, count) -> None:
    rng = np.random.default_rng(seed)
    columns, wanted = rng.standard_normal((rows, count)), rng.standard_normal(rows)
    found = non_negative(columns, wanted)
    assert found.min() >= 0.0
    np.testing.assert_allclose(found, nnls(columns, wanted)[0], atol=1e-9)


@pytest.mark.parametrize("name", ["squeezenet", "inception_v1"])
def test_a_tile_costs_what_a_schedule_says(name: str) -> None:
    graph = load_model(zoo.topology(name))
    timing = np.random.default_rng(1).uniform(0.0, 1.0, len(graph.operators))
    found = schedule(graph, [Worker(timing, thin=0.7)] * 2, WorkerLinks(1e9), tries=0)
    assert found.sliced
    costs = SliceCosts(timing, 0.0, 0.0, 0.7)
    for number, task in enumerate(found.tasks):
        step = Compute(b"", {}, {}, (number,))
        assert costs.seconds(graph, found, step) == pytest.approx(task.end - task.start, rel=1e-9)


def test_starting_and_bytes_count_once_per_model() -> None:
    graph = load_model(LAYERS)
    found = schedule(graph, [Worker([1.0] * 5)], WorkerLinks(1e9))
    whole = Source.read(LAYERS, graph).tile(found.tasks[0].tile)
    assert set(whole.inputs) == {"x"}
    costs = SliceCosts(np.ones(5), 10.0, 1e-3, 0.0)
    from dds.parallel.program import programs

    (program,) = programs(Source.read(LAYERS, graph), found, 1)
    (step,) = [step for step in program.steps if isinstance(step, Compute)]
    moved = 2 * 4 * 32 * 32 * 4
    assert costs.seconds(graph, found, step) == pytest.approx(10.0 + 1e-3 * moved + 5.0)


def test_a_group_counts_for_its_convolution() -> None:
    graph = load_model(LAYERS)
    profile = Profile(
        graph.digest, "here", Runtime(), ("b", "e"), ((0, 1), (2, 3, 4)), (1.0, 2.0), (0.0, 0.0),
        3.0, 3.0, 0.0, 5,
    )  # fmt: skip
    assert seconds_per_operator(graph, profile).tolist() == [1.0, 0.0, 2.0, 0.0, 0.0]


@pinned
def test_slices_and_links_are_measured_here() -> None:
    cores = [sorted(os.sched_getaffinity(0))[k] for k in (0, -1)]
    model = normalise(LAYERS)
    graph = load_model(model)
    source = Source.read(model, graph)
    costs = measure_slices(source, np.full(len(graph.operators), 1e-5), cores, plays=3)
    assert costs.start >= 0.0
    assert costs.handling >= 0.0
    assert costs.thin >= 0.0
    assert costs.start + costs.handling + costs.thin > 0.0
    assert 0.0 <= costs.error < 1.0
    links, wake = measure_links(cores, plays=2)
    assert 1e6 < float(links.rates(2)[0, 1]) < 1e12
    assert 0.0 < links.message < 0.1
    assert 0.0 <= wake < 1.0
    with pytest.raises(InvalidInput, match="at least 2"):
        measure_slices(source, np.ones(len(graph.operators)), cores, plays=1)
