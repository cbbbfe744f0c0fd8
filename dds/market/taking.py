"""Price-taking: the price at which what clients demand is what the operator sells there."""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import replace
from fractions import Fraction

from dds.market.crossing import Answers, Bracket, Crossing, End, Path
from dds.market.numbers import exact_sum
from dds.market.replies import BOUNDLESS, Quote
from dds.market.sale import Outcome, Play, Sale, Start, grow, served

__all__ = ["price_taking", "rough_price"]

#: Demand this close to supply, relative, meets it.
MET = 1e-12
#: ... and then pi(F) must be this close to the price, relative.
PRICED = 1e-10
#: As near as a rough search comes, relative.
ROUGH = 1e-3
#: The least step, relative, in which a search leaves its start.
NEAR = 1e-6


def price_taking(sale: Sale, start: Start | None = None) -> Play:
    """Search the price p with F(p) = supply(p), the largest F at which pi(F) <= p.

    Where F jumps past supply the tied clients are served in order while they fit, and the
    outcome carries the neighbouring lower price with its demand.
    """
    bracket = yield from _crossing(sale, _path(sale, MET), start)
    sale.check_bounded(bracket.above)
    shares, tied, _ = served(bracket)
    fewer = bracket.above.answers.of(tied)
    while sum(exact_sum(shares), -sale.most) > 0.0:  # rounding oversold: serve one less
        last = int((shares[tied] > fewer).nonzero()[0][-1])
        shares[tied[last]] = fewer[last]
    total = sale.total(shares)
    start = Start(bracket.above.at, bracket.above.demand, 0.0, cut_off=False, spread=0.0)
    outcome = Outcome(sale.cores(shares), bracket.above.at, float(total), 0, start)
    if not tied.size and bracket.above.supply < sale.limit:
        # What rounding left between p and pi(F) costs anybody its square.
        return replace(outcome, price=float(sale.tariff.exact_price(total)))
    if bracket.below is None or not tied.size:
        return outcome
    return Outcome(
        outcome.shares,
        outcome.price,
        outcome.total,
        0,
        start,
        price_below=bracket.below.at,
        shares_below=sale.cores(bracket.below.answers.shares),
    )


def rough_price(sale: Sale) -> Generator[Quote, Answers, Start]:
    """About the price at which demand meets supply, to a thousandth."""
    bracket = yield from _crossing(sale, _path(sale, ROUGH, ROUGH), None)
    return Start(bracket.above.at, bracket.above.demand, 0.0, cut_off=False, spread=ROUGH)


def _path(sale: Sale, precision: float, point: float = 2.0**-42) -> Path:
    """Quotes by rising price."""
    tariff = sale.tariff

    def supply(price: float) -> float:
        cores = tariff.supply(price)
        if cores >= tariff.capacity:
            return sale.limit
        # Rounded down: at a pole, or a kink at price 0, an ulp more would cost much more.
        counted = cores / sale.unit
        return min(max(counted - 4.0 * math.ulp(counted), 0.0), sale.limit)

    def priced(end: End) -> bool:
        """Near a pole demand may meet supply while its price is still another."""
        if end.supply >= sale.limit:
            return True
        total = sale.total(end.answers.shares)
        return float(tariff.exact_price(total)) >= end.at * (1.0 - PRICED)

    return Path(lambda price: Quote(BOUNDLESS, price, 0.0), supply, precision, point, priced=priced)


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
