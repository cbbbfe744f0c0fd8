"""The least total cost that a server of C cores can give its clients, and how far off we may be.

    minimise  sum of w_i T_i(f_i)   subject to   sum of f_i <= C  and everybody's bounds

Nobody is asked what it wants: this is what a planner would do, not an equilibrium.  T is not
convex (which piece runs depends on the share), so the problem is a knapsack in disguise; but
its dual is the competitive market, which is solved exactly, and almost tight: all clients but
one have in the market what they would have in a best allocation.  So:

1. clear the market: the price p*, the dual bound LB, everybody's piece (``bound``);
2. hand the unsold cores back, pieces fixed (``filling``);
3. where a client that did not fit matters, ask what if it did, and what if it never may:
   branch and bound, which finds better allocations and raises LB (``branching``);
4. try every move of one client to another piece, everybody re-filled exactly, take the best
   one, and again; when none helps, pairs of moves.

A mode (a client on a piece, or local) whose *reduced cost* ``w T + p* f - v_i(p*)`` exceeds
``cost - LB(p*)`` is in no better allocation: any allocation costs at least LB(p*) plus the
reduced costs of its modes.  That leaves few clients that could move, the fewer the better the
allocation is; all others are a crowd, summed once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from dds.market.bound import DualBound, dual_bound, ratio_of
from dds.market.branching import LOCAL, Branched, branched, on_pieces
from dds.market.client import Client
from dds.market.filling import Filling, Levels, filled
from dds.market.numbers import Floats, Ints, exact_sum
from dds.market.table import ClientTable

__all__ = ["SocialOptimum", "social"]

#: A gap this small, relative, is as good as none; a move must save this part of the cost.
CLOSED, GAIN = 1e-9, 1e-12
#: No more moves than this at a time, the ones of least reduced cost first; in pairs.
WIDTH, PAIRS, SECONDS = 4096, 48, 512
#: No more steps than this.
STEPS = 400


@dataclass(frozen=True, eq=False)
class SocialOptimum:
    """An allocation of C cores, its total cost, and a bound that no allocation is below.

    shares: f, cores, sum at most C; pieces: indices into each client's frontier; latencies:
    T, s; N each.  cost: sum of w T, credits/s; dual: the market's dual bound, credits/s; bound:
    the best one proven, at least as high; price: p*, the market's, credits/s per core;
    capacity: C, cores; moves: steps of the local search.
    """

    #: Somebody may prefer another share at any price that sells all of this.
    is_equilibrium: ClassVar[bool] = False

    shares: Floats
    pieces: Ints
    latencies: Floats
    cost: float
    bound: float
    dual: float
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
    >>> best.shares.round(3).tolist(), round(best.cost, 3), round(best.dual, 3)
    ([3.0, 0.0], 1.333, 1.25)
    """
    dual = dual_bound(clients, capacity)
    table, capacity = dual.market.table, float(capacity)
    found, bound, moves = dual.market.shares, dual.value, 0
    if dual.price > 0.0:
        best = branched(dual, capacity)
        bound = best.bound
        found, moves = _improved(best, dual, capacity)
    latencies, pieces = table.latencies(found)
    cost = exact_sum(table.value * latencies)[0]
    shares = found.copy()
    for values in (shares, pieces, latencies):
        values.setflags(write=False)
    return SocialOptimum(
        shares,
        pieces,
        latencies,
        cost,
        min(bound, cost),
        min(dual.value, cost),
        dual.price,
        capacity,
        moves,
    )


@dataclass(frozen=True, eq=False)
class _Moves:
    """Changes of one client each: its place among the movers, and what it changes to.

    roots, low, high: sqrt(w W) and bounds on the new piece; waits: w A there, credits/s.
    """

    rows: Ints
    pieces: Ints
    roots: Floats
    low: Floats
    high: Floats
    waits: Floats

    @property
    def likeliest(self) -> _Moves:
        """Those of least reduced cost."""
        few = slice(SECONDS)
        return _Moves(
            self.rows[few], self.pieces[few], self.roots[few],
            self.low[few], self.high[few], self.waits[few],
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class _State:
    """The movers' pieces, what all pieces cost without the server's part, and the filling."""

    pieces: Ints
    waits: Floats
    crowd: float  # w A of everybody else, credits/s
    filling: Filling

    @cached_property
    def waiting(self) -> float:
        """The sum of w A, credits/s."""
        return self.crowd + exact_sum(self.waits)[0]

    @property
    def cost(self) -> float:
        """The sum of w T, credits/s."""
        return self.waiting + self.filling.cost

    def costs_after(self, moves: _Moves) -> Floats:
        """The sum of w T after each of the moves alone."""
        change = moves.waits - self.waits[moves.rows]
        part = self.filling.costs_after(moves.rows, moves.roots, moves.low, moves.high)
        costs: Floats = self.waiting + change + part
        return np.where(self.pieces[moves.rows] == moves.pieces, math.inf, costs)

    def after(self, moves: _Moves, index: int) -> _State:
        """The state after one of the moves."""
        row = int(moves.rows[index])
        pieces, waits = self.pieces.copy(), self.waits.copy()
        pieces[row], waits[row] = moves.pieces[index], moves.waits[index]
        root, low, high = (float(v[index]) for v in (moves.roots, moves.low, moves.high))
        return _State(pieces, waits, self.crowd, self.filling.moved(row, root, low, high))


def _improved(best: Branched, dual: DualBound, capacity: float) -> tuple[Floats, int]:
    """The shares after moves, and pairs of moves, until none helps; how many."""
    table, cost = dual.market.table, best.cost
    if cost - best.bound <= CLOSED * cost:
        return best.shares, 0
    movers, moves = _candidates(dual, cost - dual.value, capacity)
    if not len(movers):
        return best.shares, 0
    roots, low, high, waits = on_pieces(table, np.arange(len(table)), best.pieces, capacity)
    rest = np.ones(len(table), bool)
    rest[movers] = False
    crowd = Levels.of(roots[rest], low[rest], high[rest])
    state = _State(
        best.pieces[movers],
        waits[movers],
        exact_sum(waits[rest])[0],
        Filling(roots[movers], low[movers], high[movers], crowd, capacity),
    )
    cost, step = state.cost, 0
    while step < STEPS and cost - best.bound > CLOSED * cost:
        better = _best_move(state, moves, cost) or _best_pair(state, moves, cost)
        if better is None:
            break
        state, cost, step = *better, step + 1
    if not step:
        return best.shares, 0
    pieces = best.pieces.copy()
    pieces[movers] = state.pieces
    roots, low, high, _ = on_pieces(table, np.arange(len(table)), pieces, capacity)
    return filled(roots, low, high, capacity, 1.0 / math.sqrt(dual.price)), step


def _candidates(dual: DualBound, gap: float, capacity: float) -> tuple[Ints, _Moves]:
    """Who could move, and every mode whose reduced cost is below the gap, least first."""
    table, price = dual.market.table, dual.price
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
    row, piece, cost = (np.concatenate(parts) for parts in (rows, pieces, costs))
    # Most modes are those that the clients have: only clients with two matter.
    several = np.bincount(row, minlength=len(table))[row] > 1
    row, piece, cost = row[several], piece[several], cost[several]
    if len(row) > WIDTH:
        least = np.argpartition(cost, WIDTH)[:WIDTH]
        row, piece, cost = row[least], piece[least], cost[least]
    order = np.lexsort((piece, row, cost))
    row, piece = row[order], piece[order]
    movers, place = np.unique(row, return_inverse=True)
    return movers, _Moves(place, piece, *on_pieces(table, row, piece, capacity))


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
    seconds = moves.likeliest
    first = np.flatnonzero(state.pieces[moves.rows] != moves.pieces)[:PAIRS]
    for index in first.tolist():
        second = _best_move(state.after(moves, index), seconds, cost)
        if second is not None:
            best, cost = second, second[1]
    return best
