"""A helper's connections: as many to others as may be, and none kept to clients that vanished."""

import asyncio
import ctypes
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import cast

import numpy as np
import pytest

from clients import helper_channel, helper_rpc
from clients.errors import Gone
from clients.helper_channel import HelperChannel
from clients.helper_config import HelperConfig
from clients.helper_handlers import HelperHandlers
from clients.helper_rpc import HelperServer, Peers
from dds.parallel.program import Compute, Part, Program, Receive, Send
from dds.parallel.tiles import WHOLE
from dds.session.helping import Assignment, Delivery
from dds.session.refusals import Busy
from dds.testing.models import digest_of, text_model

PART = Delivery("k" * 24, 0, 1, Part("x", WHOLE), np.ones(1, np.float32))


class Slow:
    """A connection on which deliveries wait to be let through."""

    def __init__(self) -> None:
        self.open = True
        self.through = asyncio.Event()
        self.delivered = 0

    async def deliver(self, _delivery: Delivery) -> None:
        await self.through.wait()
        assert self.open
        self.delivered += 1

    async def close(self) -> None:
        self.open = False


def test_an_idle_connection_makes_way_and_a_busy_one_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(helper_rpc, "_MOST_PEERS", 2)

    async def go() -> None:
        made: dict[str, Slow] = {}

        def connect(address: str) -> HelperChannel:
            made[address] = Slow()
            return cast("HelperChannel", made[address])

        peers = Peers(connect)
        sends = [asyncio.create_task(peers.post(to, PART)) for to in ("a", "b")]
        await asyncio.sleep(0)
        with pytest.raises(Busy, match="2 others"):
            await peers.post("c", PART)
        made["b"].through.set()
        await sends[1]
        last = asyncio.create_task(peers.post("c", PART))
        await asyncio.sleep(0)
        assert (made["a"].open, made["b"].open) == (True, False)
        for to in ("a", "c"):
            made[to].through.set()
        await asyncio.gather(sends[0], last)
        assert [each.delivered for each in made.values()] == [1, 1, 1]
        await peers.close()
        assert not any(each.open for each in made.values())

    asyncio.run(go())


DOUBLE = text_model("(float[4] x) => (float[4] y) {y = Add(x, x)}")
X, Y = Part("x", WHOLE), Part("y", WHOLE)
STEPS = (Receive(X, 0), Compute(DOUBLE, {"x": X}, {"y": Y}), Send(Y, 0, Y))


class Wire:
    """Carries bytes to a server and back, until it is cut and nobody is told."""

    def __init__(self, server: str) -> None:
        self.server = server
        self.connected = asyncio.Event()
        self.connected.set()
        self.carrying: set[asyncio.Task[None] | None] = set()

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """For one connection, both ways."""
        self.carrying.add(asyncio.current_task())
        host, _, port = self.server.rpartition(":")
        back, forth = await asyncio.open_connection(host, int(port))
        await asyncio.gather(self._copy(reader, forth), self._copy(back, writer))

    async def _copy(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await source.read(2**16):
                await self.connected.wait()
                sink.write(data)
        sink.close()
        with suppress(ConnectionError):
            await sink.wait_closed()


def test_a_run_ends_whose_client_has_vanished(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(helper_rpc, "_PING_MS", 100)
    monkeypatch.setattr(helper_rpc, "_PONG_MS", 1500)

    async def use(handlers: HelperHandlers, channel: HelperChannel, wire: Wire) -> None:
        lease = (await channel.join("tester")).lease
        await channel.put_model(lease, digest_of(DOUBLE), DOUBLE)
        key = "k" * 24
        await channel.load_program(Assignment(lease, key, Program(1, (), STEPS, ())))
        playing = asyncio.ensure_future(anext(channel.play(lease, key, 0, 3600.0)))
        program = handlers._programs[key]
        while not program._turn.locked():
            await asyncio.sleep(0.01)
        # Whoever answers may be silent for many pings.
        await asyncio.sleep(0.5)
        assert program._turn.locked()
        wire.connected.clear()
        while program._turn.locked():
            await asyncio.sleep(0.01)
        playing.cancel()

    served(use)


def test_a_helper_is_gone_when_its_wire_is_and_not_when_python_stands_still(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(helper_channel, "_PING_MS", 50)
    monkeypatch.setattr(helper_channel, "_PONG_MS", 300)

    async def use(handlers: HelperHandlers, channel: HelperChannel, wire: Wire) -> None:
        direct = HelperChannel(wire.server)
        await direct.describe()
        asked = asyncio.ensure_future(direct.describe())
        # Protobuf does the same to models of hundreds of megabytes.
        await asyncio.sleep(0)
        holding_the_gil(900_000)
        assert (await asked).version == handlers.describe().version
        await direct.close()

        await channel.describe()
        wire.connected.clear()
        with pytest.raises(Gone, match="is gone: it does not answer"):
            await channel.describe(30.0)

    served(use)


#: Sleeps for so many microseconds, and no Python runs meanwhile.
holding_the_gil = ctypes.PyDLL(None).usleep


def served(use: Callable[[HelperHandlers, HelperChannel, Wire], Awaitable[None]]) -> None:
    """Use a helper over a wire that can be cut."""

    async def go() -> None:
        handlers = HelperHandlers(HelperConfig("127.0.0.1:0"), Peers().post)
        server = HelperServer(handlers)
        wire = Wire(await server.start())
        between = await asyncio.start_server(wire.carry, "127.0.0.1", 0)
        host, port = between.sockets[0].getsockname()
        channel = HelperChannel(f"{host}:{port}")
        try:
            async with asyncio.timeout(30.0):
                await use(handlers, channel, wire)
        finally:
            wire.connected.set()
            await channel.close()
            between.close()
            await server.stop(0.0)
            await asyncio.gather(*filter(None, wire.carrying))

    asyncio.run(go())
