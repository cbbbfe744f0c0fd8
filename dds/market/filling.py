"""Cores among clients whose pieces are fixed: the least total cost, and what one move does to it.

With client i on a piece of server work W_i the problem

    min  sum of w_i W_i / f_i   subject to  sum of f_i <= C,  low_i <= f_i <= high_i

is convex, and its solution is a water level t: ``f_i = clip(g_i t, low_i, high_i)`` with
``g_i = sqrt(w_i W_i)`` (KKT: ``w_i W_i / f_i^2 = 1 / t^2`` wherever a client is free).  What a
level sells is piecewise linear in t, so sorting the levels at which clients reach a bound
once answers every question exactly: the level itself, and the least cost after any single
client changes its piece, for many such moves at a time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from dds.market.numbers import Floats, Ints, exact_sum

__all__ = ["Filling"]

#: This little of the capacity, relative, is left so that rounded shares never exceed it.
SPARE = 1e-15


@dataclass(frozen=True, eq=False)
class _Levels:
    """What a level t sells and costs: ``level + slope t`` cores, ``slope / t + paid`` credits/s.

    times: the M levels at which somebody reaches a bound, ascending; slope, level, paid, free
    (how many clients are between their bounds) hold after the first j of them, M + 1 each;
    enters, leaves: each client's place among the times, -1 and M if it has none there.
    """

    times: Floats
    slope: Floats
    level: Floats
    paid: Floats
    free: Ints
    enters: Ints
    leaves: Ints


@dataclass(frozen=True, eq=False)
class Filling:
    """Clients on fixed pieces who share ``capacity`` cores at the least cost.

    roots: g = sqrt(w W), N; 0, with bounds 0, for a client that computes locally; low, high:
    bounds, cores, N.  The lower bounds must fit into the capacity.
    """

    roots: Floats
    low: Floats
    high: Floats
    capacity: float

    @cached_property
    def shares(self) -> Floats:
        """f, cores, N: the unique optimum; everybody's largest share where that fits."""
        room = self.capacity * (1.0 - SPARE)
        lev = self._levels
        j = int(np.searchsorted(lev.level[:-1] + lev.slope[:-1] * lev.times, room))
        # Summed anew, because differences of running sums lose digits.
        free = (lev.enters < j) & (lev.leaves >= j)
        held = np.where(free, 0.0, np.where(lev.leaves < j, self.high, self.low))
        slope = exact_sum(self.roots[free])[0]
        level = (room - exact_sum(held)[0]) / slope if slope > 0.0 else 0.0
        shares: Floats = np.where(free, np.clip(self.roots * level, self.low, self.high), held)
        # Running sums of a million clients may be off by a step: then a little is too much.
        over, spread = exact_sum(shares)[0] - room, exact_sum(shares - self.low)[0]
        if over > 0.0 and spread > 0.0:
            shares = self.low + (shares - self.low) * max(1.0 - 2.0 * over / spread, 0.0)
        return shares

    @cached_property
    def cost(self) -> float:
        """The sum of w W / f, credits/s; inf where nothing is left for a client that needs some."""
        sold = self.roots > 0.0
        roots, shares = self.roots[sold], self.shares[sold]
        return exact_sum(roots * roots / shares)[0] if np.all(shares > 0.0) else math.inf

    @cached_property
    def needed(self) -> float:
        """The sum of the lower bounds, cores, rounded up."""
        total, rest = exact_sum(self.low)
        return math.nextafter(total, math.inf) if rest > 0.0 else total

    def moved(self, row: int, root: float, low: float, high: float) -> Filling:
        """The filling after client ``row`` takes another piece."""
        roots, lows, highs = self.roots.copy(), self.low.copy(), self.high.copy()
        roots[row], lows[row], highs[row] = root, low, high
        return replace(self, roots=roots, low=lows, high=highs)

    def costs_after(self, rows: Ints, roots: Floats, low: Floats, high: Floats) -> Floats:
        """The least cost after client ``rows[m]`` alone moves to (roots[m], low[m], high[m]).

        Exact to rounding, for M moves in O(M log N); inf where the lower bounds do not fit.
        """
        lev, room = self._levels, self.capacity * (1.0 - SPARE)
        with np.errstate(divide="ignore", invalid="ignore"):
            j = self._segment(rows, roots, low, high)
            own_low, own_high = lev.enters[rows] >= j, lev.leaves[rows] < j
            own_free = ~(own_low | own_high)
            g, held = self.roots[rows], np.where(own_low, self.low[rows], self.high[rows])
            alone = lev.free[j] == own_free
            slope = np.where(alone, 0.0, lev.slope[j] - np.where(own_free, g, 0.0))
            left = room - lev.level[j] + np.where(own_free, 0.0, held)
            own_paid = np.where(own_free | (g == 0.0), 0.0, g * g / held)
            paid = np.maximum(lev.paid[j] - own_paid, 0.0)
            share = np.where(roots > 0.0, roots * (left / (slope + roots)), 0.0)
            share = np.clip(share, low, high)
            others = np.where(alone, 0.0, slope * slope / np.maximum(left - share, 0.0))
            mine = np.where(roots > 0.0, roots * roots / share, 0.0)
            costs: Floats = others + paid + mine
        fits = self.needed - self.low[rows] + low <= self.capacity
        return np.where(fits & ~np.isnan(costs), costs, math.inf)

    def _segment(self, rows: Ints, roots: Floats, low: Floats, high: Floats) -> Ints:
        """How many of the times lie below the level that each move ends at."""
        lev, room = self._levels, self.capacity * (1.0 - SPARE)
        g, least, most = self.roots[rows], self.low[rows], self.high[rows]
        first, last = np.zeros(len(rows), np.int64), np.full(len(rows), len(lev.times))
        while np.any(first < last):
            middle = np.minimum((first + last) // 2, len(lev.times) - 1)
            t = lev.times[middle]
            sold = lev.level[middle] + lev.slope[middle] * t
            sold += np.clip(roots * t, low, high) - np.clip(g * t, least, most)
            enough, open_ = sold >= room, first < last
            last = np.where(open_ & enough, middle, last)
            first = np.where(open_ & ~enough, middle + 1, first)
        return first

    @cached_property
    def _levels(self) -> _Levels:
        g, low, high, count = self.roots, self.low, self.high, len(self.roots)
        used = g > 0.0
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
        return _Levels(
            times[order],
            np.where(free > 0.0, slope, 0.0),
            running(float(low[up].sum()), -low[up], high[down]),
            running(float((g[up] ** 2 / low[up]).sum()), -(g[up] ** 2) / low[up],
                    g[down] ** 2 / high[down]),
            free.astype(np.int64),
            enters,
            leaves,
        )  # fmt: skip
