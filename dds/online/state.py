"""What a reader of an online market holds: one frozen state, and what it answers.

The writer publishes a new state for every revision and never changes an old one, so
whatever a reader works out from the state it took is as of one revision.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dds.errors import InvalidInput
from dds.market.numbers import Floats, Ints
from dds.market.passes import answer_all
from dds.market.replies import Quote
from dds.market.table import CLOSE
from dds.online.answers import Allocation, Allocations, Cleared
from dds.online.index import Index
from dds.online.rows import Rows
from dds.online.solved import Rule
from dds.online.walk import shares_at

__all__ = ["Record", "State"]

_NOBODY = np.zeros(0, np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """A clearing and who got what.

    quote: what clients answered, or else s, sqrt of a price; rows, shares: of those who got
    something else (who were tied; everybody after a solver), rows ascending; held: shares that
    this record and all before it hold.
    """

    cleared: Cleared
    s: float
    rows: Ints
    shares: Floats
    held: int
    quote: Quote | None = None

    def whole(self, rows: Rows, held: Ints) -> Record:
        """The same with the shares of all rows that held at the clearing."""
        if self.quote is None:
            return self
        chosen = np.sort(held)
        return Record(self.cleared, 0.0, chosen, self.shares_of(rows, chosen), len(chosen))

    def shares_of(self, rows: Rows, chosen: Ints) -> Floats:
        """The shares, cores, of the clients in some rows that held at the clearing."""
        if len(self.rows) == self.cleared.clients:
            return self.shares[self.rows.searchsorted(chosen)]
        if self.quote is None:
            shares = shares_at(rows.bids, chosen, self.s)
        else:
            shares = answer_all(rows.table(chosen).contiguous(), self.quote).shares
        if len(self.rows):
            place = np.minimum(self.rows.searchsorted(chosen), len(self.rows) - 1)
            shares = np.where(self.rows[place] == chosen, self.shares[place], shares)
        return shares


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """A market at one revision.

    next_id: of the next client; rows: of which the first ``count`` and ``births`` are in it;
    clients: how many hold; index: their demand, if the market keeps one; history: of which the
    first ``clearings`` records are in it; horizon: the earliest revision whose allocations are
    still known.
    """

    rule: Rule
    revision: int
    next_id: int
    rows: Rows
    count: int
    births: int
    clients: int
    index: Index
    history: list[Record]
    clearings: int
    horizon: int

    @property
    def last(self) -> Record | None:
        """The last clearing."""
        return self.history[self.clearings - 1] if self.clearings else None

    @property
    def kept(self) -> NDArray[np.bool_]:
        """The rows that hold now or held at the last clearing; nobody asks for others."""
        clearing = -1 if self.last is None else self.last.cleared.revision
        return self.rows.kept(self.count, self.revision, clearing)

    def row(self, identity: int) -> int:
        """The row of a client in the market; raises InvalidInput for one that is not."""
        rows = self.rows
        row = rows.find(identity, self.births, self.revision)
        if row >= 0 and rows.until[row] > self.revision:
            return row
        raise InvalidInput(f"id {identity} is not in the market; use an id that join returned")

    def ids(self) -> Ints:
        """The ids of all clients, rising."""
        ids: Ints = self.rows.ids[self.rows.holding(self.revision, self.count)]
        return ids

    def allocation(self, identity: int) -> Allocation:
        """What a client got at the last clearing."""
        self.row(identity)
        record = self.last
        rows = self.rows
        row = -1
        if record is not None:
            row = rows.find(identity, self.births, record.cleared.revision)
        if record is None or row < 0:
            raise InvalidInput(f"id {identity} has no allocation yet; call clear first")
        share = float(record.shares_of(rows, np.array([row]))[0])
        latency, piece = self._fastest(row, share)
        return Allocation(identity, share, piece, latency, share * record.cleared.price)

    def _fastest(self, row: int, share: float) -> tuple[float, int]:
        """Latency and piece at a share; as ClientTable.latencies, for one."""
        rows = self.rows
        if share <= 0.0:
            return float(rows.local_base[row]), int(rows.local_piece[row])
        bids = rows.bids
        base, work = bids.base[:, row].tolist(), bids.work[:, row].tolist()
        times = [a + w / share for a, w in zip(base, work, strict=True)]
        best = min(times)
        if sum(time - best <= CLOSE * best for time in times) > 1:
            latencies, pieces = rows.table(np.array([row])).latencies(
                np.array([share]), self.rule.quantum
            )
            return float(latencies[0]), int(pieces[0])
        return best, times.index(best)

    def allocations(self) -> Allocations:
        """Everybody's allocation at the last clearing."""
        return self._in_force(self.revision)

    def changes(self, since: int) -> Allocations:
        """The allocations in force that differ from those in force at revision ``since``."""
        if not self.horizon <= since <= self.revision:
            raise InvalidInput(
                f"since is {since}; need a revision from {self.horizon} to {self.revision} "
                "(read allocations() once to catch up)"
            )
        old, new = self._in_force(since), self._in_force(self.revision)
        place = np.minimum(old.ids.searchsorted(new.ids), max(len(old.ids) - 1, 0))
        same = np.zeros(len(new), bool)
        if len(old):
            same = old.ids[place] == new.ids
            for name in ("shares", "pieces", "latencies", "payments"):
                same &= getattr(old, name)[place] == getattr(new, name)
        rest = ~same
        return Allocations(
            self.revision,
            new.ids[rest],
            new.shares[rest],
            new.pieces[rest],
            new.latencies[rest],
            new.payments[rest],
            np.setdiff1d(old.ids, new.ids, assume_unique=True),
        )

    def _in_force(self, revision: int) -> Allocations:
        """What those in the market at a revision had got at the last clearing before."""
        known = self.history[: self.clearings]
        place = bisect_right(known, revision, key=lambda record: record.cleared.revision)
        if not place:
            nothing = np.zeros(0)
            return Allocations(revision, _NOBODY, nothing, _NOBODY, nothing, nothing, _NOBODY)
        record, rows = known[place - 1], self.rows
        chosen = rows.holding(record.cleared.revision, self.count)
        gone = rows.until[chosen] <= revision
        closed = chosen[gone]  # updated since, or left
        newest = rows.find_all(rows.ids[closed], self.births, revision)
        gone[gone] = rows.until[newest] <= revision
        chosen = chosen[~gone]
        shares = record.shares_of(rows, chosen)
        latencies, pieces = rows.table(chosen).latencies(shares, self.rule.quantum)
        payments = shares * record.cleared.price
        return Allocations(revision, rows.ids[chosen], shares, pieces, latencies, payments, _NOBODY)
