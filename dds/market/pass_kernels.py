"""One loop over all clients per question, for numba: what ``passes`` does with numpy.

Pieces stand in K x N arrays as in :class:`dds.market.table.ClientTable`.  A *mode* says
how a client answers: ``4 k + 0`` on piece k at its free optimum, ``4 k + 1`` held at
its least share, ``4 k + 2`` at its largest, LOCAL without a share.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from dds.compiled import njit

__all__ = ["answer", "exact_sum", "root_total", "saving"]

Floats = NDArray[np.float64]
Modes = NDArray[np.int16]

LOCAL, UNSURE = -1, -2


@njit
def _root(work: float, price: float, slope: float) -> float:
    """The f > 0 with ``slope f^3 + price f^2 = work``, as dds.market.numbers.positive_root."""
    if price == 0.0:
        return float((work / slope) ** (1.0 / 3.0))
    start = math.sqrt(work / price)
    u = slope / price * start
    # y = f / start solves u y^3 + y^2 = 1: Newton from the right, where it is convex.
    y = 1.0
    if u > 8.0:
        y = min(1.0, u ** (-1.0 / 3.0))
    for _ in range(60):
        step = ((u * y + 1.0) * y * y - 1.0) / ((3.0 * u * y + 2.0) * y)
        y -= step
        if abs(step) <= 2e-16 * y:
            break
    return start * y


@njit
def answer(
    base: Floats, work: Floats, value: Floats, low: Floats, high: Floats,
    local: Floats, least: Floats, must: NDArray[np.bool_], price: float, slope: float, load: float,
    shares: Floats, modes: Modes,
) -> None:  # fmt: skip
    """Fill in shares and modes of everybody's answer to (price, slope, load), load finite.

    local: A of local-only, s, inf where it is ruled out; least: each client's smallest A; must:
    who asks for its least share when none is allowed.
    """
    depth = len(base)
    for i in range(len(value)):
        w, zero, lo, hi = value[i], least[i], low[i], min(high[i], load)
        best, share, mode = w * (local[i] - zero), 0.0, LOCAL
        if not lo <= hi:
            if must[i] and math.isinf(best):
                share = lo
                mode = 1
            shares[i] = share
            modes[i] = mode
            continue
        if slope == 0.0:
            for k in range(depth):
                c = w * work[k, i]
                cost, f, held = w * (base[k, i] - zero), 0.0, 0
                if cost >= best:
                    continue
                if hi * hi * price < c:
                    f, held = hi, 2
                    cost += c / f + price * f
                elif lo * lo * price > c:
                    f, held = lo, 1
                    cost += c / f + price * f
                else:
                    cost += 2.0 * math.sqrt(c * price)
                    if cost > best:
                        continue
                    f = math.sqrt(c / price)
                if cost < best or (cost == best and f < share):
                    best, share, mode = cost, f, 4 * k + held
            shares[i] = share
            modes[i] = mode
            continue
        # What a piece costs without the slope bounds what it costs; few come close to the best.
        first, bound = -1, best
        for k in range(depth):
            cost = w * (base[k, i] - zero)
            if cost >= bound:
                continue
            c = w * work[k, i]
            if hi * hi * price < c:
                cost += c / hi + price * hi
            elif lo * lo * price > c:
                cost += c / lo + price * lo
            else:
                cost += 2.0 * math.sqrt(c * price)
            if cost < bound:
                bound = cost
                first = k
        if first >= 0:
            for j in range(-1, depth):
                k = first if j < 0 else j
                cost = w * (base[k, i] - zero)
                if j == first or cost > best:
                    continue
                c = w * work[k, i]
                if j >= 0 and cost + 2.0 * math.sqrt(c * price) > best:
                    continue
                f, held = _root(c, price, slope), 0
                if f > hi:
                    f, held = hi, 2
                elif f < lo:
                    f, held = lo, 1
                cost += c / f + (price + 0.5 * slope * f) * f
                if cost < best or (cost == best and f < share):
                    best, share, mode = cost, f, 4 * k + held
        shares[i] = share
        modes[i] = mode


@njit
def root_total(roots: Floats, ratio: float) -> float:
    """``sum of g y(ratio g)`` over g in roots, where y solves ``y^2 + u y^3 = 1``."""
    total, rest = 0.0, 0.0
    for i in range(len(roots)):
        u = ratio * roots[i]
        y = 1.0
        if u > 8.0:
            y = min(1.0, u ** (-1.0 / 3.0))
        for _ in range(60):
            step = ((u * y + 1.0) * y * y - 1.0) / ((3.0 * u * y + 2.0) * y)
            y -= step
            if abs(step) <= 2e-16 * y:
                break
        term = roots[i] * y
        new = total + term
        part = new - total
        rest += (total - (new - part)) + (term - part)
        total = new
    return total + rest


@njit
def exact_sum(values: Floats) -> tuple[float, float]:
    """(sum, what rounding left over): together correct to about 2^-100 of the sum."""
    total, rest = 0.0, 0.0
    for i in range(len(values)):
        new = total + values[i]
        part = new - total
        rest += (total - (new - part)) + (values[i] - part)
        total = new
    high = total + rest
    part = high - total
    return high, (total - (high - part)) + (rest - part)


@njit
def saving(
    base: Floats, work: Floats, value: Floats, low: Floats, high: Floats, local: Floats,
    shares: Floats, price: float, left: float, right: float, room: float,
    latencies: Floats, pieces: NDArray[np.int16], savings: Floats,
) -> None:  # fmt: skip
    """Fill in latency and piece at everybody's share, and what it could save at most.

    price: pi(F); left, right: pi'(F) from either side; room: C - F.  See passes.savings.
    """
    depth = len(base)
    for i in range(len(value)):
        w, f = value[i], shares[i]
        wait, piece, c, second = local[i], LOCAL, 0.0, math.inf
        if f > 0.0:
            wait = math.inf
            for k in range(depth):
                t = base[k, i] + work[k, i] / f
                if t < wait:
                    wait, piece, c, second = t, k, work[k, i], wait
                elif t < second:
                    second = t
            if second - wait <= 1e-12 * wait:
                piece = UNSURE
        latencies[i] = wait
        pieces[i] = piece
        unit = price
        lift = 0.0
        if f > 0.0:
            unit = min(max(w * c / (f * f), price + f * left), price + f * right)
            lift = f * (price - unit)
        own = w * wait + f * price
        best = min(w * local[i], own)
        lo, hi = low[i], min(high[i], f + room)
        if lo <= hi:
            for k in range(depth):
                cost = w * base[k, i] + lift
                if cost >= best:
                    continue
                c = w * work[k, i]
                if hi * hi * unit < c:
                    cost += c / hi + unit * hi
                elif lo * lo * unit > c:
                    cost += c / lo + unit * lo
                else:
                    cost += 2.0 * math.sqrt(c * unit)
                best = min(best, cost)
        savings[i] = own - best
