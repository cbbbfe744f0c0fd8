"""The online market: clients come and go, and it clears again in microseconds."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from threading import Lock
from typing import Self

import numpy as np

from dds.errors import InvalidInput
from dds.market.arguments import read_capacity, read_price
from dds.market.client import Client
from dds.market.numbers import Ints, read_quantum
from dds.market.table import ClientTable
from dds.market.tariff import Clearing
from dds.market.tariff_base import Tariff
from dds.online import near, posted, snapshot, solved
from dds.online.answers import Allocation, Allocations, Cleared
from dds.online.index import NOTHING, Index
from dds.online.near import Changed
from dds.online.posted import Offer
from dds.online.rows import OPEN, Rows
from dds.online.runs import pack
from dds.online.solved import Rule
from dds.online.state import Record, State
from dds.online.walk import walk

__all__ = ["Market"]

#: Clients whose events are sorted at a time.
CHUNK = 131_072
#: Rows that no longer hold are cleaned up once there are so many, and more than clients.
GARBAGE = 1024
#: Clearings that ``changes`` can go back to, and how many shares they may hold together.
HISTORY, HELD = 1024, 2**22


class Market:
    """A market that clients join and leave, cleared whenever asked.

    tariff: what the operator sells (a number of cores means ``Clearing``); concept: "competitive"
    (everybody takes the price as given) or "nash"; quantum: shares are multiples of it, cores, or
    None.  Clearing gives what :func:`dds.competitive` or :func:`dds.nash` gives for the same
    clients in order of id.

    Price-taking markets without a quantum keep an ordered index of demand: a join, leave or
    update costs microseconds, and so does clearing, whatever the number of clients.  Others are
    solved anew, from where the last search ended.

    Every change (join, join_many, leave, update, a clear that finds changes) raises
    :attr:`revision` by one, at one instant.  Changes wait for each other; readers wait for
    nobody, and each call answers as of one revision.  See docs/online.md.

    Raises InvalidInput for wrong arguments.

    >>> from dds import Client, Frontier
    >>> market = Market(2.0)
    >>> phone = Client(Frontier.from_points([(0.1, 1.0), (3.0, 0.0)]), value_of_time=1.0)
    >>> ids = [market.join(phone) for _ in range(4)]
    >>> cleared = market.clear()
    >>> cleared.revision, round(cleared.price, 6), market.allocation(ids[0]).share
    (5, 2.1025, 0.6896551724137931)
    """

    def __init__(
        self,
        tariff: Tariff | float,
        *,
        concept: str = "competitive",
        quantum: float | Fraction | None = None,
    ) -> None:
        sold = tariff if isinstance(tariff, Tariff) else Clearing(tariff)
        if concept not in ("competitive", "nash"):
            raise InvalidInput(f'concept is {concept!r}; need "competitive" or "nash"')
        rule = Rule(concept, sold, read_quantum(quantum))
        self._lock = Lock()
        self._offer = Offer(sold)
        self._indexed = rule.indexed
        self._changed = Changed()
        self._state = State(rule, 0, 0, Rows(), 0, 0, 0, NOTHING, [], 0, 0)

    @property
    def tariff(self) -> Tariff:
        """What the operator sells."""
        return self._state.rule.tariff

    @property
    def concept(self) -> str:
        """The concept, "competitive" or "nash"."""
        return self._state.rule.concept

    @property
    def quantum(self) -> Fraction | None:
        """What shares are multiples of, cores; None for any share."""
        return self._state.rule.quantum

    @property
    def revision(self) -> int:
        """How many changes there have been."""
        return self._state.revision

    @property
    def cleared(self) -> Cleared | None:
        """The last clearing, None before the first."""
        record = self._state.last
        return None if record is None else record.cleared

    def __len__(self) -> int:
        return self._state.clients

    def ids(self) -> Ints:
        """The ids of all clients, rising.  O(clients)."""
        return self._state.ids()

    def join(self, client: Client) -> int:
        """Take a client in; returns its id, larger than all before and never given again.

        Its name is not kept.  Raises InvalidInput for what is no client, or has numbers other
        than 0 outside 1e-100..1e100.
        """
        _check(client)
        with self._lock:
            state = self._state
            row = state.rows.add(client, state.next_id, state.revision + 1)
            self._changed.join(row)
            self._publish(state, _with_row(state, state.index, row), joined=1)
        return state.next_id

    def join_many(self, clients: Sequence[Client] | ClientTable) -> range:
        """Take many clients in at one revision; returns their ids.

        Raises InvalidInput as :meth:`join` does; then nobody has joined.
        """
        if not isinstance(clients, ClientTable):
            for client in clients:
                _check(client)
            clients = ClientTable.of(clients)
        with self._lock:
            state = self._state
            if len(clients):
                state.rows.add_table(clients, state.next_id, state.revision + 1)
                self._changed.join_all(range(state.count, state.rows.count))
                self._publish(state, _with_rows(state, state.count), joined=len(clients))
        return range(state.next_id, state.next_id + len(clients))

    def leave(self, id: int) -> None:  # noqa: A002 - the word for it
        """Let a client go.  Raises InvalidInput for an id that is not in the market."""
        with self._lock:
            state = self._state
            row = state.row(operator.index(id))
            state.rows.close(row, state.revision + 1)
            self._changed.leave(row)
            self._publish(state, _without_row(state, row), left=1)
            self._clean()

    def update(self, id: int, client: Client) -> None:  # noqa: A002
        """Replace what a client is (its link, value of time or model changed).

        It keeps its id and its place in the order of service.  Until the next clearing its
        allocation stays what it was.  Raises InvalidInput as :meth:`join` and :meth:`leave` do.
        """
        _check(client)
        with self._lock:
            state = self._state
            old = state.row(operator.index(id))
            row = state.rows.add(client, int(id), state.revision + 1, previous=old)
            state.rows.close(old, state.revision + 1)
            self._changed.leave(old)
            self._changed.join(row)
            self._publish(state, _with_row(state, _without_row(state, old), row))
            self._clean()

    def clear(self) -> Cleared:
        """Find the price for the clients as they are now, and with it everybody's share.

        Where nothing changed since the last clearing, that one is returned.  Raises Infeasible
        where clients that must offload do not fit, or demand has no limit; the market then stays
        as it is, and so do the allocations of the last clearing.
        """
        with self._lock:
            state, last = self._state, self._state.last
            if last is not None and last.cleared.revision == state.revision:
                return last.cleared
            record = self._indexed_record() if self._indexed else self._solved_record()
            self._remember(record)
            return record.cleared

    def price_at(self, capacity: float) -> float:
        """The least price, credits/s per core, at which price-takers demand at most ``capacity``.

        Raises InvalidInput for a capacity outside 1e-100..1e100, Infeasible where no price is
        enough.  Microseconds by an index; a solve in a Nash market or in quanta.
        """
        cores = read_capacity(capacity)
        state = self._state
        if self._indexed:
            return posted.clearing_price(state.index, cores)
        rows = state.rows.holding(state.revision, state.count)
        if not len(rows):
            return 0.0
        return solved.price_for(state.rule, state.rows.table(rows), cores)

    def demand_at(self, price: float) -> float:
        """F(p), cores: what price-takers demand at a price; inf at 0 if somebody has no limit.

        Raises InvalidInput for a price outside 0..1e100.  Microseconds by an index; a
        pass over all clients in a Nash market or in quanta.
        """
        posted_price = read_price(price)
        state = self._state
        if self._indexed:
            return state.index.demand(math.sqrt(posted_price))
        rows = state.rows.holding(state.revision, state.count)
        return solved.demand_of(state.rule, state.rows.table(rows), posted_price)

    def allocation(self, id: int) -> Allocation:  # noqa: A002
        """What a client got at the last clearing.

        Raises InvalidInput for an id that is not in the market, or joined after that.
        """
        return self._state.allocation(operator.index(id))

    def allocations(self) -> Allocations:
        """What everybody in the market got at the last clearing.  O(clients)."""
        return self._state.allocations()

    def changes(self, since: int) -> Allocations:
        """The allocations in force that differ from those in force at revision ``since``.

        ``left`` lists who had one then and has none now.  O(clients).  Raises InvalidInput for a
        revision to come, or before the clearings that are remembered (the last 1024, fewer after
        a clean-up or :meth:`from_bytes`): then read :meth:`allocations`.
        """
        return self._state.changes(operator.index(since))

    def to_bytes(self) -> bytes:
        """The market and its last clearing as bytes, for :meth:`from_bytes`.  O(clients)."""
        return snapshot.dump(self._state)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """The market that :meth:`to_bytes` wrote, at its revision.

        Raises InvalidInput for bytes that are damaged, of another version or not consistent.
        """
        state = snapshot.load(data)
        market = cls(state.rule.tariff, concept=state.rule.concept, quantum=state.rule.quantum)
        market._state = replace(state, index=_with_rows(state, 0))
        return market

    def _publish(self, state: State, index: Index, *, joined: int = 0, left: int = 0) -> None:
        """Make the rows written so far visible, at the next revision."""
        rows = state.rows
        self._state = State(
            state.rule,
            state.revision + 1,
            state.next_id + joined,
            rows,
            rows.count,
            rows.births,
            state.clients + joined - left,
            index,
            state.history,
            state.clearings,
            state.horizon,
        )

    def _indexed_record(self) -> Record:
        state, last = self._state, self._state.last
        hint = 0.0 if last is None else last.cleared.price
        found = posted.clear(state.index, state.rows, self._offer, hint)
        cleared = Cleared(
            state.revision + 1,
            found.price,
            found.total,
            state.clients,
            len(found.rows),
            found.served,
        )
        return Record(cleared, found.s, found.rows, found.shares, len(found.rows))

    def _solved_record(self) -> Record:
        state, changed = self._state, self._changed
        revision = state.revision + 1
        if not state.clients:
            price, nobody = solved.nobody(state.rule), np.zeros(0, np.int64)
            return Record(Cleared(revision, price, 0.0, 0), 0.0, nobody, np.zeros(0), 0)
        found = self._near() if state.rule.near and state.clients >= near.MANY else None
        if found is not None:
            changed.start = found.start
            cleared = Cleared(revision, found.price, found.total, state.clients)
            return Record(cleared, 0.0, found.rows, found.shares, len(found.rows), found.quote)
        rows = state.rows.holding(state.revision, state.count)
        whole = solved.solve(state.rule, state.rows.table(rows), changed.start)
        changed.start, changed.vicinity = whole.outcome.start, None
        order = np.argsort(rows)
        cleared = Cleared(revision, whole.price, whole.total, len(rows))
        return Record(cleared, 0.0, rows[order], whole.shares[order], len(rows))

    def _near(self) -> near.Found | None:
        """The equilibrium near the last one; None if there is none, or it is not near."""
        state, changed = self._state, self._changed
        if changed.start is None:
            return None
        known = changed.vicinity is not None and not changed.many
        found = self._found_near() if known else None
        if found is None:
            rows = state.rows.holding(state.revision, state.count)
            changed.begin(near.Vicinity.around(state.rule, state.rows, rows, changed.start))
            found = self._found_near()
        return found

    def _found_near(self) -> near.Found | None:
        changed = self._changed
        if changed.vicinity is None or changed.start is None:
            return None
        rows = self._state.rows
        return changed.vicinity.clear(rows, changed.joined, changed.left, changed.start)

    def _remember(self, record: Record) -> None:
        """Publish a clearing; forget the earliest where there are too many."""
        state, last = self._state, self._state.last
        if last is not None:
            record = replace(record, held=record.held + last.held)
        known, horizon = state.history, state.horizon
        known.append(record)
        if len(known) >= 2 * HISTORY or (len(known) > 2 and record.held - known[0].held > HELD):
            known = known[-HISTORY:]
            while len(known) > 2 and record.held - known[0].held > HELD // 2:
                known = known[len(known) // 2 :]
            horizon = known[0].cleared.revision
        self._state = State(
            state.rule,
            record.cleared.revision,
            state.next_id,
            state.rows,
            state.count,
            state.births,
            state.clients,
            state.index,
            known,
            len(known),
            horizon,
        )

    def _clean(self) -> None:
        """Drop rows that no longer hold, once they are many; the last clearing stays known."""
        state, last = self._state, self._state.last
        if state.count - state.clients <= GARBAGE + 2 * state.clients:
            return
        kept = state.kept
        places = np.cumsum(kept) - 1
        fresh = state.rows.without_rest(kept)
        self._changed.vicinity = None  # it speaks of rows by number
        self._state = replace(
            state,
            rows=fresh,
            count=fresh.count,
            births=fresh.births,
            index=state.index.compacted(places),
            history=[] if last is None else [replace(last, rows=places[last.rows])],
            clearings=0 if last is None else 1,
            horizon=state.horizon if last is None else last.cleared.revision,
        )


def _with_row(state: State, index: Index, row: int) -> Index:
    """The index with the demand of one more row."""
    if not state.rule.indexed:
        return index
    return index.with_run(pack(walk(state.rows.bids, row, row + 1)))


def _without_row(state: State, row: int) -> Index:
    """The index without the demand of a row."""
    if not state.rule.indexed:
        return state.index
    return state.index.with_run(pack(walk(state.rows.bids, row, row + 1), undone=True))


def _with_rows(state: State, first: int) -> Index:
    """The index with the demand of all rows from ``first`` on that still hold."""
    rows, index = state.rows, state.index
    if not state.rule.indexed:
        return index
    for begin in range(first, rows.count, CHUNK):
        events = walk(rows.bids, begin, min(begin + CHUNK, rows.count))
        index = index.with_run(pack(events.where(rows.until[events.row.astype(np.int64)] == OPEN)))
    return index


def _check(client: Client) -> None:
    if not isinstance(client, Client):
        raise InvalidInput(f"client is {type(client).__name__}; need a dds.Client")
