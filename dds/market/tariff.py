"""Tariffs: the unit price pi(F) that the operator posts for total demand F.

Every tariff is nonnegative, nondecreasing and convex on the demands it can serve:
the existence of an equilibrium and the solver rest on that, so a tariff that is
not is refused with the condition that fails.  A lease of f cores costs
``f pi(F)`` credits/s.  Prices come as floats and exactly, Fraction to Fraction.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from bisect import bisect_right
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np

from dds.errors import Infeasible, InvalidInput
from dds.market.numbers import Floats, as_printed, positive_root
from dds.market.tariff_base import Tariff, read_number, refuse_decreasing, set_fields

__all__ = ["Barrier", "Clearing", "Flat", "Linear", "PiecewiseLinear", "Power", "Tariff"]

#: Beyond it F^exponent leaves the range of doubles at loads a server could have.
MAX_EXPONENT = 16


class _Polynomial(Tariff):
    """``pi(F) = base + scale F^exponent``: what flat, clearing, linear and power share."""

    @property
    @abstractmethod
    def _terms(self) -> tuple[float, float, int]:
        """(base, scale, exponent)."""

    def exact_price(self, load: Fraction) -> Fraction:
        """``base + scale F^k``."""
        base, scale, k = self._terms
        return Fraction(base) + Fraction(scale) * load**k

    def exact_slope(self, load: Fraction) -> Fraction:
        """``scale k F^(k-1)``."""
        _, scale, k = self._terms
        return Fraction(scale) * k * load ** (k - 1)

    def prices_at(self, loads: Floats) -> Floats:
        """``base + scale F^k``."""
        base, scale, k = self._terms
        with np.errstate(over="ignore"):
            prices: Floats = base + scale * loads**k if scale else np.full_like(loads, base)
        return prices

    def supply(self, price: float) -> float:
        """``((p - base) / scale)^(1/k)``, at most C; all of C where the price is flat."""
        base, scale, k = self._terms
        if price < base:
            return 0.0
        if scale == 0.0:
            return self.capacity
        return min(math.pow((price - base) / scale, 1.0 / k), self.capacity)

    def best_shares(self, work: Floats, others: Floats) -> Floats:
        """A closed form or a cubic for k = 1, else Newton on ``f^2 (pi + f pi') = w W``."""
        base, scale, k = self._terms
        if scale == 0.0 or k == 1:
            return positive_root(work, base + scale * others, 2.0 * scale)
        # Convex and increasing in f; both starting points are right of the root.
        with np.errstate(divide="ignore", over="ignore", invalid="ignore", under="ignore"):
            f: Floats = np.minimum(
                positive_root(work, self.prices_at(others), 0.0),
                (work / (scale * (1.0 + k))) ** (1.0 / (k + 2.0)),
            )
            for _ in range(40 * k):  # far from the root a step shrinks f by 1/(k + 2)
                load = others + f
                power = scale * load ** (k - 2)
                price, slope, bend = base + power * load**2, power * load * k, power * k * (k - 1)
                value = f * f * (price + f * slope) - work
                step = value / (f * (2.0 * price + 4.0 * f * slope + f * f * bend))
                moved = np.where(step > 0.0, f - step, f)
                if np.all(f - moved <= 1e-15 * f):
                    return moved
                f = moved
        return f


@dataclass(frozen=True)
class Flat(_Polynomial):
    """``pi(F) = price`` for F <= capacity."""

    kind = "flat"
    price: float
    capacity: float = math.inf

    def __post_init__(self) -> None:
        set_fields(self, price=self.price, capacity=self.capacity, positive=("capacity",))

    @property
    def _terms(self) -> tuple[float, float, int]:
        return self.price, 0.0, 1


@dataclass(frozen=True)
class Clearing(_Polynomial):
    """The flat price that clears capacity: 0 if demand at price 0 fits, else F(p) = C.

    Nobody moves it by anticipating it, so Nash and competitive coincide.  As a
    function of demand it is 0 up to C: the least the operator asks for; the price
    that is paid comes out of the auction.
    """

    kind = "clearing"
    capacity: float

    def __post_init__(self) -> None:
        set_fields(self, capacity=self.capacity, positive=("capacity",))

    @property
    def _terms(self) -> tuple[float, float, int]:
        return 0.0, 0.0, 1


@dataclass(frozen=True)
class Linear(_Polynomial):
    """``pi(F) = base_price + slope F`` for F <= capacity.

    Raises Infeasible for slope < 0 (decreasing).
    """

    kind = "linear"
    base_price: float
    slope: float
    capacity: float = math.inf

    def __post_init__(self) -> None:
        refuse_decreasing("slope", self.slope)
        set_fields(
            self,
            base_price=self.base_price,
            slope=self.slope,
            capacity=self.capacity,
            positive=("capacity",),
        )

    @property
    def _terms(self) -> tuple[float, float, int]:
        return self.base_price, self.slope, 1


@dataclass(frozen=True)
class Power(_Polynomial):
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
        refuse_decreasing("scale", self.scale)
        set_fields(
            self,
            base_price=self.base_price,
            scale=self.scale,
            capacity=self.capacity,
            positive=("capacity",),
        )
        exponent = read_number("tariff.exponent", self.exponent, positive=True)
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

    @property
    def _terms(self) -> tuple[float, float, int]:
        return self.base_price, self.scale, self.exponent


@dataclass(frozen=True)
class Barrier(Tariff):
    """``pi(F) = base_price / (1 - F / capacity)``: never sells all of its capacity."""

    kind = "barrier"
    strict = True
    base_price: float
    capacity: float

    def __post_init__(self) -> None:
        set_fields(
            self,
            base_price=self.base_price,
            capacity=self.capacity,
            positive=("base_price", "capacity"),
        )

    @property
    def _pole(self) -> Fraction:
        return self.exact_capacity or Fraction(self.capacity)

    def exact_price(self, load: Fraction) -> Fraction:
        """``p0 C / (C - F)``."""
        pole = self._pole
        return Fraction(self.base_price) * pole / (pole - load)

    def exact_slope(self, load: Fraction) -> Fraction:
        """``p0 C / (C - F)^2``."""
        pole = self._pole
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
        if price <= self.base_price:
            return 0.0
        return self.capacity * (1.0 - self.base_price / price)

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
                read_number(f"tariff.{name}[{m}]", v, positive=False) for m, v in enumerate(values)
            )
            object.__setattr__(self, name, checked)
        set_fields(self, capacity=self.capacity, positive=("capacity",))
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

    @cached_property
    def kinks(self) -> tuple[Fraction, ...]:
        """The loads of the table between two different slopes."""
        rises = zip(self._table[0][1:], self._slopes, self._slopes[1:], strict=False)
        return tuple(knot for knot, left, right in rises if left != right)

    @property
    def table(self) -> tuple[tuple[Fraction, ...], tuple[Fraction, ...]]:
        """Loads and prices exactly."""
        return self._table

    def exact_price(self, load: Fraction) -> Fraction:
        """The line of the segment that F lies on."""
        knots, heights = self._table
        m = bisect_right(knots, load) - 1
        return heights[m] + self._slopes[m] * (load - knots[m])

    def exact_slope(self, load: Fraction) -> Fraction:
        """The slope of the segment that begins at or contains F."""
        return self._slopes[bisect_right(self._table[0], load) - 1]

    def exact_left_slope(self, load: Fraction) -> Fraction:
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
