"""The least total cost that a server of C cores can give its clients, and how far off we may be.

    minimise  sum of w_i T_i(f_i)   subject to   sum of f_i <= C  and everybody's bounds

Nobody is asked what it wants: this is what a planner would do, not an equilibrium.  T is not
convex (which piece runs depends on the share), so the problem is a knapsack in disguise; but
its dual is the competitive market, which is solved exactly, and almost tight: all clients but
one have in the market what they would have in a best allocation.  So:

1. clear the market: the price p*, the dual bound LB, everybody's piece (``bound``);
2. hand the unsold cores back, pieces fixed (``filling``);
3. try every move of one client to another piece, everybody re-filled exactly, take the best
   one, and again; when none helps, pairs of moves.

A mode (a client on a piece, or local) whose *reduced cost* ``w T + p* f - v_i(p*)`` exceeds
``cost - LB`` is in no better allocation: any allocation costs at least LB plus the reduced
costs of its modes.  That leaves few moves to try, the fewer the better the allocation is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dds.market.bound import DualBound, dual_bound, ratio_of
from dds.market.client import Client
from dds.market.filling import Filling
from dds.market.numbers import Floats, Ints, exact_sum
from dds.market.table import ClientTable

__all__ = ["SocialOptimum", "social"]

#: The piece index of a client that computes locally, within this module.
LOCAL = -1
#: A gap this small, relative, is as good as none; a move must save this part of the cost.
CLOSED, GAIN = 1e-9, 1e-12
#: No more moves than this at a time, the ones of least reduced cost first; in pairs.
WIDTH, PAIRS = 4096, 48
#: No more steps than this.
STEPS = 400


@dataclass(frozen=True, eq=False)
class SocialOptimum:
    """An allocation of C cores, its total cost, and a bound that no allocation is below.

    shares: f, cores, sum at most C; pieces: indices into each client's frontier; latencies:
    T, s; N each.  cost: sum of w T, credits/s; bound: the dual bound, credits/s; price: p*, the
    market's, credits/s per core; capacity: C, cores; moves: steps of the local search.
    """

    #: Somebody may prefer another share at any price that sells all of this.
    is_equilibrium: ClassVar[bool] = False

    shares: Floats
    pieces: Ints
    latencies: Floats
    cost: float
    bound: float
    price: float
    capacity: float
    moves: int

    @property
    def gap(self) -> float:
        """``(cost - bound) / bound``: the optimum is at most that much below, certified."""
        return ratio_of(self.cost, self.bound) - 1.0


def social(clients: Sequence[Client] | ClientTable, capacity: float) -> SocialOptimum:
    """Shares of ``capacity`` cores that minimise ``sum of w_i T_i(f_i)``, with a certified gap.

    Every share is 0 (local-only) or within min_share..max_share.  A local optimum: no client's
    change of piece, with all shares filled anew, saves anything (as far as the search went:
    ``moves`` counts its steps).  The gap bounds what could be saved in all.

    Raises InvalidInput for a capacity that is not a finite number > 0, Infeasible when the
    clients without a local-only piece do not fit into it.

    >>> from dds import Client, Frontier
    >>> twins = [Client(Frontier.from_points([(1, 0), (0, 1)]), 1.0, name=n) for n in "ab"]
    >>> best = social(twins, capacity=3.0)
    >>> best.shares.round(3).tolist(), round(best.cost, 3), round(best.bound, 3)
    ([3.0, 0.0], 1.333, 1.25)
    """
    dual = dual_bound(clients, capacity)
    table, capacity = dual.market.table, float(capacity)
    if dual.market.price == 0.0:
        found, moves = dual.market.shares, 0
    else:
        sold = dual.market.shares > 0.0
        start = _State.of(table, np.where(sold, dual.market.cuts, LOCAL), capacity)
        state, moves = _improved(start, dual)
        found = state.filling.shares
    latencies, pieces = table.latencies(found)
    cost = exact_sum(table.value * latencies)[0]
    shares = found.copy()
    for values in (shares, pieces, latencies):
        values.setflags(write=False)
    return SocialOptimum(
        shares, pieces, latencies, cost, dual.value, dual.market.price, capacity, moves
    )


@dataclass(frozen=True, eq=False)
class _Moves:
    """Changes of one client each: row, the piece it takes, and the numbers that go with it."""

    rows: Ints
    pieces: Ints
    roots: Floats
    low: Floats
    high: Floats
    waits: Floats  # w A on the new piece, credits/s

    @classmethod
    def of(cls, table: ClientTable, rows: Ints, pieces: Ints, capacity: float) -> _Moves:
        away = pieces == LOCAL
        k = np.where(away, 0, pieces)
        base, work = table.local_base[rows], np.zeros(len(rows))
        if table.depth:
            base = np.where(away, base, table.base[k, rows])
            work = np.where(away, 0.0, table.work[k, rows])
        value = table.value[rows]
        return cls(
            rows,
            pieces,
            np.sqrt(value * work),
            np.where(away, 0.0, table.low[rows]),
            np.where(away, 0.0, np.minimum(table.high[rows], capacity)),
            value * base,
        )

    def take(self, rows: Ints) -> _Moves:
        """Some of them."""
        return _Moves(
            self.rows[rows], self.pieces[rows], self.roots[rows],
            self.low[rows], self.high[rows], self.waits[rows],
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class _State:
    """Everybody's piece, what it costs without the server's part, and the filling."""

    pieces: Ints
    waits: Floats
    filling: Filling

    @classmethod
    def of(cls, table: ClientTable, pieces: Ints, capacity: float) -> _State:
        all_of = _Moves.of(table, np.arange(len(table)), pieces, capacity)
        return cls(pieces, all_of.waits, Filling(all_of.roots, all_of.low, all_of.high, capacity))

    @property
    def cost(self) -> float:
        """The sum of w T, credits/s."""
        return exact_sum(self.waits)[0] + self.filling.cost

    def costs_after(self, moves: _Moves) -> Floats:
        """The sum of w T after each of the moves alone."""
        change = moves.waits - self.waits[moves.rows]
        part = self.filling.costs_after(moves.rows, moves.roots, moves.low, moves.high)
        costs: Floats = exact_sum(self.waits)[0] + change + part
        return np.where(self.pieces[moves.rows] == moves.pieces, math.inf, costs)

    def after(self, moves: _Moves, index: int) -> _State:
        """The state after one of the moves."""
        row = int(moves.rows[index])
        pieces, waits = self.pieces.copy(), self.waits.copy()
        pieces[row], waits[row] = moves.pieces[index], moves.waits[index]
        root, low, high = (float(v[index]) for v in (moves.roots, moves.low, moves.high))
        return _State(pieces, waits, self.filling.moved(row, root, low, high))


def _improved(state: _State, dual: DualBound) -> tuple[_State, int]:
    """Moves, and pairs of moves, until none helps; how many."""
    cost = state.cost
    for step in range(STEPS):
        if cost - dual.value <= CLOSED * cost:
            return state, step
        moves = _candidates(dual, cost - dual.value, state.filling.capacity)
        better = _best_move(state, moves, cost) or _best_pair(state, moves, cost)
        if better is None:
            return state, step
        state, cost = better
    return state, STEPS


def _candidates(dual: DualBound, gap: float, capacity: float) -> _Moves:
    """Every mode whose reduced cost is below the gap, least first."""
    table, price = dual.market.table, dual.market.price
    rows, pieces, costs = [], [], []
    for k in range(LOCAL, table.depth):
        spent = table.value * (table.local_base if k == LOCAL else table.base[k])
        if k != LOCAL:
            work = table.value * table.work[k]
            share = np.clip(np.sqrt(work / price), table.low, table.high)
            spent = spent + work / share + price * share
            spent[table.low > dual.room] = math.inf
        reduced = spent - dual.values
        near = np.flatnonzero(reduced < gap)
        rows.append(near)
        pieces.append(np.full(len(near), k))
        costs.append(reduced[near])
    order = np.argsort(np.concatenate(costs), kind="stable")[:WIDTH]
    return _Moves.of(table, np.concatenate(rows)[order], np.concatenate(pieces)[order], capacity)


def _best_move(state: _State, moves: _Moves, cost: float) -> tuple[_State, float] | None:
    costs = state.costs_after(moves)
    for index in np.argsort(costs, kind="stable")[:4].tolist():
        if not costs[index] < cost * (1.0 - GAIN):
            return None
        moved = state.after(moves, index)
        if (now := moved.cost) < cost * (1.0 - GAIN):
            return moved, now
    return None


def _best_pair(state: _State, moves: _Moves, cost: float) -> tuple[_State, float] | None:
    """The best second move after each of the likeliest first ones."""
    best: tuple[_State, float] | None = None
    first = np.flatnonzero(state.pieces[moves.rows] != moves.pieces)[:PAIRS]
    for index in first.tolist():
        second = _best_move(state.after(moves, index), moves, cost)
        if second is not None:
            best, cost = second, second[1]
    return best
