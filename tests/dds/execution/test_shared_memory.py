"""Mailboxes in shared memory: what arrives is what was sent, in order, between processes too."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dds.errors import InternalError, InvalidInput
from dds.execution.mailbox import Stopped
from dds.execution.shared_memory import CALLER, Segment, SharedMailbox, Slot, slots_of
from dds.model import ModelGraph
from dds.model.graph import Operator, Tensor
from dds.parallel.program import Part, Program, Receive, Send
from dds.parallel.tiles import WHOLE, Region

DTYPES = ("float32", "float64", "int64", "uint8", "bool", "float16")


def graph_of(tensors: list[Tensor]) -> ModelGraph:
    everything = tuple(range(len(tensors)))
    return ModelGraph((Operator("f", "F", (), everything),), tuple(tensors), (), everything)


@st.composite
def traffic(draw):
    """A graph, programs, and the parts that go from worker 0 to worker 1."""
    tensors, parts = [], []
    for k in range(draw(st.integers(1, 6))):
        shape = tuple(draw(st.lists(st.integers(1, 7), min_size=1, max_size=4)))
        dtype = draw(st.sampled_from(DTYPES))
        tensors.append(
            Tensor(f"t{k}", shape, dtype, np.dtype(dtype).itemsize * int(np.prod(shape)))
        )
        region = WHOLE
        if draw(st.booleans()):
            axis = draw(st.integers(0, len(shape) - 1))
            low = draw(st.integers(0, shape[axis] - 1))
            region = Region(axis, low, draw(st.integers(low + 1, shape[axis])))
        parts.append(Part(f"t{k}", region))
    programs = (
        Program(0, (), tuple(Send(part, 1, part) for part in parts), ()),
        Program(1, (), tuple(Receive(part, 0) for part in parts), tuple(parts)),
    )
    return graph_of(tensors), programs, parts


def values_of(rng: np.random.Generator, slot: Slot) -> np.ndarray:
    return rng.integers(0, 2 if slot.dtype == "|b1" else 100, slot.shape).astype(slot.dtype)


@pytest.fixture
def segments():
    """Makes segments, and closes them."""
    made: list[Segment] = []

    def make(slots, logs=()) -> Segment:
        made.append(Segment.create(slots, logs))
        return made[-1]

    yield make
    for segment in made:
        segment.close()


@settings(max_examples=60)
@given(traffic(), st.integers(1, 3), st.randoms(use_true_random=False))
def test_what_arrives_is_what_was_sent_play_after_play(case, plays, shuffled) -> None:
    graph, programs, parts = case
    slots = slots_of(programs, graph)
    segment = Segment.create(slots, [3, 5])
    by_part = {slot.part: slot for slot in slots if slot.receiver == 1}
    first, second = SharedMailbox(segment, 0), SharedMailbox(segment, 1)
    caller = SharedMailbox(segment, CALLER)
    rng = np.random.default_rng(1)
    segment.logs[0][2], segment.logs[1][0] = 1.5, 2.5
    for _ in range(plays):
        sent = {part: values_of(rng, by_part[part]) for part in parts}
        for part in shuffled.sample(parts, len(parts)):
            first.send(part, 1, sent[part])
        for part in shuffled.sample(parts, len(parts)):
            got = second.receive(part, 0)
            np.testing.assert_array_equal(got, sent[part], strict=True)
            assert not got.flags.writeable
            second.send(part, CALLER, got)
        for part in parts:
            np.testing.assert_array_equal(caller.receive(part, 1), sent[part], strict=True)
        for box in (first, second, caller):
            box.finish()
    assert [row.tolist() for row in segment.logs] == [[0.0, 0.0, 1.5], [2.5, 0.0, 0.0, 0.0, 0.0]]
    segment.close()


@settings(max_examples=60)
@given(traffic())
def test_slots_overlap_nowhere_and_share_no_cache_line(case) -> None:
    graph, programs, parts = case
    slots = sorted(slots_of(programs, graph), key=lambda slot: slot.offset)
    assert len(slots) == 2 * len(parts)
    at = 64
    for slot in slots:
        assert slot.offset % 64 == 0
        assert slot.offset >= at
        at = slot.end
        assert at >= slot.offset + 128 + np.dtype(slot.dtype).itemsize * np.prod(slot.shape)


def one_slot(shape: tuple[int, ...] = (1 << 14,)) -> tuple[Part, tuple[Slot, ...]]:
    part = Part("t", WHOLE)
    graph = graph_of([Tensor("t", shape, "float64", 8 * int(np.prod(shape)))])
    programs = (
        Program(0, (), (Send(part, 1, part), Receive(part, 1)), ()),
        Program(1, (), (Receive(part, 0), Send(part, 0, part)), ()),
    )
    return part, slots_of(programs, graph)


def test_a_slot_is_not_overwritten_before_its_receiver_is_done(segments) -> None:
    part, slots = one_slot()
    segment = segments(slots)
    sender, receiver = SharedMailbox(segment, 0), SharedMailbox(segment, 1)
    size = slots[0].shape

    def send() -> None:
        for k in range(200):
            sender.send(part, 1, np.full(size, float(k)))

    thread = threading.Thread(target=send)
    thread.start()
    for k in range(200):
        values = receiver.receive(part, 0)
        assert values.min() == values.max() == k
        receiver.finish()
    thread.join()


_ECHO = """
import json, sys
from dds.execution.shared_memory import Segment, SharedMailbox, Slot
from dds.parallel.program import Part
from dds.parallel.tiles import WHOLE
descriptor, plays = int(sys.argv[1]), int(sys.argv[2])
part = Part("t", WHOLE)
slots = [Slot(part, *fields[:3], tuple(fields[3]), fields[4]) for fields in json.loads(sys.argv[3])]
box = SharedMailbox(Segment(descriptor, slots, ()), 1, parent=int(sys.argv[4]))
print("ready", flush=True)
for _ in range(plays):
    box.send(part, 0, 2.0 * box.receive(part, 0))
    box.finish()
"""


def echo(segment: Segment, plays: int) -> subprocess.Popen[bytes]:
    """A process that returns twice what it receives."""
    slots = [[s.sender, s.receiver, s.dtype, s.shape, s.offset] for s in segment.slots]
    arguments = [str(segment.descriptor), str(plays), json.dumps(slots), str(os.getpid())]
    process = subprocess.Popen(
        [sys.executable, "-c", _ECHO, *arguments], pass_fds=(segment.descriptor,),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process


def test_between_processes_no_value_is_ever_older_than_its_count(segments) -> None:
    plays = 1000
    part, slots = one_slot((257,))
    segment = segments(slots)
    with echo(segment, plays) as process:
        box = SharedMailbox(segment, 0)
        for k in range(plays):
            box.send(part, 1, np.full(257, float(k)))
            values = box.receive(part, 1)
            assert values.min() == values.max() == 2.0 * k
            box.finish()
        assert process.wait(60) == 0
        assert process.stderr is not None
        assert process.stderr.read() == b""


@pytest.mark.parametrize("after", [0.0, 0.3])
def test_who_waits_stops_when_told_to(segments, after: float) -> None:
    part, slots = one_slot()
    segment = segments(slots)
    raised = threading.Event()

    def wait() -> None:
        with pytest.raises(Stopped):
            SharedMailbox(segment, 1).receive(part, 0)
        raised.set()

    thread = threading.Thread(target=wait)
    thread.start()
    time.sleep(after)
    segment.stop()
    assert raised.wait(60)
    thread.join()


def test_what_no_program_sends_is_refused(segments) -> None:
    part, slots = one_slot((4,))
    segment = segments(slots)
    box = SharedMailbox(segment, 0)
    with pytest.raises(InternalError, match="no program sends"):
        box.send(Part("u", WHOLE), 1, np.zeros(4))
    with pytest.raises(InternalError, match="no program sends"):
        box.receive(part, 2)
    with pytest.raises(InternalError, match="its slot"):
        box.send(part, 1, np.zeros(1))
    with pytest.raises(TypeError):
        box.send(part, 1, np.zeros(4, np.float32))


def test_sending_the_same_twice_and_types_numpy_lacks_are_refused() -> None:
    part = Part("t", WHOLE)
    graph = graph_of([Tensor("t", (2,), "float32", 8)])
    twice = Program(0, (), (Send(part, 1, part), Send(part, 1, part)), ())
    with pytest.raises(InternalError, match="twice"):
        slots_of([twice], graph)
    odd = graph_of([Tensor("t", (2,), "float8e4m3fn", 2)])
    with pytest.raises(InvalidInput, match="numpy does not have"):
        slots_of([Program(0, (part,), (), ())], odd)
