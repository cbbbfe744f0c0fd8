"""What is for sale and in which unit; the questions and the end of an auction."""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np

from dds.errors import Infeasible, InvalidInput
from dds.market.crossing import Answers, Bracket, End, Path
from dds.market.numbers import LARGEST, Floats, Ints, exact_sum, to_quanta, to_shares
from dds.market.replies import BOUNDLESS, Quote
from dds.market.tariff_base import Tariff

__all__ = [
    "Asking",
    "Outcome",
    "Play",
    "Probe",
    "Sale",
    "Start",
    "double",
    "fill",
    "grow",
    "served",
]


#: The most quanta that shares may come in: their sums are exact.
COUNTABLE = 2.0**50
#: Stands for every number beyond: so large that nobody pays it, and twice it is a double.
HUGE = 2.0**1000


def double(exact: Fraction) -> float:
    """The nearest double; HUGE for what is larger."""
    return float(min(exact, Fraction(HUGE)))


@dataclass(frozen=True, slots=True, eq=False)
class Probe:
    """A question to the clients ``asked``: whether a share is better than the present one.

    shares: everybody's, cores.  A client answers its exact best response to the tariff while
    the others hold theirs, or its present share if that is as good (``reconsider``).
    """

    shares: Floats
    asked: Ints

    @property
    def others(self) -> Floats:
        """X_i, cores: what all others hold together, for every client asked."""
        left: Floats = np.maximum(exact_sum(self.shares)[0] - self.shares[self.asked], 0.0)
        return left


@dataclass(frozen=True, slots=True)
class Start:
    """Where a search begins: near the end of one in nearly the same market.

    price: credits/s per core; load: F as counted; slope: the subgradient of pi posted there;
    cut_off: whether capacity ended the search; spread: how far off they may be, relative.
    """

    price: float
    load: float
    slope: float
    cut_off: bool
    spread: float


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """The end of an auction.

    shares: cores; price: credits/s per core; total: F, cores; rounds: questions posted;
    start: where a search in nearly the same market may begin; price_below, shares_below: where
    a price-taking market jumps, the neighbouring lower price and the larger demand there, else
    None.
    """

    shares: Floats
    price: float
    total: float
    rounds: int
    start: Start
    price_below: float | None = None
    shares_below: Floats | None = None


#: Sends questions; gets Answers to a Quote, and counted shares to a Probe.
Play: TypeAlias = Generator[Quote | Probe, Any, Outcome]
#: The part of it that asks quotes alone.
Asking: TypeAlias = Generator[Quote, Answers, tuple[End, End]]


@dataclass(frozen=True)
class Sale:
    """A tariff and ``size`` clients, with shares counted in quanta if there is one, else in cores.

    Raises InvalidInput when the capacity holds more than 2^50 quanta.
    """

    tariff: Tariff
    size: int
    quantum: Fraction | None

    def __post_init__(self) -> None:
        if self.quantum is not None and COUNTABLE < self.room < math.inf:
            raise InvalidInput(
                f"quantum {self.quantum!s} is too fine for {self.tariff.capacity:g} cores: "
                "need at most 2^50 quanta"
            )

    @cached_property
    def room(self) -> float:
        """The most that may be sold; for a pole without quantum, what may not be reached."""
        quantum = self.quantum
        return self.tariff.capacity if quantum is None else self.tariff.room_quanta(quantum)

    @cached_property
    def most(self) -> float:
        """The most that may be sold."""
        pole = self.tariff.strict and self.quantum is None
        return math.nextafter(self.room, 0.0) if pole else self.room

    @cached_property
    def limit(self) -> float:
        """Capacity as it is counted, not rounded to whole quanta; just below a pole."""
        capacity = self.tariff.exact_capacity
        if capacity is None:
            return math.inf
        counted = float(capacity if self.quantum is None else capacity / self.quantum)
        return math.nextafter(counted, 0.0) if self.tariff.strict else counted

    @cached_property
    def unit(self) -> float:
        """Cores per unit of count."""
        return 1.0 if self.quantum is None else float(self.quantum)

    def count(self, cores: Floats) -> Floats:
        """Shares in cores as they are counted."""
        return cores if self.quantum is None else to_quanta(cores, self.quantum)

    def cores(self, counted: Floats) -> Floats:
        """Counted shares in cores."""
        return counted if self.quantum is None else to_shares(counted, self.quantum)

    def load(self, counted: float) -> Fraction:
        """A counted total in cores, exactly."""
        return Fraction(counted) if self.quantum is None else int(counted) * self.quantum

    def price(self, counted: float) -> float:
        """The price pi at a counted total; inf where it may not be sold."""
        if counted > self.most:
            return math.inf
        return double(self.tariff.exact_price(self.load(counted)))

    def total(self, shares: Floats) -> Fraction:
        """The exact sum of counted shares, in cores, or nearly: rounded at twice the digits."""
        rounded, rest = exact_sum(shares)
        return (
            self.load(rounded) if self.quantum is not None else Fraction(rounded) + Fraction(rest)
        )

    def check_bounded(self, end: End, price: float = 0.0) -> None:
        """Raise Infeasible if demand has no limit, InvalidInput if it is too much to count."""
        if end.demand <= (COUNTABLE if self.quantum is not None else LARGEST):
            return
        if price > 0.0 and self.quantum is not None:
            raise InvalidInput(
                f"quantum {self.quantum!s} is too fine for a demand of {end.demand * self.unit:g} "
                "cores: need at most 2^50 quanta"
            )
        raise Infeasible("demand has no limit at price 0; give a capacity or max_share")


def grow(sale: Sale, path: Path, below: End, start: float, step: float = 4.0) -> Asking:
    """The last end where demand does not fit and the first where it does, from ``start`` up.

    Raises Infeasible when demand fits nowhere.
    """
    at = start
    while True:
        end = yield from path.ask(at, below)
        if end.excess <= 0.0:
            return below, end
        if at >= BOUNDLESS:
            sale.check_bounded(end)
            raise Infeasible(
                f"clients that must offload ask for {end.demand * sale.unit:g} cores "
                f"at any price, and {end.supply * sale.unit:g} may be sold"
            )
        below = end
        at, step = min(at * step, BOUNDLESS), step * step


def served(bracket: Bracket) -> tuple[Floats, Ints, Ints]:
    """Shares with tied clients served in index order while they fit; who jumps; who is left."""
    nobody = np.zeros(0, np.int64)
    if bracket.met or bracket.below is None:
        return bracket.above.answers.shares, nobody, nobody
    tied = bracket.jumping
    shares, left = fill(bracket.above, tied, bracket.below.answers.of(tied))
    return shares, tied, left


def fill(above: End, tied: Ints, larger: Floats) -> tuple[Floats, Ints]:
    """Shares, and who is left: all as ``above``, then each tied client more if it still fits."""
    more = larger - above.answers.of(tied)
    shares, left = above.answers.shares.copy(), []
    room = -above.excess
    for i, share, extra in zip(tied.tolist(), larger.tolist(), more.tolist(), strict=True):
        if extra <= room:
            shares[i] = share
            room -= extra
        else:
            left.append(i)
    return shares, np.array(left, np.int64)
