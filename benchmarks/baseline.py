"""The solvers one writes in an afternoon, written well: what DDS has to beat.

``sequential`` is best response in turn: each client answers the others' present demand
exactly, in compiled code, until a whole sweep finds nobody who gains more than 1e-9 of its
cost.  It keeps everybody's latency, so that a client that stays costs no division, and it
solves only the pieces that could win: no piece costs less than at the price without oneself.
It starts from nobody having anything, or, ``warm``, from about what price-takers would buy.

``bisection`` solves a market of price-takers: one compiled pass adds up demand at a price,
and the price is bisected, in logarithms, until floats end.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np

from dds.market.numbers import Floats
from dds.market.table import ClientTable
from dds.market.tariff import Barrier, Linear, PiecewiseLinear, Power, Tariff

__all__ = ["Rows", "Swept", "bisection", "sequential"]

TOLERANCE = 1e-9
jit: Callable[..., Any] = numba.njit(error_model="numpy", nogil=True)


@dataclass(frozen=True, eq=False)
class Rows:
    """A table client by client: one client's pieces lie side by side, N x K, as turns need them."""

    base: Floats
    root: Floats  # sqrt(W)
    value: Floats
    low: Floats
    high: Floats
    local: Floats

    @classmethod
    def of(cls, table: ClientTable) -> Rows:
        """Those of ``table``."""
        return cls(
            np.ascontiguousarray(table.base.T),
            np.ascontiguousarray(np.sqrt(table.work).T),
            table.value,
            table.low,
            table.high,
            table.local_base,
        )

    def __len__(self) -> int:
        return len(self.value)

    @property
    def columns(self) -> tuple[Floats, ...]:
        """All arrays, in the order that compiled code takes them."""
        return self.base, self.root, self.value, self.low, self.high, self.local


@jit
def _linear_price(load, terms):
    return terms[0] + terms[1] * load


@jit
def _cubic(work, price, slope):
    """The f > 0 with ``f^2 price + 2 slope f^3 = work``: Newton from the right."""
    f = min(math.sqrt(work / price), (0.5 * work / slope) ** (1.0 / 3.0))
    for _ in range(60):
        step = (f * f * (price + 2.0 * slope * f) - work) / (2.0 * f * (price + 3.0 * slope * f))
        if not step > 1e-15 * f:
            break
        f -= step
    return f


@jit
def _linear_share(work, others, terms):
    return _cubic(work, terms[0] + terms[1] * others, terms[1])


@jit
def _barrier_price(load, terms):
    slack = terms[1] - load
    return terms[0] * terms[1] / slack if slack > 0.0 else math.inf


@jit
def _barrier_share(work, others, terms):
    slack = terms[1] - others
    return slack / (1.0 + math.sqrt(terms[0] * terms[1] * slack / work))


@jit
def _power_price(load, terms):
    return terms[0] + terms[1] * load ** terms[2]


@jit
def _power_share(work, others, terms):
    base, scale, k = terms
    f = min(math.sqrt(work / _power_price(others, terms)),
            (work / (scale * (1.0 + k))) ** (1.0 / (k + 2.0)))  # fmt: skip
    for _ in range(60):
        load = others + f
        power = scale * load ** (k - 2)
        price, slope, bend = base + power * load * load, power * load * k, power * k * (k - 1)
        step = (f * f * (price + f * slope) - work) / (
            f * (2.0 * price + 4.0 * f * slope + f * f * bend)
        )
        if not step > 1e-15 * f:
            break
        f -= step
    return f


@jit
def _piecewise_price(load, terms):
    loads, prices, slopes = terms
    m = np.searchsorted(loads, load, side="right") - 1
    return prices[m] + slopes[m] * (load - loads[m])


@jit
def _piecewise_share(work, others, terms):
    loads, prices, slopes = terms
    m = max(np.searchsorted(loads, others, side="right") - 1, 0)
    while True:
        f = _cubic(work, prices[m] + slopes[m] * (others - loads[m]), slopes[m])
        f = max(f, loads[m] - others)  # on a kink
        if m + 1 == len(loads) or f <= loads[m + 1] - others:
            return f
        m += 1


def _compiled(tariff: Tariff) -> tuple[Any, Any, Any]:
    """Price and best share as compiled functions, and the numbers they take."""
    if isinstance(tariff, Linear):
        return _linear_price, _linear_share, (tariff.base_price, tariff.slope)
    if isinstance(tariff, Barrier):
        return _barrier_price, _barrier_share, (tariff.base_price, tariff.capacity)
    if isinstance(tariff, Power):
        return _power_price, _power_share, (tariff.base_price, tariff.scale, tariff.exponent)
    if isinstance(tariff, PiecewiseLinear):
        loads, prices = np.array(tariff.loads), np.array(tariff.prices)
        rises = np.diff(prices) / np.diff(loads)
        return _piecewise_price, _piecewise_share, (loads, prices, np.append(rises, rises[-1]))
    raise NotImplementedError(f"no best response to {tariff.kind} here")


@jit
def _sweep(
    base, root, value, low, high, local, capacity, price_of, share_of, terms, tolerance,
    shares, latencies, total,
):  # fmt: skip
    """Everybody's turn once; how many moved and the total demand."""
    moved = 0
    for i in range(len(value)):
        w, own = value[i], shares[i]
        others = max(total - own, 0.0)
        now = w * latencies[i] + (own * price_of(total, terms) if own > 0.0 else 0.0)
        cost, share, latency = w * local[i], 0.0, local[i]
        most = min(high[i], capacity - others)
        if low[i] <= most and most > 0.0:
            unit = 2.0 * math.sqrt(price_of(others, terms) / w)
            first, least = 0, math.inf
            for k in range(base.shape[1]):
                floor = base[i, k] + unit * root[i, k]
                if floor < least:
                    first, least = k, floor
            for turn in range(base.shape[1]):
                # The most promising piece first, so that few others are left to solve.
                k = (first + turn) % base.shape[1]
                if w * (base[i, k] + unit * root[i, k]) < cost:
                    work = root[i, k] * root[i, k]
                    f = min(max(share_of(w * work, others, terms), low[i]), most)
                    spent = w * (base[i, k] + work / f) + f * price_of(others + f, terms)
                    if spent < cost:
                        cost, share, latency = spent, f, base[i, k] + work / f
        if now - cost > tolerance * now:
            shares[i], latencies[i] = share, latency
            total = others + share
            moved += 1
    return moved, total


@dataclass(frozen=True, eq=False)
class Swept:
    """Shares after some sweeps, and whether the last one moved nobody."""

    shares: Floats
    sweeps: int
    moves: int
    settled: bool


@jit
def _demand(base, root, value, low, high, local, price, shares, latencies):
    """Fill in every price-taker's share and latency; the sum of the shares."""
    total = 0.0
    for i in range(len(value)):
        w = value[i]
        unit = math.sqrt(price / w)
        cost, share, latency = local[i], 0.0, local[i]
        for k in range(base.shape[1]):
            floor = base[i, k] + 2.0 * unit * root[i, k]
            if floor < cost:
                f = min(max(root[i, k] / unit, low[i]), high[i])
                wait = base[i, k] + root[i, k] * root[i, k] / f
                spent = wait + f * price / w
                if spent < cost:
                    cost, share, latency = spent, f, wait
        shares[i], latencies[i] = share, latency
        total += share
    return total


def bisection(
    rows: Rows, tariff: Tariff, *, precision: float = 0.0
) -> tuple[float, Floats, Floats]:
    """Price, shares and latencies where price-takers' demand falls below supply.

    The price is found to ``precision``, relative, or as well as floats can.
    """
    shares, latencies = np.empty(len(rows)), np.empty(len(rows))

    def too_cheap(price: float) -> bool:
        return bool(_demand(*rows.columns, price, shares, latencies) > tariff.supply(price))

    low = high = 1.0
    while not too_cheap(low):
        low /= 4.0
    while too_cheap(high):
        high *= 4.0
    while high - low > precision * low and low < (middle := math.sqrt(low * high)) < high:
        if too_cheap(middle):
            low = middle
        else:
            high = middle
    _demand(*rows.columns, high, shares, latencies)
    return high, shares, latencies


def sequential(rows: Rows, tariff: Tariff, *, warm: bool = False, limit: float = math.inf) -> Swept:
    """Best response in turn until nobody moves, given up after ``limit`` seconds.

    warm: begin with what price-takers buy, found to 1e-4, instead of with nothing.
    """
    start = time.perf_counter()
    price_of, share_of, terms = _compiled(tariff)
    shares, latencies = np.zeros(len(rows)), rows.local.copy()
    if warm:
        _, shares, latencies = bisection(rows, tariff, precision=1e-4)
    sweeps = moves = 0
    while True:
        total = float(shares.sum())
        moved, _ = _sweep(
            *rows.columns, tariff.capacity, price_of, share_of, terms, TOLERANCE,
            shares, latencies, total,
        )  # fmt: skip
        sweeps, moves = sweeps + 1, moves + moved
        if not moved or time.perf_counter() - start > limit:
            return Swept(shares, sweeps, moves, not moved)
