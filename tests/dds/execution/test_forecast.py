"""Forecasts: every step when all before it are done, whatever the order they are looked at."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dds import WorkerLinks, load_model
from dds.errors import InternalError
from dds.execution.forecast import forecast
from dds.model import ModelGraph
from dds.model.graph import Tensor
from dds.parallel.program import Compute, Part, Program, Receive, Send, programs
from dds.parallel.rewrite import Source
from dds.parallel.tiles import WHOLE
from dds.testing.slices import schedules, sliceable_models


def by_recursion(
    graph: ModelGraph, team: tuple[Program, ...], seconds, links: WorkerLinks
) -> float:
    """The same from its definition: when step k of a worker ends."""
    sizes = {t.name: (t.shape, np.dtype(t.dtype).itemsize) for t in graph.tensors}

    def copied(part: Part) -> float:
        shape, each = sizes[part.tensor]
        count = float(np.prod(shape)) * each
        if part.region.axis >= 0:
            count *= (part.region.high - part.region.low) / shape[part.region.axis]
        return count / float(links.bandwidth)

    sent = {
        (step.part, program.worker, step.receiver): (program.worker, k)
        for program in team
        for k, step in enumerate(program.steps)
        if isinstance(step, Send)
    }

    @cache
    def end(worker: int, k: int) -> float:
        if k < 0:
            return sum(map(copied, team[worker].inputs))
        before = end(worker, k - 1)
        match team[worker].steps[k]:
            case Compute() as step:
                return before + seconds(step)
            case Send(part=part):
                return before + links.message + copied(part)
            case Receive(part=part, sender=sender):
                return max(before, end(*sent[part, sender, worker]))

    ends = [end(program.worker, len(program.steps) - 1) for program in team]
    return max(e + sum(map(copied, p.outputs)) for e, p in zip(ends, team, strict=True))


@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(sliceable_models(), st.integers(1, 3), st.floats(1e3, 1e9), st.floats(0.0, 1.0), st.data())
def test_every_step_ends_when_it_is_defined_to(model, workers, rate, message, data) -> None:
    graph = load_model(model)
    team = programs(Source.read(model, graph), data.draw(schedules(graph, workers)), workers)
    links = WorkerLinks(rate, message)

    def seconds(step: Compute) -> float:
        return 0.1 * len(step.outputs) + 0.01 * len(step.inputs)

    assert forecast(graph, team, seconds, links) == pytest.approx(
        by_recursion(graph, team, seconds, links), rel=1e-12
    )


def test_programs_that_wait_for_each_other_are_refused() -> None:
    part = Part("x", WHOLE)
    graph = ModelGraph((), (Tensor("x", (2,), "float32", 8),), (0,), ())
    both = [Program(k, (), (Receive(part, 1 - k), Send(part, 1 - k, part)), ()) for k in range(2)]
    with pytest.raises(InternalError, match="wait for each other"):
        forecast(graph, both, lambda _: 0.0, WorkerLinks(1.0))
