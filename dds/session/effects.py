"""What a :class:`~dds.session.server.MarketServer` asks its caller to carry out."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass

from dds.market.auctioneer import Outcome
from dds.session.messages import Allocation, Code, ServerMessage

__all__ = ["Departed", "Effect", "Send", "Settled"]


@dataclass(frozen=True, slots=True)
class Send:
    """Deliver this message to that peer; losing it is allowed."""

    peer: Hashable
    message: ServerMessage


@dataclass(frozen=True, slots=True)
class Settled:
    """From now on these shares are in force, for every lease that holds any.

    names, allocations: by lease, in the auctioneer's order; outcome: what it found.
    """

    epoch: int
    names: Mapping[str, str]
    allocations: Mapping[str, Allocation]
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Departed:
    """This lease is over and its share is free; reason: None when its holder released it."""

    lease: str
    name: str
    reason: Code | None


Effect = Send | Settled | Departed
