"""What a tariff is: the interface that solvers use, and the checks that all tariffs share."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from copy import copy
from dataclasses import fields
from fractions import Fraction
from typing import Any, ClassVar, Self

import numpy as np

from dds.errors import Infeasible, InvalidInput
from dds.market.numbers import LARGEST, SMALLEST, Floats, snapped

__all__ = ["Tariff", "read_number", "refuse_decreasing", "set_fields"]


class Tariff(ABC):
    """What every tariff offers; a new one is one subclass and one line in tariff_json.py.

    kind: its name in files; capacity: C in cores, inf without a limit; strict: whether
    total demand must stay strictly below C (a pole) or may reach it.
    """

    kind: ClassVar[str]
    strict: ClassVar[bool] = False
    capacity: float

    def on_grid(self, quantum: Fraction | None) -> Self:
        """The tariff whose exact arithmetic knows that shares are multiples of a quantum."""
        if quantum is None:
            return self
        tariff = copy(self)
        object.__setattr__(tariff, "_exact_capacity", self.room(quantum))
        return tariff

    @property
    def kinks(self) -> tuple[Fraction, ...]:
        """Loads, cores, at which the slope of pi jumps; capacity is none of them."""
        return ()

    @property
    def exact_capacity(self) -> Fraction | None:
        """C exactly, snapped by :meth:`on_grid`; None without a limit."""
        found = getattr(self, "_exact_capacity", None)
        return found if isinstance(found, Fraction) else self.room()

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
    def exact_price(self, load: Fraction) -> Fraction:
        """pi(F) in rationals; a hard capacity is the caller's to keep."""

    @abstractmethod
    def exact_slope(self, load: Fraction) -> Fraction:
        """The right derivative pi'(F) in rationals."""

    def exact_left_slope(self, load: Fraction) -> Fraction:
        """The left derivative of pi at F; differs from the right one only at a kink."""
        return self.exact_slope(load)

    @abstractmethod
    def prices_at(self, loads: Floats) -> Floats:
        """The price pi at every load, any shape; inf at and beyond a pole."""

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


def set_fields(tariff: Tariff, *, positive: Sequence[str] = (), **values: Any) -> None:
    """Check fields (finite and >= 0; > 0 where named; capacity may be inf) and store floats."""
    for name, value in values.items():
        unbounded = name == "capacity" and not tariff.strict and tariff.kind != "clearing"
        object.__setattr__(
            tariff, name, read_number(f"tariff.{name}", value, name in positive, unbounded)
        )


def read_number(place: str, value: Any, positive: bool, unbounded: bool = False) -> float:
    """A number of a sane magnitude, or InvalidInput naming its place."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
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


def refuse_decreasing(name: str, value: Any) -> None:
    """Raise Infeasible for a negative coefficient of demand."""
    if isinstance(value, (int, float)) and value < 0:
        raise Infeasible(
            f"tariff.{name} is {value!r}: the price would fall with demand (decreasing), "
            "and no theorem covers that; need >= 0"
        )
