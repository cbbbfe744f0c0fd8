"""A model, or the device part of one, on a device and its helpers.

A helper that dies, hangs or answers wrongly costs time, never the answer: the run is given up, the
helper dropped, the model scheduled over those that are left - in the end the device alone - and the
inference made again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from itertools import islice
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clients.config import AgentConfig, Emit
from clients.pacing import PacedEngine, pace_of
from clients.parallel_plan import (
    LoadedPlan,
    Trial,
    WorkerFailed,
    attended,
    make_plan,
    seconds_to_bring,
)
from clients.parallel_run import ParallelRun, play
from clients.prepare import Prepared
from clients.runner import DeviceRun
from clients.speeds import Speeds, measure_speeds
from clients.team import Member, Team
from dds.compiled import told_of_compiling
from dds.engines import engine
from dds.engines.comparison import allowed, difference
from dds.errors import InternalError, InvalidInput
from dds.model import load_model
from dds.model.graph import ModelGraph
from dds.parallel.candidates import Candidate, candidates, single_worker
from dds.parallel.rewrite import Source
from dds.parallel.workers import Worker, WorkerLinks
from dds.profile.runtime import Runtime, open_session, random_inputs, run

__all__ = ["Crew", "ParallelRunner", "joined"]

Tensors = Mapping[str, NDArray[Any]]

#: A run may take this many times the predicted latency, and a while more, before it is given up.
#: Helpers that have died or stopped are found out much sooner.
_PATIENCE, _LEAST_PATIENCE = 20.0, 60.0
#: A device so much slower leaves everything to its helper.
_IDLE = 1e6
#: What is said of the loops of the search.
_COMPILING = "compiling machine code, once on this machine (half a minute; busy ones take longer)"
#: What starting a slice may cost a schedule, times what it was measured to take.
_FACTORS = (1.0, 3.0, 9.0)
#: At most so many schedules are tried, and each so often; where there is no time to measure, the
#: first.
_WORTH_TRYING, _TRIES = 5, 5


@dataclass(frozen=True)
class _Case:
    """A model, and one input with the outputs that are right for it."""

    source: Source
    sample: Tensors
    truth: Tensors

    @classmethod
    def of(cls, model: bytes, runtime: Runtime) -> _Case:
        """Run the whole model once."""
        graph = load_model(model)
        sample = random_inputs(graph, np.random.default_rng(0))
        truth, _ = run(open_session(model, runtime), sample)
        return cls(Source.read(model, graph), sample, truth)

    def right(self, outputs: Tensors) -> bool:
        """Whether these are the sample's outputs, but for what engines differ by."""
        return outputs.keys() == self.truth.keys() and all(
            difference(outputs[name], truth) <= allowed(truth.dtype)
            for name, truth in self.truth.items()
        )


@asynccontextmanager
async def joined(config: AgentConfig, prepared: Prepared, emit: Emit) -> AsyncIterator[Crew]:
    """The device with the helpers of its configuration, for as long as the block lasts.

    Raises InvalidInput where it has none.
    """
    if config.helpers is None:
        raise InvalidInput("helpers: none are configured")
    async with Team(config.name, config.helpers, emit) as team:
        speeds = await measure_speeds(
            prepared, team.members, emit, slices=config.helpers.measure > 0.0
        )
        slowdown = config.slowdown.first
        with ExitStack() as stack:
            told = told_of_compiling(_telling_once(emit, _COMPILING))
            # On a thread: it imports numba.
            await asyncio.to_thread(stack.enter_context, told)
            given = config.helpers
            yield Crew(
                *(team, speeds, config.runtime, slowdown, emit, given.measure, given.check_every)
            )


def _telling_once(emit: Emit, what: str) -> Callable[[], None]:
    """Tells what is waited for, the first time that it is called."""
    untold = [{"event": "preparing", "what": what}]

    def tell() -> None:
        if untold:
            emit(untold.pop())

    return tell


@dataclass(frozen=True)
class Crew:
    """A device and its team.

    speeds: of the operators of one model; runtime: of the device; slowdown: of the device, to plan
    with; emit: told of every plan; measure: seconds to try plans in, 0 to trust the first;
    check_every: so many inferences of a plan, and it is checked again, 0 for never.
    """

    team: Team
    speeds: Speeds
    runtime: Runtime
    slowdown: float
    emit: Emit
    measure: float = 0.0
    check_every: int = 0

    def workers(self, graph: ModelGraph) -> tuple[list[Worker], WorkerLinks]:
        """Device and helpers as workers for a graph of the model, and what joins them."""
        members = self.team.members
        return self.speeds.workers(graph, self.slowdown, members), self.team.links(members)

    def preparing(self, what: str) -> None:
        """Tell what is waited for."""
        self.emit({"event": "preparing", "what": what})

    async def open_part(self, part: bytes) -> ParallelRunner:
        """A runner of a part of the model, whose plan is not measured: others may be at work."""
        return await replace(self, measure=0.0).open(part)

    async def open(self, model: bytes) -> ParallelRunner:
        """A runner of the model; InvalidInput if it does not run here."""
        case = await asyncio.to_thread(_Case.of, model, self.runtime)
        runner = ParallelRunner(case, self)
        try:
            await runner.settle()
        except BaseException:
            await asyncio.to_thread(runner.close)
            raise
        return runner


class ParallelRunner:
    """Runs a model over a team, with the interface of :class:`clients.runner.DeviceRunner`.

    Make one with :meth:`Crew.open`: it is planned and loaded then, and was right once.
    """

    def __init__(self, case: _Case, crew: Crew) -> None:
        self._case = case
        self._crew = crew
        self._loop = asyncio.get_running_loop()
        runtime = crew.runtime
        self._engine = PacedEngine(engine("onnxruntime", runtime), pace_of("onnxruntime", runtime))
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="device")
        self._plan: LoadedPlan | None = None
        #: Inferences since the plan in force was right.
        self._unchecked = 0

    @property
    def latency(self) -> float:
        """What the plan in force promises, s."""
        return self._in_force.latency

    def summary(self) -> dict[str, Any]:
        """Who does what, for a report."""
        return self._in_force.summary()

    @property
    def _in_force(self) -> LoadedPlan:
        if self._plan is None:
            raise InternalError("parallel runner: open it first, and use it before it is closed")
        return self._plan

    async def run(self, inputs: Tensors, slowdown: float = 0.0) -> DeviceRun:
        """One inference; the device takes `slowdown` times its CPU time, 0: as fast as it goes.

        Helpers that fail are dropped and the inference made again; `wall` counts all of that.
        Before it, in `aside` and not in `wall`, the plan is checked again where that is due.
        """
        asked = started = self._loop.time()
        if self._in_force.members and 0 < self._crew.check_every <= self._unchecked:
            await self._check_again()
            started = self._loop.time()
        again = False
        while True:
            plan = self._in_force
            try:
                done, cost = await self._played(plan, inputs, slowdown)
            except WorkerFailed as error:
                again = True
                await self._lose(plan, error)
                await self.settle()
            else:
                self._unchecked += 1
                wall = self._loop.time() - started if again else done.wall
                return DeviceRun(done.outputs, cost, wall, started - asked)

    def close(self) -> None:
        """Free the model here, on whatever thread, and soon at the helpers."""
        if plan := self._plan:
            self._plan = None
            with suppress(RuntimeError):  # the loop is closed: leases end by themselves
                self._loop.call_soon_threadsafe(lambda: self._crew.team.background(plan.unload()))
        self._thread.shutdown(wait=True)
        if plan:
            plan.loaded.close()

    async def _played(
        self, plan: LoadedPlan, inputs: Tensors, slowdown: float
    ) -> tuple[ParallelRun, float]:
        """A run, and what the device's part of it cost, s."""
        pace = self._engine.pace
        pace.slowdown, before = slowdown, pace.spent
        timeout = _LEAST_PATIENCE + _PATIENCE * plan.schedule.latency
        done = await play(plan, inputs, timeout, self._thread)
        return done, pace.spent - before

    # ---- plans -----------------------------------------------------------------------------

    async def settle(self) -> None:
        """Put a plan over the helpers that are left into force.

        Its answer was right once; where there is time to measure, it is the fastest of a few.
        """
        while self._plan is None:
            members = self._crew.team.members
            plan = await self._fastest(members)
            if plan is not None:
                self._plan, self._unchecked = plan, 0
                self._crew.emit({"event": "planned", **plan.summary()})
            elif members == self._crew.team.members:
                await self._lose_wrong(members)

    async def _check_again(self) -> None:
        """Helpers whose answers have turned wrong since the plan was right are lost."""
        plan, members = self._in_force, self._crew.team.members
        try:
            done, _ = await self._played(plan, self._case.sample, 0.0)
        except WorkerFailed as error:
            await self._lose(plan, error)
        else:
            if self._case.right(done.outputs):
                self._unchecked = 0
                return
            self._doubt(wrong=True)
            self._plan = None
            await self._drop(plan)
            await self._lose_wrong(members)
        await self.settle()

    async def _fastest(self, members: tuple[Member, ...]) -> LoadedPlan | None:
        """The plan that was fastest when it was tried; None if a helper was lost, or was wrong."""
        crew, source = self._crew, self._case.source
        workers = crew.speeds.workers(source.graph, crew.slowdown, members)
        crew.preparing("looking for schedules")
        links, most = crew.team.links(members), _WORTH_TRYING if crew.measure else 1
        found = islice(candidates(source, workers, links, _FACTORS), most)
        best, worth = None, list[Candidate]()
        # One at a time: the end of an interrupted process waits for the thread.
        while (candidate := await asyncio.to_thread(next, found, None)) is not None:
            worth.append(candidate)
        names = [worker.name for worker in workers]
        trials: list[Trial] = []
        for k, candidate in enumerate(worth, start=1):
            bringing = seconds_to_bring(candidate.programs, members)
            if best is not None and bringing >= crew.measure:
                trials.append(Trial.of(candidate.schedule, names, None))
                continue
            crew.preparing(f"loading plan {k} of {len(worth)}, at helpers too, and trying it")
            plan = await self._tried(candidate, workers, members)
            if plan is None:
                await self._drop(best)
                return None
            trials.append(Trial.of(candidate.schedule, names, plan.tried))
            if best is None or plan.latency < best.latency:
                best, plan = plan, best
            await self._drop(plan)
        if best is not None and crew.measure:
            best.trials = tuple(trials)
        return best

    async def _tried(
        self, candidate: Candidate, workers: Sequence[Worker], members: tuple[Member, ...]
    ) -> LoadedPlan | None:
        """A plan whose answer was right, else None: some helpers may be lost then."""
        plan = None
        crew = self._crew
        try:
            names = [worker.name for worker in workers]
            made = make_plan(self._case.source, candidate, names, members, self._engine)
            plan = await attended(made, members)
            done, _ = await self._played(plan, self._case.sample, 0.0)
            if not plan.members or self._case.right(done.outputs):
                end = self._loop.time() + crew.measure / _WORTH_TRYING
                taken: list[float] = []
                while self._loop.time() < end and len(taken) < _TRIES:
                    done, _ = await self._played(plan, self._case.sample, crew.slowdown)
                    taken.append(done.wall)
                plan.tried = median(taken) if taken else None
                return plan
        except WorkerFailed as error:
            await self._lose(plan, error)
        await self._drop(plan)
        return None

    async def _lose_wrong(self, members: tuple[Member, ...]) -> None:
        """Together they were wrong: go on without those that are wrong alone, or without any."""
        crew, source = self._crew, self._case.source
        for member in members:
            crew.preparing(f"trying the helper at {member.address} alone: answers were wrong")
            # The device leaves everything to it.
            workers = crew.speeds.workers(source.graph, crew.slowdown * _IDLE, (member,))
            links = crew.team.links((member,))
            alone = await asyncio.to_thread(single_worker, source, workers, links)
            plan = await self._tried(alone, workers, (member,))
            if plan is None:
                crew.team.lose(member, "it answers wrongly")
            await self._drop(plan)
        if self._crew.team.members == members:
            for member in members:
                self._crew.team.lose(member, "together, the helpers answer wrongly")

    async def _lose(self, plan: LoadedPlan | None, error: WorkerFailed) -> None:
        """Go on without the helpers that do not answer, or else the suspect, or else any."""
        members = self._crew.team.members if plan is None else tuple(plan.members.values())
        absent: Mapping[Member, str] = {}
        if not error.gone:
            reasons = await asyncio.gather(*(member.absent() for member in members))
            absent = {member: why for member, why in zip(members, reasons, strict=True) if why}
        for member in absent or ([error.suspect] if error.suspect else members):
            self._crew.team.lose(member, absent.get(member) or str(error))
        if plan is not None and plan is self._plan:
            if plan.members and self._unchecked:
                self._doubt(wrong=False)
            self._plan = None
            await self._drop(plan)

    def _doubt(self, *, wrong: bool) -> None:
        """Tell of the answers since the plan was right; not wrong: nobody can say whether it is."""
        self._crew.emit({"event": "doubtful", "inferences": self._unchecked, "wrong": wrong})

    async def _drop(self, plan: LoadedPlan | None) -> None:
        """Forget a plan that is not in force."""
        if plan is not None:
            left = {k: one for k, one in plan.members.items() if one in self._crew.team.members}
            self._crew.team.background(replace(plan, members=left).unload())
            plan.loaded.close()
