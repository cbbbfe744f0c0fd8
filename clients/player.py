"""Plays one client's session over a stream: carries messages, runs its timers, reconnects."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from clients.errors import CallFailed, Gone, MarketRefused
from clients.server import Server
from dds.errors import DdsError
from dds.market.client import Client
from dds.session.answers import Settlement
from dds.session.client import ClientSession
from dds.session.messages import Bid, ClientMessage, Code, Post, ServerMessage
from dds.session.states import ClientState

__all__ = ["Player"]

_ENDED = frozenset({ClientState.LEFT, ClientState.REFUSED, ClientState.LOST})
#: How a stream ends that is worth opening again.
_BROKEN = frozenset({"UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED"})
#: Seconds before a broken stream is opened again; timers are looked at least this often.
_RECONNECT, _LONGEST_NAP = 0.2, 0.25


class Player:
    """Drives a session until it ends; use it as an async context manager.

    on_bid(post, bid): told of every answer to a new post; clock: for tests, seconds.
    sent, received: messages so far.
    """

    def __init__(
        self,
        session: ClientSession,
        server: Server,
        *,
        on_bid: Callable[[Post, Bid], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.session = session
        self.sent = 0
        self.received = 0
        self._server = server
        self._on_bid = on_bid
        self._clock = clock
        self._outgoing: asyncio.Queue[ClientMessage | None] = asyncio.Queue()
        self._changed = asyncio.Condition()
        self._bids: set[tuple[int, int]] = set()

    async def __aenter__(self) -> Player:
        """Join."""
        self._send(self.session.start(self._clock()))
        self._tasks = [
            asyncio.create_task(self._announcing_its_end(work)) for work in (self._read, self._tick)
        ]
        return self

    async def __aexit__(self, *_: object) -> None:
        """Leave the market, if still in it, and close the stream."""
        with contextlib.suppress(MarketRefused, CallFailed, TimeoutError):
            if not self.ended:
                self._send(self.session.release(self._clock()))
                await asyncio.wait_for(self.until(ClientState.LEFT), 2.0)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def ended(self) -> bool:
        """Whether the session is over, for whatever reason."""
        return self.session.state in _ENDED

    def update(self, client: Client) -> None:
        """Enter the game with these costs, or change them."""
        self._send(self.session.update(client, self._clock()))

    async def until(self, *states: ClientState) -> None:
        """Wait for one of the states; raises what :meth:`end` says when it ends in another."""
        await self._until(lambda: self.session.state in states)

    async def settled(self) -> Settlement:
        """Wait for the allocation of the newest costs; raises as :meth:`until`."""
        session = self.session

        def newest() -> bool:
            held = session.settlement
            return held is not None and held.allocation.revision == session.revision

        await self._until(newest)
        assert session.settlement is not None  # noqa: S101 -- it was waited for
        return session.settlement

    async def _until(self, reached: Callable[[], bool]) -> None:
        async with self._changed:
            await self._changed.wait_for(
                lambda: reached() or self.ended or any(task.done() for task in self._tasks)
            )
        if reached():
            return
        for task in self._tasks:
            if task.done() and not task.cancelled() and (error := task.exception()):
                raise error
        raise self.end()

    def end(self) -> DdsError:
        """Why the session ended: Gone where the server did, too, or MarketRefused."""
        refusal = self.session.refusal
        server = f"the server at {self._server.address}"
        if refusal is None:
            return Gone(server, "nothing was heard for the lease time")
        if refusal.code is Code.CLOSING:
            return Gone(server, "it was stopped")
        return MarketRefused(f"the market refused {self.session.name!r}: {refusal.message}")

    def _send(self, messages: Sequence[ClientMessage]) -> None:
        for message in messages:
            self.sent += 1
            self._outgoing.put_nowait(message)

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _announcing_its_end(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do the work; who waits for a state must wake up when it fails."""
        try:
            await work()
        finally:
            await asyncio.shield(self._notify())

    async def _read(self) -> None:
        """Read the stream; open another when it breaks."""
        while not self.ended:
            queue = self._outgoing
            try:
                async for message in self._server.play(_until_none(queue)):
                    await self._receive(message)
            except CallFailed as error:
                if error.status not in _BROKEN:
                    raise
            finally:
                queue.put_nowait(None)  # whoever sends on that stream must not wait for ever
            if not self.ended:
                await asyncio.sleep(_RECONNECT)
                self._outgoing = asyncio.Queue()
                self._send(self.session.reconnected(self._clock()))

    async def _receive(self, message: ServerMessage) -> None:
        self.received += 1
        answers = self.session.receive(message, self._clock())
        self._send(answers)
        if isinstance(message, Post):
            for bid in answers:
                place = (message.epoch, message.round)
                if isinstance(bid, Bid) and place not in self._bids:
                    self._bids.add(place)
                    self._on_bid(message, bid)
        await self._notify()

    async def _tick(self) -> None:
        """Run the session's timers."""
        while not self.ended:
            due = self.session.next_timeout()
            now = self._clock()
            if due is not None and due <= now:
                self._send(self.session.tick(now))
                await self._notify()
            nap = _LONGEST_NAP if due is None else min(max(due - now, 0.01), _LONGEST_NAP)
            await asyncio.sleep(nap)


async def _until_none(queue: asyncio.Queue[ClientMessage | None]) -> AsyncIterator[ClientMessage]:
    while (message := await queue.get()) is not None:
        yield message
