"""Truthful clients of one table, as an auctioneer in the same process sees them.

A first look, at some of them, tells about where the search will end; there one pass encloses
all quotes (``zone``), and the search goes on among the clients that turn in it, and among the
fewer that turn in a smaller zone inside.  Wherever the search leaves the zone, everybody is
asked.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from dds.market.crossing import Answers
from dds.market.numbers import Floats, Ints, exact_sum
from dds.market.passes import Reply, Standing, answer_all, standing
from dds.market.replies import TOLERANCE, Quote, best_replies
from dds.market.sale import Probe
from dds.market.table import ClientTable
from dds.market.tariff_base import Tariff
from dds.market.zone import MARGIN, Zone, leads

__all__ = ["Crowd"]

#: Full answers are the ends of a zone where they differ by at most this, relative.
WIDTH = 5e-2
#: With more turning clients a smaller zone pays, once it can be so many times smaller.
FEW, SHRINK = 256, 8.0
#: A smaller zone reaches this far beyond the two latest quotes, in their distances.
REACH = 3.0


class Crowd:
    """The clients of a large table with continuous shares.

    :meth:`answer` takes an auctioneer's post; it remembers what it answered before.  window:
    quotes between which the search is expected to end.
    """

    def __init__(
        self, table: ClientTable, tariff: Tariff, window: tuple[Quote, Quote] | None = None
    ) -> None:
        self.table = table
        self._tariff = tariff
        self._full: list[Full] = []  # the latest few
        self._zone = None if window is None else Zone.between(table, *window)
        self._last: Quote | None = None  # the last one answered from a zone
        self._bound: tuple[Quote | None, Ints] = None, np.zeros(0, np.int64)
        self._stood: tuple[Floats, float, Standing] | None = None

    def answer(self, post: Quote | Probe) -> Answers | Floats:
        """Everybody's answers to a quote, or those to a probe."""
        return self._quoted(post) if isinstance(post, Quote) else self._reconsidered(post)

    def _quoted(self, quote: Quote) -> Answers:
        bound = self._bound_by(quote)
        zone = self._zone
        while zone is not None and not zone.covers(quote, bound):
            zone = zone.outer
        if zone is None:
            zone = self._new_zone(quote, bound)
        if zone is None:
            full = self._asked_all(quote, bound)
            self._full = [full, *self._full[:3]]
            return full
        self._zone = _narrowed(zone, self._last, quote, bound)
        self._last = quote
        return Near(self._zone, quote)

    def _asked_all(self, quote: Quote, bound: Ints) -> Full:
        """Everybody's answers; where the same was asked before, only who is bound is asked."""
        for full in self._full:
            if leads(full.quote, quote) and leads(quote, full.quote):
                again = np.union1d(bound, np.flatnonzero(_binds(full.quote)))
                part = answer_all(self.table.take(again), quote.for_rows(again))
                shares, modes = full.reply.shares.copy(), full.reply.modes.copy()
                shares[again], modes[again] = part.shares, part.modes
                return Full(quote, Reply(shares, modes))
        return Full(quote, answer_all(self.table, quote))

    def _bound_by(self, quote: Quote) -> Ints:
        """Whose bounds a quote changes."""
        known = self._bound[0]
        if known is None or not (
            known.at_least is quote.at_least and known.at_most is quote.at_most
        ):
            self._bound = quote, np.flatnonzero(_binds(quote))
        return self._bound[1]

    def _new_zone(self, quote: Quote, bound: Ints) -> Zone | None:
        """A zone around the quote between two close full answers, if there are such."""
        below = [full.quote for full in self._full if leads(full.quote, quote)]
        above = [full.quote for full in self._full if leads(quote, full.quote)]
        if not below or not above:
            return None
        low = max(below, key=lambda quote: (quote.price, quote.slope))
        high = min(above, key=lambda quote: (quote.price, quote.slope))
        wide = high.price > low.price * (1.0 + WIDTH) or high.slope > low.slope * (1.0 + WIDTH)
        if wide or leads(high, low):
            return None
        return Zone.between(self.table, _unbound(low), _unbound(high), bound)

    def _reconsidered(self, probe: Probe) -> Floats:
        """Best responses, or present shares that are as good."""
        everybody = len(probe.asked) == len(self.table)
        present = probe.shares if everybody else probe.shares[probe.asked]
        table = self.table if everybody else self.table.take(probe.asked)
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
        if self._stood is not None and self._stood[0] is shares and self._stood[1] == total:
            return self._stood[2]
        tariff = self._tariff
        exact = Fraction(total)
        left, right = float(tariff.exact_left_slope(exact)), float(tariff.exact_slope(exact))
        room = max(tariff.capacity - total, 0.0)
        found = standing(table, shares, tariff.price_at(total), left, right, room)
        if table is self.table:
            self._stood = shares, total, found
        return found


def _binds(quote: Quote) -> NDArray[np.bool_]:
    """Whose bounds a quote changes: N, or a single False."""
    return (np.asarray(quote.at_least) > 0.0) | (np.asarray(quote.at_most) < math.inf)


def _unbound(quote: Quote) -> Quote:
    return replace(quote, at_least=0.0, at_most=math.inf)


def _narrowed(zone: Zone, last: Quote | None, quote: Quote, bound: Ints) -> Zone:
    """The zone, or one inside it around the two latest quotes if that is much smaller."""
    if last is None or len(zone.turning) <= FEW or not zone.covers(last, bound):
        return zone
    low, high = (last, quote) if leads(last, quote) else (quote, last)
    near, far = zone.low, zone.high
    price, slope = high.price - low.price, high.slope - low.slope
    if SHRINK * price > far.price - near.price or SHRINK * slope > far.slope - near.slope:
        return zone
    return zone.inner(
        _unbound(replace(
            low,
            price=max(near.price, low.price - REACH * price),
            slope=max(near.slope, low.slope - REACH * slope),
        )),
        _unbound(replace(
            high,
            price=min(far.price, high.price + REACH * price),
            slope=min(far.slope, high.slope + REACH * slope),
        )),
        bound,
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Full:
    """Everybody's answers to a quote, by a pass over the table."""

    quote: Quote
    reply: Reply

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
            return np.arange(len(self.shares))
        differ = self.reply.modes != other.reply.modes
        return np.flatnonzero(differ | _binds(self.quote) | _binds(other.quote))


@dataclass(frozen=True, eq=False)
class Near:
    """Answers to a quote in a zone; only turning clients are asked until all are wanted."""

    zone: Zone
    quote: Quote

    @cached_property
    def _turned(self) -> Floats:
        return self.zone.turned(self.quote)

    @cached_property
    def demand(self) -> float:
        """The sum of the shares, cores, rounded up by MARGIN."""
        total = self.zone.settled(self.quote) + exact_sum(self._turned)[0]
        return total * (1.0 + MARGIN)

    def excess(self, supply: float) -> float:
        """Demand - supply; where it is not positive the shares fit."""
        return self.demand - supply

    @cached_property
    def shares(self) -> Floats:
        """Cores, N."""
        shares = self.zone.shares(self.quote)
        shares[self.zone.turning] = self._turned
        return shares

    def of(self, rows: Ints) -> Floats:
        """The shares of some clients."""
        turning = self.zone.turning
        place = np.minimum(np.searchsorted(turning, rows), max(len(turning) - 1, 0))
        if len(turning) and np.array_equal(turning[place], rows):
            return self._turned[place]
        return self.shares[rows]

    def turning(self, other: Answers) -> Ints:
        """Those of the larger zone, if one zone is in the other; else everybody."""
        if isinstance(other, Near):
            for inner, outer in ((self.zone, other.zone), (other.zone, self.zone)):
                if inner.within(outer):
                    return outer.turning
        return np.arange(len(self.zone.table) if self.zone.outer is None else len(self.shares))
