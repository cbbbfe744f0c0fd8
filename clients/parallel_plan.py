"""From a schedule to programs that are loaded on a device and its helpers, ready to play."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, TypeVar

from clients.errors import CallFailed, Gone
from clients.mailboxes import Form, announced
from clients.pacing import PacedEngine
from clients.team import Member
from dds.errors import DdsError, InvalidInput
from dds.execution.interpreter import Loaded, load
from dds.model.graph import ModelGraph
from dds.parallel.candidates import Candidate
from dds.parallel.program import Compute, Part, Program, Receive
from dds.parallel.rewrite import Source
from dds.parallel.schedule import Schedule
from dds.parallel.tiles import WHOLE
from dds.session.helping import Assignment

__all__ = [
    "LoadedPlan",
    "Trial",
    "WorkerFailed",
    "attended",
    "make_plan",
    "seconds_to_bring",
    "silence",
]


#: While something is done with helpers, they are asked so often whether they are there, s.
_LOOK = 0.5

T = TypeVar("T")


class WorkerFailed(DdsError):
    """A run or its preparation failed; the text says why.

    suspect: the helper that seems to be the reason, None where nobody can tell; gone: it certainly
    is, as it is not there any more.
    """

    status = "UNAVAILABLE"

    def __init__(self, suspect: Member | None, text: str, *, gone: bool = False) -> None:
        super().__init__(text)
        self.suspect = suspect
        self.gone = gone

    @classmethod
    def of(cls, member: Member, error: DdsError) -> WorkerFailed:
        """What a failed call to a helper means."""
        if isinstance(error, Gone):
            return cls(member, error.how, gone=True)
        return cls(member, str(error))


async def silence(members: Sequence[Member]) -> None:
    """Wait until one of them is not there; raises WorkerFailed then."""

    async def watch(member: Member) -> None:
        why = ""
        while not why:
            await asyncio.sleep(_LOOK)
            why = await member.absent()
        raise WorkerFailed(member, why, gone=True)

    # One that takes long to answer must not keep the others from being asked.
    watches = [asyncio.create_task(watch(member)) for member in members]
    try:
        await asyncio.gather(*watches)
    finally:
        for each in watches:
            each.cancel()


async def attended(work: Coroutine[Any, Any, T], members: Sequence[Member]) -> T:
    """Do something with helpers, but no longer than all of them answer: WorkerFailed then."""
    task, watch = asyncio.create_task(work), asyncio.create_task(silence(members))
    try:
        await asyncio.wait({task, watch}, return_when=asyncio.FIRST_COMPLETED)
        if watch.done() and not task.done():
            watch.result()
        return await task
    finally:
        for each in (task, watch):
            each.cancel()
        await asyncio.gather(task, watch, return_exceptions=True)


@dataclass(frozen=True, slots=True)
class Trial:
    """A schedule that was thought of: who has a part in it, and what an inference takes, s.

    measured: None if it was not tried, as its models would have taken too long to bring.
    """

    workers: tuple[str, ...]
    scheduled: float
    measured: float | None

    @classmethod
    def of(cls, schedule: Schedule, names: Sequence[str], measured: float | None) -> Trial:
        """names: of the workers."""
        parts = sorted({task.worker for task in schedule.tasks})
        return cls(tuple(names[k] for k in parts), schedule.latency, measured)

    def summary(self) -> dict[str, Any]:
        """For a report."""
        return {"workers": list(self.workers), "scheduled_latency_s": self.scheduled,
                "measured_latency_s": self.measured}  # fmt: skip


@dataclass
class LoadedPlan:
    """A schedule that is loaded everywhere.

    members: helpers that take part, by worker; key: of its programs; loaded: the device's own;
    expected: what the device is sent; remarks: of helpers, on models that their engine gets
    wrong; runs: so far.
    """

    schedule: Schedule
    names: Sequence[str]
    key: str
    programs: tuple[Program, ...]
    members: Mapping[int, Member]
    loaded: Loaded
    expected: Mapping[Receive, Form]
    remarks: tuple[str, ...] = ()
    runs: int = 0
    #: What an inference took when the plan was tried, s; None if that was not measured.
    tried: float | None = None
    #: This plan and those that were not taken, where they were measured.
    trials: tuple[Trial, ...] = ()
    #: Seconds that each worker computed in the last run, by index.
    busy: dict[int, float] = field(default_factory=dict)

    @property
    def latency(self) -> float:
        """What an inference takes, measured or else as scheduled, s."""
        return self.schedule.latency if self.tried is None else self.tried

    def suspect(self, worker: int) -> Member | None:
        """Whom to blame if this worker failed."""
        return self.members.get(worker)

    async def unload(self) -> None:
        """Have the helpers that still answer forget it."""
        await asyncio.gather(*(_unload(member, self.key) for member in self.members.values()))

    def summary(self) -> dict[str, Any]:
        """Who does what, for a report; `busy_s` is planned, `measured_busy_s` of the last run."""
        found = self.schedule
        workers = [
            {
                "name": name,
                "tasks": sum(task.worker == k for task in found.tasks),
                "busy_s": sum(task.end - task.start for task in found.tasks if task.worker == k),
                "measured_busy_s": self.busy.get(k, 0.0),
            }
            for k, name in enumerate(self.names)
        ]
        return {
            "predicted_latency_s": self.latency,
            "scheduled_latency_s": found.latency,
            "method": found.method,
            "sliced": found.sliced,
            "transfers": len(found.transfers),
            "workers": workers,
            "tried": [trial.summary() for trial in self.trials],
            "remarks": list(self.remarks),
        }


def seconds_to_bring(programs: Sequence[Program], members: Sequence[Member]) -> float:
    """What bringing the helpers the models of their programs takes, all at once, s.

    programs: the device's, and one for each of the helpers.
    """
    return max(
        (
            sum(map(len, set(_models(program)))) / member.bandwidth
            for program, member in zip(programs[1:], members, strict=True)
        ),
        default=0.0,
    )


async def make_plan(
    source: Source,
    candidate: Candidate,
    names: Sequence[str],
    members: Sequence[Member],
    engine: PacedEngine,
) -> LoadedPlan:
    """Load everybody's program.

    names: of the workers, which are the device and these helpers; engine: of the device.

    Raises WorkerFailed naming a helper that could not be prepared.
    """
    everyone = candidate.programs
    helping = {k: member for k, member in enumerate(members, start=1) if everyone[k].steps}
    key = secrets.token_urlsafe(18)
    engine = PacedEngine(engine.engine, engine.pace)
    loaded = await asyncio.to_thread(load, everyone[0], engine)
    try:
        expected = announced(everyone[0], engine.loaded, _forms(source.graph))
        remarks = await asyncio.gather(
            *(_load_there(k, member, key, everyone[k], helping) for k, member in helping.items())
        )
    except BaseException:
        loaded.close()
        raise
    told = tuple(chain.from_iterable(remarks))
    return LoadedPlan(candidate.schedule, names, key, everyone, helping, loaded, expected, told)


async def _load_there(
    k: int, member: Member, key: str, program: Program, helping: Mapping[int, Member]
) -> tuple[str, ...]:
    """Bring a helper its models and its program."""
    peers = {worker: other.address for worker, other in helping.items() if worker != k}
    try:
        for model in dict.fromkeys(_models(program)):
            digest = hashlib.sha256(model).hexdigest()
            await member.channel.put_model(member.lease, digest, model)
        return await member.channel.load_program(Assignment(member.lease, key, program, peers))
    except (CallFailed, InvalidInput) as error:
        raise WorkerFailed.of(member, error) from error


async def _unload(member: Member, key: str) -> None:
    with suppress(CallFailed):
        await member.channel.unload_program(member.lease, key)


def _models(program: Program) -> Iterator[bytes]:
    return (step.model for step in program.steps if isinstance(step, Compute))


def _forms(graph: ModelGraph) -> dict[Part, Form]:
    """Of whole tensors that the model returns: the device may be sent them, and feed no model."""
    chosen = (graph.tensors[t] for t in graph.outputs)
    return {Part(tensor.name, WHOLE): Form(tensor.dtype, tensor.shape) for tensor in chosen}
