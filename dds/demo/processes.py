"""Processes that print one JSON object per line, and are gone when their block ends."""

from __future__ import annotations

import asyncio
import json
from asyncio.subprocess import PIPE, Process
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from dds.errors import InternalError

__all__ = ["Event", "Talker", "finish", "started"]

Event = Mapping[str, Any]

#: Longest event line in bytes: a certificate row of a large frontier is a few kilobytes.
_LINE_LIMIT = 4 * 2**20
#: Seconds a process may take to stop on SIGTERM before it is killed.
_PATIENCE = 5.0


class Talker:
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
async def started(name: str, command: Sequence[str]) -> AsyncIterator[Talker]:
    """A process that ends with the block: SIGTERM, and SIGKILL for one that does not listen."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        limit=_LINE_LIMIT,
        # Ctrl-C must reach the parent alone; it then ends the others in order.
        start_new_session=True,
    )
    talker = Talker(name, process)
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


async def finish(
    clients: Sequence[Talker], servers: Sequence[Talker], on_event: Callable[[str, Event], None]
) -> list[Event]:
    """Each client's event called done; on_event(name, event) sees every event of everybody.

    The first process to fail ends the wait, as does a server that ends before the clients do:
    InternalError with its last words.
    """
    watches = [asyncio.create_task(_relay(server, on_event)) for server in servers]
    relays = [asyncio.create_task(_relay(client, on_event)) for client in clients]
    everyone = asyncio.gather(*relays)
    ends: list[asyncio.Future[Any]] = [*watches, everyone]
    try:
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for watch in watches:
            if watch.done():
                watch.result()
        return await everyone
    finally:
        for task in (*watches, *relays):
            task.cancel()
        await asyncio.gather(*watches, *relays, everyone, return_exceptions=True)


async def _relay(talker: Talker, on_event: Callable[[str, Event], None]) -> Event:
    """Pass every event on; return the one called done."""
    done: Event | None = None
    async for event in talker.events():
        on_event(talker.name, event)
        if event["event"] == "done":
            done = event
    if done is None:
        raise InternalError(f"{talker.name} ended before it was done")
    return done
