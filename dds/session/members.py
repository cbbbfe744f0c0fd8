"""Who takes part in a market: the server's record of each client, and of those who left."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field

from dds.session.messages import Allocation, Post, Refusal, Released
from dds.session.states import MEMBER, MemberEvent, MemberState, step
from dds.session.status import MemberStatus
from dds.session.timing import Repeat

__all__ = ["Member", "Members"]


@dataclass(slots=True, eq=False)
class Member:
    """One client with a lease.

    peer: where its messages go, None while its stream is broken; expires: when it is dropped
    unless heard of; revision: of its newest costs (0: none), playing: of those its epoch plays;
    owed: what it has not answered; allocation: its share in force; received, sent: messages.
    """

    name: str
    nonce: str
    lease: str
    peer: Hashable | None
    expires: float
    repeat: Repeat
    state: MemberState = MemberState.ADMITTED
    revision: int = 0
    playing: int = 0
    owed: Post | Allocation | None = None
    allocation: Allocation | None = None
    received: int = 0
    sent: int = 0

    def fire(self, event: MemberEvent) -> None:
        """Move to the next state of the table."""
        self.state = step(MEMBER, self.state, event)

    def settle_debt(self) -> None:
        """It answered, or the question is void."""
        self.owed = None
        self.repeat.stop()

    def status(self) -> MemberStatus:
        """The public facts about it."""
        held = self.allocation
        return MemberStatus(
            name=self.name,
            share=held.share if held else 0.0,
            payment=held.payment if held else 0.0,
            received=self.received,
            sent=self.sent,
        )

    @property
    def unplayed(self) -> bool:
        """Whether it has costs that no epoch has played yet."""
        return self.revision > self.playing


@dataclass(slots=True)
class Members:
    """Everybody with a lease, and for a while what to tell those who no longer have one.

    A message may be late: without the memory of a farewell, a delayed Join would readmit a
    client that has left.
    """

    by_lease: dict[str, Member] = field(default_factory=dict)
    _by_nonce: dict[str, Member] = field(default_factory=dict)
    _names: set[str] = field(default_factory=set)
    _farewells: dict[str, tuple[Released | Refusal, float]] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Member]:
        return iter(self.by_lease.values())

    def __len__(self) -> int:
        return len(self.by_lease)

    def has_name(self, name: str) -> bool:
        """Whether somebody present has this name."""
        return name in self._names

    def joined(self, nonce: str) -> Member | None:
        """Who joined with this nonce, if still present."""
        return self._by_nonce.get(nonce)

    def add(self, member: Member) -> None:
        """Admit somebody."""
        self.by_lease[member.lease] = member
        self._by_nonce[member.nonce] = member
        self._names.add(member.name)

    def remove(self, member: Member, farewell: Released | Refusal, until: float) -> None:
        """Forget somebody, but repeat the farewell to its late messages until then."""
        del self.by_lease[member.lease]
        del self._by_nonce[member.nonce]
        self._names.discard(member.name)
        self._farewells[member.lease] = self._farewells[member.nonce] = (farewell, until)

    def farewell(self, subject: str) -> Released | Refusal | None:
        """What was last said to the holder of this lease or nonce, if remembered."""
        entry = self._farewells.get(subject)
        return entry[0] if entry else None

    def forget(self, now: float) -> float:
        """Drop the farewells that are old enough; when the next one will be."""
        self._farewells = {k: v for k, v in self._farewells.items() if v[1] > now}
        return min((until for _, until in self._farewells.values()), default=math.inf)
