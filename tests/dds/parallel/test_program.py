"""Programs: every model in them is right, all that is awaited is sent, and in time."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dds import Worker, WorkerLinks, load_model, schedule
from dds.costs import Device
from dds.errors import InvalidInput
from dds.model import zoo
from dds.model.graph import ModelGraph
from dds.parallel.normalise import normalise
from dds.parallel.program import Compute, Part, Program, Receive, Send, programs
from dds.parallel.rewrite import Source, take
from dds.parallel.schedule import Schedule, Task, Transfer, baselines
from dds.parallel.tiles import WHOLE, Region, Tile, holds
from dds.testing.models import text_model
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


@settings(max_examples=70, suppress_health_check=list(HealthCheck))
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


FORK = text_model("(float[1,2,6,3] x) => (float[1,2,6,3] y, float[1,2,6,3] x) "
                  "{a = Relu(x) b = Neg(x) c = Add(a, b) d = Mul(a, b) y = Sub(c, d)}")  # fmt: skip
X, A, B, C, D = range(5)


def fork(tasks: list[tuple[int, Tile, float, float]], transfers: list[Transfer]) -> Schedule:
    made = tuple(Task(*task) for task in tasks)
    return Schedule(made, tuple(transfers), max(task.end for task in made))


def of(*operators: int) -> Tile:
    return Tile(range(operators[0], operators[-1] + 1))


def kinds(program: Program) -> str:
    """First letters of a program's steps."""
    return "".join(type(step).__name__[0] for step in program.steps)


def crossing(step: float) -> Schedule:
    """a and d here, b and c there, each wants the other's first; so long takes everything."""
    moments = [k * step for k in range(6)]
    return fork(
        [(0, of(0), 0, moments[1]), (1, of(1), moments[1], moments[2]),
         (1, of(2), moments[2], moments[3]), (0, of(3), moments[3], moments[4]),
         (0, of(4), moments[4], moments[5])],
        [Transfer(0, 1, X, WHOLE, 0, moments[1]), Transfer(0, 1, A, WHOLE, moments[1], moments[2]),
         Transfer(1, 0, B, WHOLE, moments[2], moments[3]),
         Transfer(1, 0, C, WHOLE, moments[3], moments[4])],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("step", "steps"), [(0.0, ["CSSRRC", "RRCSS"]), (1.0, ["SCSRCRC", "RCSRCS"])]
)
def test_nobody_waits_for_ever_even_where_nothing_takes_any_time(
    step: float, steps: list[str]
) -> None:
    graph = load_model(FORK)
    plan = crossing(step)
    team = programs(Source.read(FORK, graph), plan, 2)
    assert_programs(team, plan, graph)
    assert [kinds(program) for program in team] == steps


def test_what_nobody_waits_for_becomes_one_model() -> None:
    graph = load_model(FORK)
    source = Source.read(FORK, graph)
    alone = fork([(0, of(v), v, v + 1) for v in range(5)], [])
    (program,) = programs(source, alone, 1)
    assert kinds(program) == "C"
    assert program.steps[0].tasks == tuple(range(5))
    assert program.outputs == (Part("y", WHOLE), Part("x", WHOLE))
    moved = fork(
        [(1, of(v), v + 1, v + 2) for v in range(5)],
        [Transfer(0, 1, X, WHOLE, 0, 1), Transfer(1, 0, 5, WHOLE, 6, 7)],
    )
    moved = replace(moved, latency=7.0)
    first, other, idle = programs(source, moved, 3)
    assert (kinds(first), kinds(other), kinds(idle)) == ("SR", "RCS", "")
    assert idle == Program(2, (), (), ())


def test_what_is_sent_early_is_not_held_back_and_what_is_sent_late_waits_its_turn() -> None:
    """The picture leaves when the schedule says so, behind what is more urgent."""
    graph = load_model(FORK)
    tasks = [
        (0, of(0), 0, 1),
        (0, of(1), 1, 2),
        (1, of(2), 3, 4),
        (0, of(3), 2, 3),
        (0, of(4), 5, 6),
    ]
    late = [Transfer(0, 1, A, WHOLE, 2, 2.5), Transfer(0, 1, B, WHOLE, 2.5, 3),
            Transfer(1, 0, C, WHOLE, 4, 5)]  # fmt: skip
    plan = fork(tasks, late)
    assert kinds(programs(Source.read(FORK, graph), plan, 2)[0]) == "CSSCRC"
    early = replace(plan, transfers=(Transfer(0, 1, A, WHOLE, 1, 1.5), *late[1:]))
    assert kinds(programs(Source.read(FORK, graph), early, 2)[0]) == "CSCSCRC"
    for each in (plan, early):
        assert_programs(programs(Source.read(FORK, graph), each, 2), each, graph)


def test_halos_are_joined_and_cut_inside_the_models(run, every_tensor, picture) -> None:
    model = text_model("""(float[1,2,8,4] x) => (float[1,2,8,4] y)
        <float[2,2,3,1] w = {1,2,3,4,5,6,7,8,9,10,11,12}>
        {a = Relu(x) y = Conv <pads = [1,0,1,0]> (a, w)}""")
    graph = load_model(model)
    top, bottom = (Region(2, 0, 4), Region(2, 4, 8))
    tasks = [(k, Tile(range(v, v + 1), "rows", r.low, r.high), 2.0 * v + 1, 2.0 * v + 2)
             for v in range(2) for k, r in enumerate((top, bottom))]  # fmt: skip
    plan = fork(
        tasks,
        [Transfer(0, 1, 0, bottom, 0, 1), Transfer(0, 1, 1, Region(2, 3, 4), 2, 3),
         Transfer(1, 0, 1, Region(2, 4, 5), 2, 3), Transfer(1, 0, 2, bottom, 4, 5)],
    )  # fmt: skip
    plan = replace(plan, latency=5.0)
    team = programs(Source.read(model, graph), plan, 2)
    assert [kinds(program) for program in team] == ["SCSRCRC", "RCSRCS"]
    halo = Part("a", Region(2, 3, 4))
    mine = Part("a", top)
    relu, conv, join = (step for step in team[0].steps if isinstance(step, Compute))
    assert set(relu.outputs.values()) == {mine}
    assert Send(halo, 1, mine) in team[0].steps
    assert set(conv.inputs.values()) == {mine, Part("a", Region(2, 4, 5))}
    assert (join.tasks, set(join.outputs.values())) == ((), {Part("y", WHOLE)})
    assert_programs(team, plan, graph)
    assert_models(team, every_tensor(model, graph, picture(graph)), run, _TOLERANCE)


def test_bodies_of_control_flow_find_what_they_capture(run, every_tensor, picture) -> None:
    model = text_model("""(float[1,2,6,3] x) => (float[1,2,6,3] y) <bool c = {1}> {
        a = Relu(x)
        b = If <then_branch = t () => (float[1,2,6,3] n) {n = Neg(a)},
                else_branch = e () => (float[1,2,6,3] m) {m = Abs(a)}> (c)
        y = Add(a, b)}""")
    graph = load_model(model)
    a, b = 1, 2
    plan = fork(
        [(0, Tile(range(1), "rows", 0, 2), 0, 1), (1, Tile(range(1), "rows", 2, 6), 1, 2),
         (1, of(1), 2, 3), (0, of(2), 4, 5)],
        [Transfer(0, 1, 0, Region(2, 2, 6), 0, 1), Transfer(0, 1, a, Region(2, 0, 2), 1, 2),
         Transfer(1, 0, a, Region(2, 2, 6), 2, 3), Transfer(1, 0, b, WHOLE, 3, 4)],
    )  # fmt: skip
    team = programs(Source.read(model, graph), plan, 2)
    assert_programs(team, plan, graph)
    assert_models(team, every_tensor(model, graph, picture(graph)), run, 0.0)


def test_a_slice_of_all_rows_reads_what_it_needs_and_no_more(run, every_tensor, picture) -> None:
    """A stride leaves the last row out, and the run before it makes that one anyway."""
    model = text_model("""(float[1,1,4,3] x) => (float[1,1,2,3] y) <float[1,1,1,1] w = {2}>
        {a = Relu(x) y = Conv <strides = [2,1]> (a, w)}""")
    graph = load_model(model)
    plan = fork([(0, Tile(range(2), "rows", 0, 2), 0, 1)], [])
    team = programs(Source.read(model, graph), plan, 1)
    assert_models(team, every_tensor(model, graph, picture(graph)), run, 0.0)


def test_the_places_where_a_schedule_is_not_of_this_model_are_named() -> None:
    graph = load_model(FORK)
    source = Source.read(FORK, graph)
    plan = crossing(1.0)

    def refused(match: str, workers: int = 2, **changes) -> None:
        with pytest.raises(InvalidInput, match=match):
            programs(source, replace(plan, **changes), workers)

    refused("^workers is 1; the schedule needs 2$", workers=1)
    refused("^workers is 0; the schedule needs 1$", workers=0, tasks=(), transfers=())
    for k, sent in enumerate(plan.transfers):
        others = (*plan.transfers[:k], *plan.transfers[k + 1 :])
        refused("does not have that by then", transfers=others)
        refused("does not have that by then", transfers=(*others, replace(sent, end=9.0)))
        refused("does not have that by then", transfers=(*others, replace(sent, start=-1.0)))
        refused("none of the model's 6 tensors", transfers=(*others, replace(sent, tensor=6)))
        refused("none of the model's", transfers=(*others, replace(sent, region=Region(4, 0, 1))))
        refused("carries nothing", transfers=(*others, replace(sent, region=Region(2, 5, 7))))
    for k, task in enumerate(plan.tasks):
        others = (*plan.tasks[:k], *plan.tasks[k + 1 :])
        refused("does not have that by then", tasks=others)
        refused("5 operators have not", tasks=(*others, replace(task, tile=of(4, 5))))
    refused("^the end needs all of 'y'", tasks=plan.tasks[:-1])
    worker = Worker([1.0] * 66)
    squeezenet = load_model(zoo.topology("squeezenet"))
    other = schedule(squeezenet, [worker, worker], WorkerLinks(1e9), tries=0)
    with pytest.raises(InvalidInput, match="make the schedule from this model"):
        programs(source, other, 2)


@pytest.mark.parametrize("kind", ["rows", "channels"])
def test_a_second_output_that_nobody_reads_is_no_obstacle(run, every_tensor, picture, kind) -> None:
    """Both slices on one worker, in one model."""
    model = text_model("""(float[1,2,6,3] x) => (float[1,2,3,2] y)
        {y, where = MaxPool <kernel_shape = [2,2], strides = [2,1]> (x)}""")
    graph = load_model(model)
    slices = [(0, Tile(range(1), kind, k, k + 1 + (k == 1 and kind == "rows")), k, k + 1.0)
              for k in range(2)]  # fmt: skip
    team = programs(Source.read(model, graph), fork(slices, []), 1)
    assert_models(team, every_tensor(model, graph, picture(graph)), run, 0.0)


def test_a_model_that_returns_a_constant_is_refused() -> None:
    model = text_model("(float[2] x) => (float[2] y, float[1] c) <float[1] w = {2}>"
                       "{y = Relu(x) c = Neg(w)}")  # fmt: skip
    graph = load_model(model)
    alone = Schedule((Task(0, Tile(range(1)), 0.0, 1.0),), (), 1.0)
    with pytest.raises(InvalidInput, match=r"^output 'c' is the same for every input; take it out"):
        programs(Source.read(model, graph), alone, 1)


@pytest.mark.parametrize(("opset", "joins"), [(1, False), (7, True)])
def test_slices_that_an_old_concat_cannot_join_are_refused(opset: int, joins: bool) -> None:
    model = onnx.ModelProto.FromString(
        text_model("(bool[1,1,8,4] x) => (bool[1,1,8,4] y) {y = Not(x)}")
    )
    model.opset_import[0].version = opset
    graph = load_model(model.SerializeToString())
    plan = baselines(graph, [Worker([1.0])] * 2, WorkerLinks(1e9))["rows"]
    assert {task.tile.kind for task in plan.tasks} == {"rows"}
    source = Source.read(model.SerializeToString(), graph)
    if joins:
        assert len(programs(source, plan, 2)) == 2
    else:
        with pytest.raises(InvalidInput, match=r"'y' \(bool\) .* opset 1 .*upgrade the model"):
            programs(source, plan, 2)
