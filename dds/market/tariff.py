"""Tariffs: the unit price pi(F) that the operator posts for total demand F.

Every tariff is nonnegative, nondecreasing and convex on the demands it can serve:
the existence of an equilibrium and the solver rest on that, so a tariff that is
not is refused with the condition that fails.  A lease of f cores costs
``f pi(F)`` credits/s.  Prices come as floats and exactly, Fraction to Fraction.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, fields
from fractions import Fraction
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from dds.errors import Infeasible, InvalidInput
from dds.market.numbers import LARGEST, SMALLEST, Floats, as_printed, positive_root, snapped

__all__ = ["Barrier", "Clearing", "Flat", "Linear", "PiecewiseLinear", "Power", "Tariff"]

#: Beyond it F^exponent leaves the range of doubles at loads a server could have.
MAX_EXPONENT = 16


class Tariff(ABC):
    """What every tariff offers; a new one is one subclass and one line in tariff_json.py.

    kind: its name in files; capacity: C in cores, inf without a limit; strict: whether
    total demand must stay strictly below C (a pole) or may reach it.
    """

    kind: ClassVar[str]
    strict: ClassVar[bool] = False
    capacity: float

    def room(self, quantum: Fraction | None = None) -> Fraction | None:
        """C exactly, None without a limit; snapped to the multiple of the quantum it means."""
        return None if math.isinf(self.capacity) else snapped(self.capacity, quantum)

    def admits(self, load: Fraction, quantum: Fraction | None = None) -> bool:
        """Whether ``load`` cores may be sold; decided exactly."""
        room = self.room(quantum)
        return room is None or (load < room if self.strict else load <= room)

    def room_quanta(self, quantum: Fraction) -> float:
        """How many whole quanta may be sold in all; inf without a limit."""
        room = self.room(quantum)
        if room is None:
            return math.inf
        whole = room // quantum
        return float(whole - (self.strict and whole * quantum == room))

    def price_at(self, load: float) -> float:
        """pi(F), credits/s per core, correctly rounded; inf where F may not be sold."""
        exact = Fraction(load)
        return float(self.exact_price(exact)) if self.admits(exact) else math.inf

    def slope_at(self, load: float) -> float:
        """pi'(F), right derivative, credits/s per core^2; inf where F may not be sold."""
        exact = Fraction(load)
        return float(self.exact_slope(exact)) if self.admits(exact) else math.inf

    @abstractmethod
    def exact_price(self, load: Fraction, quantum: Fraction | None = None) -> Fraction:
        """pi(F) in rationals; a hard capacity is the caller's to keep."""

    @abstractmethod
    def exact_slope(self, load: Fraction, quantum: Fraction | None = None) -> Fraction:
        """The right derivative pi'(F) in rationals."""

    def exact_left_slope(self, load: Fraction, quantum: Fraction | None = None) -> Fraction:
        """The left derivative of pi at F; differs from the right one only at a kink."""
        return self.exact_slope(load, quantum)

    @abstractmethod
    def prices_at(self, loads: Floats) -> Floats:
        """pi at every load, any shape; inf at and beyond a pole."""

    def rounding(self, loads: Floats) -> Floats:
        """Relative rounding error that :meth:`prices_at` may carry."""
        return np.full_like(loads, 1e-14)

    @abstractmethod
    def supply(self, price: float) -> float:
        """The largest F <= C with pi(F) <= price, to rounding; 0 if pi(0) is above it."""

    @abstractmethod
    def best_shares(self, work: Floats, others: Floats) -> Floats:
        """The f that minimises ``work / f + f pi(X + f)``, whatever the bounds on f.

        work: w W > 0, credits; others: X >= 0, cores, below any pole; the shapes broadcast.
        The cost is convex in f, so with bounds the nearest bound is best.  inf where more is
        always better.
        """

    def to_json(self) -> dict[str, Any]:
        """``{"kind": ..., fields...}`` as plain JSON values; capacity null without a limit."""
        plain: dict[str, Any] = {"kind": self.kind}
        for field in fields(self):  # type: ignore[arg-type]  # every subclass is a dataclass
            value = getattr(self, field.name)
            plain[field.name] = list(value) if isinstance(value, tuple) else value
        if math.isinf(self.capacity):
            plain["capacity"] = None
        return plain


def _set(tariff: Tariff, *, positive: Sequence[str] = (), **values: Any) -> None:
    """Check fields (finite and >= 0; > 0 where named; capacity may be inf) and store floats."""
    for name, value in values.items():
        unbounded = name == "capacity" and not tariff.strict and tariff.kind != "clearing"
        object.__setattr__(
            tariff, name, _number(f"tariff.{name}", value, name in positive, unbounded)
        )


def _number(place: str, value: Any, positive: bool, unbounded: bool = False) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidInput(f"{place} is {value!r}; need a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.nan
    if unbounded and number == math.inf:
        return number
    if not (0.0 <= number <= LARGEST) or 0.0 < number < SMALLEST or (positive and number == 0.0):
        least = "" if positive else "0 or "
        shown = ascii(value) if isinstance(value, float) else "an integer out of range"
        raise InvalidInput(f"{place} is {shown}; need {least}{SMALLEST:g} to {LARGEST:g}")
    return number


def _refuse_decreasing(name: str, value: Any) -> None:
    if isinstance(value, (int, float)) and value < 0:
        raise Infeasible(
            f"tariff.{name} is {value!r}: the price would fall with demand (decreasing), "
            "and no theorem covers that; need >= 0"
        )


@dataclass(frozen=True)
class Flat(Tariff):
    """``pi(F) = price`` for F <= capacity."""

    kind = "flat"
    price: float
    capacity: float = math.inf

    def __post_init__(self) -> None:
        _set(self, price=self.price, capacity=self.capacity, positive=("capacity",))

    def exact_price(self, load: Fraction, quantum: Fraction | None = None) -> Fraction:
        """The price, whatever the demand."""
        return Fraction(self.price)

    def exact_slope(self, load: Fraction, quantum: Fraction | None = None) -> Fraction:
        """Zero."""
        return Fraction(0)

    def prices_at(self, loads: Floats) -> Floats:
        """The price, everywhere."""
        return np.full_like(loads, self.price)

    def supply(self, price: float) -> float:
        """All of the capacity from its price on."""
        return self.capacity if price >= self.price else 0.0

    def best_shares(self, work: Floats, others: Floats) -> Floats:
        """``f = sqrt(w W / p)``."""
        return positive_root(work, self.price + 0.0 * others, 0.0)


@dataclass(frozen=True)
class Clearing(Tariff):
    """The flat price that clears capacity: 0 if demand at price 0 fits, else F(p) = C.

    Nobody moves it by anticipating it, so Nash and competitive coincide.  As a
    function of demand it is 0 up to C; the price itself comes out of the auction.
    """

    kind = "clearing"
    capacity: float

    def __post_init__(self) -> None:
        _set(self, capacity=self.capacity, positive=("capacity",))

    def exact_price(self, load: Fraction, quantum: Fraction | None = None) -> Fraction:
        """Zero: the least price at which the operator sells F."""
        return Fraction(0)

    def exact_slope(self, load: Fraction, quantum: Fraction | None = None) -> Fraction:
        """Zero."""
        return Fraction(0)

    def prices_at(self, loads: Floats) -> Floats:
        """Zero everywhere."""
        return np.zeros_like(loads)

    def supply(self, price: float) -> float:
        """All of the capacity, at any price."""
        return self.capacity

    def best_shares(self, work: Floats, others: Floats) -> Floats:
        """At price 0 more is always better."""
        return np.full(np.broadcast(work, others).shape, math.inf)


@dataclass(frozen=True)
class Power(Tariff):
    """``pi(F) = base_price + scale F^exponent`` for F <= capacity, exponent an integer >= 1.

    Raises Infeasible for exponent < 1 (concave) or scale < 0 (decreasing), InvalidInput for an
    exponent that is not an integer (certificates are exact) or too large.
    """

    kind = "power"
    base_price: float
    scale: float
    exponent: int
    capacity: float = math.inf

    def __post_init__(self) -> None:
        _refuse_decreasing("scale", self.scale)
        _set(
            self,
            base_price=self.base_price,
            scale=self.scale,
            capacity=self.capacity,
            positive=("capacity",),
        )
        exponent = _number("tariff.exponent", self.exponent, positive=True)
        if exponent < 1.0:
            raise Infeasible(
                f"tariff.exponent is {exponent:g}: the price would be concave in demand, "
                "and no theorem covers that; need an integer >= 1"
            )
        if exponent != int(exponent) or exponent > MAX_EXPONENT:
            raise InvalidInput(
                f"tariff.exponent is {exponent:g}; need an integer from 1 to {MAX_EXPONENT}"
            )
        object.__setattr__(self, "exponent", int(exponent))

    def exact_price(self, load: Fraction, quantum: Fraction | None = None) -> Fraction:
        """``base + scale F^k``."""
        return Fraction(self.base_price) + Fraction(self.scale) * load**self.exponent

    def exact_slope(self, load: Fraction, quantum: Fraction | None = None) -> Fraction:
        """``scale k F^(k-1)``."""
        return Fraction(self.scale) * self.exponent * load ** (self.exponent - 1)

    def prices_at(self, loads: Floats) -> Floats:
        """``base + scale F^k``."""
        with np.errstate(over="ignore"):
            raised: Floats = self.base_price + self.scale * loads**self.exponent
        return raised

    def supply(self, price: float) -> float:
        """``((p - base) / scale)^(1/k)``, at most C."""
        if price < self.base_price:
            return 0.0
        if self.scale == 0.0:
            return self.capacity
        return min(((price - self.base_price) / self.scale) ** (1.0 / self.exponent), self.capacity)

    def best_shares(self, work: Floats, others: Floats) -> Floats:
        """Newton from the right on ``f^2 (pi + f pi') = w W``, convex and increasing in f."""
        k, s = self.exponent, self.scale
        if k == 1:
            return positive_root(work, self.base_price + s * others, 2.0 * s)
        with np.errstate(divide="ignore", over="ignore", invalid="ignore", under="ignore"):
            f = np.minimum(
                positive_root(work, self.prices_at(others), 0.0),
                (work / (s * (1.0 + k))) ** (1.0 / (k + 2.0)),
            )
            if s == 0.0:
                return f
            for _ in range(40 * k):  # far from the root a step shrinks f by 1/(k + 2)
                load = others + f
                power = s * load ** (k - 2)
                price, slope, bend = (
                    self.base_price + power * load**2,
                    power * load * k,
                    power * k * (k - 1),
                )
                value = f * f * (price + f * slope) - work
                step = value / (f * (2.0 * price + 4.0 * f * slope + f * f * bend))
                moved = np.where(step > 0.0, f - step, f)
                if np.all(f - moved <= 1e-15 * f):
                    return moved
                f = moved
        return f


@dataclass(frozen=True)
class Linear(Tariff):
    """``pi(F) = base_price + slope F`` for F <= capacity.

    Raises Infeasible for slope < 0 (decreasing).
    """

    kind = "linear"
    base_price: float
    slope: float
    capacity: float = math.inf

    def __post_init__(self) -> None:
        _refuse_decreasing("slope", self.slope)
        _set(
            self,
            base_price=self.base_price,
            slope=self.slope,
            capacity=self.capacity,
            positive=("capacity",),
        )

    @cached_property
    def _power(self) -> Power:
        return Power(self.base_price, self.slope, 1, self.capacity)

    def exact_price(self, load: Fraction, quantum: Fraction | None = None) -> Fraction:
        """``base + slope F``."""
        return self._power.exact_price(load)

    def exact_slope(self, load: Fraction, quantum: Fraction | None = None) -> Fraction:
        """The slope."""
        return self._power.exact_slope(load)

    def prices_at(self, loads: Floats) -> Floats:
        """``base + slope F``."""
        return self._power.prices_at(loads)

    def supply(self, price: float) -> float:
        """``(p - base) / slope``, at most C."""
        return self._power.supply(price)

    def best_shares(self, work: Floats, others: Floats) -> Floats:
        """The root of ``2 slope f^3 + pi(X) f^2 = w W``."""
        return self._power.best_shares(work, others)


@dataclass(frozen=True)
class Barrier(Tariff):
    """``pi(F) = base_price / (1 - F / capacity)``: never sells all of its capacity."""

    kind = "barrier"
    strict = True
    base_price: float
    capacity: float

    def __post_init__(self) -> None:
        _set(
            self,
            base_price=self.base_price,
            capacity=self.capacity,
            positive=("base_price", "capacity"),
        )

    def exact_price(self, load: Fraction, quantum: Fraction | None = None) -> Fraction:
        """``p0 C / (C - F)``."""
        pole = snapped(self.capacity, quantum)
        return Fraction(self.base_price) * pole / (pole - load)

    def exact_slope(self, load: Fraction, quantum: Fraction | None = None) -> Fraction:
        """``p0 C / (C - F)^2``."""
        pole = snapped(self.capacity, quantum)
        return Fraction(self.base_price) * pole / (pole - load) ** 2

    def prices_at(self, loads: Floats) -> Floats:
        """``p0 C / (C - F)``, inf from C on."""
        slack = self.capacity - loads
        with np.errstate(divide="ignore", over="ignore"):
            return np.where(slack > 0.0, self.base_price * self.capacity / slack, math.inf)

    def rounding(self, loads: Floats) -> Floats:
        """The subtraction C - F loses digits near the pole."""
        with np.errstate(divide="ignore"):
            return 1e-15 * (1.0 + self.capacity / np.maximum(self.capacity - loads, 0.0))

    def supply(self, price: float) -> float:
        """``C (1 - p0 / p)``."""
        return self.capacity * max(0.0, 1.0 - self.base_price / price) if price > 0.0 else 0.0

    def best_shares(self, work: Floats, others: Floats) -> Floats:
        """``f = S / (1 + sqrt(p0 C S / (w W)))`` with S = C - X, what the others leave."""
        slack = np.maximum(self.capacity - others, 0.0)
        with np.errstate(over="ignore", under="ignore"):
            best: Floats = slack / (1.0 + np.sqrt(self.base_price * self.capacity * slack / work))
        return best


@dataclass(frozen=True)
class PiecewiseLinear(Tariff):
    """Straight lines through ``(loads[m], prices[m])``; the last slope goes on beyond the table.

    loads: cores, from 0, increasing; prices: credits/s per core.  Both are read as the
    decimals they print as, so that a table such as 0, 0.1, 0.2 is straight where it looks so.

    Raises Infeasible when the table falls (decreasing), repeats a load (a step) or bends down
    (concave), naming where; InvalidInput when it is no table.
    """

    kind = "piecewise"
    loads: tuple[float, ...]
    prices: tuple[float, ...]
    capacity: float = math.inf

    def __post_init__(self) -> None:
        if len(self.loads) != len(self.prices) or not self.loads:
            raise InvalidInput(
                f"tariff has {len(self.loads)} loads and {len(self.prices)} prices; "
                "need as many of one as of the other, at least one"
            )
        for name, values in (("loads", self.loads), ("prices", self.prices)):
            checked = tuple(
                _number(f"tariff.{name}[{m}]", v, positive=False) for m, v in enumerate(values)
            )
            object.__setattr__(self, name, checked)
        _set(self, capacity=self.capacity, positive=("capacity",))
        self._check_shape()

    def _check_shape(self) -> None:
        knots, heights = self._table
        if knots[0] != 0:
            raise InvalidInput(f"tariff.loads[0] is {self.loads[0]!r}; a table starts at load 0")
        last = Fraction(0)
        for m in range(1, len(knots)):
            if knots[m] == knots[m - 1]:
                raise Infeasible(
                    f"tariff.loads[{m}] repeats load {self.loads[m]!r}: a stepped tariff may have "
                    "no equilibrium; join the levels with a slope"
                )
            if knots[m] < knots[m - 1]:
                raise InvalidInput(f"tariff.loads[{m}] is below the load before it; sort the table")
            slope = (heights[m] - heights[m - 1]) / (knots[m] - knots[m - 1])
            where = f"between loads {self.loads[m - 1]!r} and {self.loads[m]!r}"
            if slope < 0:
                raise Infeasible(f"the tariff falls {where} (decreasing); no theorem covers that")
            if slope < last:
                raise Infeasible(
                    f"the tariff bends down at load {self.loads[m - 1]!r} (concave): slope "
                    f"{float(slope):g} {where} after {float(last):g}; no theorem covers that"
                )
            last = slope

    @cached_property
    def _table(self) -> tuple[tuple[Fraction, ...], tuple[Fraction, ...]]:
        return tuple(map(as_printed, self.loads)), tuple(map(as_printed, self.prices))

    @cached_property
    def _slopes(self) -> tuple[Fraction, ...]:
        knots, heights = self._table
        rises = [
            (heights[m + 1] - heights[m]) / (knots[m + 1] - knots[m]) for m in range(len(knots) - 1)
        ]
        return (*rises, rises[-1] if rises else Fraction(0))

    @property
    def table(self) -> tuple[tuple[Fraction, ...], tuple[Fraction, ...]]:
        """Loads and prices exactly."""
        return self._table

    def exact_price(self, load: Fraction, quantum: Fraction | None = None) -> Fraction:
        """The line of the segment that F lies on."""
        knots, heights = self._table
        m = bisect_right(knots, load) - 1
        return heights[m] + self._slopes[m] * (load - knots[m])

    def exact_slope(self, load: Fraction, quantum: Fraction | None = None) -> Fraction:
        """The slope of the segment that begins at or contains F."""
        return self._slopes[bisect_right(self._table[0], load) - 1]

    def exact_left_slope(self, load: Fraction, quantum: Fraction | None = None) -> Fraction:
        """The slope of the segment that ends at or contains F."""
        knots = self._table[0]
        m = bisect_right(knots, load) - 1
        return self._slopes[m - 1 if m > 0 and knots[m] == load else m]

    def prices_at(self, loads: Floats) -> Floats:
        """The line of the segment that each F lies on."""
        knots = np.array(self.loads)
        m = np.searchsorted(knots, loads, side="right") - 1
        slopes = np.array([float(slope) for slope in self._slopes])
        lines: Floats = np.array(self.prices)[m] + slopes[m] * (loads - knots[m])
        return lines

    def supply(self, price: float) -> float:
        """The inverse of the table, its right end where it is flat."""
        m = bisect_right(self.prices, price) - 1
        if m < 0:
            return 0.0
        slope = float(self._slopes[m])
        if slope == 0.0:
            return self.capacity
        return min(self.loads[m] + (price - self.prices[m]) / slope, self.capacity)

    def best_shares(self, work: Floats, others: Floats) -> Floats:
        """Segment by segment, each a linear tariff: the first whose optimum it contains."""
        knots = [*self.loads, math.inf]
        best = np.full(np.broadcast(work, others).shape, math.inf)
        for m in reversed(range(len(self.loads))):
            slope = float(self._slopes[m])
            base = self.prices[m] + slope * (others - self.loads[m])
            inside = positive_root(work, base, 2.0 * slope)
            inside = np.maximum(inside, self.loads[m] - others)
            best = np.where(inside <= knots[m + 1] - others, inside, best)
        return best
