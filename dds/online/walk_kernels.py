"""One client's walk as the price rises, for numba: what ``walk`` says and does with numpy.

Self-contained; every sum, product, quotient and root stands in the same order as in
``walk``, so that both give the same bits.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from dds.compiled import njit

__all__ = ["shares_at", "walk_rows"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

HIGH, LOW, HOME, NONE = -1, -2, -3, -4


@njit
def _walk(
    base: Floats, work: Floats, value: Floats, low: Floats, high: Floats, local: Floats,
    row: int, a: Floats, g: Floats, at: Floats, before: Floats, after: Floats, first: int,
) -> int:  # fmt: skip
    """Write the client's events from index ``first`` on; return the index after the last."""
    depth = len(base)
    w, lo, hi = value[row], low[row], high[row]
    least = local[row]
    for k in range(depth):
        least = min(least, base[k, row])
    home = w * (local[row] - least)
    top, bottom, start = math.inf, math.inf, 0
    for k in range(depth):
        a[k] = w * (base[k, row] - least)
        g[k] = math.sqrt(w * work[k, row])
        top = min(top, a[k] + g[k] * g[k] / hi)
        if lo > 0.0:
            bottom = min(bottom, a[k] + g[k] * g[k] / lo)
        if a[k] < a[start] or (a[k] == a[start] and g[k] < g[start]):
            start = k
    if home <= top:
        return first
    mode, own, s = start, g[start] if depth else 0.0, 0.0
    if hi < math.inf:
        mode, own = HIGH, -hi
    at[first], before[first], after[first] = 0.0, 0.0, own
    n = first + 1
    while mode != HOME:
        # The next mode is the one whose cost comes down to the present one's first.
        soon, share, next_mode, next_own = math.inf, math.inf, NONE, 0.0
        if mode == HIGH:
            soon, share, next_mode = math.sqrt((home - top) / hi), 0.0, HOME
            if 0.0 < lo < hi:
                t = math.sqrt((bottom - top) / (hi - lo))
                if t < soon:
                    soon, share, next_mode, next_own = t, lo, LOW, -lo
            for k in range(depth if lo < hi else 0):
                t = (g[k] + math.sqrt(hi * (a[k] + g[k] * g[k] / hi - top))) / hi
                if t * lo <= g[k] and (t < soon or (t == soon and g[k] / t < share)):
                    soon, share, next_mode, next_own = t, g[k] / t, k, g[k]
        elif mode == LOW:
            soon, share, next_mode = math.sqrt((home - bottom) / lo), 0.0, HOME
        else:
            cost, root = a[mode], g[mode]
            t = (home - cost) / (2.0 * root)
            if t * lo <= root:
                soon, share, next_mode = t, 0.0, HOME
            if lo > 0.0:
                over = lo * (cost + root * root / lo - bottom)
                t = (bottom - cost) / (root + math.sqrt(over)) if over > 0.0 else root / lo
                if t < soon:
                    soon, share, next_mode, next_own = t, lo, LOW, -lo
            for k in range(depth):
                if g[k] < root:
                    t = (a[k] - cost) / (2.0 * (root - g[k]))
                    if t * lo <= g[k] and (t < soon or (t == soon and g[k] / t < share)):
                        soon, share, next_mode, next_own = t, g[k] / t, k, g[k]
        if not soon < math.inf:
            break
        s = max(soon, s)
        if at[n - 1] == s:
            after[n - 1] = next_own
        else:
            at[n], before[n], after[n] = s, own, next_own
            n += 1
        mode, own = next_mode, next_own
    return n


@njit
def walk_rows(
    base: Floats, work: Floats, value: Floats, low: Floats, high: Floats, local: Floats,
    first: int, last: int, at: Floats, before: Floats, after: Floats, rows: Floats,
) -> int:  # fmt: skip
    """Fill in the events of rows ``first`` to ``last - 1``, client by client; return how many."""
    depth = len(base)
    a, g = np.empty(depth), np.empty(depth)
    n = 0
    for row in range(first, last):
        end = _walk(base, work, value, low, high, local, row, a, g, at, before, after, n)
        for j in range(n, end):
            rows[j] = row
        n = end
    return n


@njit
def shares_at(
    base: Floats, work: Floats, value: Floats, low: Floats, high: Floats, local: Floats,
    rows: Ints, s: float, shares: Floats,
) -> None:  # fmt: skip
    """Fill in what the clients in ``rows`` demand at price s^2, cores."""
    depth = len(base)
    a, g = np.empty(depth), np.empty(depth)
    at, before, after = np.empty(depth + 4), np.empty(depth + 4), np.empty(depth + 4)
    for i in range(len(rows)):
        end = _walk(base, work, value, low, high, local, rows[i], a, g, at, before, after, 0)
        own = 0.0
        for j in range(end):
            if at[j] > s:
                break
            own = after[j]
        shares[i] = own / s if own > 0.0 else 0.0 - own
