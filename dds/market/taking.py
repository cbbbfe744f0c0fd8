"""Price-taking: the price at which what clients demand is what the operator sells there."""

from __future__ import annotations

import math
from fractions import Fraction

from dds.market.crossing import Bracket, Path
from dds.market.replies import BOUNDLESS, Quote
from dds.market.sale import Outcome, Play, Sale, grow, served

__all__ = ["price_taking"]

#: Demand this close to supply, relative, meets it.
MET = 1e-12


def price_taking(sale: Sale) -> Play:
    """Search the price p with F(p) = supply(p), the largest F at which pi(F) <= p.

    Where F jumps past supply the tied clients are served in order while they fit, and the
    outcome carries the neighbouring lower price with its demand.
    """
    tariff = sale.tariff

    def supply(price: float) -> float:
        cores = tariff.supply(price)
        return sale.most if cores >= tariff.capacity else min(cores / sale.unit, sale.most)

    path = Path(lambda price: Quote(BOUNDLESS, price, 0.0), supply, sale.count, MET)
    first = yield from path.ask(float(tariff.exact_price(Fraction(0))))
    if first.excess <= 0.0:
        bracket = Bracket(None, first, met=True)
    else:
        below, above = yield from grow(sale, path, first, start=2.0 * first.at or 1.0)
        bracket = yield from path.narrow(below, above)
    sale.check_bounded(bracket.above)
    shares, _, _ = served(bracket)
    while math.fsum((*shares.tolist(), -sale.most)) > 0.0:  # rounding oversold: serve one less
        last = int((shares > bracket.above.answers).nonzero()[0][-1])
        shares[last] = bracket.above.answers[last]
    outcome = Outcome(sale.cores(shares), bracket.above.at, float(sale.total(shares)), 0)
    if bracket.met or bracket.below is None:
        return outcome
    return Outcome(
        outcome.shares,
        outcome.price,
        outcome.total,
        0,
        price_below=bracket.below.at,
        shares_below=sale.cores(bracket.below.answers),
    )
