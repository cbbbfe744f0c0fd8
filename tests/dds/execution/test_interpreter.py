"""Programs played on threads: the whole model's answer, whatever the schedule."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dds import Worker, WorkerLinks, load_model, schedule
from dds.costs import Device
from dds.engines import Engine, Executable, engine
from dds.errors import InvalidInput
from dds.execution.interpreter import load
from dds.execution.threads import PostOffice, run_here
from dds.model import zoo
from dds.parallel.normalise import normalise
from dds.parallel.program import Compute, Part, Program, Receive, Send, programs
from dds.parallel.rewrite import Source, take
from dds.parallel.schedule import Schedule, Task, Transfer, baselines
from dds.parallel.tiles import WHOLE, Region, Tile
from dds.profile.runtime import Runtime
from dds.testing.models import text_model
from dds.testing.slices import schedules, sliceable_models

PLAIN = engine("onnxruntime", Runtime(1, "none"))
FAST = engine("onnxruntime")


def whole(model: bytes, feeds, on=PLAIN):
    return on.load(model).run(feeds)


def close(found, answer, tolerance: float) -> None:
    assert found.keys() == answer.keys()
    for name, values in answer.items():
        largest = float(np.abs(values).max(initial=1e-30))
        np.testing.assert_allclose(found[name], values, rtol=0, atol=tolerance * largest)


@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(sliceable_models(), st.integers(1, 4), st.data())
def test_drawn_schedules_of_drawn_models(model, workers, data) -> None:
    graph = load_model(model)
    plan = data.draw(schedules(graph, workers))
    team = programs(Source.read(model, graph), plan, workers)
    x = np.random.default_rng(0).uniform(-1, 1, graph.tensors[graph.inputs[0]].shape)
    feeds = {"x": x.astype(np.float32)}
    close(run_here(team, feeds, PLAIN), whole(model, feeds), 1e-4)


class Witness:
    """An engine that compares all that is made with what is true."""

    def __init__(self, on: Engine, team: tuple[Program, ...], truth, tolerance: float) -> None:
        self.name = on.name
        self.on = on
        self.steps = [step for program in team for step in program.steps]
        self.truth = truth
        self.tolerance = tolerance
        self.seen = 0

    def load(self, model: bytes) -> Executable:
        (step,) = (s for s in self.steps if isinstance(s, Compute) and s.model is model)
        return Witnessed(self, self.on.load(model), step)


class Witnessed:
    def __init__(self, witness: Witness, loaded: Executable, step: Compute) -> None:
        self.witness = witness
        self.loaded = loaded
        self.step = step
        self.inputs, self.outputs = loaded.inputs, loaded.outputs

    def run(self, feeds):
        made = self.loaded.run(feeds)
        for name, part in self.step.outputs.items():
            answer = take(self.witness.truth[part.tensor], part.region)
            largest = float(np.abs(self.witness.truth[part.tensor]).max(initial=1e-30))
            np.testing.assert_allclose(
                made[name], answer, rtol=0, atol=self.witness.tolerance * largest
            )
            self.witness.seen += 1
        return made

    def close(self) -> None:
        self.loaded.close()


@pytest.mark.parametrize("optimise", [False, True])
@pytest.mark.parametrize(
    ("name", "speeds", "plan"),
    [
        ("squeezenet", (1, 1), "found"),
        ("squeezenet", (1, 1, 2, 4), "rows"),
        ("shufflenet", (1, 2), "channels"),
        ("inception_v1", (1, 1, 1), "heft"),
        ("inception_v1", (1, 1, 2, 4), "found"),
    ],
)
def test_models_of_the_zoo(name, speeds, plan, optimise, every_tensor) -> None:
    """At every boundary: differences add up from one to the next, but not to much."""
    model = normalise(zoo.build(name))
    graph = load_model(model)
    workers = [
        Worker(Device("board", 8e9 * speed, 4e9 * speed, 0.0), overhead=2e-5, thin=0.5)
        for speed in speeds
    ]
    links = WorkerLinks(125e6, message=2e-4)
    found = (
        schedule(graph, workers, links)
        if plan == "found"
        else baselines(graph, workers, links)[plan]
    )
    (given,) = (graph.tensors[t] for t in graph.inputs)
    feeds = {given.name: np.random.default_rng(5).random(given.shape, np.float32)}
    team = programs(Source.read(model, graph), found, len(workers))
    truth = every_tensor(model, graph, feeds)
    sliced = {task.tile.kind for task in found.tasks}
    tolerance = 1e-5 if optimise else 2e-6 if "rows" in sliced else 0.0
    witness = Witness(FAST if optimise else PLAIN, team, truth, tolerance)
    answers = run_here(team, feeds, witness)
    assert answers.keys() == {graph.tensors[t].name for t in graph.outputs}
    assert witness.seen >= len(workers)


FORK = text_model("(float[1,2,6,3] x) => (float[1,2,6,3] y) {a = Relu(x) b = Neg(x) y = Add(a, b)}")
#: The first operator here, the second on worker 1, the last here.
THERE_AND_BACK = Schedule(
    (Task(0, Tile(range(1)), 0, 1), Task(1, Tile(range(1, 2)), 1, 2),
     Task(0, Tile(range(2, 3)), 3, 4)),
    (Transfer(0, 1, 0, WHOLE, 0, 1), Transfer(1, 0, 2, WHOLE, 2, 3)),
    4.0,
)  # fmt: skip


def fork_team() -> tuple[Program, ...]:
    return programs(Source.read(FORK, load_model(FORK)), THERE_AND_BACK, 2)


def test_a_program_is_played_again_and_again_and_its_steps_are_timed() -> None:
    team = fork_team()
    office = PostOffice(team)
    loaded = [load(program, PLAIN) for program in team]
    for turn in range(3):
        x = np.full((1, 2, 6, 3), turn - 1.0, np.float32)
        logs = [np.full(len(program.steps), np.nan) for program in team]
        other = threading.Thread(target=loaded[1].play, args=({}, office.mailbox(1), logs[1]))
        other.start()
        made = loaded[0].play({"x": x}, office.mailbox(0), logs[0])
        other.join()
        np.testing.assert_array_equal(made["y"], np.maximum(x, 0) - x)
        assert all((log >= 0).all() for log in logs)
    for each in loaded:
        each.close()
        each.close()


def test_arrays_that_are_sent_are_views_where_that_is_enough() -> None:
    """The model's input is cut, uncopied, into what the mailbox gets."""
    half = Part("x", Region(2, 3, 6))
    program = Program(0, (Part("x", WHOLE),), (Send(half, 1, Part("x", WHOLE)),), ())
    office = PostOffice([program, Program(1, (), (Receive(half, 0),), ())])
    x = np.arange(36, dtype=np.float32).reshape(1, 2, 6, 3)
    assert load(program, PLAIN).play({"x": x}, office.mailbox(0)) == {}
    sent = office.mailbox(1).receive(half, 0)
    assert np.shares_memory(sent, x)
    np.testing.assert_array_equal(sent, x[:, :, 3:])


def test_a_single_number_is_sent_as_an_array() -> None:
    number = Part("x", WHOLE)
    office = PostOffice([Program(1, (), (Receive(number, 0),), ())])
    program = Program(0, (number,), (Send(number, 1, number),), ())
    load(program, PLAIN).play({"x": np.array(5.0, np.float32)}, office.mailbox(0))
    sent = office.mailbox(1).receive(number, 0)
    assert isinstance(sent, np.ndarray)
    assert (sent.shape, sent.item()) == ((), 5.0)


@pytest.mark.parametrize("slow", [0, 1])
def test_a_worker_that_fails_ends_all(slow: int) -> None:
    """The feed fits nobody: worker 1 computes with it first, or worker 0."""
    before = threading.active_count()
    nodes = list(THERE_AND_BACK.tasks)
    nodes[slow] = Task(slow, nodes[slow].tile, 1 + slow, 2)
    plan = Schedule(tuple(nodes), THERE_AND_BACK.transfers, 4.0)
    team = programs(Source.read(FORK, load_model(FORK)), plan, 2)
    with pytest.raises(InvalidInput, match=r"^input 'x' is float32 \(1, 2\); feed float32 \("):
        run_here(team, {"x": np.zeros((1, 2), np.float32)}, PLAIN)
    assert threading.active_count() == before


def test_what_is_missing_is_named() -> None:
    team = fork_team()
    with pytest.raises(InvalidInput, match=r"^input 'x' is missing$"):
        run_here(team, {}, PLAIN)
    worker, other = team
    late = Program(0, worker.inputs, worker.steps[::-1], worker.outputs)
    with pytest.raises(InvalidInput, match=r"^step 0 of worker 0 reads Part\(tensor='a'"):
        load(late, PLAIN)
    more = Program(1, (), other.steps, (Part("z", WHOLE),))
    with pytest.raises(InvalidInput, match=r"^worker 1 returns Part\(tensor='z'"):
        load(more, PLAIN)


class Counting:
    """onnxruntime, which also counts how many models are loaded and not closed."""

    name = "counting"

    def __init__(self) -> None:
        self.open = 0

    def load(self, model: bytes) -> Executable:
        loaded = PLAIN.load(model)
        self.open += 1
        return Counted(self, loaded)


class Counted:
    def __init__(self, counting: Counting, loaded: Executable) -> None:
        self.counting = counting
        self.loaded = loaded
        self.inputs, self.outputs = loaded.inputs, loaded.outputs
        self.run = loaded.run

    def close(self) -> None:
        self.counting.open -= 1


def test_models_are_let_go_of_even_where_one_is_refused() -> None:
    team = fork_team()
    counting = Counting()
    run_here(team, {"x": np.ones((1, 2, 6, 3), np.float32)}, counting)
    assert counting.open == 0
    *steps, last = team[0].steps
    assert isinstance(last, Compute)
    broken = Compute(b"no model", last.inputs, last.outputs)
    with pytest.raises(InvalidInput):
        load(Program(0, team[0].inputs, (*steps, broken), team[0].outputs), counting)
    assert counting.open == 0
