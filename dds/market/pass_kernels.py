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
#: Clients worked on at a time, so that what concerns them stays in the cache.
CHUNK = 1024
#: A share that large bounds nobody.
FAR = 1e150


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
def _pays(bases: Floats, roots: Floats, unit: Floats, costs: Floats) -> None:
    """``A + 2 sqrt(W) unit``: the least of ``A + W / f + unit^2 f`` over f."""
    for i in range(len(costs)):
        costs[i] = bases[i] + 2.0 * unit[i] * roots[i]


@njit
def _bounded_pays(
    bases: Floats, roots: Floats, unit: Floats, least: Floats, most: Floats, costs: Floats
) -> None:
    """The same over f within least..most, where most is finite."""
    for i in range(len(costs)):
        r, u = roots[i], unit[i]
        f = r / u
        f = f if f < most[i] else most[i]
        f = f if f > least[i] else least[i]
        costs[i] = bases[i] + r * r / f + u * u * f


@njit
def _waits(bases: Floats, roots: Floats, shares: Floats, costs: Floats) -> None:
    """``A + W / f``."""
    for i in range(len(costs)):
        costs[i] = bases[i] + roots[i] * roots[i] / shares[i]


@njit
def _pick(costs: Floats, this: float, best: Floats, second: Floats, piece: Floats) -> None:
    """Take ``costs``, those of piece ``this``, into the two least so far.

    Plain selects over few arrays: LLVM turns this loop, and those above, into vector code.
    """
    for i in range(len(costs)):
        cost, least, next_ = costs[i], best[i], second[i]
        piece[i] = this if cost < least else piece[i]
        larger = cost if cost > least else least
        second[i] = larger if larger < next_ else next_
        best[i] = cost if cost < least else least


@njit
def _cheapest(
    base: Floats, root: Floats, begin: int, unit: Floats, least: Floats, most: Floats,
    bounded: bool, costs: Floats, best: Floats, second: Floats, piece: Floats,
) -> None:  # fmt: skip
    """The two least ``A + W / f + unit^2 f`` over pieces, shares and what best holds; seconds.

    For the clients from ``begin`` on, one per entry of the other arrays.  root is sqrt(W), unit
    is sqrt(price / w), piece becomes where the least is.
    """
    end = begin + len(best)
    for k in range(len(base)):
        if bounded:
            _bounded_pays(base[k, begin:end], root[k, begin:end], unit, least, most, costs)
        else:
            _pays(base[k, begin:end], root[k, begin:end], unit, costs)
        _pick(costs, float(k), best, second, piece)


@njit
def answer(
    base: Floats, root: Floats, value: Floats, low: Floats, high: Floats, local: Floats,
    must: NDArray[np.bool_], guess: Floats, price: float, slope: float, load: float,
    shares: Floats, modes: Modes,
) -> None:  # fmt: skip
    """Fill in shares and modes of everybody's answer to (price, slope, load), load finite.

    root: sqrt(W); local: A of local-only, s, inf where it is ruled out; must: who asks for its
    least share when none is allowed; guess: about everybody's share, or nothing.

    For any g, ``p f + d f^2 / 2 >= (p + d g) f - d g^2 / 2``: no piece costs less than at that
    constant price.  So the cheapest there is the answer if what it really costs is below what
    the second cheapest costs there; rarely all pieces must be compared.
    """
    depth, count = len(base), len(value)
    known = slope > 0.0 and len(guess) > 0
    scratch = np.empty((8, min(CHUNK, count)))
    for begin in range(0, count, CHUNK):
        size = min(CHUNK, count - begin)
        unit, least, most = scratch[0, :size], scratch[1, :size], scratch[2, :size]
        best, second, piece = scratch[3, :size], scratch[4, :size], scratch[5, :size]
        credit, costs = scratch[6, :size], scratch[7, :size]
        bounded = price == 0.0
        for i in range(size):
            j = begin + i
            least[i], most[i] = low[j], min(high[j], load)
            bounded |= (least[i] > 0.0) | (most[i] < FAR)
        for i in range(size):
            j = begin + i
            g = guess[j] if known else 0.0
            unit[i] = math.sqrt((price + slope * g) / value[j])
            # Local-only pays nothing; the credit of the others is added to it instead.
            credit[i] = 0.5 * slope * g * g / value[j]
            best[i] = local[j] + credit[i]
            second[i], piece[i] = math.inf, LOCAL
        _cheapest(base, root, begin, unit, least, most, bounded, costs, best, second, piece)
        for i in range(size):
            j, k = begin + i, int(piece[i])
            w, lo, hi = value[j], least[i], most[i]
            shares[j], modes[j] = 0.0, LOCAL
            if not lo <= hi:
                if must[j] and math.isinf(local[j]):
                    shares[j], modes[j] = lo, 1
                continue
            cost = local[j]
            if k >= 0:
                r = root[k, j]
                f, mode = _share(r, w, price, slope, lo, hi, k)
                spent = best[i]
                if slope > 0.0:
                    spent = base[k, j] + r * r / f + (price + 0.5 * slope * f) * f / w
                if spent < cost:
                    cost, shares[j], modes[j] = spent, f, mode
            if cost + credit[i] < second[i]:
                continue
            for other in range(depth):
                r, g = root[other, j], shares[j]
                floor = base[other, j] + 2.0 * r * math.sqrt((price + slope * g) / w)
                if other != k and floor - 0.5 * slope * g * g / w <= cost:
                    f, mode = _share(r, w, price, slope, lo, hi, other)
                    spent = base[other, j] + r * r / f + (price + 0.5 * slope * f) * f / w
                    if spent < cost or (spent == cost and f < g):
                        cost, shares[j], modes[j] = spent, f, mode


@njit
def _share(
    root: float, w: float, price: float, slope: float, lo: float, hi: float, k: int
) -> tuple[float, int]:
    """Share and mode on piece k."""
    f = root * math.sqrt(w / price) if slope == 0.0 else _root(w * root * root, price, slope)
    if f > hi:
        return hi, 4 * k + 2
    if f < lo:
        return lo, 4 * k + 1
    return f, 4 * k


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
    base: Floats, root: Floats, value: Floats, low: Floats, high: Floats, local: Floats,
    shares: Floats, price: float, left: float, right: float, room: float,
    latencies: Floats, pieces: NDArray[np.int16], savings: Floats,
) -> None:  # fmt: skip
    """Fill in latency and piece at everybody's share, and what it could save at most.

    price: pi(F); left, right: pi'(F) from either side; room: C - F.  See passes.standing.
    """
    count = len(value)
    scratch = np.empty((7, min(CHUNK, count)))
    for begin in range(0, count, CHUNK):
        end = min(begin + CHUNK, count)
        size = end - begin
        unit, least, most = scratch[0, :size], scratch[1, :size], scratch[2, :size]
        best, second, piece = scratch[3, :size], scratch[4, :size], scratch[5, :size]
        costs = scratch[6, :size]
        best[:], second[:], piece[:] = math.inf, math.inf, LOCAL
        for k in range(len(base)):
            _waits(base[k, begin:end], root[k, begin:end], shares[begin:end], costs)
            _pick(costs, float(k), best, second, piece)
        bounded = price == 0.0
        for i in range(size):
            j = begin + i
            f, w, s = shares[j], value[j], price
            latencies[j], pieces[j] = local[j], LOCAL
            if f > 0.0:
                latencies[j] = best[i]
                pieces[j] = UNSURE if second[i] - best[i] <= 1e-12 * best[i] else int(piece[i])
                wanted = w * (root[int(piece[i]), j] / f) ** 2
                s = min(max(wanted, price + f * left), price + f * right)
            unit[i] = math.sqrt(s / w)
            least[i], most[i] = low[j], min(high[j], f + room)
            bounded = bounded or least[i] > 0.0 or most[i] < FAR
            # What the tangent adds to the cost of every share but none, as in answer.
            best[i] = local[j] + f * (s - price) / w
        _cheapest(base, root, begin, unit, least, most, bounded, costs, best, second, piece)
        for i in range(size):
            j = begin + i
            f, w = shares[j], value[j]
            lift = f * (unit[i] * unit[i] - price / w)
            reach = best[i] if least[i] <= most[i] else local[j] + lift
            savings[j] = w * (latencies[j] + f * price / w + lift - reach)
