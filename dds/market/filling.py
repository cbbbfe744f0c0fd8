"""Cores among clients whose pieces are fixed: the least total cost, and what one move does to it.

With client i on a piece of server work W_i the problem

    min  sum of w_i W_i / f_i   subject to  sum of f_i <= C,  low_i <= f_i <= high_i

is convex, and its solution is a water level t: ``f_i = clip(g_i t, low_i, high_i)`` with
``g_i = sqrt(w_i W_i)`` (KKT: ``w_i W_i / f_i^2 = 1 / t^2`` wherever a client is free).  What a
level sells is piecewise linear in t.  Newton's method finds one level; for many moves of single
clients the levels at which clients reach a bound are sorted once, and each move is a bisection.
The crowd that no move concerns is sorted and summed once for all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from dds.market.numbers import Floats, Ints, exact_sum

__all__ = ["Filling", "Levels", "filled"]

#: This little of the capacity, relative, is left so that rounded shares never exceed it.
SPARE = 1e-15
#: No more steps than this to the water level; Newton takes a dozen.
STEPS = 200


def filled(roots: Floats, low: Floats, high: Floats, capacity: float, start: float = 1.0) -> Floats:
    """Everybody's share of ``capacity`` cores, N: the unique optimum, all of high if that fits.

    roots: g = sqrt(w W), N; 0, with bounds 0, for a client that computes locally; low, high:
    bounds, cores, N; start: about the level.  The lower bounds must fit into the capacity.
    """
    room = capacity * (1.0 - SPARE)
    if np.all(np.isfinite(high)) and exact_sum(high)[0] <= room:
        return high.copy()
    if exact_sum(low)[0] >= room:
        return low.copy()
    level, least, most = start, 0.0, math.inf
    for step in range(STEPS):
        shares = np.clip(roots * level, low, high)
        over = exact_sum(shares)[0] - room
        least, most = (least, level) if over > 0.0 else (level, most)
        slope = float(roots[(shares > low) & (shares < high)].sum())
        # The step of Newton, exact where nobody reaches a bound on the way; a bisection in between.
        aim = level - over / slope if slope > 0.0 and step % 3 < 2 else math.nan
        if abs(aim - level) <= 1e-15 * level or not least < math.nextafter(least, most) < most:
            break
        level = aim if least < aim < most else _between(least, most)
    # Rounding may have sold a hair too much, or one client's bound away too little.
    over, spread = exact_sum(shares)[0] - room, exact_sum(shares - low)[0]
    if over > 0.0 and spread > 0.0:
        shares = low + (shares - low) * max(1.0 - 2.0 * over / spread, 0.0)
    return shares


def _between(least: float, most: float) -> float:
    """A level between two, in the middle of their logarithms where these are far apart."""
    if most == math.inf:
        return max(4.0 * least, math.ulp(0.0))
    if least == 0.0:
        return most / 16.0
    return math.sqrt(least) * math.sqrt(most) if most > 2.0 * least else (least + most) / 2.0


@dataclass(frozen=True, eq=False)
class Levels:
    """What a level t sells and costs: ``level + slope t`` cores, ``slope / t + paid`` credits/s.

    times: the M levels at which somebody reaches a bound, ascending; slope, level, paid, free
    (how many clients are between their bounds) hold after the first j of them, M + 1 each;
    enters, leaves: each client's place among the times, -1 and M if it has none there; needed:
    the sum of the lower bounds, cores.
    """

    times: Floats
    slope: Floats
    level: Floats
    paid: Floats
    free: Ints
    enters: Ints
    leaves: Ints
    needed: float

    @classmethod
    def of(cls, g: Floats, low: Floats, high: Floats) -> Levels:
        """The levels of clients on pieces with roots g."""
        count, used = len(g), g > 0.0
        up = np.flatnonzero(used & (low > 0.0))
        down = np.flatnonzero(used & (high < math.inf))
        times = np.concatenate((low[up] / g[up], high[down] / g[down]))
        # At equal times a client becomes free before it stops being so.
        order = np.argsort(times, kind="stable")
        place = np.empty(len(times), np.int64)
        place[order] = np.arange(len(times))
        enters = np.where(used, -1, len(times))
        leaves = np.full(count, len(times))
        enters[up], leaves[down] = place[: len(up)], place[len(up) :]

        def running(start: float, rising: Floats, falling: Floats) -> Floats:
            steps: Floats = np.concatenate((rising, falling))[order]
            return np.concatenate(([start], start + np.cumsum(steps)))

        begun = used & (low == 0.0)
        ones = np.ones(count)
        free = running(float(begun.sum()), ones[up], -ones[down])
        slope = running(float(g[begun].sum()), g[up], -g[down])
        return cls(
            times[order],
            np.where(free > 0.0, slope, 0.0),
            running(float(low[up].sum()), -low[up], high[down]),
            running(float((g[up] ** 2 / low[up]).sum()), -(g[up] ** 2) / low[up],
                    g[down] ** 2 / high[down]),
            free.astype(np.int64),
            enters,
            leaves,
            exact_sum(low)[0],
        )  # fmt: skip

    def sold(self, level: Floats) -> Floats:
        """What each of the levels sells, cores."""
        j = np.searchsorted(self.times, level)
        sold: Floats = self.level[j] + self.slope[j] * level
        return sold


@dataclass(frozen=True, eq=False)
class Filling:
    """Clients that may move, each on a piece, who share ``capacity`` cores with a crowd.

    roots, low, high: as in :func:`filled`, of those who may move; crowd: the levels of
    everybody else.  All lower bounds must fit into the capacity.
    """

    roots: Floats
    low: Floats
    high: Floats
    crowd: Levels
    capacity: float

    @cached_property
    def cost(self) -> float:
        """The least ``sum of w W / f`` of all, credits/s."""
        stay = np.zeros(1, np.int64)
        return float(self.costs_after(stay, self.roots[:1], self.low[:1], self.high[:1])[0])

    def moved(self, row: int, root: float, low: float, high: float) -> Filling:
        """The filling after client ``row`` takes another piece."""
        roots, lows, highs = self.roots.copy(), self.low.copy(), self.high.copy()
        roots[row], lows[row], highs[row] = root, low, high
        return replace(self, roots=roots, low=lows, high=highs)

    def costs_after(self, rows: Ints, roots: Floats, low: Floats, high: Floats) -> Floats:
        """The least cost of all after client ``rows[m]`` alone moves to (roots, low, high)[m].

        Exact to rounding, for M moves in O(M log N); inf where the lower bounds do not fit.
        """
        lev, crowd, room = self._levels, self.crowd, self.capacity * (1.0 - SPARE)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            i, j = self._segments(rows, roots, low, high)
            own_low, own_high = lev.enters[rows] >= j, lev.leaves[rows] < j
            own_free = ~(own_low | own_high)
            g, held = self.roots[rows], np.where(own_low, self.low[rows], self.high[rows])
            alone = crowd.free[i] + lev.free[j] == own_free
            slope = crowd.slope[i] + (lev.slope[j] - np.where(own_free, g, 0.0))
            slope = np.where(alone, 0.0, slope)
            left = room - crowd.level[i] - (lev.level[j] - np.where(own_free, 0.0, held))
            own_paid = np.where(own_free | (g == 0.0), 0.0, g * g / held)
            paid = crowd.paid[i] + np.maximum(lev.paid[j] - own_paid, 0.0)
            share = np.where(roots > 0.0, roots * (left / (slope + roots)), 0.0)
            share = np.clip(share, low, high)
            others = np.where(alone, 0.0, slope * slope / np.maximum(left - share, 0.0))
            mine = np.where(roots > 0.0, roots * roots / share, 0.0)
            costs: Floats = others + paid + mine
        needed = crowd.needed + (lev.needed - self.low[rows] + low)
        fits = needed <= self.capacity * (1.0 + SPARE)
        return np.where(fits & ~np.isnan(costs), costs, math.inf)

    @cached_property
    def _levels(self) -> Levels:
        return Levels.of(self.roots, self.low, self.high)

    def _segments(self, rows: Ints, roots: Floats, low: Floats, high: Floats) -> tuple[Ints, Ints]:
        """How many times of the crowd, and of the movers, lie below the level of each move."""
        lev, crowd, room = self._levels, self.crowd, self.capacity * (1.0 - SPARE)
        g, least, most = self.roots[rows], self.low[rows], self.high[rows]

        def enough(level: Floats, others: Floats) -> NDArray[np.bool_]:
            change = np.clip(roots * level, low, high) - np.clip(g * level, least, most)
            sold: Floats = others + lev.sold(level) + change
            reached: NDArray[np.bool_] = sold >= room
            return reached

        def bisected(times: Floats, first: Ints, last: Ints, line: Ints | None) -> Ints:
            """The first of the times that is enough; on a line of the crowd, None for its own."""
            while np.any(first < last):
                middle = np.minimum((first + last) // 2, len(times) - 1)
                at, k = times[middle], middle if line is None else line
                done, open_ = enough(at, crowd.level[k] + crowd.slope[k] * at), first < last
                last = np.where(open_ & done, middle, last)
                first = np.where(open_ & ~done, middle + 1, first)
            return first

        none, every = np.zeros(len(rows), np.int64), np.full(len(rows), len(crowd.times))
        i = bisected(crowd.times, none, every, None)
        # Between two neighbouring times of the crowd its part is one line.
        ends = np.concatenate(([0.0], crowd.times, [math.inf]))
        first, last = (np.searchsorted(lev.times, ends[k]) for k in (i, i + 1))
        return i, bisected(lev.times, first, last, i)
