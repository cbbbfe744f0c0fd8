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
from dds.market.sale import COUNTABLE, Asking, Sale, Start, double, grow

__all__ = ["Found", "Search", "Sides"]

#: Demand this close to supply, relative, meets it: regret is quadratic in the difference...
SOFT = 1e-12
#: ... but to first order where F is stuck at a bend.
STUCK = 2e-15
#: ... and near a pole unless pi at the demand is at least this part of the price posted.
PRICED = 1 - Fraction(1, 10**7)
#: From one quantum to the next pi' grows by more than this factor only close to a pole.
BENT = Fraction(11, 10)
#: A bracket this narrow, relative, is taken for a jump.
POINT = 2.0**-30
#: As near as a rough search comes, relative.
ROUGH = 1e-3
#: In what part of the last slope, relative, the next search at a bend begins.
NEARBY = 2.0**-8
#: ... and no step on from there is longer than the fourth power of this.
FARTHEST = 2.0**100


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
    """A load, cores, at which pi has many subgradients: those from left to right.

    right: the largest, inf at capacity, beyond which pi is infinite.
    """

    load: Fraction
    price: float
    left: float
    right: float


Finding: TypeAlias = Generator[Quote, Answers, Found]
#: The ends nearest to the crossing so far, below and above it.
Ends: TypeAlias = tuple[End | None, End | None]


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Loads without a bend in between, by a coordinate that resolves both ends.

    Just beyond a kink, or below a pole, the price may change much within one digit of the load:
    there the coordinate is what lies beyond the kink, or F / (C - F).
    """

    sale: Sale
    origin: Fraction = Fraction(0)

    @property
    def pole(self) -> Fraction | None:
        """The capacity that may not be reached, if one lies ahead."""
        tariff, quantum = self.sale.tariff, self.sale.quantum
        return tariff.exact_capacity if tariff.strict and quantum is None else None

    def load(self, at: float) -> Fraction:
        """Cores, exactly."""
        exact, pole = Fraction(at), self.pole
        if pole is not None:
            return pole * exact / (1 + exact)
        return self.origin + exact if self.origin else self.sale.load(at)

    def place(self, counted: float) -> float:
        """Where a counted load lies."""
        load, pole = Fraction(counted), self.pole
        return (
            float(load / (pole - load)) if pole is not None else max(float(load - self.origin), 0.0)
        )

    def supply(self, at: float) -> float:
        """The load as it is counted."""
        if self.pole is None and not self.origin:
            return at
        return min(float(self.load(at)), self.sale.most)


class Search:
    """One search of F while clients are held on their ``sides``."""

    def __init__(self, sale: Sale, sides: Sides, *, rough: bool = False) -> None:
        self._sale, self._sides, self._bends = sale, sides, _bends(sale)
        self._soft = ROUGH if rough else SOFT if sale.quantum is None else 0.0
        self._point = ROUGH if rough else POINT
        self._stuck = ROUGH if rough else STUCK
        self._path = Path(self._at, lambda at: at, 0.0, whole=sale.quantum is not None)

    def found(self, start: Start | None) -> Finding:
        """Where demand meets load, first looked for at ``start``."""
        sale, below, above = self._sale, None, None
        for at in [*self._near(start), *list(self._bends)[-1:]]:
            if above is None and (below is None or at > below.at):
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
            if sale.quantum is not None and above.at > COUNTABLE:
                above = yield from self._path.ask(COUNTABLE, None, above)
                sale.check_bounded(above, sale.price(COUNTABLE))
        while between := [at for at in self._bends if below.at < at < above.at]:
            step = yield from self._look(between[len(between) // 2], below, above, start)
            if isinstance(step, Found):
                return step
            below, above = step[0] or below, step[1] or above
        found = yield from self._narrow(below, above)
        return (yield from self._between(found, start))

    def _between(self, found: Found, start: Start | None) -> Finding:
        """If pi bends much from one quantum to the next, hold F and search the slope there."""
        sale, below, above = self._sale, found.bracket.below, found.bracket.above
        if sale.quantum is None or not sale.tariff.strict or found.bracket.met or below is None:
            return found
        gentle, steep = (sale.tariff.exact_slope(sale.load(end.at)) for end in (below, above))
        if steep <= BENT * gentle:
            return found
        for at in (above.at, below.at):
            self._bends.setdefault(at, _bend(sale, at, sale.load(at)))
            step = yield from self._look(at, below, above, start)
            if isinstance(step, Found):
                return step
        return found

    def _narrow(self, below: End, above: End) -> Finding:
        """The crossing between two loads without a bend in between."""
        sale, price = self._sale, self._sale.tariff.exact_price
        bend = self._bends.get(below.at)
        stretch = _Stretch(sale, Fraction(0) if bend is None or sale.quantum else bend.load)

        def priced(end: End) -> bool:
            """Near a pole demand may meet the load while its price is still another."""
            if stretch.pole is None or self._soft == ROUGH:
                return True
            return price(Fraction(end.demand)) >= PRICED * price(stretch.load(end.at))

        path = Path(
            lambda at: self._asked(stretch.load(at)),
            stretch.supply,
            self._soft,
            self._point,
            sale.quantum is not None,
            priced,
        )
        bracket = yield from path.narrow(
            replace(below, at=stretch.place(below.at)), replace(above, at=stretch.place(above.at))
        )
        load = bracket.above.supply
        bend = self._bends.get(load)
        slope = double(sale.tariff.exact_slope(sale.load(load))) if bend is None else bend.left
        return Found(bracket, load, slope, cut_off=False)

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
        path = Path(self._bent(bend.price), lambda _: at, self._stuck, self._point)
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
                at, step = at / step, min(step, FARTHEST) ** 4
        if steep is None:
            gentle, steep = yield from grow(self._sale, path, gentle, at, step)
        return gentle, steep

    def _at(self, at: float) -> Quote:
        """The question at a counted load, with the largest slope there."""
        bend = self._bends.get(at)
        if bend is None or bend.right == math.inf:
            return self._asked(self._sale.load(at))
        return self._bent(bend.price)(bend.right)

    def _asked(self, load: Fraction) -> Quote:
        """The question at a load that is no bend."""
        price, slope = self._sale.tariff.exact_price(load), self._sale.tariff.exact_slope(load)
        return self._bent(double(price))(double(slope))

    def _bent(self, price: float) -> Callable[[float], Quote]:
        """The question at a price, by slope."""
        cap = self._sale.tariff.capacity if math.isfinite(self._sale.room) else BOUNDLESS
        return lambda slope: self._sides.on(Quote(cap, price, slope))


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
    left, right = tariff.exact_left_slope(load), Fraction(0)
    if quantum is not None and load:
        left = (price - tariff.exact_price(load - quantum)) / quantum
    if at < sale.most:
        beyond = tariff.exact_slope(load)
        right = (
            beyond if quantum is None else (tariff.exact_price(load + quantum) - price) / quantum
        )
    return _Bend(load, double(price), double(left), double(right) if at < sale.most else math.inf)
