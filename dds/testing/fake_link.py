"""A market on an in-memory link with a virtual clock that may lose, delay, repeat and reorder.

No sockets, no threads, no waiting: :class:`FakeMarket` carries messages between one
:class:`~dds.session.server.MarketServer` and any number of
:class:`~dds.session.client.ClientSession`, moves the clock to the next thing that happens, and
ticks whoever is due.  What becomes of each message is a :data:`Fate`, chosen by
:class:`Weather` (seeded), by :func:`scripted` (Hypothesis' choices) or by your own function::

    market = FakeMarket(server, Weather(np.random.default_rng(0), loss=0.3))
    for client in clients:
        market.add(ClientSession(client.name, f"nonce of {client.name}"), client)
    market.run(market.is_settled)
    market.sessions["phone-1"].settlement
"""

from __future__ import annotations

import functools
import heapq
import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from dds.errors import InvalidInput
from dds.market.client import Client
from dds.session.client import ClientSession
from dds.session.effects import Departed, Effect, Send, Settled
from dds.session.messages import ClientMessage, ServerMessage
from dds.session.server import MarketServer
from dds.session.states import ClientState

__all__ = ["FakeMarket", "Fate", "Fates", "Weather", "perfect", "scripted"]

#: What becomes of one message: a delay in seconds for every copy that arrives; () is lost.
Fate = Sequence[float]
#: Decides the fate of the next message, in the order they are sent.
Fates = Callable[[], Fate]


def perfect() -> Fate:
    """Every message arrives once, after a millisecond."""
    return (1e-3,)


def scripted(fates: Iterable[Fate], then: Fates = perfect) -> Fates:
    """These fates in turn, such as Hypothesis drew them; afterwards the link is `then`."""
    remaining = iter(tuple(fates))

    def next_fate() -> Fate:
        fate = next(remaining, None)
        return then() if fate is None else fate

    return next_fate


@dataclass(frozen=True)
class Weather:
    """Random fates: lost with probability `loss`, else repeated with probability `repeat`.

    Every copy is delayed by a uniform time in [shortest, longest] seconds of its own, so
    messages overtake each other.  Raises InvalidInput for a loss of 1: nothing would arrive.
    """

    rng: np.random.Generator
    loss: float = 0.0
    repeat: float = 0.0
    shortest: float = 1e-3
    longest: float = 1e-3

    def __post_init__(self) -> None:
        if not 0.0 <= self.loss < 1.0:
            raise InvalidInput(f"weather.loss is {self.loss!r}; need a probability below 1")

    def __call__(self) -> Fate:
        """The fate of the next message."""
        if self.rng.random() < self.loss:
            return ()
        copies = 1 + (self.rng.random() < self.repeat)
        return tuple(self.rng.uniform(self.shortest, self.longest, size=copies).tolist())


@dataclass
class FakeMarket:
    """One server and its clients on a fake link; `now` is the virtual clock, s.

    sessions: by name; settled, departed: what the server announced, in order; up, down: messages
    handed to the link towards the server and from it; lost: those that never arrived.
    """

    server: MarketServer
    fates: Fates = perfect
    now: float = 0.0
    sessions: dict[str, ClientSession] = field(default_factory=dict)
    settled: list[Settled] = field(default_factory=list)
    departed: list[Departed] = field(default_factory=list)
    up: int = 0
    down: int = 0
    lost: int = 0
    _events: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _order: itertools.count[int] = field(default_factory=itertools.count)
    _streams: dict[str, int] = field(default_factory=dict)
    _broken: set[int] = field(default_factory=set)

    # ---- clients ---------------------------------------------------------------------------

    def add(self, session: ClientSession, client: Client | None = None) -> None:
        """Connect a session and start it, with its costs if they are given."""
        self.sessions[session.name] = session
        self._streams[session.name] = next(self._order)
        if client is not None:
            self._upward(session.name, session.update(client, self.now))
        self._upward(session.name, session.start(self.now))

    def update(self, name: str, client: Client) -> None:
        """A client's costs are known, or have changed."""
        self._upward(name, self.sessions[name].update(client, self.now))

    def release(self, name: str) -> None:
        """A client leaves."""
        self._upward(name, self.sessions[name].release(self.now))

    def crash(self, name: str) -> None:
        """A client vanishes without a word; nobody tells the server."""
        del self.sessions[name], self._streams[name]

    def disconnect(self, name: str) -> None:
        """A client's stream breaks and both ends notice; the client is still there."""
        stream = self._streams.pop(name)
        self._broken.add(stream)
        self._carry_out(self.server.disconnected((name, stream), self.now))

    def reconnect(self, name: str) -> None:
        """The client opens another stream."""
        self._streams[name] = next(self._order)
        self._upward(name, self.sessions[name].reconnected(self.now))

    # ---- time ------------------------------------------------------------------------------

    def is_settled(self) -> bool:
        """Whether the market rests: every client holds the newest epoch's allocation."""
        last = self.server.settled
        return (
            self.server.resting
            and last is not None
            and all(
                session.state is ClientState.HOLDING
                and session.settlement is not None
                and session.settlement.allocation.epoch == last.epoch
                for session in self.sessions.values()
            )
        )

    def run(self, until: Callable[[], bool], *, limit: float = 1e4) -> None:
        """Let time pass until the condition holds.

        Raises InvalidInput when it does not within `limit` seconds of the virtual clock, or
        nothing is left to happen.
        """
        end = self.now + limit
        while not until():
            due = self._next()
            if due > end:
                raise InvalidInput(f"the condition does not hold by {end:g} s of the fake clock")
            self._step(due)

    def run_for(self, seconds: float) -> None:
        """Let this much time pass."""
        end = self.now + seconds
        while (due := self._next()) <= end:
            self._step(due)
        self.now = end

    def _next(self) -> float:
        timers = [self.server.next_timeout()]
        timers += [self.sessions[name].next_timeout() for name in self._streams]
        arrival = self._events[0][0] if self._events else math.inf
        return min([arrival, *(t for t in timers if t is not None)])

    def _step(self, due: float) -> None:
        self.now = max(self.now, due)
        while self._events and self._events[0][0] <= self.now:
            heapq.heappop(self._events)[2]()
        timeout = self.server.next_timeout()
        if timeout is not None and timeout <= self.now:
            self._carry_out(self.server.tick(self.now))
        for name in list(self._streams):
            timeout = self.sessions[name].next_timeout()
            if timeout is not None and timeout <= self.now:
                self._upward(name, self.sessions[name].tick(self.now))

    # ---- carrying --------------------------------------------------------------------------

    def _later(self, happen: Callable[[], None]) -> None:
        fate = self.fates()
        self.lost += not fate
        for delay in fate:
            heapq.heappush(self._events, (self.now + delay, next(self._order), happen))

    def _upward(self, name: str, messages: Iterable[ClientMessage]) -> None:
        stream = self._streams.get(name)
        if stream is None:
            return
        for message in messages:
            self.up += 1
            self._later(functools.partial(self._at_server, (name, stream), message))

    def _at_server(self, peer: tuple[str, int], message: ClientMessage) -> None:
        if peer[1] not in self._broken:
            self._carry_out(self.server.receive(peer, message, self.now))

    def _at_client(self, peer: tuple[str, int], message: ServerMessage) -> None:
        name, stream = peer
        if self._streams.get(name) == stream:
            self._upward(name, self.sessions[name].receive(message, self.now))

    def _carry_out(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:
                case Send(peer=(str() as name, int() as stream), message=message):
                    self.down += 1
                    self._later(functools.partial(self._at_client, (name, stream), message))
                case Settled():
                    self.settled.append(effect)
                case Departed():
                    self.departed.append(effect)
                case Send():
                    raise InvalidInput(f"peer {effect.peer!r} is not on this link")
