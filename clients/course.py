"""Keeps the right placement in force: the next is made ready while the last one keeps serving.

Make before break: a new placement is chosen and prepared in the background - split, loaded here,
brought to its servers, its share of the cloud bought - and comes into force between two
inferences.  So no inference fails or waits for it, but for those that the placement in force
cannot serve: the first, and one whose share of the edge is gone.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from clients.cloud import CloudShare
from clients.offload import Offload
from clients.planning import Placement
from dds.costs.link import Link
from dds.errors import DdsError, InternalError

__all__ = ["Course", "Switch", "moved"]

#: Bandwidths that differ by less than this factor are the same link to a planner.
_LEAST_CHANGE = math.log(1.1)

#: Chooses a placement, on another thread; what it returns is worked out when called.
Choose = Callable[[], Callable[[], Placement]]


def moved(before: Link, now: Link) -> bool:
    """Whether a bandwidth is another by more than a tenth."""
    pairs = ((before.uplink, now.uplink), (before.downlink, now.downlink))
    return any(a != b and abs(math.log(a / b)) > _LEAST_CHANGE for a, b in pairs)


@dataclass(frozen=True, slots=True)
class Switch:
    """From one placement to the next.

    before: None at first; why: what it was wanted for; seconds: that choosing took.
    """

    before: Placement | None
    after: Placement
    why: str
    seconds: float


class Course:
    """What runs where from one inference to the next; an async context manager.

    prepare: makes a placement ready in `offload`; switched: told once it is in force; kept: told
    why it could not be made ready, where the one in force serves on.
    """

    def __init__(
        self,
        offload: Offload,
        prepare: Callable[[Placement], Awaitable[None]],
        cloud: CloudShare | None,
        switched: Callable[[Switch], None],
        kept: Callable[[DdsError], None],
        *,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._offload = offload
        self._prepare = prepare
        self._cloud = cloud
        self._switched = switched
        self._kept = kept
        self._clock = clock
        self._wanted: tuple[Choose, str] | None = None
        self._change: asyncio.Task[Switch | None] | None = None
        self._leaving: asyncio.Task[Any] | None = None

    async def __aenter__(self) -> Course:
        """Nothing is in force yet."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Drop what is being prepared."""
        for task in (self._change, self._leaving):
            if task:
                task.cancel()
                with suppress(asyncio.CancelledError, Exception):
                    await task

    def want(self, choose: Choose, why: str) -> None:
        """Choose anew as soon as what is being prepared is in force; the last wish counts."""
        self._wanted = choose, why

    async def follow(self, serves: Callable[[Placement], bool]) -> Placement:
        """The placement of the next inference; waits only where the last one cannot serve it.

        Raises what prevents it from being made ready then.
        """
        while True:
            if self._change is None and self._wanted is not None:
                self._change = asyncio.create_task(self._make(*self._wanted))
                self._wanted = None
            force = self._offload.placement
            waits = force is None or not serves(force)
            if self._change is not None and (waits or self._change.done()):
                change, self._change = self._change, None
                await self._finish(change, waits=waits)
            elif waits or force is None:
                raise InternalError("course.follow: nothing is wanted that can serve")
            else:
                return force

    def _choose(self, choose: Choose) -> tuple[Placement, float]:
        """A placement, and the seconds that choosing it took; listing it takes longer."""
        began = self._clock()
        chosen = choose()
        seconds = self._clock() - began
        return chosen(), seconds

    async def _finish(self, change: asyncio.Task[Switch | None], *, waits: bool) -> None:
        """Put into force what was prepared, or go on without."""
        try:
            switch = await change
        except DdsError as error:
            if waits:
                raise
            self._kept(error)
        else:
            if switch is not None:
                await self._offload.switch()
                self._switched(switch)
        force = self._offload.placement
        if self._cloud is not None and force is not None and not force.on_cloud:
            # Nobody waits for it; it is over before the share is bought again.
            self._leaving = asyncio.create_task(self._cloud.hold(wanted=False))

    async def _make(self, choose: Choose, why: str) -> Switch | None:
        """Choose and prepare, unless it is what is in force."""
        placement, seconds = await asyncio.to_thread(self._choose, choose)
        force = self._offload.placement
        if force is not None and placement.same(force):
            return None
        if placement.on_cloud and self._cloud is not None:
            if self._leaving:
                await self._leaving
            await self._cloud.hold()
        await self._prepare(placement)
        return Switch(force, placement, why, seconds)
