"""Price-taking: the price at which what clients demand is what the operator sells there."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

from dds.market.crossing import Bracket, End, Path
from dds.market.replies import BOUNDLESS, Quote
from dds.market.sale import Outcome, Play, Sale, grow, served

__all__ = ["price_taking"]

#: Demand this close to supply, relative, meets it.
MET = 1e-12
#: ... and then pi(F) must be this close to the price, relative.
PRICED = 1e-10


def price_taking(sale: Sale) -> Play:
    """Search the price p with F(p) = supply(p), the largest F at which pi(F) <= p.

    Where F jumps past supply the tied clients are served in order while they fit, and the
    outcome carries the neighbouring lower price with its demand.
    """
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
        return float(tariff.exact_price(sale.total(end.answers))) >= end.at * (1.0 - PRICED)

    path = Path(lambda price: Quote(BOUNDLESS, price, 0.0), supply, sale.count, MET, priced=priced)
    first = yield from path.ask(float(tariff.exact_price(Fraction(0))))
    if first.excess <= 0.0:
        bracket = Bracket(None, first, met=True)
    else:
        below, above = yield from grow(sale, path, first, start=2.0 * first.at or 1.0)
        bracket = yield from path.narrow(below, above)
    sale.check_bounded(bracket.above)
    shares, tied, _ = served(bracket)
    while math.fsum((*shares.tolist(), -sale.most)) > 0.0:  # rounding oversold: serve one less
        last = int((shares > bracket.above.answers).nonzero()[0][-1])
        shares[last] = bracket.above.answers[last]
    total = sale.total(shares)
    outcome = Outcome(sale.cores(shares), bracket.above.at, float(total), 0)
    if not tied.size and bracket.above.supply < sale.limit:
        # What rounding left between p and pi(F) costs anybody its square.
        return replace(outcome, price=float(tariff.exact_price(total)))
    if bracket.below is None or not tied.size:
        return outcome
    return Outcome(
        outcome.shares,
        outcome.price,
        outcome.total,
        0,
        price_below=bracket.below.at,
        shares_below=sale.cores(bracket.below.answers),
    )
