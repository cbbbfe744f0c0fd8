"""What a program announced comes in, once, and nothing else; whoever waits is told of the end."""

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clients.mailboxes import Box, Form, PostedMailbox, announced
from dds.engines import TensorSpec
from dds.errors import InvalidInput
from dds.parallel.program import Compute, Part, Program, Receive, Send
from dds.parallel.tiles import WHOLE, Region
from dds.session.helping import UnknownRun
from dds.session.refusals import TooLate

X, Y, ROW = Part("x", WHOLE), Part("y", WHOLE), Part("x", Region(2, 0, 1))
FORM = Form("float32", (2, 3))
VALUES = np.zeros((2, 3), np.float32)


class Model:
    """What a loaded model says of itself."""

    def __init__(self, inputs: dict[str, TensorSpec], outputs: dict[str, TensorSpec]) -> None:
        self.inputs = tuple(inputs.values())
        self.outputs = tuple(outputs.values())

    def run(self, _feeds: object) -> dict[str, np.ndarray]:
        raise AssertionError("nothing is run here")

    def close(self) -> None:
        raise AssertionError("nothing is closed here")


def spec(name: str, shape: tuple[int, ...] = (2, 3), dtype: str = "float32") -> TensorSpec:
    return TensorSpec(name, dtype, shape)


def model(*inputs: TensorSpec, makes: TensorSpec | None = None) -> Model:
    made = makes or spec("y")
    return Model({one.name: one for one in inputs}, {made.name: made})


STEP = Compute(b"", {"a": X}, {"y": Y})


def test_what_a_program_receives_has_the_form_its_models_say() -> None:
    program = Program(1, (), (Receive(X, 0), STEP, Send(Y, 0, Y)), ())
    assert announced(program, [model(spec("a"))]) == {Receive(X, 0): FORM}
    assert FORM.bytes == 24


def test_a_device_sends_parts_of_an_input_that_no_model_of_its_own_takes() -> None:
    assert announced(Program(0, (X,), (Send(ROW, 1, X),), ()), []) == {}


def test_a_part_that_is_only_handed_on_must_be_known() -> None:
    program = Program(0, (), (Receive(X, 1),), (X,))
    assert announced(program, [], {X: FORM}) == {Receive(X, 1): FORM}
    with pytest.raises(InvalidInput, match="no model takes it"):
        announced(program, [])


@pytest.mark.parametrize(
    ("loaded", "complaint"),
    [
        (model(spec("b")), r"binds \['a'\]; its model has \['b'\]"),
        (model(spec("a"), spec("b")), r"its model has \['a', 'b'\]"),
        (model(spec("a"), makes=spec("z")), r"binds \['y'\]"),
        (model(spec("a", (2, -1))), "fix its shape"),
        (model(spec("a", dtype="string")), "numpy does not have"),
    ],
)
def test_models_that_are_not_what_the_steps_say(loaded: Model, complaint: str) -> None:
    with pytest.raises(InvalidInput, match=complaint):
        announced(Program(1, (), (Receive(X, 0), STEP), ()), [loaded])


def test_a_part_has_one_form() -> None:
    other = Compute(b"", {"c": Y}, {"z": Part("z", WHOLE)})
    with pytest.raises(InvalidInput, match="and Form"):
        announced(
            Program(1, (), (Receive(X, 0), STEP, other), ()),
            [model(spec("a")), model(spec("c", (3, 2)), makes=spec("z"))],
        )


@pytest.mark.parametrize("region", [Region(0, 0, 3), Region(31, 0, 1)])
def test_a_part_is_as_large_as_its_region(region: Region) -> None:
    part = Part("x", region)
    taken = Compute(b"", {"a": part}, {"y": Y})
    with pytest.raises(InvalidInput, match="not of its region's size"):
        announced(Program(1, (), (Receive(part, 0), taken), ()), [model(spec("a"))])
    with pytest.raises(InvalidInput, match="not inside of its tensor"):
        announced(Program(1, (), (Receive(X, 0), STEP, Send(part, 0, X)), ()), [model(spec("a"))])


@given(st.permutations([Receive(X, 0), Receive(X, 1), Receive(ROW, 0)]))
def test_parts_are_taken_in_any_order(order: list[Receive]) -> None:
    box = Box(dict.fromkeys(order, FORM))
    sent = {step: VALUES + k for k, step in enumerate(order)}
    for step, values in sent.items():
        box.put(step, values)
    for step in sorted(order, key=str):
        assert box.take(step, np.inf) is sent[step]


@pytest.mark.parametrize(
    ("step", "values", "complaint"),
    [
        (Receive(Y, 0), VALUES, "nobody waits"),
        (Receive(X, 1), VALUES, "nobody waits"),
        (Receive(X, 0), VALUES[:1], r"announced was float32 \[2, 3\]"),
        (Receive(X, 0), VALUES.astype(np.float64), "announced was float32"),
    ],
)
def test_what_was_not_announced_is_refused(
    step: Receive, values: np.ndarray, complaint: str
) -> None:
    box = Box({Receive(X, 0): FORM})
    with pytest.raises(InvalidInput, match=complaint):
        box.put(step, values)
    box.put(Receive(X, 0), VALUES)
    with pytest.raises(InvalidInput, match="twice"):
        box.put(Receive(X, 0), VALUES)


def test_waiting_ends_at_the_deadline_or_when_the_run_is_given_up() -> None:
    now = [0.0]
    box = Box({Receive(X, 0): FORM}, clock=lambda: now[0])
    mailbox = PostedMailbox(box, lambda *_: None, 1.0)
    now[0] = 1.0
    with pytest.raises(TooLate, match="did not come from worker 0"):
        mailbox.receive(X, 0)
    now[0] = 0.5
    told: list[Exception] = []

    def wait() -> None:
        try:
            mailbox.receive(X, 0)
        except UnknownRun as error:
            told.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    gone = UnknownRun("it was unloaded")
    box.close(gone)
    box.close(UnknownRun("a second reason changes nothing"))
    thread.join(10.0)
    assert told == [gone]


def test_what_came_can_be_taken_even_if_the_run_is_given_up() -> None:
    box = Box({Receive(X, 0): FORM})
    box.put(Receive(X, 0), VALUES)
    box.close(UnknownRun("over"))
    assert box.take(Receive(X, 0), np.inf) is VALUES


def test_sending_posts() -> None:
    posted: list[tuple[Part, int]] = []
    mailbox = PostedMailbox(
        Box({}), lambda part, receiver, _: posted.append((part, receiver)), np.inf
    )
    mailbox.send(X, 2, VALUES)
    assert posted == [(X, 2)]
