"""One pass over a table per question: what everybody answers, and what it could still save.

Compiled (``pass_kernels``) where that pays, else numpy in chunks that fit a cache;
both give the same numbers up to rounding.  Shares are continuous here; quanta are
decided in ``replies``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from dds.compiled import compiling_pays
from dds.market.numbers import Floats, positive_root
from dds.market.replies import Quote, respond_all
from dds.market.table import CLOSE, ClientTable

__all__ = [
    "LOCAL",
    "UNSURE",
    "Enclosed",
    "Reply",
    "Standing",
    "answer_all",
    "enclose",
    "root_totals",
    "standing",
]

Modes: TypeAlias = NDArray[np.int16]

#: The mode of a client that computes locally; others are ``4 piece + held``, where held is
#: 0 at its free optimum, 1 at its least share, 2 at its largest.
LOCAL = -1
#: In place of a piece: two are too close to tell in floats.
UNSURE = -2
#: Rows that numpy works on at a time.
CHUNK = 16_384


@dataclass(frozen=True, slots=True, eq=False)
class Reply:
    """Everybody's answer to one quote: shares in cores and modes, N each."""

    shares: Floats
    modes: Modes


def answer_all(table: ClientTable, quote: Quote) -> Reply:
    """The f that minimises ``w T(f) + price f + slope f^2 / 2`` for every client.

    Bounds in the quote may differ by client.
    """
    if compiling_pays(len(table)):
        return _compiled_answers(table, quote)
    shares, modes = np.empty(len(table)), np.empty(len(table), np.int16)
    for rows in _chunks(len(table)):
        part, asked = table.slice(rows), quote.for_rows(rows)
        found = respond_all(part, asked)
        least = np.maximum(part.low, asked.at_least)
        most = np.minimum(part.high, np.minimum(asked.at_most, asked.load))
        held = np.where(found.shares >= most, 2, np.where(found.shares <= least, 1, 0))
        shares[rows] = found.shares
        modes[rows] = np.where(found.shares > 0.0, 4 * found.pieces + held, LOCAL)
    return Reply(shares, modes)


def _compiled_answers(table: ClientTable, quote: Quote) -> Reply:
    from dds.market.pass_kernels import answer

    low, high, local = table.low, table.high, table.local_base
    if np.any(quote.at_least):
        low = np.maximum(low, quote.at_least)
        local = np.where(np.asarray(quote.at_least) > 0.0, math.inf, local)
    load = quote.load
    if isinstance(quote.at_most, np.ndarray):
        high = np.minimum(high, quote.at_most)
    else:
        load = min(load, quote.at_most)
    reply = Reply(np.empty(len(table)), np.empty(len(table), np.int16))
    answer(
        table.base, table.root_work, table.value, low, high, local, table.must_offload,
        quote.price, quote.slope, load, reply.shares, reply.modes,
    )  # fmt: skip
    return reply


@dataclass(frozen=True, slots=True, eq=False)
class Enclosed:
    """What clients do at all quotes between two: N modes and amounts.

    A mode is UNSURE where it is not shown that it stays the same.  amounts: ``sqrt(w W)`` of a
    client free on its piece, the share in cores of one held at a bound, else 0.
    """

    modes: Modes
    amounts: Floats

    @property
    def free(self) -> Floats:
        """The amounts of those free on a piece."""
        free: Floats = self.amounts[(self.modes >= 0) & (self.modes & 3 == 0)]
        return free

    @property
    def held(self) -> Floats:
        """The shares of those held at a bound, cores."""
        held: Floats = self.amounts[(self.modes >= 0) & (self.modes & 3 > 0)]
        return held

    def shares(self, quote: Quote) -> Floats:
        """Everybody's share at a quote, cores; 0 for who is UNSURE."""
        shares = np.array(self.amounts)
        if compiling_pays(len(self.modes)):
            from dds.market.pass_kernels import settle

            settle(self.modes, self.amounts, quote.price, quote.slope, shares)
            return shares
        free = (self.modes >= 0) & (self.modes & 3 == 0)
        shares[free] = positive_root(self.amounts[free] ** 2, quote.price, quote.slope)
        return shares


def enclose(table: ClientTable, low: Quote, high: Quote) -> Enclosed:
    """Whose mode stays the same at all quotes from ``low`` to ``high``, without bounds of theirs.

    Costs rise with price and slope.  So a piece is best throughout if what it costs at the upper
    quote is no more than what any other costs at the lower one.  Needs 0 < low.price <=
    high.price, 0 < low.slope <= high.slope or both 0, and the same load.
    """
    found = Enclosed(np.empty(len(table), np.int16), np.empty(len(table)))
    if compiling_pays(len(table)):
        from dds.market import pass_kernels

        pass_kernels.enclose(
            table.base, table.root_work, table.value, table.low, table.high, table.local_base,
            table.must_offload, low.price, low.slope, high.price, high.slope, low.load,
            found.modes, found.amounts,
        )  # fmt: skip
        return found
    for rows in _chunks(len(table)):
        part = _enclose(table.slice(rows), low, high)
        found.modes[rows], found.amounts[rows] = part.modes, part.amounts
    return found


def _enclose(table: ClientTable, low: Quote, high: Quote) -> Enclosed:
    value, least, most = table.value, table.low, np.minimum(table.high, low.load)
    best, second = table.local_base.copy(), np.full(len(table), math.inf)
    piece, wanted = np.full(len(table), LOCAL), np.zeros(len(table))
    able = least <= most
    for k in range(table.depth):
        free = positive_root(value * table.work[k], low.price, low.slope)
        cost = np.where(able, _latency(table, k, np.clip(free, least, most), low), math.inf)
        second = np.minimum(second, np.maximum(best, cost))
        piece, wanted = np.where(cost < best, k, piece), np.where(cost < best, free, wanted)
        best = np.minimum(best, cost)
    stretch = max(high.price / low.price, high.slope / low.slope if low.slope > 0.0 else 1.0)
    root, latest = np.zeros(len(table)), table.local_base.copy()
    for k in range(table.depth):
        mine = np.flatnonzero(piece == k)
        root[mine] = np.sqrt(value[mine] * table.work[k, mine])
        share = np.clip(wanted[mine], least[mine], most[mine])
        latest[mine] = _latency(table.take(mine), k, share, high)
    above, below = wanted > most * stretch, wanted < least
    within = (wanted <= most) & (wanted >= least * stretch)
    modes = 4 * piece + np.where(above, 2, np.where(below, 1, 0))
    modes = np.where(above | below | within, modes, UNSURE)
    amounts = np.where(above, most, np.where(below, least, root))
    modes, amounts = np.where(piece == LOCAL, LOCAL, modes), np.where(piece == LOCAL, 0.0, amounts)
    stuck = ~able & table.must_offload
    modes, amounts = np.where(stuck, 1, modes), np.where(stuck, least, amounts)
    unsure = (modes == UNSURE) | ((latest > second) & able)
    return Enclosed(
        np.where(unsure, UNSURE, modes).astype(np.int16), np.where(unsure, 0.0, amounts)
    )


def _latency(table: ClientTable, piece: int, shares: Floats, quote: Quote) -> Floats:
    """``A + W / f + (price f + slope f^2 / 2) / w`` on a piece, s."""
    paid = (quote.price + 0.5 * quote.slope * shares) * shares
    with np.errstate(divide="ignore", invalid="ignore"):
        latency: Floats = table.base[piece] + table.work[piece] / shares + paid / table.value
    return latency


@dataclass(frozen=True, slots=True, eq=False)
class Standing:
    """Where everybody stands at its share.

    latencies: T, s; rows: its piece's row in the table, LOCAL for none, UNSURE where floats
    cannot tell two apart; savings: a bound on what it could save by moving alone, credits/s; N
    each.
    """

    latencies: Floats
    rows: NDArray[np.int16]
    savings: Floats


def standing(
    table: ClientTable, shares: Floats, price: float, left: float, right: float, room: float
) -> Standing:
    """How far each client could be from its best response when F is sold at ``price``.

    With X the others' demand and any d between the one-sided slopes ``left`` and ``right`` of
    pi at F = X + f, convexity gives ``f' pi(X + f') >= f pi(F) + (f' - f) s`` for every share f',
    s = pi(F) + f d.  So a move saves at most

        J - min over pieces, shares f' <= f + room of w (A + W / f') + s f' + f (pi(F) - s)

    which is closed form and exact where f is a best response.  The slope d is chosen so that
    s comes nearest to ``w W / f^2``.  Price-taking is left = right = 0 and room = inf.
    """
    count = len(table)
    found = Standing(np.empty(count), np.empty(count, np.int16), np.empty(count))
    if compiling_pays(count):
        from dds.market.pass_kernels import saving

        saving(
            table.base, table.root_work, table.work, table.value, table.low, table.high,
            table.local_base, shares, price, left, right, room,
            found.latencies, found.rows, found.savings,
        )  # fmt: skip
        return found
    for rows in _chunks(count):
        part = _standing(table.slice(rows), shares[rows], price, left, right, room)
        found.latencies[rows], found.rows[rows] = part.latencies, part.rows
        found.savings[rows] = part.savings
    return found


def _standing(
    table: ClientTable, shares: Floats, price: float, left: float, right: float, room: float
) -> Standing:
    value, sold = table.value, shares > 0.0
    f = np.where(sold, shares, 1.0)
    latency, piece = np.where(sold, math.inf, table.local_base), np.full(len(table), LOCAL)
    own_work, second = np.zeros(len(table)), np.full(len(table), math.inf)
    for k in range(table.depth):
        on_k = np.where(sold, table.base[k] + table.work[k] / f, math.inf)
        faster = on_k < latency
        second = np.where(faster, latency, np.minimum(second, on_k))
        latency, piece = np.where(faster, on_k, latency), np.where(faster, k, piece)
        own_work = np.where(faster, table.work[k], own_work)
    piece = np.where(sold & (second - latency <= CLOSE * latency), UNSURE, piece)
    wanted = value * own_work / (f * f)
    unit = np.where(sold, np.clip(wanted, price + f * left, price + f * right), price)
    lift = shares * (price - unit)
    own = value * latency + shares * price
    best = np.minimum(value * table.local_base, own)
    high = np.minimum(table.high, shares + room)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        for k in range(table.depth):
            work = value * table.work[k]
            cost = np.where(
                high * high * unit < work,
                work / high + unit * high,
                np.where(
                    table.low * table.low * unit > work,
                    work / table.low + unit * table.low,
                    2.0 * np.sqrt(work * unit),
                ),
            )
            cost = np.where(table.low <= high, value * table.base[k] + lift + cost, math.inf)
            best = np.minimum(best, cost)
    return Standing(latency, piece.astype(np.int16), np.maximum(own - best, 0.0))


def root_totals(roots: Floats, ratios: Floats) -> Floats:
    """``sum of g y(r g)`` over g in roots for every r >= 0 in ratios, rising and close.

    y > 0 solves ``y^2 + u y^3 = 1``, u = r g.  A client free on a piece answers (p, d) with
    ``g y / sqrt(p)``, g = sqrt(w W) and r = d / p^(3/2).
    """
    if compiling_pays(len(roots)):
        from dds.market import pass_kernels

        totals = np.empty(len(ratios))
        pass_kernels.root_totals(roots, ratios, totals)
        return totals
    return np.array([
        math.fsum(
            total
            for rows in _chunks(len(roots))
            for total in positive_root(roots[rows] ** 2, 1.0, ratio).tolist()
        )
        for ratio in ratios.tolist()
    ])  # fmt: skip


def _chunks(count: int) -> list[slice]:
    return [slice(start, start + CHUNK) for start in range(0, count, CHUNK)]
