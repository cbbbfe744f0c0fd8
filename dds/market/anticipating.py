"""The Nash game: everybody anticipates what its own share does to the price.

Answers to (F, pi(F), d), d a subgradient of pi at F, are best responses wherever
they add up to F (Theorem C).  They fall as F rises, so one search finds F; where pi
has a kink, or capacity ends, F stays there and d is searched.  At a jump of demand
tied clients are served in order while they fit, the next one if it prefers what
results, and each is held on its side while the search goes on.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from typing import TypeAlias

import numpy as np

from dds.errors import InternalError, InvalidInput
from dds.market.crossing import Answers, Bracket, End, Path
from dds.market.numbers import Floats, Ints, exact_sum, to_shares
from dds.market.replies import BOUNDLESS, Quote
from dds.market.sale import Outcome, Play, Probe, Sale, Start, grow, served

__all__ = ["anticipating", "rough_load"]

#: Demand this close to supply, relative, meets it: regret is quadratic in the difference...
SOFT = 1e-12
#: ... but to first order where F is stuck at capacity or at a kink.
STUCK = 2e-15
#: A bracket this narrow, relative, is taken for a jump.
POINT = 2.0**-30
#: As near as a rough search comes, relative.
ROUGH = 1e-3
#: How often jumping clients are held and the search resumed before clients move one by one.
PASSES = 40
#: How many clients are offered what is left of the capacity.
OFFERS = 8


@dataclass(frozen=True, eq=False)
class _Found:
    """A crossing: load and slope of its upper quote; cut_off: whether capacity ends there."""

    bracket: Bracket
    load: float
    slope: float
    cut_off: bool

    def start(self, sale: Sale, miss: float) -> Start:
        """Where to look next, when F may be off by ``miss`` from here."""
        spread = miss / self.load if self.load > 0.0 else 0.0
        return Start(sale.price(self.load), self.load, self.slope, self.cut_off, spread)


_Search: TypeAlias = Generator[Quote, Answers, _Found]


def anticipating(sale: Sale, start: Start | None = None) -> Play:
    """Search F, hold clients at jumps, and let who still gains move, one at a time."""
    sides = _Sides(np.zeros(sale.size), np.full(sale.size, math.inf))
    for _ in range(PASSES):
        found = yield from _crossing(sale, sides, start)
        shares, jumping, left = served(found.bracket)
        if not jumping.size:
            break
        if not found.cut_off:
            shares = _one_more(sale, found, shares, left)
        sides = sides.held(found.bracket, shares, jumping, sale.quantum)
        start = found.start(sale, abs(found.load - exact_sum(shares)[0]))
    if found.cut_off and sale.quantum is None:
        shares = yield from _filled(sale, shares)
    shares = yield from _settled(sale, shares)
    total = sale.total(shares)
    price = float(sale.tariff.exact_price(total))
    return Outcome(sale.cores(shares), price, float(total), 0, found.start(sale, 0.0))


def rough_load(sale: Sale) -> Generator[Quote, Answers, Start]:
    """About where demand meets load, to a thousandth."""
    sides = _Sides(np.zeros(sale.size), np.full(sale.size, math.inf))
    found = yield from _crossing(sale, sides, None, rough=True)
    return found.start(sale, ROUGH * found.load)


def _crossing(sale: Sale, sides: _Sides, start: Start | None, *, rough: bool = False) -> _Search:
    """Where demand meets load, searched from ``start``."""
    tariff, whole = sale.tariff, sale.quantum is not None
    cap = tariff.capacity if math.isfinite(sale.room) else BOUNDLESS
    soft, point = (ROUGH, ROUGH) if rough else (0.0 if whole else SOFT, POINT)

    def quote(at: float) -> Quote:
        load = sale.load(at)
        price, slope = tariff.exact_price(load), tariff.exact_slope(load)
        return sides.on(Quote(cap, float(price), float(slope)))

    path = Path(quote, lambda load: load, soft, point, whole)
    below: End | None = None
    above: End | None = None
    if start is not None and not start.cut_off:
        for at in (start.load * (1.0 - start.spread), start.load * (1.0 + start.spread)):
            place = float(round(at)) if whole else at
            if above is None and 0.0 < place < sale.most:
                end = yield from path.ask(place, below)
                below, above = (end, None) if end.excess > 0.0 else (below, end)
    if above is None and math.isfinite(sale.room):
        above = yield from path.ask(sale.most, below)
        if above.excess > 0.0:
            return (yield from _cut_off(sale, sides, above, start))
    if below is None:
        below = yield from path.ask(0.0, None, above)
        if below.excess <= 0.0:
            return _Found(Bracket(None, below, met=True), 0.0, 0.0, cut_off=False)
    if above is None:
        below, above = yield from grow(sale, path, below, start=2.0 * below.at or 1.0)
    bracket = yield from path.narrow(below, above)
    return (yield from _at_kink(sale, sides, bracket))


def _at_kink(sale: Sale, sides: _Sides, bracket: Bracket) -> _Search:
    """If demand jumps only because pi' does, hold F there and search the slope instead."""
    slope = sale.tariff.exact_slope(sale.load(bracket.above.at))
    found = _Found(bracket, bracket.above.at, float(slope), cut_off=False)
    if bracket.met or bracket.below is None:
        return found
    lower, upper = sale.load(bracket.below.at), sale.load(bracket.above.at)
    kink = next((kink for kink in sale.tariff.kinks if lower < kink <= upper), None)
    if kink is None:
        return found
    if sale.quantum is None:
        load = float(kink)
        price, left = sale.tariff.exact_price(kink), sale.tariff.exact_left_slope(kink)
        slope = sale.tariff.exact_slope(kink)
    else:  # among whole quanta the chord to the one below is a subgradient too
        load, price = bracket.above.at, sale.tariff.exact_price(upper)
        left = (price - sale.tariff.exact_price(lower)) / (upper - lower)
    cap = bracket.above.supply if math.isinf(sale.room) else sale.room

    def quote(slope: float) -> Quote:
        return sides.on(Quote(cap * sale.unit, float(price), slope))

    path = Path(quote, lambda _: load, STUCK, POINT)
    gentle = yield from path.ask(float(left))
    steep = yield from path.ask(float(slope), gentle)
    if not gentle.excess > 0.0 >= steep.excess:
        return found
    held = yield from path.narrow(gentle, steep)
    return _Found(held, load, held.above.at, cut_off=False)


def _cut_off(sale: Sale, sides: _Sides, top: End, last: Start | None) -> _Search:
    """At the largest F, where demand exceeds it: the slope above pi'(F) at which it fits.

    Beyond it pi is infinite, so any slope from pi'(F) on is a subgradient there.
    """
    load = sale.load(sale.most)
    price, least = (
        float(sale.tariff.exact_price(load)),
        float(sale.tariff.exact_slope(load)),
    )

    def quote(slope: float) -> Quote:
        return sides.on(Quote(sale.tariff.capacity, price, slope))

    path = Path(quote, lambda _: sale.most, STUCK, POINT)
    below, above = replace(top, at=least), None
    start, step = 2.0 * least or 1.0, 4.0
    if last is not None and last.cut_off:
        # Holding clients back lowers demand: look below the last slope, first nearby.
        start, step = last.slope, 1.0 + 2.0**-8
        while start > least:
            end = yield from path.ask(start, below, above)
            if end.excess > 0.0:
                below = end
                break
            above = end
            start, step = start / step, step**4
    if above is None:
        below, above = yield from grow(sale, path, below, start, step)
    bracket = yield from path.narrow(below, above)
    return _Found(bracket, sale.most, bracket.above.at, cut_off=True)


def _one_more(sale: Sale, found: _Found, shares: Floats, left: Ints) -> Floats:
    """Serve one more jumping client if it prefers what results.

    With F posted at the jump and r of it unfilled, taking h more is a best response while
    ``pi(F + h - r) <= pi(F) + d h / 2``; otherwise leaving it is one.
    """
    below = found.bracket.below
    if below is None or not left.size:
        return shares
    i = int(left[0])
    more = float(below.answers.of(left[:1])[0] - shares[i])
    total = exact_sum(shares)[0] + more
    if sale.price(total) > sale.price(found.load) + found.slope * more * sale.unit / 2.0:
        return shares
    fuller = shares.copy()
    fuller[i] += more
    return fuller


def _filled(sale: Sale, shares: Floats) -> Generator[Quote | Probe, Floats, Floats]:
    """Offer what rounding left unsold to the smallest clients, one after the other.

    Everybody would gain a little by taking it, and they the most for their cost.
    """
    buyers = np.flatnonzero(shares)
    for i in buyers[np.argsort(shares[buyers], kind="stable")[:OFFERS]].tolist():
        if _excess(shares, sale.most) < 0.0:
            answers = yield Probe(sale.cores(shares), np.array([i]))
            shares = _moved(sale, shares, i, float(answers[0]))
    return shares


def _settled(sale: Sale, shares: Floats) -> Generator[Quote | Probe, Floats, Floats]:
    """Ask everybody; let who gains move, one at a time, until nobody does."""
    everybody = np.arange(sale.size)
    patience = 1000 + 100 * sale.size
    while True:
        answers = yield Probe(sale.cores(shares), everybody)
        movers = np.flatnonzero(answers != shares)
        if not movers.size:
            return shares
        for place, i in enumerate(movers.tolist()):
            if place > 0:  # what the first one said still holds
                answers[i] = (yield Probe(sale.cores(shares), np.array([i])))[0]
            shares = _moved(sale, shares, i, float(answers[i]))
        patience -= len(movers)
        if patience < 0:
            raise InternalError("clients keep moving although each move gains; report this")


def _moved(sale: Sale, shares: Floats, client: int, share: float) -> Floats:
    """Shares after one client's move, less what rounding would oversell."""
    moved = shares.copy()
    moved[client] = share
    while (over := _excess(moved, sale.most)) > 0.0:
        if over > 1e-9 * sale.most:
            raise InvalidInput(f"clients[{client}]: asked for more than the others leave")
        moved[client] = min(math.nextafter(moved[client], 0.0), moved[client] - over)
    return moved


def _excess(shares: Floats, most: float) -> float:
    total, rest = exact_sum(shares)
    return (total - most) + rest


@dataclass(frozen=True, eq=False)
class _Sides:
    """Bounds that hold clients on their side of the jumps found so far, cores."""

    at_least: Floats
    at_most: Floats

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
    ) -> _Sides:
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
        return _Sides(least, most)
