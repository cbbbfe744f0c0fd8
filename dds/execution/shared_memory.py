"""Mailboxes of the worker processes of one machine: a slot of shared memory for every message.

Who sends what to whom is known from the programs, so each message has a place of its own in one
segment: a counter of how often it was sent, one of how often its receiver is done with it, and room
for its values.  Sending copies the values into the slot and then counts; receiving waits for the
count and hands out the slot itself, uncopied.  Each counter has one writer, and no two of them
share a cache line with each other or with values, so a waiting worker disturbs nobody.

*Memory ordering.*  Whoever sees the new count must see the values too.  Counters are aligned words
of 8 bytes, which no 64-bit machine stores in halves.  x86 keeps stores in order, and loads; ARM
keeps neither, so between values and counter, on both sides, stands a fence: a held lock is released
and acquired again, both of which POSIX has synchronise memory, which costs 0.1 µs.

*Waiting.*  For a fifth of a millisecond a worker looks at the counter again and again; then it lets
others have its core between looks, and after some 20 ms it sleeps.  Meanwhile it watches a word by
which the caller stops everybody, as it does when a worker has died.

The segment has no name: it is memory behind a file descriptor that children inherit, and goes when
the last of them ends, in whatever way.
"""

from __future__ import annotations

import math
import mmap
import os
import tempfile
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dds.errors import InternalError
from dds.execution.mailbox import Stopped
from dds.model.graph import ModelGraph
from dds.parallel.program import Part, Program, Send
from dds.parallel.tiles import region_shape
from dds.profile.runtime import numpy_type

__all__ = ["CALLER", "Segment", "SharedMailbox", "Slot", "slots_of"]

#: Who feeds worker 0 the model's inputs and takes its outputs: a party beside the workers.
CALLER = -1

_WORD, _LINE = 8, 64
#: A slot: the line of its sender's counter, that of its receiver's, the values.
_TAKEN, _VALUES = _LINE, 2 * _LINE
#: The segment's first line: whether all are to stop.
_STOP = 0
#: Looks at a counter, of about 50 ns; then with a yield between them, of about 0.4 µs; then pauses.
_LOOKS, _YIELDS, _PAUSE = 4000, 50_000, 1e-4


@dataclass(frozen=True, slots=True)
class Slot:
    """Where one message lies: its counters and values begin at byte `offset` of the segment."""

    part: Part
    sender: int
    receiver: int
    dtype: str
    shape: tuple[int, ...]
    offset: int

    @property
    def end(self) -> int:
        """The first byte behind it, at a cache line's start."""
        size = np.dtype(self.dtype).itemsize * math.prod(self.shape)
        return self.offset + _VALUES + -(-size // _LINE) * _LINE


def slots_of(programs: Iterable[Program], graph: ModelGraph) -> tuple[Slot, ...]:
    """A slot for everything that programs send, and for what the caller feeds and gets back.

    Raises InvalidInput for a tensor of a type that numpy does not have, and InternalError for a
    program that sends the same twice.
    """
    tensors = {tensor.name: tensor for tensor in graph.tensors}
    slots: dict[tuple[Part, int, int], Slot] = {}
    offset = _LINE
    for program in programs:
        messages = [
            *((part, CALLER, program.worker) for part in program.inputs),
            *((s.part, program.worker, s.receiver) for s in program.steps if isinstance(s, Send)),
            *((part, program.worker, CALLER) for part in program.outputs),
        ]
        for part, sender, receiver in messages:
            if (part, sender, receiver) in slots:
                raise InternalError(f"{part} goes from {sender} to {receiver} twice")
            tensor = tensors[part.tensor]
            dtype = numpy_type(tensor.name, tensor.dtype).str
            shape = region_shape(tensor.shape, part.region)
            slot = Slot(part, sender, receiver, dtype, shape, offset)
            slots[part, sender, receiver] = slot
            offset = slot.end
    return tuple(slots.values())


class Segment:
    """Shared memory with room for slots and, behind them, a log of seconds for every worker.

    logs: how many numbers each worker may write down.  :meth:`create` one, have children inherit
    `descriptor`, and :meth:`__init__` it there with the same slots and logs.
    """

    def __init__(self, descriptor: int, slots: Sequence[Slot], logs: Sequence[int]) -> None:
        self.descriptor, self.slots = descriptor, tuple(slots)
        self.memory = mmap.mmap(descriptor, _size(slots, logs))
        self._words = memoryview(self.memory).cast("q")
        start = _size(slots, ())
        self.logs: list[NDArray[np.float64]] = []
        for log in logs:
            self.logs.append(np.ndarray((log,), np.float64, self.memory, start))
            start += _WORD * log

    @classmethod
    def create(cls, slots: Sequence[Slot], logs: Sequence[int]) -> Segment:
        """A new one, all zeros."""
        descriptor = anonymous_file()
        os.ftruncate(descriptor, _size(slots, logs))
        return cls(descriptor, slots, logs)

    def stop(self) -> None:
        """Have everyone who waits, now or later, raise :class:`~dds.execution.mailbox.Stopped`."""
        self._words[_STOP] = 1

    def close(self) -> None:
        """Close the descriptor; the memory goes with the last array in it.  Again does nothing."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


class SharedMailbox:
    """A worker's, or the caller's, :class:`~dds.execution.mailbox.Mailbox` in a segment.

    Arrays it hands out are the slots themselves: good until :meth:`finish`, which every party calls
    when its play is over.  One thread at a time.

    parent: a process without which to stop waiting, by id: the caller's, which may have been
    killed; 0 for none.
    """

    def __init__(self, segment: Segment, worker: int, *, parent: int = 0) -> None:
        self._parent = parent
        self._words = memoryview(segment.memory).cast("q")
        self._fence = threading.Lock()
        self._fence.acquire()
        self._out: dict[tuple[Part, int], tuple[int, NDArray[Any]]] = {}
        self._in: dict[tuple[Part, int], tuple[int, NDArray[Any]]] = {}
        self._received: dict[int, int] = {}
        for slot in segment.slots:
            values: NDArray[Any] = np.ndarray(
                slot.shape, slot.dtype, segment.memory, slot.offset + _VALUES
            )
            if slot.sender == worker:
                self._out[slot.part, slot.receiver] = slot.offset // _WORD, values
            if slot.receiver == worker:
                given = values.view()
                given.flags.writeable = False
                self._in[slot.part, slot.sender] = slot.offset // _WORD, given

    def send(self, part: Part, receiver: int, values: NDArray[Any]) -> None:
        """Copy `values` into the slot, as soon as the receiver is done with the play before.

        Raises InternalError for what no program sends, and Stopped.
        """
        at, place = self._found(self._out, part, receiver)
        if place.shape != values.shape:
            raise InternalError(f"{part} has shape {values.shape}, its slot {place.shape}")
        count = self._words[at]
        self._wait(at + _TAKEN // _WORD, count)
        np.copyto(place, values, casting="no")
        self._order()
        self._words[at] = count + 1

    def receive(self, part: Part, sender: int) -> NDArray[Any]:
        """The slot, read only, as soon as it is full.

        Raises InternalError for what no program sends, and Stopped.
        """
        at, place = self._found(self._in, part, sender)
        count = self._words[at + _TAKEN // _WORD] + 1
        self._wait(at, count)
        self._order()
        self._received[at] = count
        return place

    def finish(self) -> None:
        """The play is over: what was received may be overwritten."""
        self._order()
        for at, count in self._received.items():
            self._words[at + _TAKEN // _WORD] = count
        self._received.clear()

    @staticmethod
    def _found(
        slots: dict[tuple[Part, int], tuple[int, NDArray[Any]]], part: Part, other: int
    ) -> tuple[int, NDArray[Any]]:
        try:
            return slots[part, other]
        except KeyError:
            raise InternalError(f"no program sends {part} between here and {other}") from None

    def _order(self) -> None:
        """What was loaded or stored before this was so before anything after it."""
        self._fence.release()
        self._fence.acquire()

    def _wait(self, index: int, count: int) -> None:
        """Return when a counter has reached `count`; raise Stopped if that will not be."""
        words = self._words
        for _ in range(_LOOKS):
            if words[index] == count:
                return
        yields = 0
        while words[index] != count:
            if words[_STOP]:
                raise Stopped("the caller has ended the play")
            if yields < _YIELDS:
                os.sched_yield()
                yields += 1
                continue
            if self._parent and os.getppid() != self._parent:
                raise Stopped("the caller has ended the play")
            time.sleep(_PAUSE)


def anonymous_file() -> int:
    """The descriptor of a file without a name, in memory where the system offers that."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("dds")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _size(slots: Sequence[Slot], logs: Sequence[int]) -> int:
    return max([_LINE, *(slot.end for slot in slots)]) + _WORD * sum(logs)
