"""Programs: every model in them is right, all that is awaited is sent, and in time."""

from __future__ import annotations

from collections import deque

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dds import Worker, WorkerLinks, load_model, schedule
from dds.costs import Device
from dds.model import zoo
from dds.model.graph import ModelGraph
from dds.parallel.normalise import normalise
from dds.parallel.program import Compute, Part, Program, Receive, Send, programs
from dds.parallel.rewrite import Source, take
from dds.parallel.rewrite_compute import holds
from dds.parallel.schedule import Schedule, Transfer, baselines
from dds.testing.slices import schedules, sliceable_models

#: Of a tensor's largest value: how a slice's sums may round in another way.
_TOLERANCE = 2e-6
#: The same for drawn models, whose values cancel.
_DRAWN = 1e-5


def assert_programs(team: tuple[Program, ...], plan: Schedule, graph: ModelGraph) -> None:
    """What is sent is received, once; nobody waits for ever; the schedule's times can be kept."""
    assert [program.worker for program in team] == list(range(len(team)))
    computed = [i for p in team for s in p.steps if isinstance(s, Compute) for i in s.tasks]
    assert len(set(computed)) == len(computed)
    sent = [(p.worker, s.receiver, s.part) for p in team for s in p.steps if isinstance(s, Send)]
    awaited = [
        (s.sender, p.worker, s.part) for p in team for s in p.steps if isinstance(s, Receive)
    ]
    assert len(set(sent)) == len(sent)
    assert sorted(sent, key=str) == sorted(awaited, key=str)
    assert_ends(team)
    for program in team:
        assert_in_time(program, plan, graph)


def assert_ends(team: tuple[Program, ...]) -> None:
    """Played step by step, waiting wherever a part has not been sent, all programs end."""
    left = [deque(program.steps) for program in team]
    held = [set(program.inputs) for program in team]
    posted: set[tuple[int, int, Part]] = set()
    moved = True
    while moved:
        moved = False
        for worker, steps in enumerate(left):
            while steps:
                step = steps[0]
                match step:
                    case Receive(part=part, sender=sender):
                        if (sender, worker, part) not in posted:
                            break
                        held[worker].add(part)
                    case Send(part=part, receiver=receiver, within=within):
                        assert within in held[worker]
                        assert within.tensor == part.tensor
                        assert holds(within.region, part.region)
                        posted.add((worker, receiver, part))
                    case Compute(inputs=inputs, outputs=outputs):
                        assert held[worker] >= set(inputs.values())
                        held[worker].update(outputs.values())
                steps.popleft()
                moved = True
    assert not any(left)
    assert all(held[p.worker] >= set(p.outputs) for p in team)


def assert_in_time(program: Program, plan: Schedule, graph: ModelGraph) -> None:
    """A model starts when all it waits for is there by the schedule, and ends before it is sent."""
    slack = 1e-9 * plan.latency
    carried = [(graph.tensors[sent.tensor].name, sent) for sent in plan.transfers]

    def moments(part: Part, sender: int, receiver: int) -> list[Transfer]:
        found = [
            sent
            for name, sent in carried
            if name == part.tensor and (sent.sender, sent.receiver) == (sender, receiver)
        ]
        assert found
        return found

    done, waits = 0.0, []
    for step in program.steps:
        match step:
            case Receive(part=part, sender=sender):
                waits.append(min(sent.end for sent in moments(part, sender, program.worker)))
            case Send(part=part, receiver=receiver):
                last = max(sent.start for sent in moments(part, program.worker, receiver))
                assert done <= last + slack
            case Compute(tasks=tasks):
                own = [plan.tasks[i] for i in tasks]
                assert all(task.worker == program.worker for task in own)
                start = min((task.start for task in own), default=plan.latency)
                assert start >= done - slack
                assert all(moment <= start + slack for moment in waits)
                done = max((task.end for task in own), default=plan.latency)


def assert_models(team, whole, run, tolerance: float) -> float:
    """Every model, given what is true, makes what is true; the largest difference, relative."""
    worst = 0.0
    for program in team:
        for step in program.steps:
            if isinstance(step, Compute):
                feeds = {n: take(whole[p.tensor], p.region) for n, p in step.inputs.items()}
                made = run(step.model, feeds)
                assert made.keys() == step.outputs.keys()
                for name, part in step.outputs.items():
                    answer = take(whole[part.tensor], part.region)
                    assert made[name].shape == answer.shape
                    largest = float(np.abs(whole[part.tensor]).max(initial=1e-30))
                    gap = float(np.abs(made[name] - answer).max(initial=0.0)) / largest
                    worst = max(worst, gap)
                    assert gap <= tolerance, (part, gap)
    return worst


@settings(max_examples=120, suppress_health_check=list(HealthCheck))
@given(sliceable_models(), st.integers(1, 4), st.data())
def test_programs_of_drawn_schedules(run, every_tensor, model, workers, data) -> None:
    graph = load_model(model)
    plan = data.draw(schedules(graph, workers))
    team = programs(Source.read(model, graph), plan, workers)
    assert_programs(team, plan, graph)
    x = np.random.default_rng(0).uniform(-1, 1, graph.tensors[graph.inputs[0]].shape)
    whole = every_tensor(model, graph, {"x": x.astype(np.float32)})
    assert_models(team, whole, run, _DRAWN)


def team_of(speeds: tuple[float, ...]) -> list[Worker]:
    return [
        Worker(Device("board", 8e9 * speed, 4e9 * speed, 0.0), overhead=2e-5, thin=0.5)
        for speed in speeds
    ]


GIGABIT = WorkerLinks(125e6, message=2e-4)
CELLS = [
    ("squeezenet", (1, 1)),
    ("squeezenet", (1, 1, 2, 4)),
    ("shufflenet", (1, 1, 1)),
    ("inception_v1", (2, 1, 1, 1)),
]


@pytest.mark.parametrize(("name", "speeds"), CELLS, ids=str)
def test_schedules_and_baselines_of_the_zoo(name, speeds, run, every_tensor, picture) -> None:
    """Bit for bit where all tiles are whole or channels."""
    model = normalise(zoo.build(name))
    graph, source = load_model(model), Source.read(model, load_model(model))
    whole = every_tensor(model, graph, picture(graph))
    workers = team_of(speeds)
    plans = {"found": schedule(graph, workers, GIGABIT), **baselines(graph, workers, GIGABIT)}
    for plan in plans.values():
        team = programs(source, plan, len(workers))
        assert_programs(team, plan, graph)
        rows = any(task.tile.kind == "rows" for task in plan.tasks)
        assert_models(team, whole, run, _TOLERANCE if rows else 0.0)
