"""Arithmetic that the market shares: quanta, decimals, and one cubic root."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dds.compiled import compiling_pays
from dds.errors import InvalidInput

__all__ = [
    "LARGEST",
    "SMALLEST",
    "Floats",
    "Ints",
    "as_printed",
    "exact_share",
    "exact_sum",
    "positive_root",
    "quanta_within",
    "read_quantum",
    "snapped",
    "to_quanta",
    "to_shares",
]

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]

#: Magnitudes a number may have (or be 0): wide, yet products of a few stay finite doubles.
SMALLEST, LARGEST = 1e-100, 1e100
#: A bound this close to a multiple of the quantum, relative, means that multiple.
SNAP = Fraction(1, 10**12)


def as_printed(value: float) -> Fraction:
    """The decimal that a float prints as: 0.1 is 1/10, as whoever wrote it meant."""
    return Fraction(repr(float(value)))


def read_quantum(quantum: float | Fraction | None) -> Fraction | None:
    """A quantum in cores as an exact number > 0; a float means the decimal it prints as.

    Raises InvalidInput unless it is between 1e-100 and 1e100.
    """
    if quantum is None:
        return None
    if isinstance(quantum, np.integer):
        quantum = int(quantum)
    elif isinstance(quantum, np.floating):
        quantum = float(str(quantum))  # narrower ones print fewer digits
    if isinstance(quantum, bool) or not isinstance(quantum, (int, float, Fraction)):
        raise InvalidInput(f"quantum is {quantum!r}; need cores > 0 or None")
    if isinstance(quantum, float) and not math.isfinite(quantum):
        raise InvalidInput(f"quantum is {quantum!r}; need a finite number of cores > 0")
    exact = as_printed(quantum) if isinstance(quantum, float) else Fraction(quantum)
    if not SMALLEST <= exact <= LARGEST:
        raise InvalidInput(f"quantum is {quantum!s}; need {SMALLEST:g} to {LARGEST:g} cores")
    return exact


def snapped(value: float, quantum: Fraction | None) -> Fraction:
    """The exact number a bound means: 0.3 with a quantum of 1/10 is three quanta, not 2.9..."""
    exact = Fraction(value)
    if quantum is None:
        return exact
    multiple = round(exact / quantum) * quantum
    return multiple if abs(multiple - exact) <= SNAP * exact else exact


def quanta_within(values: Floats, quantum: Fraction, *, up: bool) -> Floats:
    """Bounds in cores (inf allowed) as whole quanta, rounded up or down after snapping."""
    unit = float(quantum)
    ratio = values / unit
    whole = np.ceil(ratio) if up else np.floor(ratio)
    # Exactly where the float ratio is too close to an integer to tell, once per value.
    tame = np.where(ratio < 2.0**52, ratio, 0.5)
    near = np.abs(tame - np.rint(tame)) <= 1e-9 * tame
    distinct, place = np.unique(values[near], return_inverse=True)
    exact = [snapped(value, quantum) / quantum for value in distinct.tolist()]
    whole[near] = np.array([math.ceil(r) if up else math.floor(r) for r in exact], float)[place]
    return whole


def positive_root(work: Any, price: Any, slope: Any) -> Floats:
    """The f > 0 with ``slope f^3 + price f^2 = work``; inf where slope = price = 0.

    It minimises ``work / f + price f + slope f^2 / 2``.  Arguments broadcast; work > 0,
    slope >= 0, price >= 0 or slope > 0.  Newton from the right on the convex increasing
    branch of the cubic, in units of the starting point, where the root lies in [1/2, 1].
    """
    price, slope = np.asarray(price, float), np.asarray(slope, float)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore", under="ignore"):
        cube = np.cbrt(work / slope)
        start = np.where(price < 0.0, cube - price / slope, np.minimum(np.sqrt(work / price), cube))
        three = np.where(np.isinf(cube), 0.0, (start / cube) ** 3)
        two = price / work * start * start
        x = np.ones_like(start)
        if np.any((three > 0.0) & (two != 0.0)):
            for _ in range(8):
                x = x - ((three * x + two) * x * x - 1.0) / ((3.0 * three * x + 2.0 * two) * x)
            x = np.where(np.isfinite(x), x, 1.0)
        root: Floats = start * x
    return root


def to_shares(quanta: Any, quantum: Fraction) -> Floats:
    """Shares n q in cores, correctly rounded while n and the quantum's terms are below 2^53."""
    shares: Floats = quanta * float(quantum.numerator) / float(quantum.denominator)
    return shares


def to_quanta(shares: Any, quantum: Fraction) -> Floats:
    """The whole number of quanta nearest to each share."""
    quanta: Floats = np.rint(shares * float(quantum.denominator) / float(quantum.numerator))
    return quanta


def exact_share(share: float, quantum: Fraction | None) -> Fraction:
    """What a share in cores means: the nearest multiple of the quantum, or exactly itself."""
    exact = Fraction(share)
    return exact if quantum is None else round(exact / quantum) * quantum


def exact_sum(values: Floats) -> tuple[float, float]:
    """The rounded sum, and what rounding it left over: together exact, or to 2^-100 of it.

    An infinite sum leaves nothing over.
    """
    if compiling_pays(len(values)):
        from dds.market import sum_kernels

        high, low = sum_kernels.exact_sum(values)
        if math.isfinite(high):
            return float(high), float(low)
    plain = values.tolist()
    high = math.fsum(plain)
    return high, math.fsum((*plain, -high)) if math.isfinite(high) else 0.0
