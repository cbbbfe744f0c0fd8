"""Public facts about a running market, for people and monitoring."""

from __future__ import annotations

from dataclasses import dataclass

from dds.session.messages import Terms
from dds.session.states import MarketState

__all__ = ["MarketStatus", "MemberStatus"]


@dataclass(frozen=True, slots=True)
class MemberStatus:
    """One member: the cores it holds, what it pays (credits/s), messages received and sent."""

    name: str
    share: float
    payment: float
    received: int
    sent: int


@dataclass(frozen=True, slots=True)
class MarketStatus:
    """The market at one moment.

    epoch, round: the newest ones, 0 before the first; price (credits/s per core), total (cores):
    of the last finished epoch, None before the first; members: by name.
    """

    state: MarketState
    epoch: int
    round: int
    terms: Terms
    price: float | None
    total: float | None
    members: tuple[MemberStatus, ...]
