"""The server's side of the protocol: one market, its members, epochs and rounds.

A sans-I/O state machine: methods take what happened and `now`, and return effects to carry
out.  An epoch is one game played to its outcome by everybody who was ready when it opened.
Joins and changed costs wait for the next epoch, so an open one always finishes; a leave ends
the open epoch at once, because the bids of that player are part of it.  Whatever happened
within ``timing.batch`` shares the next epoch.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator

from dds.errors import Infeasible, InternalError, InvalidInput
from dds.market.auctioneer import Auctioneer, NotMonotone, Outcome
from dds.session.effects import Departed, Effect, Send, Settled
from dds.session.epoch import Epoch
from dds.session.members import Member, Members
from dds.session.messages import (
    PROTOCOL_VERSION,
    Accept,
    Allocation,
    Bid,
    ClientMessage,
    Code,
    Join,
    MemberMessage,
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
from dds.session.states import MARKET, MarketEvent, MarketState, MemberEvent, MemberState, step
from dds.session.status import MarketStatus
from dds.session.timing import Repeat, Timing

__all__ = ["MarketServer"]


class MarketServer:
    """One market; see the package's docstring for how to drive it.

    terms: what is for sale; leases: yields unguessable texts, none twice; quorum: clients that
    must be ready before the first epoch, and again once everybody has left; timing: its timers.

    Raises InvalidInput for a quorum below 1, Infeasible for a tariff no theorem covers.
    """

    def __init__(
        self,
        terms: Terms,
        *,
        leases: Iterator[str],
        quorum: int = 1,
        timing: Timing | None = None,
    ) -> None:
        if quorum < 1:
            raise InvalidInput(f"quorum is {quorum!r}; need at least 1 client")
        Auctioneer(terms.tariff, 1, quantum=terms.quantum)  # refuses a bad tariff now, not later
        self.terms = terms
        self.timing = timing or Timing()
        self._leases = leases
        self._quorum = quorum
        self._state = MarketState.GATHERING
        self._members = Members()
        self._epoch: Epoch | None = None
        self._number = 0
        self._gathered = False
        self._round = 0
        self._open_at = math.inf
        self._wake = math.inf
        self._last: Settled | None = None
        self._effects: list[Effect] = []

    # ---- what the caller sees --------------------------------------------------------------

    @property
    def state(self) -> MarketState:
        """What the market is doing."""
        return self._state

    @property
    def resting(self) -> bool:
        """Whether the newest shares stand: no epoch is open and none is due."""
        return self._state is MarketState.SETTLED and self._open_at == math.inf

    @property
    def settled(self) -> Settled | None:
        """How the newest finished epoch ended; those who left since are still in it."""
        return self._last

    def holds(self, lease: str) -> float:
        """Cores in force for a lease now; 0.0 for one that is unknown or has none."""
        member = self._members.by_lease.get(lease)
        return member.allocation.share if member and member.allocation else 0.0

    def knows(self, lease: str) -> bool:
        """Whether the lease is alive."""
        return lease in self._members.by_lease

    def status(self) -> MarketStatus:
        """Public facts about the market now."""
        last = self._last.outcome if self._last else None
        return MarketStatus(
            state=self._state,
            epoch=self._number,
            round=self._round,
            terms=self.terms,
            price=last.price if last else None,
            total=last.total if last else None,
            members=tuple(m.status() for m in sorted(self._members, key=lambda m: m.name)),
        )

    def next_timeout(self) -> float | None:
        """When to call :meth:`tick` next at the latest, on the caller's clock; None: never.

        A lower bound: a tick that finds nothing due does nothing.
        """
        return None if self._wake == math.inf else self._wake

    # ---- what the caller does --------------------------------------------------------------

    def receive(self, peer: Hashable, message: ClientMessage, now: float) -> list[Effect]:
        """A message came from a peer."""
        if self._state is MarketState.CLOSED:
            subject = message.nonce if isinstance(message, Join) else message.lease
            self._send(peer, self._closing(subject))
        elif isinstance(message, Join):
            self._join(peer, message, now)
        else:
            member = self._members.by_lease.get(message.lease)
            if member is None or member.peer != peer:
                self._send(peer, self._to_stranger(member, message))
            else:
                member.received += 1
                member.expires = now + self.timing.lease
                self._handle(member, message, now)
        return self._drain()

    def disconnected(self, peer: Hashable, now: float) -> list[Effect]:
        """A peer's stream ended: it has ``timing.grace`` to join again with the same nonce."""
        for member in self._members:
            if member.peer == peer:
                member.peer = None
                member.repeat.stop()
                member.expires = min(member.expires, now + self.timing.grace)
                self._wake = min(self._wake, member.expires)
        return self._drain()

    def tick(self, now: float) -> list[Effect]:
        """Do what is due: drop the silent, repeat what is owed, open an epoch."""
        for member in [m for m in self._members if m.expires <= now]:
            self._depart(member, Code.EXPIRED, "nothing was heard for the lease time", now)
        for member in self._members:
            if member.repeat.due <= now and member.owed is not None:
                member.repeat.again(now)
                self._tell(member, member.owed)
        if self._open_at <= now:
            self._open(now)
        self._wake = min(
            self._open_at,
            self._members.forget(now),
            min((min(m.expires, m.repeat.due) for m in self._members), default=math.inf),
        )
        return self._drain()

    def close(self, now: float) -> list[Effect]:
        """Refuse everybody, now and later."""
        if self._state is not MarketState.CLOSED:
            self._move(MarketEvent.CLOSE)
            self._epoch, self._open_at = None, math.inf
            for member in list(self._members):
                self._depart(member, Code.CLOSING, "the server is shutting down", now)
        return self._drain()

    # ---- members ---------------------------------------------------------------------------

    def _join(self, peer: Hashable, message: Join, now: float) -> None:
        member = self._members.joined(message.nonce)
        if member is None:
            reply = self._objection(message)
            if reply is not None:
                self._send(peer, reply)
                return
            member = Member(
                name=message.name,
                nonce=message.nonce,
                lease=next(self._leases),
                peer=peer,
                expires=now,
                repeat=Repeat(self.timing),
            )
            if self.knows(member.lease):
                raise InternalError("leases: the same text came twice")
            self._members.add(member)
        moved, member.peer = member.peer != peer, peer
        member.received += 1
        member.expires = now + self.timing.lease
        self._wake = min(self._wake, member.expires)
        self._tell(member, Welcome(member.nonce, member.lease, self.timing.lease, self.terms))
        if moved and member.owed is not None:
            self._owe(member, member.owed, now)

    def _objection(self, message: Join) -> Released | Refusal | None:
        """Why this newcomer is not admitted, if so."""
        if message.version != PROTOCOL_VERSION:
            text = f"join.version is {message.version}; this server speaks {PROTOCOL_VERSION}"
            return Refusal(Code.VERSION, text, message.nonce)
        farewell = self._members.farewell(message.nonce)
        if farewell is not None:
            return farewell
        if self._members.has_name(message.name):
            text = f"join.name {message.name!r} is taken; choose another"
            return Refusal(Code.NAME_TAKEN, text, message.nonce)
        return None

    def _to_stranger(self, member: Member | None, message: MemberMessage) -> ServerMessage:
        """The answer to a message whose sender does not hold the lease it names."""
        if member is None:
            if isinstance(message, Release):
                return Released(message.lease)
            farewell = self._members.farewell(message.lease)
            if farewell is not None:
                return farewell
        text = "lease: unknown, or joined on another stream; join again"
        return Refusal(Code.UNKNOWN_LEASE, text, message.lease)

    def _depart(self, member: Member, reason: Code | None, text: str, now: float) -> None:
        """End a lease; the open epoch ends with it if it was played by this client."""
        playing = self._epoch is not None and member.lease in self._epoch
        member.fire(MemberEvent.LEAVE)
        farewell = Released(member.lease) if reason is None else Refusal(reason, text, member.lease)
        self._tell(member, farewell)
        until = now + self.timing.lease
        self._members.remove(member, farewell, until)
        self._gathered = self._gathered and len(self._members) > 0
        self._wake = min(self._wake, until)
        self._effects.append(Departed(member.lease, member.name, reason))
        if playing:
            self._abandon(now)
        elif member.allocation is not None:
            self._schedule(now)

    def _handle(self, member: Member, message: MemberMessage, now: float) -> None:
        match message:
            case Bid():
                self._bid(member, message, now)
            case Accept(epoch=epoch):
                offer = member.allocation
                if member.state is MemberState.OFFERED and offer and offer.epoch == epoch:
                    member.fire(MemberEvent.ACCEPT)
                    member.settle_debt()
            case Renew(revision=revision):
                self._renew(member, revision, now)
            case Release():
                self._depart(member, None, "", now)

    def _renew(self, member: Member, revision: int, now: float) -> None:
        if revision > member.revision:
            member.revision = revision
            if member.state is MemberState.ADMITTED:
                member.fire(MemberEvent.READY)
            if self._epoch is None:
                self._schedule(now)
        self._tell(member, Renewed(member.lease, self._number, member.revision))

    # ---- epochs ----------------------------------------------------------------------------

    def _schedule(self, now: float) -> None:
        """A new epoch is due; whatever else happens before it opens is part of it."""
        if self._open_at == math.inf and self._state is not MarketState.CLOSED:
            self._open_at = now + self.timing.batch
            self._wake = min(self._wake, self._open_at)

    def _open(self, now: float) -> None:
        self._open_at = math.inf
        ready = sorted((m for m in self._members if m.revision > 0), key=lambda m: m.name)
        if len(ready) < (1 if self._gathered else self._quorum):
            self._move(MarketEvent.EMPTY)
            return
        self._gathered = True
        self._number += 1
        self._epoch = Epoch(self._number, self.terms, [m.lease for m in ready])
        self._move(MarketEvent.OPEN)
        for member in ready:
            member.fire(MemberEvent.ENTER)
            member.settle_debt()
            member.playing = member.revision
        self._ask(self._epoch, now)

    def _ask(self, epoch: Epoch, now: float) -> None:
        self._round = epoch.round
        for lease, question in epoch.questions():
            member = self._members.by_lease[lease]
            member.fire(MemberEvent.POST)
            post = Post(lease, epoch.number, epoch.round, question, member.playing)
            self._owe(member, post, now)

    def _bid(self, member: Member, message: Bid, now: float) -> None:
        epoch, place = self._epoch, (message.epoch, message.round)
        if place > (self._number, self._round):
            text = f"bid of epoch {place[0]} round {place[1]}: no such post yet"
            self._depart(member, Code.INVALID_BID, text, now)
        elif epoch is None or place < (epoch.number, epoch.round):
            return  # of a round that is over
        elif member.state is MemberState.ASKED:  # otherwise a repetition: the first one counts
            try:
                epoch.bid(member.lease, message.share)
            except InvalidInput as error:
                self._depart(member, Code.INVALID_BID, str(error), now)
                return
            member.fire(MemberEvent.BID)
            member.settle_debt()
            if epoch.complete:
                self._advance(epoch, now)

    def _advance(self, epoch: Epoch, now: float) -> None:
        try:
            epoch.advance()
        except NotMonotone as error:
            member = self._members.by_lease[epoch.players[error.index]]
            self._depart(member, Code.NOT_MONOTONE, str(error), now)
            return
        except Infeasible as error:
            # Some cannot do without the server: the one that came last has to.
            bidding = epoch.bidders()
            member = [m for m in self._members if m.lease in bidding][-1]
            self._depart(member, Code.INFEASIBLE, str(error), now)
            return
        if epoch.outcome is None:
            self._move(MarketEvent.ROUND)
            self._ask(epoch, now)
        else:
            self._settle(epoch, epoch.outcome, now)

    def _settle(self, epoch: Epoch, outcome: Outcome, now: float) -> None:
        self._move(MarketEvent.OUTCOME)
        self._epoch = None
        players = [self._members.by_lease[lease] for lease in epoch.players]
        for member in players:
            member.fire(MemberEvent.ALLOCATE)
            member.allocation = epoch.allocation(member.lease, member.playing)
            self._owe(member, member.allocation, now)
        self._last = Settled(
            epoch=epoch.number,
            names={m.lease: m.name for m in players},
            allocations={m.lease: m.allocation for m in players if m.allocation is not None},
            outcome=outcome,
        )
        self._effects.append(self._last)
        if any(m.unplayed for m in self._members):
            self._schedule(now)

    def _abandon(self, now: float) -> None:
        """End the open epoch without an outcome; earlier allocations stay in force."""
        epoch, self._epoch = self._epoch, None
        self._move(MarketEvent.ABANDON)
        for lease in epoch.players if epoch else ():
            member = self._members.by_lease.get(lease)
            if member is not None:
                member.fire(MemberEvent.ABANDON)
                member.settle_debt()
        self._schedule(now)

    def _move(self, event: MarketEvent) -> None:
        self._state = step(MARKET, self._state, event)

    # ---- sending ---------------------------------------------------------------------------

    def _owe(self, member: Member, message: Post | Allocation, now: float) -> None:
        """Send something that must be answered: it is repeated until it is."""
        member.owed = message
        if member.peer is not None:
            member.repeat.start(now)
            self._wake = min(self._wake, member.repeat.due)
        self._tell(member, message)

    def _tell(self, member: Member, message: ServerMessage) -> None:
        if member.peer is not None:
            member.sent += 1
            self._send(member.peer, message)

    def _send(self, peer: Hashable, message: ServerMessage) -> None:
        self._effects.append(Send(peer, message))

    @staticmethod
    def _closing(subject: str) -> Refusal:
        return Refusal(Code.CLOSING, "the server is shutting down", subject)

    def _drain(self) -> list[Effect]:
        effects, self._effects = self._effects, []
        return effects
