"""One worker's program, loaded on an engine and played."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
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
        self._drops = _drops(program)

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
        held: dict[Part, Array] = {}
        for part in self.program.inputs:
            if part.tensor not in feeds:
                raise InvalidInput(f"input {part.tensor!r} is missing")
            held[part] = feeds[part.tensor]
        executables = iter(self._executables)
        clock = time.perf_counter
        for k, step in enumerate(self.program.steps):
            started = clock()
            match step:
                case Compute(inputs=inputs, outputs=outputs):
                    made = next(executables).run({n: held[part] for n, part in inputs.items()})
                    held.update((part, made[name]) for name, part in outputs.items())
                case Send(part=part, receiver=receiver, within=whole):
                    mailbox.send(part, receiver, _cut(held[whole], part.region, whole.region))
                case Receive(part=part, sender=sender):
                    held[part] = mailbox.receive(part, sender)
            if seconds is not None:
                seconds[k] = clock() - started
            for part in self._drops[k]:
                del held[part]
        return {part.tensor: held[part] for part in self.program.outputs}

    def close(self) -> None:
        """Let its models go; again does nothing."""
        for executable in self._executables:
            executable.close()


def _cut(values: Array, region: Region, outer: Region) -> Array:
    """A view of a region of what holds `outer`."""
    if region == outer:
        return values
    axis, low, high = within(region, outer)
    index = [slice(None)] * values.ndim
    index[axis] = slice(low, high)
    return values[tuple(index)]


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
