"""The transition tables of the protocol, as data.

``table[state][event]`` is the next state; an absent entry refuses the event.  The sessions
move only through :func:`step`, and docs/protocol.md shows :func:`as_markdown` of each table.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import TypeVar

from dds.errors import InvalidInput

__all__ = [
    "CLIENT",
    "MARKET",
    "MEMBER",
    "ClientEvent",
    "ClientState",
    "MarketEvent",
    "MarketState",
    "MemberEvent",
    "MemberState",
    "as_markdown",
    "step",
]


class MarketState(enum.Enum):
    """What the server as a whole is doing."""

    GATHERING = "gathering"  # too few clients, or a new epoch is about to open
    PLAYING = "playing"  # an epoch is open, a round's bids are coming in
    SETTLED = "settled"  # the last epoch's allocations are in force
    CLOSED = "closed"


class MarketEvent(enum.Enum):
    """What happens to the market."""

    OPEN = "open"  # a new epoch begins with everybody who is ready
    ROUND = "round"  # all bids are in, and there is another question
    OUTCOME = "outcome"  # all bids are in, and the shares are found
    ABANDON = "abandon"  # a player of the open epoch left
    EMPTY = "empty"  # nobody is ready for the epoch that was due
    CLOSE = "close"


class MemberState(enum.Enum):
    """Where the server stands with one client."""

    ADMITTED = "admitted"  # has a lease, but no costs to play with yet
    WAITING = "waiting"  # ready, plays in the next epoch
    PLAYED = "played"  # in the open epoch, owes no bid
    ASKED = "asked"  # in the open epoch, owes a bid
    OFFERED = "offered"  # has been sent an allocation
    HOLDING = "holding"  # has accepted it
    GONE = "gone"


class MemberEvent(enum.Enum):
    """What happens to one client at the server."""

    READY = "ready"  # its first Renew with costs
    ENTER = "enter"  # an epoch opens with it
    POST = "post"  # a question to it
    BID = "bid"  # its answer
    ABANDON = "abandon"  # the epoch ends without an outcome
    ALLOCATE = "allocate"  # the epoch ends with one
    ACCEPT = "accept"
    LEAVE = "leave"  # released, expired or refused


class ClientState(enum.Enum):
    """Where a client stands with the server."""

    IDLE = "idle"
    JOINING = "joining"  # repeats Join
    ADMITTED = "admitted"  # has a lease, but no costs to play with yet
    WAITING = "waiting"  # ready, waits for an epoch
    PLAYING = "playing"  # answers posts
    HOLDING = "holding"  # has its allocation
    LEAVING = "leaving"  # repeats Release
    LEFT = "left"
    REFUSED = "refused"  # the server said why
    LOST = "lost"  # the server was silent for a whole lease time


class ClientEvent(enum.Enum):
    """What happens to a client."""

    START = "start"
    UPDATE = "update"  # its costs are known, or have changed
    WELCOME = "welcome"
    POST = "post"
    ALLOCATION = "allocation"
    LATE_ALLOCATION = "late allocation"  # of an epoch before the one it is playing
    RELEASE = "release"
    RELEASED = "released"
    REFUSAL = "refusal"
    SILENCE = "silence"


MARKET: Mapping[MarketState, Mapping[MarketEvent, MarketState]] = {
    MarketState.GATHERING: {
        MarketEvent.OPEN: MarketState.PLAYING,
        MarketEvent.EMPTY: MarketState.GATHERING,
        MarketEvent.CLOSE: MarketState.CLOSED,
    },
    MarketState.PLAYING: {
        MarketEvent.ROUND: MarketState.PLAYING,
        MarketEvent.OUTCOME: MarketState.SETTLED,
        MarketEvent.ABANDON: MarketState.GATHERING,
        MarketEvent.CLOSE: MarketState.CLOSED,
    },
    MarketState.SETTLED: {
        MarketEvent.OPEN: MarketState.PLAYING,
        MarketEvent.EMPTY: MarketState.GATHERING,
        MarketEvent.CLOSE: MarketState.CLOSED,
    },
    MarketState.CLOSED: {},
}

MEMBER: Mapping[MemberState, Mapping[MemberEvent, MemberState]] = {
    MemberState.ADMITTED: {
        MemberEvent.READY: MemberState.WAITING,
        MemberEvent.LEAVE: MemberState.GONE,
    },
    MemberState.WAITING: {
        MemberEvent.ENTER: MemberState.PLAYED,
        MemberEvent.LEAVE: MemberState.GONE,
    },
    MemberState.PLAYED: {
        MemberEvent.POST: MemberState.ASKED,
        MemberEvent.ABANDON: MemberState.WAITING,
        MemberEvent.ALLOCATE: MemberState.OFFERED,
        MemberEvent.LEAVE: MemberState.GONE,
    },
    MemberState.ASKED: {
        MemberEvent.BID: MemberState.PLAYED,
        MemberEvent.ABANDON: MemberState.WAITING,
        MemberEvent.LEAVE: MemberState.GONE,
    },
    MemberState.OFFERED: {
        MemberEvent.ACCEPT: MemberState.HOLDING,
        MemberEvent.ENTER: MemberState.PLAYED,
        MemberEvent.LEAVE: MemberState.GONE,
    },
    MemberState.HOLDING: {
        MemberEvent.ENTER: MemberState.PLAYED,
        MemberEvent.LEAVE: MemberState.GONE,
    },
    MemberState.GONE: {},
}

_PRESENT = {
    ClientEvent.RELEASE: ClientState.LEAVING,
    ClientEvent.REFUSAL: ClientState.REFUSED,
    ClientEvent.SILENCE: ClientState.LOST,
}

CLIENT: Mapping[ClientState, Mapping[ClientEvent, ClientState]] = {
    ClientState.IDLE: {
        ClientEvent.UPDATE: ClientState.IDLE,
        ClientEvent.START: ClientState.JOINING,
    },
    ClientState.JOINING: {
        ClientEvent.UPDATE: ClientState.JOINING,
        ClientEvent.WELCOME: ClientState.ADMITTED,
        ClientEvent.RELEASE: ClientState.LEFT,
        ClientEvent.REFUSAL: ClientState.REFUSED,
    },
    ClientState.ADMITTED: {ClientEvent.UPDATE: ClientState.WAITING, **_PRESENT},
    ClientState.WAITING: {
        ClientEvent.UPDATE: ClientState.WAITING,
        ClientEvent.POST: ClientState.PLAYING,
        ClientEvent.ALLOCATION: ClientState.HOLDING,
        **_PRESENT,
    },
    ClientState.PLAYING: {
        ClientEvent.UPDATE: ClientState.PLAYING,
        ClientEvent.POST: ClientState.PLAYING,
        ClientEvent.ALLOCATION: ClientState.HOLDING,
        ClientEvent.LATE_ALLOCATION: ClientState.PLAYING,
        **_PRESENT,
    },
    ClientState.HOLDING: {
        ClientEvent.UPDATE: ClientState.HOLDING,
        ClientEvent.POST: ClientState.PLAYING,
        ClientEvent.ALLOCATION: ClientState.HOLDING,
        **_PRESENT,
    },
    ClientState.LEAVING: {
        ClientEvent.RELEASED: ClientState.LEFT,
        ClientEvent.REFUSAL: ClientState.LEFT,
        ClientEvent.SILENCE: ClientState.LEFT,
    },
    ClientState.LEFT: {},
    ClientState.REFUSED: {},
    ClientState.LOST: {},
}

S = TypeVar("S", bound=enum.Enum)
E = TypeVar("E", bound=enum.Enum)


def step(table: Mapping[S, Mapping[E, S]], state: S, event: E) -> S:
    """``table[state][event]``; raises InvalidInput naming both where the entry is absent."""
    allowed = table[state]
    if event not in allowed:
        options = ", ".join(str(e.value) for e in allowed) or "nothing"
        raise InvalidInput(
            f"{event.value} cannot happen in state {state.value}; what can: {options}"
        )
    return allowed[event]


def as_markdown(table: Mapping[S, Mapping[E, S]]) -> str:
    """The table for a reader: one row per state, one column per event, next states inside."""
    events = list(dict.fromkeys(event for row in table.values() for event in row))
    lines = [
        "| state | " + " | ".join(str(event.value) for event in events) + " |",
        "|---" * (len(events) + 1) + "|",
    ]
    for state, row in table.items():
        cells = [str(row[event].value) if event in row else "-" for event in events]
        lines.append(f"| **{state.value}** | " + " | ".join(cells) + " |")
    return "\n".join(lines)
