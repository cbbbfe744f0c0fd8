"""What a run begins, and what is left of it once it is given up."""

import asyncio
import gc
from typing import Any

import numpy as np

from clients.parallel_plan import LoadedPlan
from clients.parallel_run import _Run
from dds.parallel.program import Part
from dds.parallel.schedule import Schedule
from dds.parallel.tiles import WHOLE


class Link:
    """To a helper: counts what it is sent."""

    def __init__(self) -> None:
        self.channel = self
        self.sent = 0

    async def deliver(self, _: Any) -> None:
        self.sent += 1


def run_to(link: Any) -> _Run:
    nothing: Any = None
    plan = LoadedPlan(Schedule((), (), 0.0, ""), [], "key", (), {1: link}, nothing, {})
    return _Run(plan, 1.0)


def test_what_is_cancelled_before_it_starts_leaves_nothing_unawaited() -> None:
    async def go() -> int:
        link = Link()
        run = run_to(link)
        run._post(Part("x", WHOLE), 1, np.zeros(1))
        await asyncio.sleep(0)  # the task is there, and has not started
        (task,) = run._tasks
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return link.sent

    assert asyncio.run(go()) == 0
    # A coroutine that nobody awaits is a warning when it is collected, and warnings are errors.
    gc.collect()


def test_a_run_that_was_given_up_sends_no_more() -> None:
    async def go() -> tuple[int, int]:
        links = Link(), Link()
        for link, given_up in zip(links, (False, True), strict=True):
            run = run_to(link)
            if given_up:
                run._fault.cancel()
            run._post(Part("x", WHOLE), 1, np.zeros(1))
            for _ in range(3):
                await asyncio.sleep(0)
        return links[0].sent, links[1].sent

    assert asyncio.run(go()) == (1, 0)
