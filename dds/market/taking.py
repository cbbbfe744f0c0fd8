"""Price-taking: the price at which what clients demand is what the operator sells there."""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import replace
from fractions import Fraction

import numpy as np

from dds.market.crossing import JUMP, Answers, Bracket, Crossing, End, Path
from dds.market.numbers import Floats, Ints, exact_sum
from dds.market.replies import BOUNDLESS, Quote
from dds.market.sale import Outcome, Play, Sale, Start, fill, grow

__all__ = ["price_taking", "rough_price"]

#: Demand this close to supply, relative, meets it.
MET = 1e-12
#: ... and then pi(F) must be this close to the price, relative.
PRICED = 1e-10
#: A bracket this narrow, relative, is taken for a jump.
POINT = 2.0**-42
#: Capacity is sold out but for this part of it.
FULL = Fraction(1, 10**9)
#: pi(F) this close to the price, relative, is the price.
NEARLY = Fraction(1, 10**9)
#: How far below a tie its witness is, relative, and how far where pi is too steep for digits.
WITNESSED, STEEP = 4e-12, 1e-7
#: As near as a rough search comes, relative.
ROUGH = 1e-3
#: The least step, relative, in which a search leaves its start.
NEAR = 1e-6


def price_taking(sale: Sale, start: Start | None = None) -> Play:
    """Search the price p with F(p) = supply(p), the largest F at which pi(F) <= p.

    Where F jumps past supply the tied clients are served in order while they fit; unless they
    fill it, the outcome carries a price just below with its demand.
    """
    path = _path(sale, MET)
    bracket = yield from _crossing(sale, path, start)
    sale.check_bounded(bracket.above, bracket.above.at)
    shares, tied = yield from _served(sale, bracket)
    price, total = bracket.above.at, sale.total(shares)
    start = Start(price, bracket.above.demand, 0.0, cut_off=False, spread=0.0)
    outcome = Outcome(sale.cores(shares), price, float(total), 0, start)
    posted = sale.tariff.exact_price(total)
    if not tied.size and bracket.above.supply < sale.limit and posted >= price * (1 - NEARLY):
        # What rounding left between p and pi(F) costs anybody its square.
        return replace(outcome, price=float(posted))
    below = bracket.below
    if below is None or _cleared(sale, price, total):
        return outcome
    # So far below that rounding does not hide what is demanded there: where nobody is tied, pi
    # rises from below p to above it within a digit of F.
    if sale.quantum is None:
        below = yield from path.ask(below.at * (1.0 - (WITNESSED if tied.size else STEEP)))
    return replace(outcome, price_below=below.at, shares_below=sale.cores(below.answers.shares))


def _served(sale: Sale, bracket: Bracket) -> Generator[Quote, Answers, tuple[Floats, Ints]]:
    """Shares with the tied clients served while they fit, and who is tied."""
    tied = bracket.jumping
    if bracket.met or bracket.below is None or not tied.size:
        return bracket.above.answers.shares, tied[:0]
    fewer, larger = bracket.above.answers.of(tied), bracket.below.answers.of(tied)
    if sale.quantum is None:
        # What they demand just above the tie if they do not drop: less, but for rounding.
        held = np.zeros(sale.size)
        held[tied] = (fewer + larger) / 2.0
        answers = yield Quote(BOUNDLESS, bracket.above.at * (1.0 + POINT), 0.0, at_least=held)
        larger = np.minimum(answers.of(tied), larger)
    shares, _ = fill(bracket.above, tied, larger)
    while sum(exact_sum(shares), -sale.most) > 0.0:  # rounding oversold: serve one less
        last = int((shares[tied] > fewer).nonzero()[0][-1])
        shares[tied[last]] = fewer[last]
    return shares, tied


def _cleared(sale: Sale, price: float, total: Fraction) -> bool:
    """Whether those served fill what is for sale at the price."""
    capacity = sale.tariff.exact_capacity
    if capacity is not None and total >= capacity * (1 - FULL):
        return True
    return price <= sale.tariff.exact_price(total) * (1 + Fraction(PRICED))


def rough_price(sale: Sale) -> Generator[Quote, Answers, Start]:
    """About the price at which demand meets supply, to a thousandth."""
    bracket = yield from _crossing(sale, _path(sale, ROUGH, ROUGH), None)
    return Start(bracket.above.at, bracket.above.demand, 0.0, cut_off=False, spread=ROUGH)


def _path(sale: Sale, precision: float, point: float = POINT) -> Path:
    """Quotes by rising price."""
    tariff = sale.tariff

    def supply(price: float) -> float:
        cores = tariff.supply(price)
        if cores >= tariff.capacity:
            return sale.limit
        counted = cores / sale.unit
        whole = float(round(counted)) if sale.quantum is not None else counted
        if abs(counted - whole) <= 1e-9 * whole and sale.price(whole) <= price:
            return min(whole, sale.limit)
        # Rounded down: at a pole, or a kink at price 0, an ulp more would cost much more.
        return min(max(counted - 4.0 * math.ulp(counted), 0.0), sale.limit)

    def priced(end: End) -> bool:
        """Near a pole demand may meet supply while its price is still another."""
        if end.supply >= sale.limit:
            return True
        total = sale.total(end.answers.shares)
        return float(tariff.exact_price(total)) >= end.at * (1.0 - PRICED)

    return Path(
        lambda price: Quote(BOUNDLESS, price, 0.0),
        supply,
        precision,
        point,
        priced=priced,
        # At one price demand in quanta changes by whole ones or not at all.
        jump=JUMP if sale.quantum is None else 0.0,
    )


def _crossing(sale: Sale, path: Path, start: Start | None) -> Crossing:
    """The bracket of the price, searched from ``start``, else from the least price up."""
    floor = float(sale.tariff.exact_price(Fraction(0)))
    above: End | None = None
    if start is not None:
        at, step = start.price * (1.0 - start.spread), 1.0 + 2.0 * start.spread + NEAR
        while at > floor:
            end = yield from path.ask(at, None, above)
            if end.excess > 0.0:
                if above is None:
                    end, above = yield from grow(sale, path, end, at * step, step)
                return (yield from path.narrow(end, above))
            above, at, step = end, at / step, step * step
    first = yield from path.ask(floor, None, above)
    if first.excess <= 0.0:
        return Bracket(None, first, met=True)
    if above is None:
        first, above = yield from grow(sale, path, first, start=2.0 * first.at or 1.0)
    return (yield from path.narrow(first, above))
