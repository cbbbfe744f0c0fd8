"""One client's side of the protocol: it joins, answers posts, checks its allocation, leaves.

A sans-I/O state machine: methods take what happened and `now`, and return the messages to
send.  The server drives the game and repeats whatever it is owed, so in an epoch the client
only has to answer each post as often as it comes.  Its costs stay here; shares leave.
"""

from __future__ import annotations

import math

from dds.errors import InvalidInput
from dds.market.client import Client
from dds.session.answers import Settlement, answer, settle
from dds.session.messages import (
    PROTOCOL_VERSION,
    Accept,
    Allocation,
    Bid,
    ClientMessage,
    Code,
    Join,
    Post,
    Refusal,
    Release,
    Released,
    Renew,
    Renewed,
    ServerMessage,
    Terms,
    Welcome,
)
from dds.session.states import CLIENT, ClientEvent, ClientState, step
from dds.session.timing import Repeat, Timing

__all__ = ["ClientSession"]

#: Renewals per lease time; each is repeated until it is answered.
_RENEWALS = 3
_PRESENT = frozenset(
    {ClientState.ADMITTED, ClientState.WAITING, ClientState.PLAYING, ClientState.HOLDING}
)
_LEASED = _PRESENT | {ClientState.LEAVING}
_JOINED = _PRESENT | {ClientState.JOINING}


class ClientSession:
    """One client of a market; see the package's docstring for how to drive it.

    name: for people and the order of ties; nonce: unguessable, one per session; timing: its
    `retry` and `longest_retry` are used, the lease time comes from the server.  A session that
    has ended (LEFT, REFUSED, LOST) stays ended: take part again with a new one.
    """

    def __init__(self, name: str, nonce: str, *, timing: Timing | None = None) -> None:
        self._join = Join(name, nonce)
        self._state = ClientState.IDLE
        self._repeat = Repeat(timing or Timing())
        self._welcome: Welcome | None = None
        self._heard = self._renew_at = math.inf
        self._costs: dict[int, Client] = {}
        self._revision = 0
        self._seen = (0, 0)
        self._bid: Bid | None = None
        self._settlement: Settlement | None = None
        self._refusal: Refusal | None = None

    # ---- what the caller sees --------------------------------------------------------------

    @property
    def state(self) -> ClientState:
        """Where this client stands."""
        return self._state

    @property
    def name(self) -> str:
        """The name it joins under."""
        return self._join.name

    @property
    def lease(self) -> str | None:
        """Its lease, once admitted."""
        return self._welcome.lease if self._welcome else None

    @property
    def terms(self) -> Terms | None:
        """What is for sale, once admitted."""
        return self._welcome.terms if self._welcome else None

    @property
    def place(self) -> tuple[int, int]:
        """Epoch and round of the newest post, (0, 0) before the first."""
        return self._seen

    @property
    def revision(self) -> int:
        """Of its newest costs: 0 before there are any."""
        return self._revision

    @property
    def settlement(self) -> Settlement | None:
        """Its newest allocation, checked; in force until the session ends or the next one."""
        return self._settlement

    @property
    def refusal(self) -> Refusal | None:
        """Why the server ended the session, in state REFUSED."""
        return self._refusal

    def next_timeout(self) -> float | None:
        """When to call :meth:`tick` next at the latest, on the caller's clock; None: never."""
        due = min(self._repeat.due, self._renew_at, self._silence_at())
        return None if due == math.inf else due

    # ---- what the caller does --------------------------------------------------------------

    def start(self, now: float) -> list[ClientMessage]:
        """Join."""
        self._fire(ClientEvent.START)
        self._repeat.start(now)
        return [self._join]

    def update(self, client: Client, now: float) -> list[ClientMessage]:
        """Costs to play with, or new ones; they count from the next epoch on."""
        self._fire(ClientEvent.UPDATE)
        self._revision += 1
        self._costs[self._revision] = client
        return self._announce(now)

    def reconnected(self, now: float) -> list[ClientMessage]:
        """The stream was replaced: claim the lease on the new one."""
        if self._state is ClientState.LEAVING:
            return [self._join, *self._farewell()]
        if self._state is ClientState.JOINING:
            self._repeat.start(now)
        return [self._join] if self._state in _JOINED else []

    def release(self, now: float) -> list[ClientMessage]:
        """Leave and give the share back."""
        self._fire(ClientEvent.RELEASE)
        self._repeat.stop()
        self._renew_at = math.inf
        if self._state is ClientState.LEAVING:
            self._repeat.start(now)
        return self._farewell()

    def tick(self, now: float) -> list[ClientMessage]:
        """Do what is due: repeat what is unanswered, renew the lease, notice a dead server."""
        if self._silence_at() <= now:
            self._end(ClientEvent.SILENCE)
            return []
        if self._repeat.due <= now:
            self._repeat.again(now)
            if self._state is ClientState.JOINING:
                return [self._join]
            return self._farewell() if self._state is ClientState.LEAVING else self._renew(now)
        if self._renew_at <= now:
            self._repeat.start(now)
            return self._renew(now)
        return []

    def receive(self, message: ServerMessage, now: float) -> list[ClientMessage]:
        """A message came from the server; late and repeated ones are harmless.

        Raises InvalidInput for one that no server of this protocol would send.
        """
        if isinstance(message, Welcome):
            return self._welcomed(message, now)
        subject = message.subject if isinstance(message, Refusal) else message.lease
        if not subject or subject not in (self.lease, self._join.nonce):
            return []
        self._heard = now
        if isinstance(message, Refusal | Released):
            return self._over(message)
        if self._state not in _PRESENT:
            return []
        if message.revision >= self._revision:
            self._repeat.stop()
        match message:
            case Post():
                return self._posted(message)
            case Allocation():
                return self._allocated(message)
            case Renewed():
                return []

    # ---- joining and leaving ---------------------------------------------------------------

    def _welcomed(self, message: Welcome, now: float) -> list[ClientMessage]:
        if message.nonce != self._join.nonce:
            return []
        if self._state is ClientState.LEFT and self._welcome is None:
            return [Release(message.lease)]  # released before it knew its lease
        if self._state is not ClientState.JOINING:
            if message.lease == self.lease:
                self._heard = now
            return []
        if message.version != PROTOCOL_VERSION:
            text = f"welcome.version is {message.version}; this client speaks {PROTOCOL_VERSION}"
            self._refusal = Refusal(Code.VERSION, text, message.nonce)
            self._end(ClientEvent.REFUSAL)
            return [Release(message.lease)]
        self._fire(ClientEvent.WELCOME)
        self._repeat.stop()
        self._welcome = message
        self._heard = now
        self._renew_at = now + message.lease_time / _RENEWALS
        if not self._costs:
            return []
        self._fire(ClientEvent.UPDATE)
        return self._announce(now)

    def _announce(self, now: float) -> list[ClientMessage]:
        """Tell the newest revision until the server is heard to know it."""
        if self._welcome is not None:
            self._repeat.start(now)
        return self._renew(now)

    def _renew(self, now: float) -> list[ClientMessage]:
        if self._welcome is None:
            return []
        self._renew_at = now + self._welcome.lease_time / _RENEWALS
        return [Renew(self._welcome.lease, self._revision)]

    def _farewell(self) -> list[ClientMessage]:
        return [Release(self._welcome.lease)] if self._welcome else []

    def _over(self, message: Refusal | Released) -> list[ClientMessage]:
        if self._state in _JOINED and isinstance(message, Released):
            # Somebody who knew the lease gave it back: the same as an unknown lease.
            message = Refusal(Code.UNKNOWN_LEASE, "the lease was released", message.lease)
        if self._state in _JOINED and isinstance(message, Refusal):
            self._refusal = message
            self._end(ClientEvent.REFUSAL)
        elif self._state is ClientState.LEAVING:
            known = isinstance(message, Released)
            self._end(ClientEvent.RELEASED if known else ClientEvent.REFUSAL)
        return []

    def _end(self, event: ClientEvent) -> None:
        self._fire(event)
        self._repeat.stop()
        self._renew_at = math.inf

    # ---- playing ---------------------------------------------------------------------------

    def _posted(self, message: Post) -> list[ClientMessage]:
        place = (message.epoch, message.round)
        if self._welcome is None or place < self._seen or message.epoch <= self._held():
            return []
        if self._bid is None or place > self._seen:
            share = answer(self._played(message), message.question, self._welcome.terms)
            self._fire(ClientEvent.POST)
            self._seen = place
            self._bid = Bid(message.lease, message.epoch, message.round, share)
        return [self._bid]

    def _allocated(self, message: Allocation) -> list[ClientMessage]:
        if self._welcome is None or message.epoch < self._held():
            return []
        if message.epoch > self._held():
            settlement = settle(self._played(message), message, self._welcome.terms)
            late = message.epoch < self._seen[0]
            self._fire(ClientEvent.LATE_ALLOCATION if late else ClientEvent.ALLOCATION)
            self._settlement = settlement
            # Later epochs play these costs or newer ones.
            self._costs = {r: c for r, c in self._costs.items() if r >= message.revision}
        return [Accept(message.lease, message.epoch)]

    def _played(self, message: Post | Allocation) -> Client:
        """The costs that the message's epoch plays."""
        client = self._costs.get(message.revision)
        if client is None:
            raise InvalidInput(
                f"epoch {message.epoch} plays revision {message.revision} of the costs of"
                f" {self.name!r}; its newest is {self._revision}"
            )
        return client

    def _held(self) -> int:
        return self._settlement.allocation.epoch if self._settlement else 0

    # ---- small parts -----------------------------------------------------------------------

    def _silence_at(self) -> float:
        """When a silent server has forgotten this lease."""
        if self._welcome is None or self._state not in _LEASED:
            return math.inf
        return self._heard + self._welcome.lease_time

    def _fire(self, event: ClientEvent) -> None:
        self._state = step(CLIENT, self._state, event)
