"""A server works until it is told to stop, or until its timers fail."""

import asyncio
import os
import signal

import pytest

from dds.wire.serving import stop_signal, until_stopped


class Beside:
    """Work that never ends, and whether it has been cancelled."""

    def __init__(self) -> None:
        self.started = asyncio.Event()
        self.cancelled = False

    async def work(self) -> None:
        self.started.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled = True


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_all_work(number: int) -> None:
    async def go() -> list[bool]:
        works = Beside(), Beside()
        stop = stop_signal()
        waiting = asyncio.create_task(until_stopped(stop, *(each.work() for each in works)))
        for each in works:
            await each.started.wait()
        assert not waiting.done()
        os.kill(os.getpid(), number)
        await waiting
        return [each.cancelled for each in works]

    assert asyncio.run(go()) == [True, True]


def test_timers_that_fail_end_the_server_at_once() -> None:
    async def fail() -> None:
        raise OSError("no clock")

    async def go() -> bool:
        beside = Beside()
        with pytest.raises(OSError, match="no clock"):
            await until_stopped(asyncio.Event(), fail(), beside.work())
        return beside.cancelled  # not at the end, when asyncio cancels whatever is left

    assert asyncio.run(go())


def test_other_work_that_fails_is_told_in_the_end_and_ends_no_timer_before() -> None:
    async def fail() -> None:
        raise OSError("no upstream")

    async def go() -> bool:
        stop, timers = asyncio.Event(), Beside()
        waiting = asyncio.create_task(until_stopped(stop, timers.work(), fail()))
        await timers.started.wait()
        await asyncio.sleep(0)
        assert not waiting.done()
        stop.set()
        with pytest.raises(OSError, match="no upstream"):
            await waiting
        return timers.cancelled

    assert asyncio.run(go())


def test_other_work_may_end_before() -> None:
    async def soon() -> None:
        pass

    async def go() -> None:
        stop, timers = asyncio.Event(), Beside()
        waiting = asyncio.create_task(until_stopped(stop, timers.work(), soon()))
        await timers.started.wait()
        await asyncio.sleep(0)
        assert not waiting.done()
        stop.set()
        await waiting

    asyncio.run(go())
