"""A server works until it is told to stop, or until its timers fail."""

import asyncio
import os
import re
import signal
import socket

import grpc
import pytest

from dds.errors import InvalidInput
from dds.wire.serving import bind, stop_signal, until_stopped


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


@pytest.mark.parametrize(
    ("host", "why"),
    [
        ("127.0.0.1", "address already in use"),
        ("[::]", "address already in use"),
        ("a..b", "no address here"),
        ("a" * 64, "no address here"),
        ("192.0.2.1", "cannot assign requested address"),
    ],
)
def test_where_nobody_can_listen_is_said_in_a_line(host: str, why: str) -> None:
    async def go(port: int) -> None:
        with pytest.raises(InvalidInput, match=f"^cannot listen on {re.escape(host)}:.*: {why}$"):
            bind(grpc.aio.server(), f"{host}:{port}")

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        asyncio.run(go(taken.getsockname()[1]))


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "localhost"])
def test_a_free_port_is_chosen_and_told(host: str) -> None:
    async def go() -> list[str]:
        return bind(grpc.aio.server(), f"{host}:0").rsplit(":", 1)

    there, port = asyncio.run(go())
    assert there == host
    assert 0 < int(port) < 65536
