"""The answers of many clients to any quote between two, from little arithmetic.

The search for an equilibrium asks many quotes close to each other, and almost everybody
answers them in the same way: on the same piece, free or held at the same bound
(``passes.enclose``).  The demand of those who are free is a function of two numbers:

    sum of f_i = p^(-1/2) Psi(d / p^(3/2)),   Psi(r) = sum of g_i y(r g_i)

where g = sqrt(w W) and y^2 + u y^3 = 1; Psi is interpolated.  Only the others, who are
*turning*, are asked again.  A zone inside a zone looks at these alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from dds.market.numbers import Floats, Ints, exact_sum
from dds.market.passes import UNSURE, Enclosed, answer_all, enclose, root_totals
from dds.market.replies import Quote
from dds.market.table import ClientTable

__all__ = ["MARGIN", "Zone", "leads"]

#: What interpolated demand may be off, relative.
MARGIN = 2e-14
#: Psi is interpolated to exp(-DIGITS), over no more than this of log r.
DIGITS, SPAN = 37.0, 1.0


def leads(one: Quote, other: Quote) -> bool:
    """Whether nobody asks for less at ``one`` than at ``other``."""
    return one.price <= other.price and one.slope <= other.slope and one.load == other.load


@dataclass(frozen=True, eq=False)
class Zone:
    """All quotes from ``low`` to ``high`` for some clients of a market.

    table: these clients; rows: their indices in the market, rising, None for everybody;
    outer: the zone around this one, in which these clients are turning and the others not;
    bound: indices of clients to count as turning because quotes bound them.
    """

    table: ClientTable
    low: Quote
    high: Quote
    rows: Ints | None = None
    outer: Zone | None = None
    bound: Ints = field(default_factory=lambda: np.zeros(0, np.int64))

    @classmethod
    def between(
        cls, table: ClientTable, low: Quote, high: Quote, bound: Ints | None = None
    ) -> Zone | None:
        """The zone of everybody, if these quotes can be the ends of one."""
        steep = low.slope > 0.0 or high.slope == 0.0
        if not (low.price > 0.0 and steep and leads(low, high)):
            return None
        if high.slope > 0.0 and _span(low, high) > SPAN:
            return None
        return cls(table, low, high, bound=np.zeros(0, np.int64) if bound is None else bound)

    def inner(self, low: Quote, high: Quote, bound: Ints) -> Zone:
        """The zone between two quotes of this one, for quotes that bind turning clients."""
        return Zone(self._few, low, high, self.turning, self, bound)

    @cached_property
    def _enclosed(self) -> Enclosed:
        found = enclose(self.table, self.low, self.high)
        bound = self.bound if self.rows is None else np.searchsorted(self.rows, self.bound)
        found.modes[bound], found.amounts[bound] = UNSURE, 0.0
        return found

    @cached_property
    def _unsure(self) -> Ints:
        return np.flatnonzero(self._enclosed.modes == UNSURE)

    @cached_property
    def _few(self) -> ClientTable:
        return self.table.take(self._unsure)

    @cached_property
    def turning(self) -> Ints:
        """The clients that may change how they answer; indices in the market, rising."""
        return self._unsure if self.rows is None else self.rows[self._unsure]

    def covers(self, quote: Quote, bound: Ints) -> bool:
        """Whether the quote lies between the ends and binds, by ``bound``, turning clients only."""
        if not (leads(self.low, quote) and leads(quote, self.high)):
            return False
        place = np.minimum(np.searchsorted(self.turning, bound), max(len(self.turning) - 1, 0))
        return not len(bound) or bool(
            len(self.turning) and np.array_equal(self.turning[place], bound)
        )

    @cached_property
    def _nodes(self) -> tuple[Floats, Floats]:
        """Chebyshev nodes in log r, as many as it takes, over the zone's ratios; and Psi there."""
        low, high = self.low, self.high
        if high.slope == 0.0:
            return np.zeros(1), root_totals(self._enclosed.free, np.zeros(1))
        half = _span(low, high) / 2.0
        # Psi is analytic in log r up to the nearest double root of the cubic, pi away.
        count = 1 + math.ceil(DIGITS / math.log(6.0 / half)) if half > 0.0 else 1
        angles = (np.arange(count) + 0.5) * math.pi / count
        nodes = _log_ratio(low.slope, high.price) + half * (1.0 - np.cos(angles))
        return nodes, root_totals(self._enclosed.free, np.exp(nodes))

    @cached_property
    def _held(self) -> float:
        return exact_sum(self._enclosed.held)[0]

    def settled(self, quote: Quote) -> float:
        """The demand of those who are not turning, cores, to about MARGIN of it."""
        nodes, values = self._nodes
        at = _log_ratio(quote.slope, quote.price) if quote.slope > 0.0 else 0.0
        own = _interpolated(nodes, values, at) / math.sqrt(quote.price)
        return own + self._held + (self.outer.settled(quote) if self.outer else 0.0)

    def turned(self, quote: Quote) -> Floats:
        """The shares of the turning clients, cores."""
        if not len(self.turning):
            return np.zeros(0)
        return answer_all(self._few, quote.for_rows(self.turning)).shares

    def shares(self, quote: Quote) -> Floats:
        """Everybody's share, cores, but 0 for turning clients."""
        own = self._enclosed.shares(quote)
        if self.outer is None:
            return own
        shares = self.outer.shares(quote)
        shares[self.rows] = own
        return shares

    def within(self, other: Zone) -> bool:
        """Whether this is the other zone or inside it."""
        return self is other or (self.outer is not None and self.outer.within(other))


def _span(low: Quote, high: Quote) -> float:
    """How much log r may differ between quotes of a zone, r = d / p^(3/2)."""
    return _log_ratio(high.slope, low.price) - _log_ratio(low.slope, high.price)


def _log_ratio(slope: float, price: float) -> float:
    """The logarithm of r = d / p^(3/2)."""
    return math.log(slope) - 1.5 * math.log(price)


def _interpolated(nodes: Floats, values: Floats, at: float) -> float:
    """The polynomial through (nodes, values), by the barycentric formula for Chebyshev nodes."""
    count = len(nodes)
    away = at - nodes
    if count == 1 or not away.all():
        return float(values[int(np.abs(away).argmin())])
    weights = np.sin((np.arange(count) + 0.5) * math.pi / count) / away
    weights[1::2] *= -1.0
    return float((weights * values).sum() / weights.sum())
