"""One worker's program, loaded on an engine and played."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dds.engines import Engine, Executable
from dds.errors import InvalidInput
from dds.execution.mailbox import Mailbox
from dds.parallel.program import Compute, Part, Program, Receive, Send, Step
from dds.parallel.rewrite import within
from dds.parallel.tiles import Region

__all__ = ["Loaded", "load"]

Array = NDArray[Any]
#: What is held of each part, by its number.
Held = list[Array | None]
Move = Callable[[Held, Mailbox], None]


def load(program: Program, engine: Engine) -> Loaded:
    """Load a program's models, once, for any number of plays.

    Raises InvalidInput where the engine refuses a model, and for a program that sends, feeds or
    returns what it does not hold by then.
    """
    _check(program)
    executables: list[Executable] = []
    try:
        computes = (step for step in program.steps if isinstance(step, Compute))
        executables.extend(engine.load(step.model) for step in computes)
    except BaseException:
        for executable in executables:
            executable.close()
        raise
    return Loaded(program, executables)


class Loaded:
    """A program that is ready to be played, by one thread at a time."""

    def __init__(self, program: Program, executables: Sequence[Executable]) -> None:
        """executables: of its computes, in order."""
        self.program = program
        self._executables = tuple(executables)
        # Parts are numbered once: to look them up takes longer than small models do.
        number: dict[Part, int] = {}
        for part in (*program.inputs, *(part for step in program.steps for part in _makes(step))):
            number.setdefault(part, len(number))
        self._room = len(number)
        models = iter(executables)
        self._moves = [_move(step, number, models) for step in program.steps]
        self._drops = [[number[part] for part in parts] for parts in _drops(program)]
        self._inputs = [(part.tensor, number[part]) for part in program.inputs]
        self._outputs = [(part.tensor, number[part]) for part in program.outputs]

    def play(
        self,
        feeds: Mapping[str, Array],
        mailbox: Mailbox,
        seconds: NDArray[np.float64] | None = None,
    ) -> dict[str, Array]:
        """Do every step once; returns the program's outputs by the names of their tensors.

        feeds: the program's inputs likewise; seconds: where to write down how long each step
        took by the clock, waiting included, in as many numbers as there are steps.

        Raises InvalidInput for an input that is missing or of another form, what the engine
        raises, and what the mailbox raises.
        """
        held: Held = [None] * self._room
        for name, at in self._inputs:
            if name not in feeds:
                raise InvalidInput(f"input {name!r} is missing")
            held[at] = feeds[name]
        clock = time.perf_counter
        for k, move in enumerate(self._moves):
            started = clock()
            move(held, mailbox)
            if seconds is not None:
                seconds[k] = clock() - started
            for at in self._drops[k]:
                held[at] = None
        return {name: _there(held, at) for name, at in self._outputs}

    def close(self) -> None:
        """Let its models go; again does nothing."""
        for executable in self._executables:
            executable.close()


def _move(step: Step, number: Mapping[Part, int], models: Iterator[Executable]) -> Move:
    """What a step does to the parts that are held, by their numbers."""
    match step:
        case Compute(inputs=inputs, outputs=outputs):
            run = next(models).run
            reads = [(name, number[part]) for name, part in inputs.items()]
            makes = [(name, number[part]) for name, part in outputs.items()]

            def compute(held: Held, _: Mailbox) -> None:
                made = run({name: _there(held, at) for name, at in reads})
                for name, at in makes:
                    held[at] = made[name]

            return compute
        case Send(part=part, receiver=receiver, within=whole):
            source, index = number[whole], _index(part.region, whole.region)

            def send(held: Held, mailbox: Mailbox) -> None:
                mailbox.send(part, receiver, _there(held, source)[index])

            return send
        case Receive(part=part, sender=sender):
            target = number[part]

            def receive(held: Held, mailbox: Mailbox) -> None:
                held[target] = mailbox.receive(part, sender)

            return receive


def _there(held: Held, at: int) -> Array:
    values = held[at]
    assert values is not None  # noqa: S101 -- _check has seen that it is made before
    return values


def _index(region: Region, outer: Region) -> Any:
    """Which elements of what holds `outer` are those of a region."""
    if region == outer:
        return ...
    axis, low, high = within(region, outer)
    return (*[slice(None)] * axis, slice(low, high))


def _reads(step: Step) -> Iterator[Part]:
    match step:
        case Compute(inputs=inputs):
            yield from inputs.values()
        case Send(within=whole):
            yield whole


def _makes(step: Step) -> Iterator[Part]:
    match step:
        case Compute(outputs=outputs):
            yield from outputs.values()
        case Receive(part=part):
            yield part


def _check(program: Program) -> None:
    """Raise InvalidInput unless all that is read is held by then."""
    held = set(program.inputs)
    who = f"worker {program.worker}"
    for k, step in enumerate(program.steps):
        missing = [part for part in _reads(step) if part not in held]
        if missing:
            raise InvalidInput(f"step {k} of {who} reads {missing[0]}, which no step before makes")
        held.update(_makes(step))
    missing = [part for part in program.outputs if part not in held]
    if missing:
        raise InvalidInput(f"{who} returns {missing[0]}, which no step makes")


def _drops(program: Program) -> tuple[tuple[Part, ...], ...]:
    """Per step what is held and not read any more behind it."""
    last: dict[Part, int] = {}
    for k, step in enumerate(program.steps):
        last.update(dict.fromkeys((*_makes(step), *_reads(step)), k))
    drops: list[list[Part]] = [[] for _ in program.steps]
    for part, k in last.items():
        if part not in program.outputs:
            drops[k].append(part)
    return tuple(map(tuple, drops))
