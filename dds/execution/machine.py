"""A model on several cores of this machine: measured, scheduled, played."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dds.errors import InvalidInput
from dds.execution.forecast import forecast
from dds.execution.processes import PinnedWorkers, available_cores, check_cores
from dds.execution.slices import SliceCosts, measure_links, measure_slices, seconds_per_operator
from dds.model.graph import ModelGraph
from dds.model.importer import ModelSource, load_model
from dds.parallel.candidates import candidates
from dds.parallel.normalise import normalise
from dds.parallel.program import Program
from dds.parallel.rewrite import Source
from dds.parallel.schedule import Schedule
from dds.parallel.workers import Worker, WorkerLinks
from dds.profile.measure import measure
from dds.profile.platform import Platform
from dds.profile.runtime import DEFAULT_RUNTIME, Runtime, random_inputs

__all__ = ["MachinePlan", "MachineRun", "on_this_machine", "plan_for_this_machine"]

#: Profiled runs of the whole model.
_REPEATS = 7
#: Cores used unless told otherwise.
_MOST_CORES = 4
#: What starting a slice may cost a schedule, times what it was measured to take.
_FACTORS = (0.25, 1.0, 3.0, 9.0)
#: Plays of a trial, after some that touch memory for the first time.
_WARM, _PLAYS = 3, 7


@dataclass(frozen=True, eq=False)
class MachinePlan:
    """How to run a model on cores of this machine.

    model: its ONNX bytes, normalised; graph: of these; schedule, programs: one worker for each
    core; forecast: what an inference was expected to take before any was played, s; prediction: the
    forecast, times what the other candidates took in their trials over their own forecasts, in the
    median, s; latency: what this one took in its trial, s; costs, links, wake: what was measured
    before (see :mod:`dds.execution.slices`), wake being the seconds from a call until workers run,
    and back.
    """

    model: bytes = field(repr=False)
    graph: ModelGraph
    cores: tuple[int, ...]
    schedule: Schedule
    programs: tuple[Program, ...] = field(repr=False)
    forecast: float
    prediction: float
    latency: float
    costs: SliceCosts
    links: WorkerLinks
    wake: float


def plan_for_this_machine(
    model: ModelSource,
    cores: Sequence[int] | None = None,
    *,
    shapes: Mapping[str, Sequence[int]] | None = None,
    runtime: Runtime = DEFAULT_RUNTIME,
) -> MachinePlan:
    """Measure a model and slices of it here, and find the schedule that is fastest here.

    There are several :func:`~dds.parallel.candidates.candidates`.  Each is played a few times, the
    first core alone too, and what counts is what it took.

    Arguments and errors are those of :func:`on_this_machine`.
    """
    chosen = _cores(cores)
    whole = normalise(model, shapes=shapes)
    graph = load_model(whole, shapes=shapes)
    source = Source.read(whole, graph)
    profile = measure(whole, graph, platform=Platform(runtime), repeats=_REPEATS)
    costs = measure_slices(source, seconds_per_operator(graph, profile), chosen, runtime=runtime)
    links, wake = measure_links(chosen)
    inputs = random_inputs(graph, np.random.default_rng(0))
    workers = [Worker(costs.timing, overhead=costs.start, thin=costs.thin)] * len(chosen)
    plans: list[MachinePlan] = []
    for candidate in candidates(source, workers, links, _FACTORS):
        found, team = candidate.schedule, candidate.programs
        expected = wake + forecast(graph, team, partial(costs.seconds, graph, found), links)
        with PinnedWorkers(team, graph, chosen, runtime=runtime) as processes:
            trial = [processes.run(inputs).seconds for _ in range(_WARM + _PLAYS)][_WARM:]
        taken = float(np.median(trial))
        plans.append(
            MachinePlan(
                *(whole, graph, chosen, found, team, expected, expected, taken, costs, links, wake)
            )
        )
    best = min(plans, key=lambda plan: plan.latency)
    ratios = [plan.latency / plan.forecast for plan in plans if _like(plan, best)]
    return replace(best, prediction=best.forecast * float(np.median(ratios or [1.0])))


def _like(plan: MachinePlan, other: MachinePlan) -> bool:
    """Whether another plan tells something of a plan: both run on one core, or neither does."""
    alone, other_alone = (len({t.worker for t in p.schedule.tasks}) < 2 for p in (plan, other))
    return plan is not other and alone == other_alone


@dataclass(frozen=True, eq=False)
class MachineRun:
    """A model that runs on cores of this machine, as planned.

    Called with the model's inputs by name it returns its outputs by name; it raises what
    :meth:`PinnedWorkers.run` raises.
    """

    plan: MachinePlan
    workers: PinnedWorkers

    def __call__(self, inputs: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
        """One inference."""
        return self.workers.run(inputs).outputs


@contextlib.contextmanager
def on_this_machine(
    model: ModelSource,
    cores: Sequence[int] | None = None,
    *,
    shapes: Mapping[str, Sequence[int]] | None = None,
    runtime: Runtime = DEFAULT_RUNTIME,
) -> Iterator[MachineRun]:
    """Run a model in slices on several cores of this machine, a process pinned to each.

    model: a path, or ONNX bytes; cores: as the system numbers them, by default up to four of those
    that this process may use; the first has the model's inputs and outputs; shapes: of inputs that
    the model leaves open, as in :func:`dds.load_model`; runtime: onnxruntime's settings, one thread
    in each process unless told otherwise.

    Entering measures the model and slices of it, plans, and starts the processes: seconds to a
    minute.  The first inference or two are slow: memory is touched for the first time.

    Raises InvalidInput for what is no model, for cores this process may not use, for a system that
    cannot pin processes, and for a runtime that needs other operators.
    """
    plan = plan_for_this_machine(model, cores, shapes=shapes, runtime=runtime)
    with PinnedWorkers(plan.programs, plan.graph, plan.cores, runtime=runtime) as workers:
        yield MachineRun(plan, workers)


def _cores(cores: Sequence[int] | None) -> tuple[int, ...]:
    if cores is None:
        cores = sorted(available_cores())[:_MOST_CORES]
    check_cores(cores, len(cores))
    if not cores:
        raise InvalidInput("cores: none given; give at least one")
    return tuple(cores)
