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

__all__ = ["answer", "enclose", "root_totals", "saving", "settle"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Modes = NDArray[np.int16]

LOCAL, UNSURE = -1, -2
#: Clients worked on at a time, so that what concerns them stays in the cache.
CHUNK = 1024
#: Latencies closer than this, relative, are compared in rationals.
CLOSE = 1e-12
#: A share that large bounds nobody.
FAR = 1e150
#: From this u on, ``y^2 + u y^3 = 1`` is ``u y^3 = 1``, to rounding.
STEEP = 1e60
#: A slope so large beside the price makes u that large, for all but absurd clients.
FLAT = 1e40


@njit
def _root(work: float, price: float, slope: float) -> float:
    """The f > 0 with ``slope f^3 + price f^2 = work``, as dds.market.numbers.positive_root."""
    start = math.sqrt(work / price)
    u = slope / price * start
    if not u < STEEP:  # the price adds nothing
        return float((work / slope) ** (1.0 / 3.0))
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
        f = min(most[i], f)
        f = max(least[i], f)
        costs[i] = bases[i] + r * r / f + u * u * f


@njit
def _waits(bases: Floats, roots: Floats, slowness: Floats, costs: Floats) -> None:
    """``A + W / f``, slowness = 1 / f."""
    for i in range(len(costs)):
        costs[i] = bases[i] + roots[i] * roots[i] * slowness[i]


@njit
def _pick(costs: Floats, this: float, best: Floats, second: Floats, piece: Floats) -> None:
    """Take ``costs``, those of piece ``this``, into the two least so far.

    Plain selects over few arrays: LLVM turns this loop, and those above, into vector code.
    """
    for i in range(len(costs)):
        cost, least, next_ = costs[i], best[i], second[i]
        piece[i] = this if cost < least else piece[i]
        larger = max(least, cost)
        second[i] = min(next_, larger)
        best[i] = min(least, cost)


@njit
def _start(roots: Floats, ratio: float, y: Floats) -> None:
    """Fill in y within 1e-5, where ``y^2 + u y^3 = 1`` and u = ratio g.

    ``y = 1 / sqrt(1 + u y)`` halves the error's logarithm, Halley's step cubes the error; both
    are vector code, unlike a power.
    """
    for i in range(len(roots)):
        u = ratio * roots[i]
        x = 1.0 / math.sqrt(1.0 + math.sqrt(u))
        x = 1.0 / math.sqrt(1.0 + u * x)
        x = 1.0 / math.sqrt(1.0 + u * x)
        y[i] = 1.0 / math.sqrt(1.0 + u * x)
    for _ in range(2):
        _halley(roots, ratio, y)


@njit
def _halley(roots: Floats, ratio: float, y: Floats) -> None:
    """One step of Halley's method."""
    for i in range(len(roots)):
        u, x = ratio * roots[i], y[i]
        f = (u * x + 1.0) * x * x - 1.0
        first, half = (3.0 * u * x + 2.0) * x, 3.0 * u * x + 1.0
        y[i] = x - f * first / (first * first - f * half)


@njit
def _steep_pays(
    bases: Floats, roots: Floats, unit: Floats, slope: float, value: Floats, least: Floats,
    most: Floats, y: Floats, costs: Floats,
) -> None:  # fmt: skip
    """The least of ``A + W / f + unit^2 f + slope f^2 / 2 w`` over f within least..most.

    With f = y sqrt(W) / unit this is the cubic of :func:`_start`, u = slope f / (w unit^2).
    """
    for i in range(len(costs)):
        costs[i] = slope * roots[i] / (value[i] * unit[i] * unit[i] * unit[i])
    _start(costs, 1.0, y)
    _halley(costs, 1.0, y)
    for i in range(len(costs)):
        r, t = roots[i], unit[i]
        f = max(least[i], min(most[i], y[i] * r / t))
        costs[i] = bases[i] + r * r / f + (t * t + 0.5 * slope * f / value[i]) * f


@njit
def _cheapest(
    base: Floats, root: Floats, begin: int, unit: Floats, slope: float, value: Floats,
    least: Floats, most: Floats, bounded: bool,
    costs: Floats, spare: Floats, best: Floats, second: Floats, piece: Floats,
) -> None:  # fmt: skip
    """The two least ``A + W / f + unit^2 f + slope f^2 / 2 w`` over pieces, shares, and ``best``.

    For the clients from ``begin`` on, one per entry of the other arrays; seconds.  root is
    sqrt(W), unit is sqrt(price / w), piece becomes where the least is.
    """
    end = begin + len(best)
    for k in range(len(base)):
        bases, roots = base[k, begin:end], root[k, begin:end]
        if slope > 0.0:
            _steep_pays(bases, roots, unit, slope, value[begin:end], least, most, spare, costs)
        elif bounded:
            _bounded_pays(bases, roots, unit, least, most, costs)
        else:
            _pays(bases, roots, unit, costs)
        _pick(costs, float(k), best, second, piece)


@njit
def answer(
    base: Floats, root: Floats, value: Floats, low: Floats, high: Floats, local: Floats,
    must: NDArray[np.bool_], price: float, slope: float, load: float,
    shares: Floats, modes: Modes,
) -> None:  # fmt: skip
    """Fill in shares and modes of everybody's answer to (price, slope, load), load finite.

    root: sqrt(W); local: A of local-only, s, inf where it is ruled out; must: who asks for its
    least share when none is allowed.

    The slope only adds to the cost.  So the piece that is cheapest without it is the answer if
    what it really costs is below what the second cheapest costs without; where that decides
    for few clients, what every piece really costs is worked out.
    """
    count = len(value)
    flat = slope > FLAT * price**1.5
    scratch = np.empty((8, min(CHUNK, count)))
    for begin in range(0, count, CHUNK):
        size = min(CHUNK, count - begin)
        unit, least, most = scratch[0, :size], scratch[1, :size], scratch[2, :size]
        best, second, piece = scratch[3, :size], scratch[4, :size], scratch[5, :size]
        costs, spare = scratch[6, :size], scratch[7, :size]
        bounded = _bounds(low, high, begin, load, price, least, most)
        _units(value, begin, price, unit)
        steep = 0.0
        for _ in range(2):
            best[:], second[:], piece[:] = local[begin : begin + size], math.inf, LOCAL
            _cheapest(
                base, root, begin, unit, steep, value, least, most, bounded,
                costs, spare, best, second, piece,
            )  # fmt: skip
            open_ = 0
            for i in range(size):
                j, k = begin + i, int(piece[i])
                w, lo, hi, cost = value[j], least[i], most[i], local[j]
                shares[j], modes[j] = 0.0, LOCAL
                if not lo <= hi:
                    if must[j] and math.isinf(cost):
                        shares[j], modes[j] = lo, 1
                    costs[i] = -math.inf
                    continue
                if k >= 0:
                    r = root[k, j]
                    f, mode = _share(r, w, price, slope, lo, hi, k)
                    spent = best[i]
                    if slope > 0.0:
                        spent = base[k, j] + r * r / f + (price + 0.5 * slope * f) * f / w
                    if spent < cost:
                        cost, shares[j], modes[j] = spent, f, mode
                costs[i] = cost
                open_ += cost >= second[i]
            if steep == slope or flat or 8 * open_ < size:
                break
            steep = slope
        for i in range(size):
            if costs[i] >= second[i]:
                j = begin + i
                shares[j], modes[j] = _compared(
                    base[:, j], root[:, j], value[j], price, slope, least[i], most[i],
                    costs[i], shares[j], modes[j],
                )  # fmt: skip


@njit
def _bounds(
    low: Floats, high: Floats, begin: int, load: float, price: float, least: Floats, most: Floats
) -> bool:
    """Fill in the bounds of the clients from ``begin`` on; whether any may bind."""
    bounded = price == 0.0
    for i in range(len(least)):
        least[i], most[i] = low[begin + i], min(high[begin + i], load)
        bounded |= (least[i] > 0.0) | (most[i] < FAR)
    return bounded


@njit
def _units(value: Floats, begin: int, price: float, unit: Floats) -> None:
    """Fill in sqrt(price / w)."""
    for i in range(len(unit)):
        unit[i] = math.sqrt(price / value[begin + i])


@njit
def _compared(
    base: Floats, root: Floats, w: float, price: float, slope: float, lo: float, hi: float,
    cost: float, share: float, mode: int,
) -> tuple[float, int]:  # fmt: skip
    """The best answer of one client by its pieces' real costs, from one it knows."""
    for k in range(len(base)):
        r = root[k]
        floor = base[k] + 2.0 * r * math.sqrt((price + slope * share) / w)
        if k != mode >> 2 and floor - 0.5 * slope * share * share / w <= cost:
            f, here = _share(r, w, price, slope, lo, hi, k)
            spent = base[k] + r * r / f + (price + 0.5 * slope * f) * f / w
            if spent < cost or (spent == cost and f < share):
                cost, share, mode = spent, f, here
    return share, mode


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
def enclose(
    base: Floats, root: Floats, value: Floats, low: Floats, high: Floats, local: Floats,
    must: NDArray[np.bool_], price: float, slope: float, dearer: float, steeper: float,
    load: float, modes: Modes, amounts: Floats,
) -> None:  # fmt: skip
    """Fill in the mode that is best at every quote from (price, slope) to (dearer, steeper).

    Costs rise with price and slope.  So a piece is best throughout if what it costs at the upper
    quote is no more than what any other costs at the lower one; UNSURE where that is not shown.
    amounts: ``sqrt(w W)`` of a client free on its piece, the share of one held at a bound.
    """
    count = len(value)
    flat = slope > FLAT * price**1.5
    stretch = max(dearer / price, steeper / slope if slope > 0.0 else 1.0)
    scratch = np.empty((8, min(CHUNK, count)))
    for begin in range(0, count, CHUNK):
        size = min(CHUNK, count - begin)
        unit, least, most = scratch[0, :size], scratch[1, :size], scratch[2, :size]
        best, second, piece = scratch[3, :size], scratch[4, :size], scratch[5, :size]
        costs, spare = scratch[6, :size], scratch[7, :size]
        bounded = _bounds(low, high, begin, load, price, least, most)
        _units(value, begin, price, unit)
        steep = 0.0
        for _ in range(2):
            best[:], second[:], piece[:] = local[begin : begin + size], math.inf, LOCAL
            _cheapest(
                base, root, begin, unit, steep, value, least, most, bounded,
                costs, spare, best, second, piece,
            )  # fmt: skip
            open_ = 0
            for i in range(size):
                j, k = begin + i, int(piece[i])
                w, lo, hi, cost = value[j], least[i], most[i], local[j]
                modes[j], amounts[j] = LOCAL, 0.0
                if not lo <= hi:
                    if must[j] and math.isinf(cost):
                        modes[j], amounts[j] = 1, lo
                    continue
                if k >= 0:
                    r = root[k, j]
                    f, _ = _share(r, w, price, slope, 0.0, math.inf, k)
                    if f > hi * stretch:
                        modes[j], amounts[j] = 4 * k + 2, hi
                    elif f < lo:
                        modes[j], amounts[j] = 4 * k + 1, lo
                    elif lo * stretch <= f <= hi:
                        modes[j], amounts[j] = 4 * k, r * math.sqrt(w)
                    else:
                        modes[j] = UNSURE
                    f = max(lo, min(f, hi))
                    cost = base[k, j] + r * r / f + (dearer + 0.5 * steeper * f) * f / w
                if cost > second[i]:
                    modes[j], amounts[j] = UNSURE, 0.0
                    open_ += 1
            if steep == slope or flat or 8 * open_ < size:
                break
            steep = slope


@njit
def root_totals(roots: Floats, ratios: Floats, totals: Floats) -> None:
    """Fill in ``sum of g y(r g)`` over g in roots for every r in ratios, rising and close.

    y solves ``y^2 + u y^3 = 1``, u = r g; each ratio starts where the last one ended.  The sum
    is plain within a chunk and compensated over chunks.
    """
    totals[:] = 0.0
    rests = np.zeros(len(ratios))
    scratch = np.empty(CHUNK)
    for begin in range(0, len(roots), CHUNK):
        part = roots[begin : begin + CHUNK]
        y = scratch[: len(part)]
        _start(part, ratios[0], y)
        for n in range(len(ratios)):
            for _ in range(2):
                _halley(part, ratios[n], y)
            term = 0.0
            for i in range(len(part)):
                term += part[i] * y[i]
            new = totals[n] + term
            gone = new - totals[n]
            rests[n] += (totals[n] - (new - gone)) + (term - gone)
            totals[n] = new
    totals += rests


@njit
def settle(modes: Modes, amounts: Floats, price: float, slope: float, shares: Floats) -> None:
    """Fill in the shares at one quote of those enclosed; 0 for those that are UNSURE."""
    ratio, rise = slope / (price * math.sqrt(price)), 1.0 / math.sqrt(price)
    scratch = np.empty(CHUNK)
    for begin in range(0, len(modes), CHUNK):
        end = min(begin + CHUNK, len(modes))
        y, part = scratch[: end - begin], amounts[begin:end]
        y[:] = 1.0
        if ratio > 0.0:
            _start(part, ratio, y)
            for _ in range(2):
                _halley(part, ratio, y)
        for i in range(len(part)):
            held = (modes[begin + i] < 0) | ((modes[begin + i] & 3) > 0)
            shares[begin + i] = part[i] if held else part[i] * y[i] * rise


@njit
def _fastest(
    base: Floats, work: Floats, shares: Floats, begin: int, rows: Ints, best: Floats,
    second: Floats, piece: Floats,
) -> None:  # fmt: skip
    """The two least ``A + W / f`` of the clients ``begin + rows``, one by one."""
    for i in rows:
        f = shares[begin + i]
        for k in range(len(base)):
            wait = base[k, begin + i] + work[k, begin + i] / f
            if wait < best[i]:
                best[i], second[i], piece[i] = wait, best[i], float(k)
            elif wait < second[i]:
                second[i] = wait


@njit
def saving(
    base: Floats, root: Floats, work: Floats, value: Floats, low: Floats, high: Floats,
    local: Floats, shares: Floats, price: float, left: float, right: float, room: float,
    latencies: Floats, pieces: NDArray[np.int16], savings: Floats,
) -> None:  # fmt: skip
    """Fill in latency and piece at everybody's share, and what it could save at most.

    price: pi(F); left, right: pi'(F) from either side; room: C - F.  See passes.standing.
    """
    count = len(value)
    scratch = np.empty((8, min(CHUNK, count)))
    for begin in range(0, count, CHUNK):
        end = min(begin + CHUNK, count)
        size = end - begin
        unit, least, most = scratch[0, :size], scratch[1, :size], scratch[2, :size]
        best, second, piece = scratch[3, :size], scratch[4, :size], scratch[5, :size]
        costs = scratch[6, :size]
        fastest, second[:], piece[:] = scratch[7, :size], math.inf, LOCAL
        fastest[:] = math.inf
        sold = np.flatnonzero(shares[begin:end])
        if 4 * len(sold) < size:
            _fastest(base, work, shares, begin, sold, fastest, second, piece)
        else:
            for i in range(size):
                unit[i] = 1.0 / shares[begin + i]
            for k in range(len(base)):
                _waits(base[k, begin:end], root[k, begin:end], unit, costs)
                _pick(costs, float(k), fastest, second, piece)
        _units(value, begin, price, unit)
        latencies[begin:end], pieces[begin:end] = local[begin:end], LOCAL
        bounded = price == 0.0
        for i in range(size):
            least[i], most[i] = low[begin + i], min(high[begin + i], shares[begin + i] + room)
            bounded |= (least[i] > 0.0) | (most[i] < FAR)
        best[:] = local[begin:end]
        for place in range(len(sold)):
            i = int(sold[place])
            j, k = begin + i, int(piece[i])
            f, w = shares[j], value[j]
            latencies[j] = base[k, j] + work[k, j] / f
            pieces[j] = UNSURE if second[i] - fastest[i] <= CLOSE * fastest[i] else k
            s = min(max(w * work[k, j] / (f * f), price + f * left), price + f * right)
            unit[i] = math.sqrt(s / w)
            # What the tangent adds to the cost of every share but none.
            best[i] += f * (s - price) / w
        _cheapest(
            base, root, begin, unit, 0.0, value, least, most, bounded,
            costs, costs, best, second, piece,
        )  # fmt: skip
        for i in range(size):
            j = begin + i
            spent = latencies[j] + shares[j] * unit[i] * unit[i]
            savings[j] = max(value[j] * (spent - best[i]), 0.0)
        for i in range(size):
            if not least[i] <= most[i]:  # nothing but local-only is open
                j = begin + i
                own = latencies[j] + shares[j] * price / value[j]
                savings[j] = max(value[j] * (own - local[j]), 0.0)
