"""What a client and its helpers say to each other, and what a program from a stranger must satisfy.

A helper runs one worker's part of a schedule (:mod:`dds.parallel.program`).  The client brings it
models and a program; parts of tensors then go straight from the worker that made them to the one
that needs them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from dds.errors import DdsError, InvalidInput
from dds.parallel.program import Part, Program, Receive, Send
from dds.parallel.tiles import holds
from dds.units import parse_address

__all__ = [
    "LEAST_LEASE",
    "MOST_WORKERS",
    "VERSION",
    "Assignment",
    "Delivery",
    "Description",
    "PeerFailed",
    "Played",
    "Tenancy",
    "UnknownRun",
    "check_assignment",
    "check_key",
    "check_slowdown",
]

#: Of this protocol.
VERSION = 1
#: No schedule has more.
MOST_WORKERS = 64

#: Shortest lease, s: a client renews a few times in each, and must not be made to do nothing else.
LEAST_LEASE = 1.0

#: What `secrets.token_urlsafe` makes, of 128 bits at least.
_KEY = re.compile(r"[A-Za-z0-9_-]{22,128}")


class UnknownRun(DdsError):
    """The helper has no such program, or is at another of its runs."""

    status = "NOT_FOUND"


class PeerFailed(DdsError):
    """Another worker of the schedule, by index, took no delivery."""

    status = "UNAVAILABLE"

    def __init__(self, worker: int, text: str) -> None:
        super().__init__(text)
        self.worker = worker


@dataclass(frozen=True, slots=True)
class Description:
    """A helper.

    engine: the name of the one that runs everything there; platform: fingerprint of its machine
    and runtime; slowdown: seconds it takes per second of CPU time there.

    Raises InvalidInput for a slowdown that is no device's: not within 1e-6 to 1e6.
    """

    name: str
    engine: str
    platform: str
    slowdown: float = 1.0
    version: int = VERSION

    def __post_init__(self) -> None:
        check_slowdown("helper.slowdown", self.slowdown)


@dataclass(frozen=True, slots=True)
class Tenancy:
    """What a client holds at a helper: a lease, and the seconds of silence that end it.

    Raises InvalidInput for less than LEAST_LEASE, and for no end.
    """

    lease: str
    lease_time: float

    def __post_init__(self) -> None:
        if not LEAST_LEASE <= self.lease_time < math.inf:
            raise InvalidInput(f"lease_time is {self.lease_time!r}; need at least {LEAST_LEASE} s")


@dataclass(frozen=True, slots=True)
class Assignment:
    """A program for one helper.

    key: nobody else guesses it, so whoever knows it may deliver; peers: addresses of the other
    helpers of the schedule, by worker.
    """

    lease: str
    key: str
    program: Program
    peers: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Delivery:
    """The values of a part, from a worker, for one run of the program with this key."""

    key: str
    run: int
    sender: int
    part: Part
    values: NDArray[Any]


@dataclass(frozen=True, slots=True)
class Played:
    """A run is over; seconds: of each compute step, paced.

    Raises InvalidInput for times that are negative, or longer than 1e9 s (32 years).
    """

    seconds: tuple[float, ...]

    def __post_init__(self) -> None:
        for value in self.seconds:
            if not 0.0 <= value <= 1e9:
                raise InvalidInput(f"played.seconds has {value!r}; need numbers of 0 to 1e9")


def check_slowdown(where: str, slowdown: float) -> None:
    """Raises InvalidInput, naming the field, for a slowdown that is not within 1e-6 to 1e6."""
    if not 1e-6 <= slowdown <= 1e6:
        raise InvalidInput(f"{where} is {slowdown!r}; need 1e-6 to 1e6")


def check_key(key: str) -> None:
    """Raises InvalidInput for a key that might be guessed."""
    if not _KEY.fullmatch(key):
        raise InvalidInput("program.key: need 22 to 128 random characters of A-Z a-z 0-9 _ -")


def check_assignment(assignment: Assignment) -> None:
    """Raises InvalidInput, naming the step, for a program that is no helper's.

    Worker 0 is the client, which alone has inputs and outputs.  A helper must know every worker
    it deals with, can send only what is inside of what it says it holds, and receives nothing
    twice.  That it holds what it reads is checked when the program is loaded.
    """
    check_key(assignment.key)
    program, peers = assignment.program, assignment.peers
    if not 0 < program.worker < MOST_WORKERS:
        raise InvalidInput(
            f"program.worker is {program.worker}; helpers are 1 to {MOST_WORKERS - 1}"
        )
    if program.inputs or program.outputs:
        raise InvalidInput("program: only the client's own has inputs and outputs")
    for worker, address in peers.items():
        if not 0 < worker < MOST_WORKERS or worker == program.worker:
            raise InvalidInput(f"program.peers: {worker} is no other helper's number")
        try:
            parse_address(address)
        except InvalidInput as error:
            raise InvalidInput(f"program.peers: {error}") from error
    received: set[Receive] = set()
    for at, step in enumerate(program.steps):
        match step:
            case Send(part, worker, within) if not _cut_from(part, within):
                raise InvalidInput(f"program.steps[{at}]: {part} is no part of {within}")
            case Send(receiver=worker) | Receive(sender=worker) if worker not in {0, *peers}:
                raise InvalidInput(f"program.steps[{at}]: no peer is worker {worker}")
            case Receive(part) if step in received:
                raise InvalidInput(f"program.steps[{at}]: {part} is received a second time")
            case Receive():
                received.add(step)


def _cut_from(part: Part, whole: Part) -> bool:
    """Whether a part lies in another one."""
    return part.tensor == whole.tensor and holds(whole.region, part.region)
