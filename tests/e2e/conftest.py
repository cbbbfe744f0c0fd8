"""Real processes over real gRPC: one server, some clients, their events as JSON lines."""

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from clients.channel import Channel
from clients.player import Player
from dds.cut.pieces import Frontier
from dds.market.client import Client
from dds.session.client import ClientSession
from dds.session.states import ClientState
from dds.wire import tensors

#: Nothing here takes as long on an idle machine; a loaded one is given time.
PATIENCE = 120.0
#: Buys a share (W = 1 core second) or computes alone (10 s): any share is worth having.
COSTS = Client(Frontier.from_points([(0.0, 1.0), (10.0, 0.0)]), 1.0, 0.0, 1.0, "tester")


class Talker:
    """A process that prints one JSON event per line."""

    def __init__(self, *command: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )

    def next(self, event: str) -> dict[str, Any]:
        """Read up to the next event of this kind."""
        return self.until(event)[-1]

    def until(self, event: str) -> list[dict[str, Any]]:
        """Everything it says up to the next event of this kind."""
        assert self.process.stdout is not None
        told = []
        for line in self.process.stdout:
            told.append(json.loads(line))
            if told[-1]["event"] == event:
                return told
        self.process.wait()
        assert self.process.stderr is not None
        raise AssertionError(f"no {event!r}: {self.process.stderr.read()}")

    def say(self, line: str = "") -> None:
        """Write a line to its standard input."""
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def stop(self) -> int:
        """SIGTERM, and its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)

    def kill(self) -> None:
        """End it at once, and close its pipes."""
        self.process.kill()
        self.process.communicate()


@pytest.fixture(scope="session")
def talker() -> type[Talker]:
    """For tests that keep a process longer than one of them."""
    return Talker


@pytest.fixture
def start() -> Iterator[Callable[..., Talker]]:
    """Start a process that is gone when the test is over."""
    started: list[Talker] = []

    def begin(*command: str) -> Talker:
        started.append(Talker(*command))
        return started[-1]

    yield begin
    for talker in started:
        talker.kill()


@pytest.fixture
def serve(start: Callable[..., Talker]) -> Callable[..., tuple[Talker, str]]:
    """Start a mec-server; returns it and its address."""

    def begin(*flags: str) -> tuple[Talker, str]:
        server = start("mec_server", "--json", "--listen", "127.0.0.1:0", *flags)
        return server, server.next("listening")["address"]

    return begin


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Profiles, each measured once; only the exact plan of a client depends on them."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def join(start: Callable[..., Talker], cache: Path) -> Callable[..., Talker]:
    """Start a mec-client."""

    def begin(address: str, name: str, model: str, *flags: str) -> Talker:
        fixed = ("--json", "--server", address, "--name", name, "--model", model)
        link = ("--uplink", "18.88", "--downlink", "50", "--rtt", "8ms")
        return start("clients", *fixed, *link, "--cache", str(cache), *flags)

    return begin


@pytest.fixture(scope="module")
def serving() -> Iterator[Callable[..., str]]:
    """Start a mec-server for all tests of a file; returns its address."""
    with contextlib.ExitStack() as ended:

        def begin(*flags: str) -> str:
            server = Talker("mec_server", "--json", "--listen", "127.0.0.1:0", *flags)
            ended.callback(server.kill)
            return str(server.next("listening")["address"])

        yield begin


class Further:
    """A stub whose calls go further."""

    def __init__(self, stub: Any, hops: str) -> None:
        self._stub = stub
        self._hops = hops

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._stub, name)

        def call(request: Any, *, timeout: float | None = None, metadata: Any = ()) -> Any:
            onwards = (*metadata, (tensors.HOPS_KEY, self._hops), ("unrelated", "x"))
            return method(request, timeout=timeout, metadata=onwards)

        return call


class Via(Channel):
    """A client's connection to a server behind the one at the address."""

    def __init__(self, address: str, hops: str = "1") -> None:
        super().__init__(address)
        self.hops = hops

    async def __aenter__(self) -> "Via":
        await super().__aenter__()
        self._market = Further(self._market, self.hops)
        self._inference = Further(self._inference, self.hops)
        return self


@pytest.fixture
def via() -> type[Via]:
    """For tests that call a server through others."""
    return Via


@contextlib.asynccontextmanager
async def _tenant(channel: Channel, *, buy: bool = True) -> AsyncIterator[str]:
    """A lease, with a share unless told not to."""
    session = ClientSession("tester", secrets.token_urlsafe(18))
    async with Player(session, channel, on_bid=lambda *_: None) as player:
        await player.until(ClientState.ADMITTED)
        if buy:
            player.update(COSTS)
            await player.until(ClientState.HOLDING)
        assert session.lease is not None
        yield session.lease


@pytest.fixture
def tenant() -> Callable[..., AbstractAsyncContextManager[str]]:
    """Hold a lease on a server for a while."""
    return _tenant
