"""The clients of an online market as rows that are written once.

A row holds one client as it was from revision ``since`` until just before ``until``; an
update writes a new row and closes the old one.  Whoever holds a revision r therefore finds
each client as it was at r, however much has happened since, and needs no lock: of a row
that it can see only ``until`` ever changes, and only to a revision after r.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dds.market.client import Client
from dds.market.numbers import LARGEST, SMALLEST, Floats, Ints
from dds.market.table import ClientTable
from dds.online.walk import Bids

__all__ = ["OPEN", "Rows"]

#: ``until`` of a row that still holds.
OPEN = 2**62

#: Columns of one number per row and what a row has before it is written.
_FLOATS = ("value", "low", "high", "local_base", "rate")
_INTS = ("local_piece", "ids", "since", "until", "previous")


class Rows:
    """K x n base and work, n of everything else; arrays grow by a part of themselves.

    base, work, value, low, high, local_base, local_piece, rate: as in a ClientTable; ids: the
    client's; since, until: the revisions from and before which the row holds; previous: the
    client's row before, or -1.  Births list ids in rising order, and ``latest`` the newest row
    of each.
    """

    base: Floats
    work: Floats
    value: Floats
    low: Floats
    high: Floats
    local_base: Floats
    rate: Floats
    local_piece: Ints
    ids: Ints
    since: Ints
    until: Ints
    previous: Ints
    born: Ints
    latest: Ints

    def __init__(self) -> None:
        self.count = 0
        self.births = 0
        self.base = np.empty((0, 0))
        self.work = np.empty((0, 0))
        for name in _FLOATS:
            setattr(self, name, np.empty(0))
        for name in (*_INTS, "born", "latest"):
            setattr(self, name, np.empty(0, np.int64))
        self.bids = self._bids()

    def add(self, client: Client, identity: int, revision: int, previous: int = -1) -> int:
        """Write a row for a client that holds from ``revision`` on; returns its number.

        Raises InvalidInput for a number of a magnitude that no table may hold.
        """
        pieces = client.frontier.pieces
        low, high, value, rate = (
            client.min_share, client.max_share, client.value_of_time, client.rate,
        )  # fmt: skip
        bases = [piece.base_latency for piece in pieces]
        works = [piece.server_work for piece in pieces]
        sizes = [x for x in (*bases, *works, low, value, rate, min(high, 1.0)) if x]
        if min(sizes) < SMALLEST or max(sizes) > LARGEST or LARGEST < high < math.inf:
            ClientTable.of([client])  # says which number it is
        local = -1
        local_base = math.inf
        if 0.0 in works:
            local = works.index(0.0)
            local_base, bases[local], works[local] = bases[local], math.inf, 1.0
        self._reserve(self.count + 1, len(pieces))
        row, depth = self.count, len(pieces)
        self.base[:depth, row] = bases
        self.work[:depth, row] = works
        if depth < len(self.base):
            self.base[depth:, row], self.work[depth:, row] = math.inf, 1.0
        self.value[row], self.low[row], self.high[row] = value, low, high
        self.local_base[row], self.local_piece[row], self.rate[row] = local_base, local, rate
        self.ids[row], self.since[row], self.until[row] = identity, revision, OPEN
        self.previous[row] = previous
        if previous < 0:
            self._be_born(identity, row)
        else:
            self.latest[self._birth(identity)] = row
        self.count = row + 1
        return row

    def add_table(self, table: ClientTable, first_id: int, revision: int) -> None:
        """Write a row for every client of a table, with consecutive ids."""
        first, last, depth = self.count, self.count + len(table), table.depth
        self._reserve(last, depth)
        part = slice(first, last)
        self.base[:depth, part], self.work[:depth, part] = table.base, table.work
        self.base[depth:, part], self.work[depth:, part] = math.inf, 1.0
        for name in (*_FLOATS, "local_piece"):
            getattr(self, name)[part] = getattr(table, name)
        self.ids[part] = np.arange(first_id, first_id + len(table))
        self.since[part], self.until[part], self.previous[part] = revision, OPEN, -1
        self._reserve_births(self.births + len(table))
        born = slice(self.births, self.births + len(table))
        self.born[born], self.latest[born] = self.ids[part], np.arange(first, last)
        self.births += len(table)
        self.count = last

    def close(self, row: int, revision: int) -> None:
        """End a row: from ``revision`` on it holds no more."""
        self.until[row] = revision

    def find(self, identity: int, births: int, revision: int) -> int:
        """The newest row of a client among the first ``births`` as of a revision; -1 if unknown."""
        place = int(self.born[:births].searchsorted(identity))
        if place == births or self.born[place] != identity:
            return -1
        row = int(self.latest[place])
        while row >= 0 and self.since[row] > revision:
            row = int(self.previous[row])
        return row

    def find_all(self, ids: Ints, births: int, revision: int) -> Ints:
        """:meth:`find` for many known ids."""
        rows = self.latest[self.born[:births].searchsorted(ids)]
        while np.any(late := (rows >= 0) & (self.since[rows] > revision)):
            rows = np.where(late, self.previous[rows], rows)
        return rows

    def holding(self, revision: int, count: int) -> Ints:
        """Which of the first ``count`` rows hold at a revision, by id."""
        since, until = self.since[:count], self.until[:count]
        rows = np.flatnonzero((since <= revision) & (revision < until))
        ids = self.ids[rows]
        return rows if np.all(ids[1:] > ids[:-1]) else rows[np.argsort(ids)]

    def table(self, rows: Ints) -> ClientTable:
        """The clients of some rows; without copying where these are consecutive."""
        chosen: Any = rows
        if len(rows) and rows[-1] - rows[0] == len(rows) - 1 and np.all(np.diff(rows) == 1):
            chosen = slice(int(rows[0]), int(rows[-1]) + 1)
        bids = self.bids
        return ClientTable(
            bids.base[:, chosen],
            bids.work[:, chosen],
            bids.value[chosen],
            bids.low[chosen],
            bids.high[chosen],
            bids.local[chosen],
            self.local_piece[chosen],
            self.rate[chosen],
        )

    def kept(self, count: int, revision: int, clearing: int) -> NDArray[np.bool_]:
        """Which of the first ``count`` rows hold at a revision or held at a clearing before."""
        since, until = self.since[:count], self.until[:count]
        now = (since <= revision) & (revision < until)
        return now | ((since <= clearing) & (clearing < until))

    def without_rest(self, kept: NDArray[np.bool_]) -> Rows:
        """Rows with those chosen among the first alone, in the same order.

        A row whose successors go holds until the next one that stays, so that a client is in
        the market from its first row to its last as before.
        """
        until = self._until_next(kept)
        chosen = np.flatnonzero(kept)
        columns = {name: getattr(self, name)[chosen] for name in (*_FLOATS, *_INTS)}
        columns["until"] = until
        bids = self.bids
        return Rows.of(bids.base[:, chosen], bids.work[:, chosen], columns)

    def _until_next(self, kept: NDArray[np.bool_]) -> Ints:
        count = len(kept)
        order = np.lexsort((self.since[:count], self.ids[:count]))
        ids, stays = self.ids[order], kept[order]
        ends = np.append(ids[1:] != ids[:-1], True)[:count]
        until = self.until[order][ends][np.cumsum(ends) - ends]  # of the client's last row
        until, chosen, ids = until[stays], order[stays], ids[stays]
        again = np.append(ids[1:] == ids[:-1], False)[: len(ids)]
        until[again] = self.since[chosen[1:]][again[:-1]]
        result: Ints = until[np.argsort(chosen)]
        return result

    @classmethod
    def of(cls, base: Floats, work: Floats, columns: Mapping[str, Any]) -> Rows:
        """Rows from whole arrays; ``previous`` and births are worked out."""
        rows = cls()
        rows.base, rows.work = np.ascontiguousarray(base), np.ascontiguousarray(work)
        for name in (*_FLOATS, *_INTS):
            setattr(rows, name, columns.get(name, np.empty(base.shape[1], np.int64)))
        rows.count = base.shape[1]
        rows.bids = rows._bids()
        order = np.lexsort((rows.since, rows.ids))
        ids = rows.ids[order]
        again = np.append(False, ids[1:] == ids[:-1])[: len(ids)]
        rows.previous[order] = np.where(again, np.append(-1, order[:-1])[: len(ids)], -1)
        rows.born, rows.births = ids[~again], int(len(ids) - again.sum())
        rows.latest = order[np.append(~again[1:], True)[: len(ids)]]
        return rows

    def _bids(self) -> Bids:
        return Bids(self.base, self.work, self.value, self.low, self.high, self.local_base)

    def _birth(self, identity: int) -> int:
        return int(self.born[: self.births].searchsorted(identity))

    def _be_born(self, identity: int, row: int) -> None:
        self._reserve_births(self.births + 1)
        self.born[self.births], self.latest[self.births] = identity, row
        self.births += 1

    def _reserve_births(self, count: int) -> None:
        if count > len(self.born):
            for name in ("born", "latest"):
                setattr(self, name, _grown(getattr(self, name), count))

    def _reserve(self, count: int, depth: int) -> None:
        """Make room for ``count`` rows of ``depth`` pieces; readers keep the arrays they have.

        They take base and work from ``bids``, which changes both at one instant.
        """
        old_depth, room = self.base.shape
        if count <= room and depth <= old_depth:
            return
        wide = room if count <= room else max(count + count // 8 + 8, min(2 * room, room + 2**20))
        deep, used = max(depth, old_depth), self.count
        for name, filler in (("base", math.inf), ("work", 1.0)):
            matrix = np.empty((deep, wide))
            matrix[:old_depth, :used] = getattr(self, name)[:, :used]
            matrix[old_depth:, :used] = filler
            setattr(self, name, matrix)
        if wide > room:
            for name in (*_FLOATS, *_INTS):
                setattr(self, name, _grown(getattr(self, name), wide))
        self.bids = self._bids()


def _grown(column: Any, count: int) -> Any:
    fresh = np.empty(max(count, min(2 * len(column), len(column) + 2**20), 8), column.dtype)
    fresh[: len(column)] = column
    return fresh
