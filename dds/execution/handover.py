"""What a worker process is told when it starts, as the bytes of one file.

One line of JSON, then the models of its program one after the other.  The process is our own child
and the file has no name, so nothing here comes from a stranger.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, BinaryIO

from dds.execution.shared_memory import Slot
from dds.parallel.program import Compute, Part, Program, Receive, Send, Step
from dds.parallel.tiles import Region
from dds.profile.runtime import Runtime

__all__ = ["Handover", "read_handover", "write_handover"]


@dataclass(frozen=True)
class Handover:
    """What to run, on which core, on which engine, and where messages lie.

    parent: process id of who started it; segment: descriptor of the shared memory, whose slots and
    lengths of logs follow.
    """

    program: Program
    core: int
    engine: str
    runtime: Runtime
    parent: int
    segment: int
    slots: tuple[Slot, ...] = field(repr=False)
    logs: tuple[int, ...]


def write_handover(file: BinaryIO, handover: Handover) -> None:
    """Write it to a file; :func:`read_handover` is the inverse."""
    program = handover.program
    models = [step.model for step in program.steps if isinstance(step, Compute)]
    head = {
        "worker": program.worker,
        "inputs": [_part(part) for part in program.inputs],
        "steps": [_step(step) for step in program.steps],
        "outputs": [_part(part) for part in program.outputs],
        "core": handover.core,
        "engine": handover.engine,
        "runtime": asdict(handover.runtime),
        "parent": handover.parent,
        "segment": handover.segment,
        "slots": [
            [_part(s.part), s.sender, s.receiver, s.dtype, s.shape, s.offset]
            for s in handover.slots
        ],
        "logs": handover.logs,
    }
    file.write(json.dumps(head).encode() + b"\n")
    file.writelines(models)


def read_handover(file: BinaryIO) -> Handover:
    """Read what :func:`write_handover` wrote, from where the file stands."""
    head: dict[str, Any] = json.loads(file.readline())
    steps = tuple(_read_step(fields, file) for fields in head["steps"])
    return Handover(
        program=Program(head["worker"], _parts(head["inputs"]), steps, _parts(head["outputs"])),
        core=head["core"],
        engine=head["engine"],
        runtime=Runtime.from_fields(head["runtime"]),
        parent=head["parent"],
        segment=head["segment"],
        slots=tuple(
            Slot(_read_part(part), sender, receiver, dtype, tuple(shape), offset)
            for part, sender, receiver, dtype, shape, offset in head["slots"]
        ),
        logs=tuple(head["logs"]),
    )


def _part(part: Part) -> list[Any]:
    return [part.tensor, *part.region]


def _read_part(fields: list[Any]) -> Part:
    return Part(fields[0], Region(*fields[1:]))


def _parts(fields: list[list[Any]]) -> tuple[Part, ...]:
    return tuple(map(_read_part, fields))


def _named(parts: Mapping[str, Part]) -> dict[str, list[Any]]:
    return {name: _part(part) for name, part in parts.items()}


def _read_named(fields: Mapping[str, list[Any]]) -> dict[str, Part]:
    return {name: _read_part(part) for name, part in fields.items()}


def _step(step: Step) -> list[Any]:
    match step:
        case Send():
            return ["send", _part(step.part), step.receiver, _part(step.within)]
        case Receive():
            return ["receive", _part(step.part), step.sender]
        case Compute():
            named = [_named(step.inputs), _named(step.outputs)]
            return ["compute", len(step.model), *named, step.tasks]


def _read_step(fields: list[Any], file: BinaryIO) -> Step:
    match fields:
        case ["send", part, receiver, within]:
            return Send(_read_part(part), receiver, _read_part(within))
        case ["receive", part, sender]:
            return Receive(_read_part(part), sender)
        case [_, size, inputs, outputs, tasks]:
            return Compute(file.read(size), _read_named(inputs), _read_named(outputs), tuple(tasks))
    raise AssertionError(fields)  # nobody else writes these
