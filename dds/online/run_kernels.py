"""Loops over sorted runs of events, for numba: what ``runs`` says.

Self-contained.  A run is an array of blocks, one per row: 8 each of ``at``, ``before``,
``after`` and ``row``, then six sums over all events before the block: free clients' g (high
and low part of the sum, and how many), held clients' cores likewise.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from dds.compiled import njit

__all__ = ["crossing", "merge", "near", "pack", "ration", "state"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
#: Four of them, large to small.
Runs = tuple[Floats, Floats, Floats, Floats]

BLOCK, BEFORE, AFTER, ROW, SUMS, WIDTH = 8, 8, 16, 24, 32, 38
#: Rounding of a price and of the shares that follow from it, relative, and to spare.
HAIR = 2.0**-43
#: Plain sums are not trusted nearer than this, relative.
CLOSE = 1e-10


@njit
def _add(sums: Floats, place: int, value: float, count: float) -> None:
    """Add to a sum of twice the digits of a double, and to its count."""
    old = sums[place]
    new = old + value
    part = new - old
    rest = sums[place + 1] + ((old - (new - part)) + (value - part))
    high = new + rest
    sums[place + 1] = rest - (high - new)
    sums[place] = high
    sums[place + 2] += count


@njit
def _happen(sums: Floats, before: float, after: float) -> None:
    """One event: a client stops to demand ``before`` and demands ``after``."""
    if before > 0.0:
        _add(sums, 0, -before, -1.0)
    elif before < 0.0:
        _add(sums, 3, before, -1.0)
    if after > 0.0:
        _add(sums, 0, after, 1.0)
    elif after < 0.0:
        _add(sums, 3, -after, 1.0)


@njit
def _put(
    out: Floats, n: int, at: float, before: float, after: float, row: float, sums: Floats
) -> None:
    """Write event number n of a run."""
    b, j = n // BLOCK, n % BLOCK
    if j == 0:
        for i in range(6):
            out[b, SUMS + i] = sums[i]
    out[b, j] = at
    out[b, BEFORE + j] = before
    out[b, AFTER + j] = after
    out[b, ROW + j] = row
    _happen(sums, before, after)


@njit
def _closed(out: Floats, n: int) -> Floats:
    """The run of the n events written, its last block filled up with nothing at infinity."""
    blocks = (n + BLOCK - 1) // BLOCK
    for i in range(n, blocks * BLOCK):
        b, j = i // BLOCK, i % BLOCK
        out[b, j] = math.inf
        out[b, BEFORE + j] = 0.0
        out[b, AFTER + j] = 0.0
        out[b, ROW + j] = -1.0
    return out[:blocks]


@njit
def pack(
    at: Floats, before: Floats, after: Floats, row: Floats, order: Ints, backward: bool
) -> Floats:
    """The run of the events taken in ``order``; backward: each undone, before for after."""
    count = len(order)
    out = np.empty(((count + BLOCK - 1) // BLOCK, WIDTH))
    sums = np.zeros(6)
    for n in range(count):
        i = order[n]
        first, then = before[i], after[i]
        if backward:
            first, then = then, first
        _put(out, n, at[i], first, then, row[i], sums)
    return _closed(out, count)


@njit
def merge(one: Floats, other: Floats) -> Floats:
    """The run of both runs' events; an event and the same undone cancel."""
    sums = np.zeros(6)
    out = np.empty((len(one) + len(other), WIDTH))
    i, j, n = 0, 0, 0
    ends = len(one) * BLOCK, len(other) * BLOCK
    while i < ends[0] or j < ends[1]:
        s, t, r, q = math.inf, math.inf, -1.0, -1.0
        b, c = i // BLOCK, j // BLOCK
        u, v = i % BLOCK, j % BLOCK
        if i < ends[0]:
            s, r = one[b, u], one[b, ROW + u]
        if j < ends[1]:
            t, q = other[c, v], other[c, ROW + v]
        if s == math.inf and t == math.inf:
            break
        if s == t and r == q:
            if (
                one[b, BEFORE + u] != other[c, AFTER + v]
                or one[b, AFTER + u] != other[c, BEFORE + v]
            ):
                _put(out, n, s, one[b, BEFORE + u], one[b, AFTER + u], r, sums)
                _put(out, n + 1, t, other[c, BEFORE + v], other[c, AFTER + v], q, sums)
                n += 2
            i += 1
            j += 1
        elif s < t or (s == t and r < q):
            _put(out, n, s, one[b, BEFORE + u], one[b, AFTER + u], r, sums)
            n += 1
            i += 1
        else:
            _put(out, n, t, other[c, BEFORE + v], other[c, AFTER + v], q, sums)
            n += 1
            j += 1
    return _closed(out, n)


@njit
def _begun(run: Floats, left: int, right: int, s: float) -> int:
    """How many blocks begin at or before s, known to lie within left..right."""
    while left < right:
        middle = (left + right) // 2
        if run[middle, 0] <= s:
            left = middle + 1
        else:
            right = middle
    return left


@njit
def _sum_up(runs: Runs, low: Ints, high: Ints, s: float, found: Ints, sums: Floats) -> None:
    """Sums over all events at or before s, and in ``found`` how many blocks begin there.

    low, high: between which numbers that is known to lie.
    """
    for i in range(6):
        sums[i] = 0.0
    for r in range(4):
        run = runs[r]
        found[r] = _begun(run, low[r], high[r], s)
        if found[r] > 0:
            b = found[r] - 1
            for i in (0, 3):
                _add(sums, i, run[b, SUMS + i], run[b, SUMS + i + 2])
                _add(sums, i, run[b, SUMS + i + 1], 0.0)
            for j in range(BLOCK):
                if run[b, j] > s:
                    break
                _happen(sums, run[b, BEFORE + j], run[b, AFTER + j])


@njit
def _over(
    runs: Runs, low: Ints, high: Ints, s: float, found: Ints, sums: Floats, capacity: float
) -> float:
    """About demand at price s^2 - capacity, > 0 where it does not fit; the rest as in _sum_up.

    Plain sums tell where it is not close.
    """
    if s <= 0.0:
        _sum_up(runs, low, high, s, found, sums)
        return 0.0 if _fits(sums, s, capacity) else capacity
    free, held, size = 0.0, 0.0, capacity
    for r in range(4):
        run = runs[r]
        found[r] = _begun(run, low[r], high[r], s)
        if found[r] > 0:
            b = found[r] - 1
            free += run[b, SUMS]
            held += run[b, SUMS + 3]
            size += run[b, SUMS] / s + run[b, SUMS + 3]
            for j in range(BLOCK):
                if run[b, j] > s:
                    break
                before, after = run[b, BEFORE + j], run[b, AFTER + j]
                free += max(after, 0.0) - max(before, 0.0)
                held += max(-after, 0.0) - max(-before, 0.0)
                size += (abs(after) + abs(before)) * (1.0 + 1.0 / s)
    over = free / s + held - capacity
    if abs(over) <= CLOSE * size:
        _sum_up(runs, found, found, s, found, sums)
        return 0.0 if _fits(sums, s, capacity) else CLOSE * size
    return over


@njit
def _left(sums: Floats, capacity: float) -> float:
    """``capacity - H``, cores: what held clients leave."""
    return (capacity - sums[3]) - sums[4] if sums[5] > 0.0 else capacity


@njit
def _fits(sums: Floats, s: float, capacity: float) -> bool:
    """Whether ``G / s + H <= capacity``."""
    left = _left(sums, capacity)
    if sums[2] <= 0.0:
        return left >= 0.0
    return s > 0.0 and sums[0] / s <= left


@njit
def state(runs: Runs, s: float) -> tuple[float, float]:
    """(G, H) at price s^2: demand is G / s + H."""
    low, high = np.zeros(4, np.int64), np.zeros(4, np.int64)
    for r in range(4):
        high[r] = len(runs[r])
    sums = np.zeros(6)
    _sum_up(runs, low, high, s, np.zeros(4, np.int64), sums)
    return sums[0] if sums[2] > 0.0 else 0.0, sums[3] if sums[5] > 0.0 else 0.0


@njit
def _between_blocks(
    runs: Runs, low: Ints, high: Ints, found: Ints, sums: Floats, capacity: float
) -> tuple[float, float]:
    """Narrow (below, above) of :func:`crossing` to where no block begins in between.

    Leaves in low and high how many blocks of each run begin before.
    """
    below, above = -1.0, math.inf
    for r in range(4):
        run = runs[r]
        first, last = low[r], high[r]
        more, less, probes = 0.0, 0.0, 0
        while first < last:
            middle = (first + last) // 2
            probes += 1
            if more > 0.0 > less and probes % 3 > 0:  # where a line through both ends crosses 0
                middle = min(first + int((last - first) * (more / (more - less))), last - 1)
            s = run[middle, 0]
            if s >= above:
                last = middle
                continue
            low[r] = middle + 1
            high[r] = last
            if middle + 1 < last and run[middle + 1, 0] > s:
                high[r] = middle + 1
            over = _over(runs, low, high, s, found, sums, capacity)
            # Every probe narrows all runs.
            if over <= 0.0:
                above, less = s, over
                for q in range(4):
                    high[q] = min(high[q], found[q])
                last = middle
            else:
                below, more = s, over
                for q in range(4):
                    low[q] = max(low[q], found[q])
                first = low[r]
        low[r] = first
        high[r] = first
    return below, above


@njit
def _inside_blocks(
    runs: Runs, low: Ints, high: Ints, found: Ints, sums: Floats, capacity: float,
    below: float, above: float,
) -> tuple[float, float]:  # fmt: skip
    """Narrow (below, above) to neighbouring events, each run inside its own block."""
    for r in range(4):
        if low[r] == 0:
            continue
        left, right = 0, BLOCK
        while left < right:
            middle = (left + right) // 2
            s = runs[r][low[r] - 1, middle]
            if s <= below:
                left = middle + 1
                continue
            if s < above:
                if _over(runs, low, high, s, found, sums, capacity) > 0.0:
                    below = s
                    left = middle + 1
                    continue
                above = s
            right = middle
    return below, above


@njit
def crossing(runs: Runs, capacity: float) -> tuple[float, float, float]:
    """Where demand comes down to capacity: (below, above, s).

    below: the last event after which demand does not fit, -1 if there is none; above: the
    first after which it does, inf if there is none; s: between them, where free clients'
    demand has fallen far enough, else inf: then demand jumps at ``above``.
    """
    low, high = np.zeros(4, np.int64), np.zeros(4, np.int64)
    for r in range(4):
        high[r] = len(runs[r])
    found, sums = np.zeros(4, np.int64), np.zeros(6)
    below, above = _between_blocks(runs, low, high, found, sums, capacity)
    below, above = _inside_blocks(runs, low, high, found, sums, capacity, below, above)
    if below < 0.0:
        return below, above, math.inf
    _sum_up(runs, low, high, below, found, sums)
    left = _left(sums, capacity)
    s = math.inf
    if sums[2] > 0.0 and left > 0.0:
        # A hair more, so that rounded shares add up to no more than capacity.
        s = max(sums[0] / left * (1.0 + 2.0**-50), below)
    return below, above, s if s < above else math.inf


@njit
def near(runs: Runs, low: float, high: float) -> Floats:
    """All events from ``low`` to ``high``: rows of (at, before, after, row)."""
    firsts = np.zeros(4, np.int64)
    count = 0
    for r in range(4):
        run = runs[r]
        left, right = 0, len(run) * BLOCK
        while left < right:
            middle = (left + right) // 2
            if run[middle // BLOCK, middle % BLOCK] < low:
                left = middle + 1
            else:
                right = middle
        firsts[r] = left
        while left < len(run) * BLOCK and run[left // BLOCK, left % BLOCK] <= high:
            left += 1
        count += left - firsts[r]
    out = np.empty((count, 4))
    n = 0
    for r in range(4):
        run, i = runs[r], firsts[r]
        while i < len(run) * BLOCK and run[i // BLOCK, i % BLOCK] <= high:
            b, j = i // BLOCK, i % BLOCK
            out[n] = run[b, j:SUMS:BLOCK]
            n += 1
            i += 1
    return out


@njit
def ration(
    runs: Runs, low: float, high: float, ids: Ints, until: Ints, open_end: int, supply: float,
    least_jump: float,
) -> tuple[float, Ints, Floats, int, float]:  # fmt: skip
    """Serve those whose demand jumps from ``low`` to ``high``, in order of id, while they fit.

    ids, until: by row; rows whose until is not ``open_end`` are gone and their events undone.
    Everybody takes the smaller demand, then each the larger one if it still fits; jumps of less
    than a part ``least_jump`` are none.  Returns s, rows and their shares by row, how many got
    the larger demand, and the total.
    """
    events = near(runs, low, high)
    order = np.argsort(events[:, 0], kind="mergesort")
    order = order[np.argsort(events[order, 3], kind="mergesort")]
    s = 0.0
    rows, small, large = np.empty(len(order), np.int64), np.empty(len(order)), np.empty(len(order))
    n = 0
    for i in order:
        row = int(events[i, 3])
        if until[row] != open_end:
            continue
        s = max(s, events[i, 0])
        if n == 0 or rows[n - 1] != row:
            rows[n] = row
            large[n] = events[i, 1]
            n += 1
        small[n - 1] = events[i, 2]
    free_before = np.empty(n, np.bool_)
    tied = 0
    for i in range(n):
        more = large[i] / s if large[i] > 0.0 else 0.0 - large[i]
        less = small[i] / s if small[i] > 0.0 else 0.0 - small[i]
        if more - less > least_jump * more:
            free_before[tied] = large[i] > 0.0
            rows[tied], small[tied], large[tied] = rows[i], less, more
            tied += 1
    free, held = state(runs, s)
    sums = np.zeros(6)
    _add(sums, 0, held, 1.0)
    if free > 0.0 and s > 0.0:  # at 0 nobody is tied
        _add(sums, 0, free / s, 1.0)
    shares = np.empty(tied)
    served = 0
    queue = np.argsort(ids[rows[:tied]], kind="mergesort")
    for i in queue:
        shares[i] = small[i]
        more = large[i] - small[i]
        # A share that is no bound is a hair larger just below the price: let that fit too.
        hair = HAIR * large[i] if free_before[i] else 0.0
        if more + hair <= (supply - sums[0]) - sums[1]:
            shares[i] = large[i]
            _add(sums, 0, more, 1.0)
            served += 1
    return s, rows[:tied].copy(), shares, served, sums[0]
