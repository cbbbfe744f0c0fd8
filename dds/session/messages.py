"""What clients and the server of one market say to each other.

Every message is a frozen dataclass that checks itself: one that exists is well formed, whoever
sent it.  Numbers are SI (seconds, cores, credits/s).  A client's costs never travel; only
shares do.  docs/protocol.md tells the story, ``dds.wire`` turns messages into bytes.

Client to server: :class:`Join` :class:`Bid` :class:`Accept` :class:`Renew` :class:`Release`.
Server to client: :class:`Welcome` :class:`Post` :class:`Allocation` :class:`Renewed`
:class:`Released` :class:`Refusal`.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from fractions import Fraction

from dds.errors import InvalidInput
from dds.market.tariff_base import Tariff

__all__ = [
    "PROTOCOL_VERSION",
    "Accept",
    "Allocation",
    "Below",
    "Bid",
    "ClientMessage",
    "Code",
    "Holding",
    "Join",
    "MemberMessage",
    "Post",
    "Quotation",
    "ReferenceCore",
    "Refusal",
    "Release",
    "Released",
    "Renew",
    "Renewed",
    "ServerMessage",
    "Terms",
    "Welcome",
]

#: Both sides must speak the same one; a Join with another is refused.
PROTOCOL_VERSION = 1

#: Longest name, lease, nonce, and longest text of a refusal, in characters.
_LONGEST_ID, _LONGEST_TEXT = 128, 1000
#: Counters fit an unsigned 64-bit field.
_LARGEST = 2**64 - 1


class Code(enum.Enum):
    """Why a message or a client was refused; the values travel."""

    VERSION = 1
    NAME_TAKEN = 2
    UNKNOWN_LEASE = 3
    INVALID_BID = 4
    NOT_MONOTONE = 5
    EXPIRED = 6
    CLOSING = 7
    MALFORMED = 8
    INFEASIBLE = 9


def _text(where: str, value: str, *, longest: int = _LONGEST_ID, empty: bool = False) -> None:
    if not isinstance(value, str) or len(value) > longest or not value.isprintable():
        raise InvalidInput(f"{where}: need printable text of at most {longest} characters")
    if not (value or empty):
        raise InvalidInput(f"{where} is empty; need at least one character")


def _number(where: str, value: float, *, bound: bool = True, positive: bool = False) -> None:
    """Refuse what is not a number >= 0 (> 0); without `bound` infinity is one, too."""
    if math.isnan(value) or value < 0.0 or (positive and value == 0.0):
        raise InvalidInput(f"{where} is {value!r}; need a number {'>' if positive else '>='} 0")
    if bound and value == math.inf:
        raise InvalidInput(f"{where} is inf; need a finite number")


def _count(where: str, value: int) -> None:
    if not 0 <= value <= _LARGEST:
        raise InvalidInput(f"{where} is {value!r}; need a whole number from 0 to 2^64 - 1")


# ---- client to server ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Join:
    """A client asks to take part.

    name: for people, tables and the order of ties, unique among those present;
    nonce: drawn by the client, repeated when the message is, so that it joins once;
    version: the protocol it speaks.
    """

    name: str
    nonce: str
    version: int = PROTOCOL_VERSION

    def __post_init__(self) -> None:
        _text("join.name", self.name)
        _text("join.nonce", self.nonce)
        _count("join.version", self.version)


@dataclass(frozen=True, slots=True)
class Bid:
    """The share, in cores, that answers the post of this epoch and round."""

    lease: str
    epoch: int
    round: int
    share: float

    def __post_init__(self) -> None:
        _text("bid.lease", self.lease)
        _count("bid.epoch", self.epoch)
        _count("bid.round", self.round)
        _number("bid.share", self.share)


@dataclass(frozen=True, slots=True)
class Accept:
    """The client has its allocation of this epoch; stops the server repeating it."""

    lease: str
    epoch: int

    def __post_init__(self) -> None:
        _text("accept.lease", self.lease)
        _count("accept.epoch", self.epoch)


@dataclass(frozen=True, slots=True)
class Renew:
    """The client is alive; `revision` counts its costs so far, 0: it has none to play with yet."""

    lease: str
    revision: int = 0

    def __post_init__(self) -> None:
        _text("renew.lease", self.lease)
        _count("renew.revision", self.revision)


@dataclass(frozen=True, slots=True)
class Release:
    """The client leaves and gives its share back."""

    lease: str

    def __post_init__(self) -> None:
        _text("release.lease", self.lease)


# ---- server to client ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ReferenceCore:
    """The unit that shares are counted in.

    flops_per_s, bytes_per_s (> 0), overhead (s per operator): its roofline;
    platform: fingerprint of the machine and runtime, equal when one profile serves both;
    slowdown: seconds on one sold core per second of CPU time on that machine (> 0).
    """

    name: str
    flops_per_s: float
    bytes_per_s: float
    overhead: float
    platform: str = ""
    slowdown: float = 1.0

    def __post_init__(self) -> None:
        _text("core.name", self.name)
        _number("core.flops_per_s", self.flops_per_s, positive=True)
        _number("core.bytes_per_s", self.bytes_per_s, positive=True)
        _number("core.overhead", self.overhead)
        _text("core.platform", self.platform, longest=_LONGEST_TEXT, empty=True)
        _number("core.slowdown", self.slowdown, positive=True)


@dataclass(frozen=True, slots=True)
class Terms:
    """What is for sale: a tariff, in steps of `quantum` cores (None: any share), of one core.

    capacity: cores the server owns; the tariff must not sell more.
    Raises InvalidInput where it would, or naming the number that is out of range.
    """

    tariff: Tariff
    capacity: float
    core: ReferenceCore
    quantum: Fraction | None = None

    def __post_init__(self) -> None:
        _number("terms.capacity", self.capacity, positive=True)
        if self.tariff.capacity > self.capacity:
            raise InvalidInput(
                f"terms.tariff sells up to {self.tariff.capacity:g} cores, the server owns"
                f" {self.capacity:g}; give the tariff a capacity it has"
            )
        if self.quantum is not None and not self.quantum > 0:
            raise InvalidInput(f"terms.quantum is {self.quantum}; need a fraction > 0, or none")


@dataclass(frozen=True, slots=True)
class Welcome:
    """The answer to a Join with this nonce: a lease, and the terms it is on.

    lease_time: a client silent for longer loses its lease, s.
    """

    nonce: str
    lease: str
    lease_time: float
    terms: Terms
    version: int = PROTOCOL_VERSION

    def __post_init__(self) -> None:
        _text("welcome.nonce", self.nonce)
        _text("welcome.lease", self.lease)
        _number("welcome.lease_time", self.lease_time, positive=True)
        _count("welcome.version", self.version)


@dataclass(frozen=True, slots=True)
class Quotation:
    """A question: the f <= load that minimises ``w T(f) + price f + slope f^2 / 2``.

    The one-client view of :class:`dds.market.auctioneer.Quote`: load (inf: no bound) in cores,
    price in credits/s per core, slope in credits/s per core^2; at_least <= f <= at_most (inf: no
    bound) for this client alone, where at_least > 0 rules out computing locally.
    """

    load: float
    price: float
    slope: float
    at_least: float = 0.0
    at_most: float = math.inf

    def __post_init__(self) -> None:
        for name in ("price", "slope", "at_least"):
            _number(f"post.quote.{name}", getattr(self, name))
        for name in ("load", "at_most"):
            _number(f"post.quote.{name}", getattr(self, name), bound=False)


@dataclass(frozen=True, slots=True)
class Holding:
    """A question: `share`, or your best response to `others` where that is better.

    The one-client view of :class:`dds.market.auctioneer.Probe`, in cores.
    """

    others: float
    share: float

    def __post_init__(self) -> None:
        _number("post.probe.others", self.others)
        _number("post.probe.share", self.share)


@dataclass(frozen=True, slots=True)
class Post:
    """One question of an epoch; rounds count up within it.

    question: a :class:`Quotation`, put to everybody, or a :class:`Holding`, put to some;
    revision: the revision of the client's costs that this epoch plays from start to end.
    """

    lease: str
    epoch: int
    round: int
    question: Quotation | Holding
    revision: int = 0

    def __post_init__(self) -> None:
        _text("post.lease", self.lease)
        _count("post.epoch", self.epoch)
        _count("post.round", self.round)
        _count("post.revision", self.revision)


@dataclass(frozen=True, slots=True)
class Below:
    """The other side of a tie: this client would buy `share` at the adjacent lower `price`."""

    price: float
    share: float

    def __post_init__(self) -> None:
        _number("allocation.below.price", self.price)
        _number("allocation.below.share", self.share)


@dataclass(frozen=True, slots=True)
class Allocation:
    """How an epoch ended for one client: its share from now on, and what everybody can check.

    share, total (F), others (F - share): cores; price: credits/s per core; payment: share times
    price; rounds: posts made; below: a tie's witness; revision: of the costs that were played.
    """

    lease: str
    epoch: int
    share: float
    price: float
    total: float
    others: float
    payment: float
    rounds: int
    below: Below | None = None
    revision: int = 0

    def __post_init__(self) -> None:
        _text("allocation.lease", self.lease)
        _count("allocation.epoch", self.epoch)
        _count("allocation.rounds", self.rounds)
        _count("allocation.revision", self.revision)
        for name in ("share", "price", "total", "others", "payment"):
            _number(f"allocation.{name}", getattr(self, name))


@dataclass(frozen=True, slots=True)
class Renewed:
    """The lease runs on; `epoch` is the current one, `revision` the newest that was heard of."""

    lease: str
    epoch: int
    revision: int = 0

    def __post_init__(self) -> None:
        _text("renewed.lease", self.lease)
        _count("renewed.epoch", self.epoch)
        _count("renewed.revision", self.revision)


@dataclass(frozen=True, slots=True)
class Released:
    """The lease is over, as its holder asked."""

    lease: str

    def __post_init__(self) -> None:
        _text("released.lease", self.lease)


@dataclass(frozen=True, slots=True)
class Refusal:
    """The server will not go on; message is one line that names the place and the fix.

    subject: the lease, or the nonce of the Join, that is refused; empty if neither is known.
    """

    code: Code
    message: str
    subject: str = ""

    def __post_init__(self) -> None:
        _text("refusal.message", self.message, longest=_LONGEST_TEXT, empty=True)
        _text("refusal.subject", self.subject, empty=True)


#: What somebody with a lease says.
MemberMessage = Bid | Accept | Renew | Release
ClientMessage = Join | MemberMessage
ServerMessage = Welcome | Post | Allocation | Renewed | Released | Refusal
