"""Starts one ``mec-server`` and the ``mec-client`` processes of a scenario and reads their events.

Every process prints one JSON object per line.  Nothing outlives :func:`play`: whatever ends it
(success, a failed process, Ctrl-C) ends them all.
"""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from dds.demo.scenario import LINKS, Participant, Scenario
from dds.errors import InternalError

__all__ = ["Event", "client_command", "play", "server_command"]

Event = Mapping[str, Any]

#: Longest event line in bytes: a certificate row of a large frontier is a few kilobytes.
_LINE_LIMIT = 4 * 2**20
#: Seconds a process may take to stop on SIGTERM before it is killed.
_PATIENCE = 5.0


def server_command(scenario: Scenario, tariff: str) -> list[str]:
    """The command line of the scenario's ``mec-server``."""
    command = [sys.executable, "-m", "mec_server", "--json", "--listen", "127.0.0.1:0"]
    command += ["--tariff", tariff, "--capacity", repr(scenario.capacity)]
    if tariff == "barrier":
        command += ["--base-price", repr(scenario.base_price)]
    command += ["--quantum", scenario.quantum, "--quorum", str(len(scenario.participants))]
    return [*command, "--core-slowdown", repr(scenario.core_slowdown)]


def client_command(
    scenario: Scenario, participant: Participant, address: str, seed: int
) -> list[str]:
    """The command line of one participant's ``mec-client``."""
    link = LINKS[participant.link]
    return [
        *(sys.executable, "-m", "clients", "--json", "--server", address),
        *("--name", participant.name, "--model", f"zoo:{participant.model}"),
        *("--seed", str(seed), "--device-slowdown", repr(participant.slowdown)),
        *("--uplink", f"{link.uplink!r}B/s", "--downlink", f"{link.downlink!r}B/s"),
        *("--rtt", repr(link.rtt), "--value-of-time", repr(participant.value_of_time)),
        *("--max-share", repr(scenario.max_share), "--inferences", str(scenario.inferences)),
        *("--strategy", "dds,local-only,edge-only", "--step", "--one-game"),
        *("--measure-cuts", "1"),
    ]


async def play(
    scenario: Scenario,
    *,
    tariff: str,
    seed: int,
    on_event: Callable[[str, Event], None],
) -> dict[str, Event]:
    """Play the scenario and return each participant's ``done`` event by name.

    on_event(who, event) sees every event as it comes, who being "server" or a name.
    Raises InternalError with the last words of a process that failed.
    """
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(
            _process("mec-server", server_command(scenario, tariff))
        )
        listening = await anext(server.events())
        on_event("server", listening)
        clients = [
            await stack.enter_async_context(
                _process(p.name, client_command(scenario, p, listening["address"], seed))
            )
            for p in scenario.participants
        ]
        step = _Step(clients)

        def on_client_event(who: str, event: Event) -> None:
            step.on_event(event)
            on_event(who, event)

        watch = asyncio.create_task(_relay(server, on_event))
        relays = [asyncio.create_task(_relay(client, on_client_event)) for client in clients]
        everyone = asyncio.ensure_future(asyncio.gather(*relays))
        try:
            # The first process to fail ends the run; the server should outlive every client.
            await asyncio.wait((watch, everyone), return_when=asyncio.FIRST_COMPLETED)
            if watch.done():
                watch.result()
            return dict(zip((c.name for c in clients), await everyone, strict=True))
        finally:
            watch.cancel()
            everyone.cancel()
            await asyncio.gather(watch, everyone, *relays, return_exceptions=True)


class _Step:
    """Keeps the clients in step: each part of a run begins when all are ready for it.

    Otherwise one client would still build its model while another measures latencies, and two
    cores would show the queue for the processor instead of the market.
    """

    def __init__(self, clients: Sequence[_Talker]) -> None:
        self._clients = clients
        self._waiting = 0

    def on_event(self, event: Event) -> None:
        if event["event"] != "waiting":
            return
        self._waiting += 1
        if self._waiting == len(self._clients):
            self._waiting = 0
            for client in self._clients:
                client.nudge()


class _Talker:
    """A process that prints events; keeps the end of what it wrote to stderr."""

    def __init__(self, name: str, process: Process) -> None:
        self.name = name
        self.process = process
        self._last_words: deque[str] = deque(maxlen=5)

    async def events(self) -> AsyncIterator[Event]:
        """Every event until the process ends; InternalError when it ends badly."""
        assert self.process.stdout is not None  # noqa: S101 -- opened with PIPE
        async for line in self.process.stdout:
            yield json.loads(line)
        code = await self.process.wait()
        if code != 0:
            words = " / ".join(self._last_words) or "it said nothing"
            raise InternalError(f"{self.name} ended with exit code {code}: {words}")

    def nudge(self) -> None:
        """Send an empty line, which a client that waits takes as its cue."""
        assert self.process.stdin is not None  # noqa: S101 -- opened with PIPE
        self.process.stdin.write(b"\n")

    async def listen_to_stderr(self) -> None:
        """Remember the last lines of stderr."""
        assert self.process.stderr is not None  # noqa: S101 -- opened with PIPE
        async for line in self.process.stderr:
            self._last_words.append(line.decode(errors="replace").strip())


@asynccontextmanager
async def _process(name: str, command: list[str]) -> AsyncIterator[_Talker]:
    """A process that ends with the block: SIGTERM, and SIGKILL for one that does not listen."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        limit=_LINE_LIMIT,
        # Ctrl-C must reach the demo alone; it then ends the others in order.
        start_new_session=True,
    )
    talker = _Talker(name, process)
    listener = asyncio.create_task(talker.listen_to_stderr())
    try:
        yield talker
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), _PATIENCE)
            except TimeoutError:
                process.kill()
                await process.wait()
        listener.cancel()


async def _relay(talker: _Talker, on_event: Callable[[str, Event], None]) -> Event:
    """Pass every event on; return the one called done."""
    done: Event | None = None
    async for event in talker.events():
        on_event(talker.name, event)
        if event["event"] == "done":
            done = event
    if done is None:
        raise InternalError(f"{talker.name} ended before it was done")
    return done
