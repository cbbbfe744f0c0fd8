"""One run of a plan: the device plays its program, the helpers theirs, and parts travel."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Executor
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, TypeVarTuple

import numpy as np
from numpy.typing import NDArray

from clients.errors import CallFailed
from clients.mailboxes import Box, PostedMailbox
from clients.parallel_plan import LoadedPlan, WorkerFailed, silence
from clients.team import Member
from dds.errors import DdsError, InvalidInput
from dds.parallel.program import Compute, Part, Receive
from dds.session.helping import Delivery, PeerFailed, Played
from dds.session.refusals import TooLate

__all__ = ["ParallelRun", "play"]

Tensors = Mapping[str, NDArray[Any]]
Args = TypeVarTuple("Args")


@dataclass(frozen=True, slots=True)
class ParallelRun:
    """A finished run: the model's outputs by name; wall: until they were there, s."""

    outputs: dict[str, NDArray[Any]]
    wall: float


async def play(plan: LoadedPlan, inputs: Tensors, timeout: float, thread: Executor) -> ParallelRun:
    """Run the model once; the plan notes how long each worker computed.

    thread: where the device computes.

    Raises WorkerFailed when a helper fails, is silent, or sends what nobody waits for, and after
    `timeout` s; what the device's own engine raises is raised as it is.  Whatever happens, nothing
    of the run is left here, and helpers are told that it is over.
    """
    return await _Run(plan, timeout).play(inputs, thread)


class _Run:
    """State of one run."""

    def __init__(self, plan: LoadedPlan, timeout: float) -> None:
        self._plan = plan
        self._timeout = timeout
        self._number = plan.runs
        self._box = Box(plan.expected)
        self._loop = asyncio.get_running_loop()
        self._fault: asyncio.Future[None] = self._loop.create_future()
        self._tasks: set[asyncio.Task[None]] = set()

    async def play(self, inputs: Tensors, thread: Executor) -> ParallelRun:
        plan, steps = self._plan, self._plan.programs[0].steps
        plan.runs += 1
        seconds = np.zeros(len(steps))
        started = time.monotonic()
        readers = [self._begin(self._read, k, member) for k, member in plan.members.items()]
        mailbox = PostedMailbox(self._box, self._post, started + self._timeout)
        playing = self._loop.run_in_executor(thread, plan.loaded.play, inputs, mailbox, seconds)
        if plan.members:
            self._begin(silence, list(plan.members.values()))
        try:
            outputs = await self._unless_fault(playing)
            wall = time.monotonic() - started
            await self._unless_fault(asyncio.gather(*readers))
        except TooLate as error:
            raise WorkerFailed(None, str(error)) from error
        finally:
            self._box.close(WorkerFailed(None, "the run was given up"))
            self._fault.cancel()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(playing, *self._tasks, return_exceptions=True)
        computes = [k for k, step in enumerate(steps) if isinstance(step, Compute)]
        plan.busy[0] = float(seconds[computes].sum())
        return ParallelRun(outputs, wall)

    async def _unless_fault(self, work: asyncio.Future[Any]) -> Any:
        """The result of some work; raises what went wrong elsewhere meanwhile."""
        await asyncio.wait({work, self._fault}, return_when=asyncio.FIRST_COMPLETED)
        if self._fault.done():
            self._fault.result()
        return work.result()

    def _begin(self, work: Callable[[*Args], Awaitable[None]], *args: *Args) -> asyncio.Task[None]:
        """Start something whose failure is the run's."""

        async def guarded() -> None:
            try:
                # Called here: a task may be cancelled before it starts, a coroutine must not.
                await work(*args)
            except DdsError as error:
                self._fail(error)

        task = asyncio.create_task(guarded())
        self._tasks.add(task)
        return task

    def _fail(self, error: DdsError) -> None:
        if not self._fault.done():
            self._fault.set_exception(error)

    async def _read(self, worker: int, member: Member) -> None:
        """What a helper sends of this run, to its end."""
        plan = self._plan
        try:
            replies = member.channel.play(member.lease, plan.key, self._number, self._timeout)
            async with aclosing(replies):
                async for reply in replies:
                    if isinstance(reply, Played):
                        plan.busy[worker] = sum(reply.seconds)
                        return
                    self._box.put(Receive(reply.part, worker), reply.values)
        except PeerFailed as error:
            raise WorkerFailed(plan.suspect(error.worker) or member, str(error)) from error
        except (CallFailed, InvalidInput) as error:
            raise WorkerFailed.of(member, error) from error
        raise WorkerFailed(member, f"the helper at {member.address} ended its run too early")

    def _post(self, part: Part, receiver: int, values: NDArray[Any]) -> None:
        """Called on the thread that plays."""
        delivery = Delivery(self._plan.key, self._number, 0, part, values)
        member = self._plan.members[receiver]
        self._loop.call_soon_threadsafe(self._carry, member, delivery)

    def _carry(self, member: Member, delivery: Delivery) -> None:
        """Send it, unless the run has been given up meanwhile."""
        if not self._fault.done():
            self._begin(self._send, member, delivery)

    async def _send(self, member: Member, delivery: Delivery) -> None:
        try:
            await member.channel.deliver(delivery)
        except (CallFailed, InvalidInput) as error:
            raise WorkerFailed.of(member, error) from error
