"""Tariffs in exact arithmetic: the unit price pi(F) and its one-sided slopes.

Every tariff accepted here is convex and nondecreasing with pi >= 0 on the demands
it admits; that is all the theorems use.  "clearing" is the tariff that is 0 up to
capacity: its price is whatever clears the market.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from proofs.document import Malformed, entry, integer, number, numbers, show, text

__all__ = ["Barrier", "Piecewise", "Power", "Tariff", "read_tariff", "snapped"]

ZERO = Fraction(0)
KINDS = ("clearing", "flat", "linear", "power", "barrier", "piecewise")
#: A share, a bound or a capacity this close to a multiple of the quantum means it.
SNAP = Fraction(1, 10**12)
#: A load this close to a kink means the kink.
NEAR = Fraction(1, 10**9)


def snapped(value: Fraction, quantum: Fraction | None) -> Fraction:
    """The multiple of the quantum that ``value`` stands for, or ``value`` if there is none."""
    if quantum is None:
        return value
    multiple = round(value / quantum) * quantum
    return multiple if abs(multiple - value) <= SNAP * value else value


@dataclass(frozen=True)
class Tariff:
    """A unit price that depends on total demand F in [0, capacity].

    kind: its name in the document; capacity: C in cores, None without one.
    """

    kind: str
    capacity: Fraction | None

    def admits(self, demand: Fraction) -> bool:
        """Whether total demand F may be sold."""
        return self.capacity is None or demand <= self.capacity

    def room(self, others: Fraction, quantum: Fraction | None) -> Fraction | None:
        """The most that fits beside the others, in whole quanta if there are some.

        Beside a pole without quantum: what may not be reached.
        """
        if self.capacity is None or quantum is None:
            return None if self.capacity is None else self.capacity - others
        whole = (self.capacity - others) // quantum * quantum
        return whole if self.admits(others + whole) else whole - quantum

    def price(self, demand: Fraction) -> Fraction:
        """pi(F), credits/s per core."""
        raise NotImplementedError

    def slopes(self, demand: Fraction) -> tuple[Fraction, Fraction]:
        """Left and right derivative of pi at F: every number between them is a subgradient."""
        raise NotImplementedError

    def kink_near(self, demand: Fraction) -> Fraction:
        """The kink of pi that ``demand`` stands for, or ``demand`` if none is that near."""
        return demand


@dataclass(frozen=True)
class Power(Tariff):
    """``pi(F) = base + scale F^exponent``, exponent >= 1; also flat (scale 0) and linear."""

    base: Fraction
    scale: Fraction
    exponent: int

    def price(self, demand: Fraction) -> Fraction:
        """Base plus the power of demand."""
        return self.base + self.scale * demand**self.exponent

    def slopes(self, demand: Fraction) -> tuple[Fraction, Fraction]:
        """``scale exponent F^(exponent - 1)`` on both sides."""
        slope = self.scale * self.exponent * demand ** (self.exponent - 1)
        return slope, slope


@dataclass(frozen=True)
class Barrier(Tariff):
    """``pi(F) = base / (1 - F/C)`` for F < C: it never sells all of its capacity."""

    base: Fraction
    pole: Fraction  # the capacity again, never None

    def admits(self, demand: Fraction) -> bool:
        """Strictly below capacity."""
        return demand < self.pole

    def price(self, demand: Fraction) -> Fraction:
        """``base C / (C - F)``."""
        return self.base * self.pole / (self.pole - demand)

    def slopes(self, demand: Fraction) -> tuple[Fraction, Fraction]:
        """``base C / (C - F)^2`` on both sides."""
        slope = self.price(demand) / (self.pole - demand)
        return slope, slope


@dataclass(frozen=True)
class Piecewise(Tariff):
    """Straight lines through (loads[m], prices[m]), loads[0] = 0; the last slope goes on."""

    loads: tuple[Fraction, ...]
    prices: tuple[Fraction, ...]
    steps: tuple[Fraction, ...]  # slope right of each load

    def price(self, demand: Fraction) -> Fraction:
        """The line of the segment that demand lies on."""
        m = bisect_right(self.loads, demand) - 1
        return self.prices[m] + self.steps[m] * (demand - self.loads[m])

    def slopes(self, demand: Fraction) -> tuple[Fraction, Fraction]:
        """The slopes of the segments that end and begin at demand."""
        left = max(bisect_left(self.loads, demand) - 1, 0)
        return self.steps[left], self.steps[bisect_right(self.loads, demand) - 1]

    def kink_near(self, demand: Fraction) -> Fraction:
        """The table's load within 1e-9 of demand: X + g is seldom a short decimal exactly."""
        m = bisect_left(self.loads, demand)
        near = min(self.loads[max(m - 1, 0) : m + 1], key=lambda load: abs(load - demand))
        left, right = self.slopes(near)
        # Where the slope stays the same there is no kink, and a witness is best left alone.
        return near if left != right and abs(near - demand) <= NEAR * demand else demand


def read_tariff(holder: Any, quantum: Fraction | None) -> Tariff:
    """The tariff of a document; raises Malformed unless it is convex and nondecreasing."""
    fields = entry(holder, "tariff", "")

    def value(key: str) -> Fraction:
        return number(fields, key, "tariff")

    def limit() -> Fraction:
        return snapped(number(fields, "capacity", "tariff", positive=True), quantum)

    kind = text(fields, "kind", "tariff", KINDS)
    if kind == "clearing":
        return Power(kind, limit(), ZERO, ZERO, 1)
    if kind == "barrier":
        return Barrier(kind, pole := limit(), value("base_price"), pole)
    capacity = None if entry(fields, "capacity", "tariff") is None else limit()
    if kind == "flat":
        return Power(kind, capacity, value("price"), ZERO, 1)
    if kind == "linear":
        return Power(kind, capacity, value("base_price"), value("slope"), 1)
    if kind == "power":
        exponent = integer(fields, "exponent", "tariff", least=1, most=16)
        return Power(kind, capacity, value("base_price"), value("scale"), exponent)
    return Piecewise(kind, capacity, *_segments(fields))


def _segments(fields: Any) -> tuple[tuple[Fraction, ...], ...]:
    """Loads, prices and the slope right of each load, if they are convex and nondecreasing."""
    loads, prices = (numbers(fields, key, "tariff") for key in ("loads", "prices"))
    if len(loads) != len(prices):
        raise Malformed(f"tariff has {len(loads)} loads but {len(prices)} prices")
    if loads[0] != 0:
        raise Malformed(f"tariff.loads[0] is {show(loads[0])}, not 0")
    steps = [ZERO]
    for m in range(1, len(loads)):
        if loads[m] <= loads[m - 1]:
            raise Malformed(f"tariff.loads[{m}] {show(loads[m])} is not above the one before it")
        steps.append((prices[m] - prices[m - 1]) / (loads[m] - loads[m - 1]))
        if steps[m] < steps[m - 1]:
            raise Malformed(f"tariff.prices[{m}] {show(prices[m])} makes pi fall or bend down")
    return tuple(loads), tuple(prices), (*steps[1:], steps[-1])
