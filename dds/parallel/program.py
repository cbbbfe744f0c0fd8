"""What every worker does to carry a schedule out: one program for each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from dds.parallel.tiles import Region

__all__ = ["Compute", "Part", "Program", "Receive", "Send", "Step"]


@dataclass(frozen=True, slots=True)
class Part:
    """A region of a tensor of the whole model: what is held, sent and received.

    tensor: its name; region: WHOLE if it is all of it.
    """

    tensor: str
    region: Region


@dataclass(frozen=True, slots=True)
class Send:
    """Send `part` to a worker, by index, without waiting for it.

    within: the part the worker holds that `part` is, or is cut out of.
    """

    part: Part
    receiver: int
    within: Part


@dataclass(frozen=True, slots=True)
class Receive:
    """Wait for `part` from a worker, by index."""

    part: Part
    sender: int


@dataclass(frozen=True, slots=True)
class Compute:
    """Run a model.

    model: ONNX bytes; inputs, outputs: which part each of its inputs takes and each of its
    outputs makes, by name; tasks: positions in the schedule's tasks of what it computes.
    """

    model: bytes = field(repr=False)
    inputs: Mapping[str, Part]
    outputs: Mapping[str, Part]
    tasks: tuple[int, ...] = ()


Step = Send | Receive | Compute


@dataclass(frozen=True, slots=True)
class Program:
    """What one worker does, in order.

    inputs: what it is given (worker 0 the model's inputs, the others nothing); outputs: what it
    holds in the end and returns (worker 0 the model's outputs, the others nothing).
    """

    worker: int
    inputs: tuple[Part, ...]
    steps: tuple[Step, ...]
    outputs: tuple[Part, ...]
