"""Branch and bound on the clients whose demand jumps where the market clears.

At the clearing price all clients but the tied ones have in the market what they have in a best
allocation; what the dual bound leaves open is the jump of a client that did not fit.  So ask
twice, as in any branch and bound: what if it runs the piece that it jumps to, and what if it
never does?  Each answer is a market again, with a dual bound of its own.  No allocation is
below the least of them, and each market's allocation, its unsold cores handed back, is one.
"""

from __future__ import annotations

import heapq
import itertools
import math
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from dds.errors import Infeasible
from dds.market.bound import DualBound, dual_bound
from dds.market.filling import filled
from dds.market.numbers import Floats, Ints, exact_sum
from dds.market.table import ClientTable

__all__ = ["LOCAL", "Branched", "branched", "on_pieces"]

#: The piece index of a client that computes locally.
LOCAL = -1
#: Branch while the gap is larger than this part of the cost.
WIDE = 1e-3
#: No more markets than this; of many clients, no more than this many client rows in all.
NODES, ROWS = 16, 2_000_000
#: The markets sell this much more, relative, lest rounding decides who fits.
EXTRA = 1e-12


@dataclass(frozen=True, eq=False)
class Branched:
    """The best allocation met, and the bound proven.

    shares: cores; pieces: indices, LOCAL for none; N each; cost, bound: credits/s.
    """

    shares: Floats
    pieces: Ints
    cost: float
    bound: float


@dataclass(frozen=True, eq=False)
class _Node:
    """A market in which some clients have fewer pieces, and the allocation that it suggests."""

    dual: DualBound
    shares: Floats
    pieces: Ints
    cost: float

    @property
    def split(self) -> tuple[int, int] | None:
        """The client left over whose jump is worth most, and the piece that it jumps to."""
        market = self.dual.market
        wanted = market.outcome.shares_below
        if wanted is None:
            return None
        rest = wanted - market.shares
        row = int(np.argmax(rest))
        if rest[row] <= 1e-9 * wanted[row]:
            return None
        one = market.table.take(np.array([row]))
        if np.isfinite(one.base).sum() + np.isfinite(one.local_base).sum() < 2:
            return None
        return row, int(one.latencies(wanted[row : row + 1])[1][0])


def branched(dual: DualBound, capacity: float) -> Branched:
    """The best allocation among the markets that branch off ``dual``, and the bound they prove."""
    best = root = _node(dual, dual.market.table, capacity)
    order = itertools.count()
    leaves: list[tuple[float, int, _Node]] = [(dual.value, next(order), root)]
    shut = math.inf  # the least bound among leaves without a jump
    for _ in range(min(NODES, max(4, ROWS // len(dual.values))) // 2):
        if not leaves or best.cost - min(leaves[0][0], shut) <= WIDE * best.cost:
            break
        bound, _, node = heapq.heappop(leaves)
        if (split := node.split) is None:
            shut = min(shut, bound)
            continue
        for table in _branches(node.dual.market.table, *split):
            try:
                found = dual_bound(table, capacity * (1.0 + EXTRA), start=node.dual.market)
                child = _node(found, dual.market.table, capacity)
            except Infeasible:
                continue  # these pieces need more than there is
            best = min(best, child, key=lambda one: one.cost)
            heapq.heappush(leaves, (max(child.dual.value, bound), next(order), child))
    bound = min([shut, best.cost, *(leaf[0] for leaf in leaves)])
    return Branched(best.shares, best.pieces, best.cost, min(max(bound, dual.value), best.cost))


def on_pieces(
    table: ClientTable, rows: Ints, pieces: Ints, capacity: float
) -> tuple[Floats, Floats, Floats, Floats]:
    """Clients ``rows`` on given pieces: sqrt(w W), bounds in cores, and w A in credits/s."""
    away = pieces == LOCAL
    k = np.where(away, 0, pieces)
    base, work = table.local_base[rows], np.zeros(len(rows))
    if table.depth:
        base = np.where(away, base, table.base[k, rows])
        work = np.where(away, 0.0, table.work[k, rows])
    value = table.value[rows]
    low = np.where(away, 0.0, table.low[rows])
    high = np.where(away, 0.0, np.minimum(table.high[rows], capacity))
    return np.sqrt(value * work), low, high, value * base


def _node(dual: DualBound, table: ClientTable, capacity: float) -> _Node:
    """The market's pieces, with its unsold cores handed back."""
    market = dual.market
    pieces = np.where(market.shares > 0.0, market.pieces, LOCAL)
    roots, low, high, _ = on_pieces(table, np.arange(len(table)), pieces, capacity)
    start = 1.0 / math.sqrt(dual.price) if dual.price > 0.0 else 1.0
    shares = filled(roots, low, high, capacity, start)
    return _Node(dual, shares, pieces, exact_sum(table.value * table.latencies(shares)[0])[0])


_Pair: TypeAlias = tuple[ClientTable, ClientTable]


def _branches(table: ClientTable, row: int, piece: int) -> _Pair:
    """Client ``row`` on ``piece`` and nothing else; on anything else."""
    only, never = table.base.copy(), table.base.copy()
    only[:, row], never[piece, row] = math.inf, math.inf
    only[piece, row] = table.base[piece, row]
    local_base, local_piece = table.local_base.copy(), table.local_piece.copy()
    local_base[row], local_piece[row] = math.inf, -1
    return (
        replace(table, base=only, local_base=local_base, local_piece=local_piece),
        replace(table, base=never),
    )
