"""Clearing a price-taking market by its index: the price, and who is served at a tie.

Demand F(p) falls with the price and what the tariff sells at p, the largest F with
pi(F) <= p, does not.  At a hard capacity the index finds the crossing itself; on a rising
tariff it is bisected.  Where F jumps past supply everybody takes the smaller demand and
then, in order of id, the tied clients take the larger one while it fits.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from dds.errors import Infeasible
from dds.market.numbers import Floats, Ints
from dds.market.replies import BOUNDLESS
from dds.market.tariff_base import Tariff
from dds.online.index import Index
from dds.online.rows import Rows

__all__ = ["Offer", "Posted", "clear", "clearing_price"]

#: Breakpoints this close, relative, are one: they may differ by rounding alone.
SAME = 2.0**-44
#: Demand this close to supply, relative, meets it.
MET = 1e-12
#: The least step, a factor, in which a search leaves its hint.
NEAR = 1.0 + 2.0**-10


class Offer:
    """What a tariff sells at a price; what depends on the tariff alone is worked out once.

    limit: the most that may be sold, cores, inf without a limit; floor: the least price.
    """

    def __init__(self, tariff: Tariff) -> None:
        self.tariff = tariff
        capacity = tariff.capacity
        self.limit = math.nextafter(capacity, 0.0) if tariff.strict else capacity
        self.floor = float(tariff.exact_price(Fraction(0)))

    def sold(self, price: float) -> float:
        """The largest F at a price, cores, a hair less where it rises."""
        cores = self.tariff.supply(price)
        if cores >= self.tariff.capacity:
            return self.limit
        return min(max(cores - 4.0 * math.ulp(cores), 0.0), self.limit)


@dataclass(frozen=True, slots=True, eq=False)
class Posted:
    """A cleared price.

    s: what clients answered, as sqrt of a price; price: what they pay; total: F, cores; rows,
    shares: those of tied clients, rows ascending; served: how many got their larger demand.
    """

    s: float
    price: float
    total: float
    rows: Ints
    shares: Floats
    served: int


def clearing_price(index: Index, capacity: float) -> float:
    """The least price, credits/s per core, at which demand is at most ``capacity`` cores.

    Raises Infeasible where it is larger at any price.
    """
    s, _ = _capped(index, capacity)
    return s * s


def _capped(index: Index, capacity: float) -> tuple[float, bool]:
    """The clearing price, as its square root, and whether demand jumps there."""
    found = index.crossing(capacity)
    if found.below < 0.0:
        return 0.0, False
    s = min(found.s, found.above)
    if s * s > BOUNDLESS:
        raise _unservable(index, capacity)
    return s, found.above <= found.s


def _unservable(index: Index, capacity: float) -> Infeasible:
    least = index.demand(math.sqrt(BOUNDLESS))
    return Infeasible(
        f"clients that must offload ask for {least:g} cores at any price, "
        f"and {capacity:g} may be sold"
    )


def clear(index: Index, rows: Rows, offer: Offer, hint: float) -> Posted:
    """Clear the market of the clients in ``index``.

    rows: of these clients, whose ids are the order of service; hint: a price that the answer may
    be near, or 0.

    Raises Infeasible where clients that must offload do not fit, or demand has no limit.
    """
    s, jumps = _capped(index, offer.limit) if offer.limit < math.inf else (0.0, False)
    capped = s * s > offer.floor
    low = max(s * s, offer.floor)
    supply, s = offer.sold(low), math.sqrt(low)
    # Below a price that capacity sets, less is sold and more demanded.
    if (capped and supply >= offer.limit) or index.demand(s) <= supply:
        found = _rationed(index, rows, s, s, supply) if capped and jumps else None
        return found or _settled(index, offer, low, s, supply)
    low, high = _bracket(index, offer, low, hint)
    supply, s = offer.sold(high), math.sqrt(high)
    if supply - index.demand(s) > MET * supply:
        found = _rationed(index, rows, math.sqrt(low), s, supply)
        if found is not None:
            return found
    return _settled(index, offer, high, s, supply)


def _settled(index: Index, offer: Offer, price: float, s: float, supply: float) -> Posted:
    """A price at which demand fits and nobody is tied."""
    total = min(index.demand(s), supply)
    if total >= math.sqrt(BOUNDLESS):
        raise Infeasible("demand has no limit at price 0; give a capacity or max_share")
    if supply < offer.limit:
        # What rounding left between p and pi(F) costs anybody its square.
        price = float(offer.tariff.exact_price(Fraction(total)))
    return _untied(s, price, total)


def _untied(s: float, price: float, total: float) -> Posted:
    return Posted(s, price, total, np.zeros(0, np.int64), np.zeros(0), 0)


def _bracket(index: Index, offer: Offer, low: float, hint: float) -> tuple[float, float]:
    """Neighbouring prices between which demand begins to fit; it does not at ``low``."""

    def fits(price: float) -> bool:
        return index.demand(math.sqrt(price)) <= offer.sold(price)

    high, step = max(hint, 2.0 * low) or 1.0, NEAR
    if hint > low:
        while high > low and fits(high / step):
            high, step = high / step, step * step
        low, step = max(low, high / step), NEAR
    while not fits(high):
        if high >= BOUNDLESS:
            raise _unservable(index, offer.sold(high))
        low, high, step = high, min(high * step, BOUNDLESS), step * step
    first, last = _place(low), _place(high)
    while last - first > 1:
        middle = (first + last) // 2
        if fits(_double(middle)):
            last = middle
        else:
            first = middle
    return _double(first), _double(last)


def _place(number: float) -> int:
    """How many doubles lie below a number >= 0."""
    return int(struct.unpack("<q", struct.pack("<d", number))[0])


def _double(place: int) -> float:
    return float(struct.unpack("<d", struct.pack("<q", place))[0])


def _rationed(index: Index, rows: Rows, low: float, high: float, supply: float) -> Posted | None:
    """Serve those whose demand jumps between ``low`` and ``high``; None if nobody's does."""
    found = index.ration(low * (1.0 - SAME), high * (1.0 + SAME), rows.ids, rows.until, supply)
    if not len(found.rows):
        return None
    s, total = found.s, min(found.total, supply)
    return Posted(s, s * s, total, found.rows, found.shares, found.served)
