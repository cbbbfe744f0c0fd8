"""Runs inferences so that every lease gets the speed it bought, no more and no less.

One call that costs t seconds of CPU time takes ``slowdown * t / share`` seconds: the kernels
run at full speed, the answer is held back until its time has come.  Calls of one lease are
served one after another, in the order they arrived, as one queue on `share` cores; different
leases share a bounded pool of threads.  A kernel is never interrupted, so when more is asked of
the machine than it has, calls take longer than what was sold; that shows in the measurements.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from dds.errors import InvalidInput
from dds.profile.runtime import run
from dds.session.refusals import Busy, TooLate

__all__ = ["Execution", "Executor"]

Tensors = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Execution:
    """One finished inference.

    outputs: by name; cpu: CPU time of its kernels, s; paced: ``slowdown * cpu / share``, s;
    wall: from its turn to its end, s (longer than `paced` when the machine was overloaded).
    """

    outputs: dict[str, NDArray[Any]]
    cpu: float
    paced: float
    wall: float

    @property
    def seconds(self) -> dict[str, float]:
        """Its times by name."""
        return {"cpu": self.cpu, "paced": self.paced, "wall": self.wall}


@dataclass(slots=True)
class _Queue:
    """The calls of one lease: who has the turn, and how many wait or run."""

    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    length: int = 0


class Executor:
    """A pool of threads that runs onnxruntime sessions at bought shares.

    slowdown: seconds on one sold core per second of CPU time on this machine;
    workers: threads; longest_queue: calls that may wait or run per lease;
    longest_run: seconds after which a call is told to stop (between two operators);
    clock, sleep: for tests; seconds.
    """

    def __init__(
        self,
        slowdown: float,
        *,
        workers: int = 2,
        longest_queue: int = 16,
        longest_run: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._slowdown = slowdown
        self._longest_queue = longest_queue
        self._longest_run = longest_run
        self._clock = clock
        self._sleep = sleep
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="executor")
        self._queues: dict[str, _Queue] = {}

    async def background(self, function: Callable[..., Any], *args: object) -> Any:
        """Run a slow function, such as loading a model, on one of the threads."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *args)

    async def infer(
        self,
        lease: str,
        session: Any,
        inputs: Tensors,
        share: Callable[[], float],
        *,
        deadline: float = math.inf,
    ) -> Execution:
        """One inference on `share()` cores, asked when its turn comes; deadline on the clock.

        Raises Busy when the lease's queue is full, TooLate when the deadline cannot be met,
        InvalidInput when the model fails on these inputs or runs too long, and whatever
        `share` raises when the lease is gone.
        """
        queue = self._queues.setdefault(lease, _Queue())
        if queue.length >= self._longest_queue:
            raise Busy(f"lease {lease!r}: {queue.length} calls are waiting; wait for an answer")
        queue.length += 1
        try:
            async with queue.turn:
                return await self._run(session, inputs, share(), deadline)
        finally:
            queue.length -= 1
            if not queue.length and self._queues.get(lease) is queue:
                del self._queues[lease]

    async def _run(self, session: Any, inputs: Tensors, share: float, deadline: float) -> Execution:
        started = self._clock()
        if started >= deadline:
            raise TooLate("the deadline passed while the call waited for its turn")
        outputs, cpu = await self._compute(session, inputs)
        paced = self._slowdown * cpu / share
        if started + paced > deadline:
            raise TooLate(
                f"the call takes {paced:.3g} s on {share:g} cores, its deadline is in "
                f"{deadline - started:.3g} s; allow more time"
            )
        rest = started + paced - self._clock()
        if rest > 0.0:
            await self._sleep(rest)
        return Execution(outputs, cpu, paced, self._clock() - started)

    async def _compute(
        self, session: Any, inputs: Tensors
    ) -> tuple[dict[str, NDArray[Any]], float]:
        """The kernels, on a thread; a call that runs too long is stopped between operators."""
        from onnxruntime import RunOptions

        loop = asyncio.get_running_loop()
        options = RunOptions()
        stop = loop.call_later(self._longest_run, setattr, options, "terminate", True)
        try:
            return await loop.run_in_executor(self._threads, run, session, inputs, options)
        except InvalidInput as error:
            if options.terminate:
                raise InvalidInput(
                    f"the model ran for more than {self._longest_run:g} s of wall-clock time and "
                    "was stopped; offload less of it"
                ) from error
            raise
        finally:
            stop.cancel()

    def close(self) -> None:
        """Let running kernels finish and end the threads."""
        self._threads.shutdown(wait=True, cancel_futures=True)
