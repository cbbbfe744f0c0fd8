"""Truthful clients of one table, as an auctioneer in the same process sees them.

The search for an equilibrium asks many quotes close to each other, and almost
everybody answers those on the same piece.  Once two full answers are close (a
*zone* between them), only clients whose mode differs at its ends are asked again;
the demand of the rest is a smooth function of one number:

    sum of f_i = p^(-1/2) Psi(d / p^(3/2)) + H,   Psi(r) = sum of g_i y(r g_i)

where g = sqrt(w W) of a client free on its piece, y^2 + u y^3 = 1, and H is what
those held at a bound buy.  Psi is interpolated at Chebyshev nodes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from dds.market.crossing import Answers
from dds.market.numbers import Floats, Ints, exact_sum
from dds.market.passes import (
    LOCAL,
    Reply,
    Standing,
    answer_all,
    root_total,
    standing,
)
from dds.market.replies import TOLERANCE, Quote, best_replies
from dds.market.sale import Probe
from dds.market.table import ClientTable
from dds.market.tariff_base import Tariff

__all__ = ["Crowd"]

#: Ends of a zone differ by at most this, relative, in price and in ratio...
WIDTH = 4e-3
#: ... so that so many nodes interpolate Psi to rounding.
NODES = 5
#: What interpolated demand may be off, relative; it is reported by so much too high.
MARGIN = 2e-13


class Crowd:
    """The clients of a large table with continuous shares.

    :meth:`answer` takes an auctioneer's post; it remembers what it answered before.
    """

    def __init__(self, table: ClientTable, tariff: Tariff) -> None:
        self.table = table
        self._tariff = tariff
        self._full: list[Full] = []  # the latest few
        self._zone: Zone | None = None

    def answer(self, post: Quote | Probe) -> Answers | Floats:
        """Everybody's answers to a quote, or those to a probe."""
        return self._quoted(post) if isinstance(post, Quote) else self._reconsidered(post)

    def _quoted(self, quote: Quote) -> Answers:
        if self._zone is None or not self._zone.covers(quote):
            zone = self._new_zone(quote)
            if zone is None:
                full = Full(self.table, quote)
                self._full = [full, *self._full[:3]]
                return full
            self._zone = zone
        return Near(self._zone, quote)

    def _new_zone(self, quote: Quote) -> Zone | None:
        """A zone around the quote between two close full answers, if there are such."""
        below = [full for full in self._full if _leads(full.quote, quote)]
        above = [full for full in self._full if _leads(quote, full.quote)]
        if not below or not above:
            return None
        low = max(below, key=lambda full: (full.quote.price, full.quote.slope))
        high = min(above, key=lambda full: (full.quote.price, full.quote.slope))
        if not _close(low.quote, high.quote):
            return None
        zone = Zone(self.table, low, high)
        return zone if zone.covers(quote) else None

    def _reconsidered(self, probe: Probe) -> Floats:
        """Best responses, or present shares that are as good."""
        present = probe.shares[probe.asked]
        table = self.table if len(present) == len(self.table) else self.table.take(probe.asked)
        total = exact_sum(probe.shares)[0]
        found = self.standing(table, present, total)
        cost = table.value * found.latencies + present * self._tariff.price_at(total)
        answers = present.copy()
        doubtful = np.flatnonzero(found.savings > TOLERANCE * cost)
        if len(doubtful):
            answers[doubtful] = best_replies(
                table.take(doubtful),
                self._tariff,
                np.maximum(total - present[doubtful], 0.0),
                present=present[doubtful],
            ).shares
        return answers

    def standing(self, table: ClientTable, shares: Floats, total: float) -> Standing:
        """Where clients stand in the Nash game at total demand F."""
        tariff = self._tariff
        exact = Fraction(total)
        left, right = float(tariff.exact_left_slope(exact)), float(tariff.exact_slope(exact))
        room = max(tariff.capacity - total, 0.0)
        return standing(table, shares, tariff.price_at(total), left, right, room)


def _leads(one: Quote, other: Quote) -> bool:
    """Whether nobody asks for less at ``one`` than at ``other``."""
    return one.price <= other.price and one.slope <= other.slope and one.load == other.load


def _ratio(quote: Quote) -> float:
    return quote.slope / (quote.price * math.sqrt(quote.price))


def _close(low: Quote, high: Quote) -> bool:
    """Whether two quotes can be the ends of a zone."""
    if not (low.price > 0.0 and high.price <= low.price * (1.0 + WIDTH)):
        return False
    one, other = sorted((_ratio(low), _ratio(high)))
    return other <= one * (1.0 + 2.0 * WIDTH)


@dataclass(frozen=True, eq=False)
class Full:
    """Everybody's answers to a quote, by a pass over the table."""

    table: ClientTable
    quote: Quote

    @cached_property
    def reply(self) -> Reply:
        """Shares and modes."""
        return answer_all(self.table, self.quote)

    @property
    def shares(self) -> Floats:
        """Cores, N."""
        return self.reply.shares

    @cached_property
    def _sum(self) -> tuple[float, float]:
        return exact_sum(self.shares)

    @property
    def demand(self) -> float:
        """Their sum, cores."""
        return self._sum[0]

    def excess(self, supply: float) -> float:
        """Demand - supply, of the right sign."""
        return (self._sum[0] - supply) + self._sum[1]

    def of(self, rows: Ints) -> Floats:
        """The shares of some clients."""
        return self.shares[rows]

    def turning(self, other: Answers) -> Ints:
        """The clients whose modes differ, or whose bounds a quote has changed."""
        if not isinstance(other, Full):
            return other.turning(self)
        differ = self.reply.modes != other.reply.modes
        return np.flatnonzero(differ | _bound(self.quote) | _bound(other.quote))


@dataclass(frozen=True, eq=False)
class Zone:
    """All quotes between two close ones.

    turning: the clients whose modes differ at the ends, or whose bounds a quote has changed.
    """

    table: ClientTable
    low: Full
    high: Full

    @cached_property
    def turning(self) -> Ints:
        """Their indices, ascending."""
        return self.low.turning(self.high)

    @cached_property
    def _few(self) -> ClientTable:
        return self.table.take(self.turning)

    def covers(self, quote: Quote) -> bool:
        """Whether the quote lies between the ends and binds nobody else."""
        between = _leads(self.low.quote, quote) and _leads(quote, self.high.quote)
        if not between:
            return False
        ends = sorted((_ratio(self.low.quote), _ratio(self.high.quote)))
        if not ends[0] <= _ratio(quote) <= ends[1]:
            return False
        bound = np.flatnonzero(_bound(quote))
        return bool(np.isin(bound, self.turning, assume_unique=True).all())

    @cached_property
    def _smooth(self) -> tuple[Floats, float]:
        """(g of everybody free on a piece, cores of those held at a bound), turning ones aside."""
        modes = self.low.reply.modes.copy()
        modes[self.turning] = LOCAL
        piece, held = modes >> 2, (modes & 3) > 0
        free = np.flatnonzero((modes != LOCAL) & ~held)
        roots = np.sqrt(self.table.value[free] * self.table.work[piece[free], free])
        fixed = self.low.shares[np.flatnonzero((modes != LOCAL) & held)]
        return roots, exact_sum(fixed)[0]

    @cached_property
    def _nodes(self) -> tuple[Floats, Floats]:
        """Chebyshev nodes between the ratios of the ends, and Psi there."""
        low, high = sorted((_ratio(self.low.quote), _ratio(self.high.quote)))
        count = NODES if high > low else 1
        angles = (np.arange(count) + 0.5) * math.pi / count
        nodes = (low + high) / 2.0 - (high - low) / 2.0 * np.cos(angles)
        roots = self._smooth[0]
        return nodes, np.array([root_total(roots, float(ratio)) for ratio in nodes])

    def demand(self, quote: Quote) -> float:
        """Everybody's demand, cores, to about MARGIN of itself."""
        nodes, values = self._nodes
        smooth = _interpolated(nodes, values, _ratio(quote)) / math.sqrt(quote.price)
        return smooth + self._smooth[1] + exact_sum(self.turned(quote))[0]

    def turned(self, quote: Quote) -> Floats:
        """The shares of the turning clients."""
        if not len(self.turning):
            return np.zeros(0)
        return answer_all(self._few, quote.for_rows(self.turning)).shares


def _bound(quote: Quote) -> NDArray[np.bool_]:
    """Whose bounds a quote changes: N, or a single False."""
    return (np.asarray(quote.at_least) > 0.0) | (np.asarray(quote.at_most) < math.inf)


def _interpolated(nodes: Floats, values: Floats, at: float) -> float:
    """The polynomial through (nodes, values), by Lagrange's formula."""
    total = 0.0
    for j, node in enumerate(nodes.tolist()):
        others = np.delete(nodes, j)
        total += float(values[j] * np.prod((at - others) / (node - others)))
    return total


@dataclass(frozen=True, eq=False)
class Near:
    """Answers to a quote inside a zone; only the turning clients are asked until all are wanted."""

    zone: Zone
    quote: Quote

    @cached_property
    def demand(self) -> float:
        """The sum of the shares, cores, rounded up by MARGIN."""
        return self.zone.demand(self.quote) * (1.0 + MARGIN)

    def excess(self, supply: float) -> float:
        """Demand - supply; where it is not positive the shares fit."""
        return self.demand - supply

    @cached_property
    def shares(self) -> Floats:
        """Cores, N."""
        return answer_all(self.zone.table, self.quote).shares

    @cached_property
    def _turned(self) -> Floats:
        return self.zone.turned(self.quote)

    def of(self, rows: Ints) -> Floats:
        """The shares of some clients."""
        turning = self.zone.turning
        place = np.minimum(np.searchsorted(turning, rows), max(len(turning) - 1, 0))
        if len(turning) and np.array_equal(turning[place], rows):
            return self._turned[place]
        return self.shares[rows]

    def turning(self, other: Answers) -> Ints:
        """The turning clients of the zone, if the other answers belong to it too; else all."""
        mine = self.zone
        if (isinstance(other, Near) and other.zone is mine) or other in (mine.low, mine.high):
            return mine.turning
        return np.arange(len(mine.table))
