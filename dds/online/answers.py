"""What an online market answers: a clearing, one client's allocation, many of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dds.market.numbers import Floats, Ints

__all__ = ["Allocation", "Allocations", "Cleared"]


@dataclass(frozen=True, slots=True)
class Cleared:
    """One clearing of the market.

    revision: the market's when it was made; price: credits/s per core; total: F, cores;
    clients: how many took part; tied: how many of these were indifferent at the price while
    their larger demands did not fit together, and served: how many of those got the larger one.
    """

    revision: int
    price: float
    total: float
    clients: int
    tied: int = 0
    served: int = 0


@dataclass(frozen=True, slots=True)
class Allocation:
    """What one client got; a client that computes locally has share 0.

    share: f, cores; piece: its index in the client's frontier; latency: T(f), s; payment: f p,
    credits/s.
    """

    id: int
    share: float
    piece: int
    latency: float
    payment: float


@dataclass(frozen=True, slots=True, eq=False)
class Allocations:
    """Allocations in force at a revision, by rising id; iterates as :class:`Allocation`.

    ids, shares, pieces, latencies, payments: arrays, one entry per client; left: ids that had an
    allocation before and have none now.
    """

    revision: int
    ids: Ints
    shares: Floats
    pieces: Ints
    latencies: Floats
    payments: Floats
    left: Ints

    def __len__(self) -> int:
        return len(self.ids)

    def __iter__(self) -> Iterator[Allocation]:
        columns = (self.ids, self.shares, self.pieces, self.latencies, self.payments)
        for entry in zip(*(column.tolist() for column in columns), strict=True):
            yield Allocation(*entry)
