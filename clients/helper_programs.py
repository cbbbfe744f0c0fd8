"""Programs that a helper has loaded, and their runs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import Executor
from contextlib import aclosing, asynccontextmanager
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clients.mailboxes import Box, Form, PostedMailbox
from dds.errors import DdsError, InvalidInput
from dds.execution.interpreter import Loaded
from dds.parallel.program import Compute, Part, Receive
from dds.session.helping import Assignment, Delivery, PeerFailed, Played, UnknownRun
from dds.session.refusals import Busy, LeaseRefused

__all__ = ["LoadedProgram", "Post"]

#: Carries a delivery to the helper at an address.
Post = Callable[[str, Delivery], Awaitable[None]]


class LoadedProgram:
    """A program ready to play, one run after another.

    expected: what it will be sent; threads: where it is played; post: carries parts to peers.
    Parts of the next run may come before it has been asked for: the client starts all workers at
    once, and nobody waits for the slowest to hear of it.
    """

    def __init__(
        self,
        assignment: Assignment,
        loaded: Loaded,
        expected: Mapping[Receive, Form],
        threads: Executor,
        post: Post,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.assignment = assignment
        self._loaded = loaded
        self._expected = expected
        self._threads = threads
        self._post = post
        self._clock = clock
        self._turn = asyncio.Lock()
        self._awaited = False
        self._next = 0
        self._boxes: dict[int, Box] = {}
        self._over: DdsError | None = None

    def deliver(self, delivery: Delivery) -> None:
        """A part came.

        Raises UnknownRun for another run than this one or the next, and InvalidInput for what the
        program does not wait for.
        """
        self._box(delivery.run).put(Receive(delivery.part, delivery.sender), delivery.values)

    def _box(self, run: int) -> Box:
        """What came for a run: the one that is played, or the next."""
        if self._over is not None:
            raise self._over
        playing = self._next - 1 if self._turn.locked() else self._next
        if not playing <= run <= self._next:
            raise UnknownRun(f"delivery: this program is at run {playing}, not {run}")
        if run not in self._boxes:
            self._boxes[run] = Box(self._expected, clock=self._clock)
        return self._boxes[run]

    async def play(self, run: int, timeout: float) -> AsyncGenerator[Delivery | Played, None]:
        """One run: parts for the client as they are made, and `Played` at last.

        Raises Busy when another run waits for its turn already, InvalidInput when it is not the
        next run's, TooLate after `timeout` s, PeerFailed when another worker takes no delivery, and
        what a model raises.
        """
        async with self._own_turn():
            box = self._begin(run)
            try:
                async with aclosing(self._played(run, box, self._clock() + timeout)) as replies:
                    async for reply in replies:
                        yield reply
            finally:
                self._boxes.pop(run, None)

    @asynccontextmanager
    async def _own_turn(self) -> AsyncIterator[None]:
        """Alone; one may wait for that, as a client begins again before a run given up has ended.

        More would only keep calls from other clients.
        """
        if self._awaited:
            raise Busy("play: another run waits for this program already; end one first")
        self._awaited = True
        try:
            await self._turn.acquire()
        finally:
            self._awaited = False
        try:
            yield
        finally:
            self._turn.release()

    def _begin(self, run: int) -> Box:
        if run != self._next:
            raise InvalidInput(f"play.run is {run}; next is {self._next}")
        box = self._box(run)
        self._next += 1
        return box

    async def _played(
        self, run: int, box: Box, deadline: float
    ) -> AsyncGenerator[Delivery | Played, None]:
        """The thread that plays, and what it wants sent."""
        loop = asyncio.get_running_loop()
        outgoing: asyncio.Queue[Delivery | None] = asyncio.Queue()
        sends: set[asyncio.Task[None]] = set()

        def post(part: Part, receiver: int, values: NDArray[Any]) -> None:
            worker = self.assignment.program.worker
            delivery = Delivery(self.assignment.key, run, worker, part, values)
            loop.call_soon_threadsafe(carry, receiver, delivery)

        def carry(receiver: int, delivery: Delivery) -> None:
            if receiver == 0:
                outgoing.put_nowait(delivery)
                return
            task = asyncio.create_task(self._send(receiver, delivery))
            sends.add(task)
            task.add_done_callback(partial(_give_up, box))

        mailbox = PostedMailbox(box, post, deadline)
        steps = self.assignment.program.steps
        seconds = np.zeros(len(steps))
        playing = loop.run_in_executor(self._threads, self._loaded.play, {}, mailbox, seconds)
        playing.add_done_callback(lambda _: loop.call_soon(outgoing.put_nowait, None))
        try:
            while (delivery := await outgoing.get()) is not None:
                yield delivery
            # What failed elsewhere says more than what that made fail here.
            await asyncio.gather(*sends)
            await playing
            computes = [k for k, step in enumerate(steps) if isinstance(step, Compute)]
            yield Played(tuple(seconds[computes].tolist()))
        finally:
            box.close(LeaseRefused("the run was cancelled"))
            for task in sends:
                task.cancel()
            # The next run must not start beside this one's last operators.
            await asyncio.gather(playing, *sends, return_exceptions=True)

    async def _send(self, receiver: int, delivery: Delivery) -> None:
        try:
            await self._post(self.assignment.peers[receiver], delivery)
        except DdsError as error:
            raise PeerFailed(receiver, f"worker {receiver} took no part: {error}") from error

    def close(self, error: DdsError) -> None:
        """It is forgotten: whoever plays it is told why."""
        self._over = error
        for box in self._boxes.values():
            box.close(error)
        self._boxes.clear()
        self._loaded.close()


def _give_up(box: Box, task: asyncio.Task[None]) -> None:
    """A part could not be sent: the run is over, whoever waits."""
    if not task.cancelled() and isinstance(error := task.exception(), DdsError):
        box.close(error)
