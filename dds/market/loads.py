"""The load that anticipating clients put on the server: where their demand meets it.

Answers to (F, pi(F), d), d a subgradient of pi at F, are best responses wherever they
add up to F (Theorem C).  They fall as F rises, and at a bend of pi as d does: so one
search along loads and, at bends, slopes finds the crossing.  Capacity is a bend too,
from whose left slope on every d is a subgradient.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from typing import TypeAlias

import numpy as np

from dds.market.crossing import Answers, Bracket, End, Path
from dds.market.numbers import Floats, Ints, to_shares
from dds.market.replies import BOUNDLESS, Quote
from dds.market.sale import Asking, Sale, Start, grow

__all__ = ["Found", "Search", "Sides"]

#: Demand this close to supply, relative, meets it: regret is quadratic in the difference...
SOFT = 1e-12
#: ... but to first order where F is stuck at a bend.
STUCK = 2e-15
#: A bracket this narrow, relative, is taken for a jump.
POINT = 2.0**-30
#: As near as a rough search comes, relative.
ROUGH = 1e-3
#: In what part of the last slope, relative, the next search at a bend begins.
NEARBY = 2.0**-8


@dataclass(frozen=True, eq=False)
class Sides:
    """Bounds that hold clients on their side of the jumps found so far, cores."""

    at_least: Floats
    at_most: Floats

    @classmethod
    def free(cls, size: int) -> Sides:
        """Nobody is held."""
        return cls(np.zeros(size), np.full(size, math.inf))

    @cached_property
    def _bind(self) -> bool:
        """Whether they bind anybody."""
        return bool(self.at_least.any() or np.isfinite(self.at_most).any())

    def on(self, quote: Quote) -> Quote:
        """The quote with these bounds, if they bind anybody."""
        if not self._bind:
            return quote
        return replace(quote, at_least=self.at_least, at_most=self.at_most)

    def held(
        self, bracket: Bracket, shares: Floats, jumping: Ints, quantum: Fraction | None
    ) -> Sides:
        """Jumping clients with more than half their jump stay above its middle, others below."""
        if bracket.below is None:
            return self
        low, high = bracket.above.answers.of(jumping), bracket.below.answers.of(jumping)
        middle = (low + high) / 2.0
        up = shares[jumping] > middle
        floor, ceiling = middle, middle
        if quantum is not None:
            floor, ceiling = (
                to_shares(np.ceil(middle), quantum),
                to_shares(np.floor(middle), quantum),
            )
        least, most = self.at_least.copy(), self.at_most.copy()
        least[jumping] = np.where(up, np.maximum(least[jumping], floor), least[jumping])
        most[jumping] = np.where(up, most[jumping], np.minimum(most[jumping], ceiling))
        return Sides(least, most)


@dataclass(frozen=True, eq=False)
class Found:
    """A crossing: load and slope of its upper quote; cut_off: whether capacity ends there."""

    bracket: Bracket
    load: float
    slope: float
    cut_off: bool

    def start(self, sale: Sale, miss: float) -> Start:
        """Where to look next, when F may be off by ``miss`` from here."""
        spread = miss / self.load if self.load > 0.0 else 0.0
        return Start(sale.price(self.load), self.load, self.slope, self.cut_off, spread)


@dataclass(frozen=True, slots=True)
class _Bend:
    """A load at which pi has many subgradients: those from left to right.

    right: the largest, inf at capacity, beyond which pi is infinite.
    """

    price: float
    left: float
    right: float


Finding: TypeAlias = Generator[Quote, Answers, Found]
#: The ends nearest to the crossing so far, below and above it.
Ends: TypeAlias = tuple[End | None, End | None]


class Search:
    """One search of F while clients are held on their ``sides``."""

    def __init__(self, sale: Sale, sides: Sides, *, rough: bool = False) -> None:
        whole = sale.quantum is not None
        soft, point = (ROUGH, ROUGH) if rough else (0.0 if whole else SOFT, POINT)
        self._sale, self._sides, self._bends = sale, sides, _bends(sale)
        self._path = Path(self._quote, lambda load: load, soft, point, whole)
        self._stuck = (ROUGH, ROUGH) if rough else (STUCK, POINT)

    def found(self, start: Start | None) -> Finding:
        """Where demand meets load, first looked for at ``start``."""
        sale, below, above = self._sale, None, None
        places = [*self._near(start), sale.most] if math.isfinite(sale.room) else self._near(start)
        for at in places:
            if above is None:
                step = yield from self._look(at, below, above, start)
                if isinstance(step, Found):
                    return step
                below, above = step
        if below is None:
            below = yield from self._path.ask(0.0, None, above)
            if below.excess <= 0.0:
                return Found(Bracket(None, below, met=True), 0.0, 0.0, cut_off=False)
        if above is None:
            below, above = yield from grow(sale, self._path, below, 2.0 * below.at or 1.0)
        while between := [at for at in self._bends if below.at < at < above.at]:
            step = yield from self._look(between[len(between) // 2], below, above, start)
            if isinstance(step, Found):
                return step
            below, above = step[0] or below, step[1] or above
        bracket = yield from self._path.narrow(below, above)
        return Found(bracket, bracket.above.at, self._gentlest(bracket.above.at), cut_off=False)

    def _near(self, start: Start | None) -> list[float]:
        """Loads to begin with."""
        if start is None or start.cut_off:
            return []
        whole = self._sale.quantum is not None
        places = (start.load * (1.0 + part) for part in (-start.spread, start.spread))
        counted = [float(round(at)) if whole else at for at in places]
        return [at for at in counted if 0.0 < at < self._sale.most]

    def _look(
        self, at: float, below: End | None, above: End | None, start: Start | None
    ) -> Generator[Quote, Answers, Ends | Found]:
        """The ends after asking at a load; where demand meets it at a bend, that crossing."""
        bend = self._bends.get(at)
        if bend is None:
            end = yield from self._path.ask(at, below, above)
            return (end, above) if end.excess > 0.0 else (below, end)
        path = Path(self._bent(bend.price), lambda _: at, *self._stuck)
        steep = None
        if bend.right < math.inf:
            steep = yield from path.ask(bend.right)
            if steep.excess > 0.0:
                return replace(steep, at=at), above
        gentle = yield from path.ask(bend.left, None, steep)
        if gentle.excess <= 0.0:
            return below, replace(gentle, at=at)
        last = start.slope if start is not None and start.load == at else math.inf
        gentle, steep = yield from self._slopes(path, gentle, steep, last)
        held = yield from path.narrow(gentle, steep)
        return Found(held, at, held.above.at, cut_off=bend.right == math.inf)

    def _slopes(self, path: Path, gentle: End, steep: End | None, last: float) -> Asking:
        """Slopes at a bend, near the last one, at which demand does not fit and fits."""
        least = gentle.at
        at, step = 2.0 * least or 1.0, 4.0
        if least < last < math.inf and (steep is None or last < steep.at):
            # Holding clients back lowers demand: look below the last slope, first nearby.
            at, step = last, 1.0 + NEARBY
            while at > least:
                end = yield from path.ask(at, gentle, steep)
                if end.excess > 0.0:
                    gentle = end
                    break
                steep = end
                at, step = at / step, step**4
        if steep is None:
            gentle, steep = yield from grow(self._sale, path, gentle, at, step)
        return gentle, steep

    def _quote(self, at: float) -> Quote:
        """The question at a load."""
        tariff, load = self._sale.tariff, self._sale.load(at)
        bend = self._bends.get(at)
        slope = float(tariff.exact_slope(load)) if bend is None else bend.right
        return self._bent(float(tariff.exact_price(load)))(slope)

    def _bent(self, price: float) -> Callable[[float], Quote]:
        """The question at a price, by slope."""
        cap = self._sale.tariff.capacity if math.isfinite(self._sale.room) else BOUNDLESS
        return lambda slope: self._sides.on(Quote(cap, price, slope))

    def _gentlest(self, at: float) -> float:
        """The least subgradient at a load."""
        bend = self._bends.get(at)
        tariff = self._sale.tariff
        return float(tariff.exact_slope(self._sale.load(at))) if bend is None else bend.left


def _bends(sale: Sale) -> dict[float, _Bend]:
    """The bends of pi by counted load, ascending; the last is the largest load for sale.

    Among whole quanta pi counts as straight between neighbours, so it bends on either side of
    a kink that lies between two.
    """
    tariff, quantum = sale.tariff, sale.quantum
    loads: dict[float, Fraction] = {}
    for kink in tariff.kinks:
        if quantum is None:
            loads[float(kink)] = kink
        else:
            for n in (math.floor(kink / quantum), math.ceil(kink / quantum)):
                loads[float(n)] = n * quantum
    if math.isfinite(sale.room):
        loads.setdefault(sale.most, sale.load(sale.most))
    return {at: _bend(sale, at, load) for at, load in loads.items() if at <= sale.most}


def _bend(sale: Sale, at: float, load: Fraction) -> _Bend:
    tariff, quantum = sale.tariff, sale.quantum
    price = tariff.exact_price(load)
    left, right = tariff.exact_left_slope(load), tariff.exact_slope(load)
    if quantum is not None and tariff.kinks:
        right = (tariff.exact_price(load + quantum) - price) / quantum
        left = (price - tariff.exact_price(load - quantum)) / quantum if load else right
    return _Bend(float(price), float(left), float(right) if at < sale.most else math.inf)
