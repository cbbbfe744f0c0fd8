"""A Nash market cleared again near its last equilibrium.

A join or leave moves the equilibrium a little.  In a zone of quotes around it (dds.market.zone)
almost everybody answers in the same way, so all of them together are one more client, whose
demand at a quote is a short formula; only those who may turn, and newcomers, play one by one.
The auctioneer cannot tell, and what it finds is an equilibrium of the whole market.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from dds.errors import Infeasible, InternalError, InvalidInput
from dds.market.auctioneer import Auctioneer
from dds.market.numbers import Floats, Ints, exact_sum
from dds.market.outlook import window
from dds.market.passes import answer_all
from dds.market.replies import Quote, best_replies
from dds.market.sale import Outcome, Probe, Sale, Start
from dds.market.table import ClientTable
from dds.market.zone import MARGIN, Zone, leads
from dds.online.rows import Rows
from dds.online.solved import Rule

__all__ = ["MANY", "MOST", "Changed", "Found", "Vicinity"]

#: From so many clients on this is faster than a solve.
MANY = 4096
#: After so many joins and leaves a new zone is made.
MOST = 1024
#: How far the zone reaches, relative, in parts of one client's average share...
REACH = 100.0
#: ... and how far from the last equilibrium a search starts.
STEP = 1e-5
#: The price may differ by this from the one that most clients answered, relative.
PRICED = 1e-10


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """An equilibrium.

    quote: what everybody answered but those in ``rows``, who hold ``shares`` cores; price:
    credits/s per core; total: F, cores; start: where to look next.
    """

    quote: Quote
    rows: Ints
    shares: Floats
    price: float
    total: float
    start: Start


@dataclass(frozen=True, eq=False)
class Vicinity:
    """All clients as of some revision and the quotes near an equilibrium of theirs.

    held: the row of each client in ``zone.table``, by rising id.
    """

    rule: Rule
    zone: Zone
    held: Ints

    @classmethod
    def around(cls, rule: Rule, rows: Rows, held: Ints, start: Start) -> Vicinity | None:
        """The vicinity of where a search would start; None where no zone can be."""
        sale = Sale(rule.tariff, len(held), None)
        reach = min(REACH / len(held), 0.1)
        if not start.cut_off and start.price > 0.0:  # a steep price keeps F where it is
            reach /= 1.0 + start.slope * start.load / start.price
        ends = window(sale, replace(start, spread=reach), taking=False)
        zone = None if ends is None else Zone.between(rows.table(held).contiguous(), *ends)
        return None if zone is None else cls(rule, zone, held)

    @cached_property
    def _turning(self) -> Ints:
        return self.held[self.zone.turning]

    def clear(
        self, rows: Rows, joined: Collection[int], left: Collection[int], start: Start
    ) -> Found | None:
        """The equilibrium after some rows have joined and others left; None if it is not near."""
        alone = np.setdiff1d(np.union1d(self._turning, _rows(joined)), _rows(left))
        alone = alone[np.argsort(rows.ids[alone])]
        gone = np.setdiff1d(_rows(left), self._turning)
        rest = _Rest(self.zone, rows.table(gone).contiguous())
        few = rows.table(alone).contiguous()
        try:
            outcome = _play(self.rule, few, rest, start)
        except (Infeasible, InternalError, InvalidInput, _Outside):
            return None  # a solve for everybody finds out
        quote = rest.answered.get(float(outcome.shares[-1]))
        if quote is None or abs(outcome.price - quote.price) > PRICED * quote.price:
            return None
        shares, total = outcome.shares[:-1], outcome.total
        if start.cut_off:
            shares, total = _filled(self.rule, few, shares, rest.total(quote, self._among(gone)))
        order = np.argsort(alone)
        return Found(quote, alone[order], shares[order], outcome.price, total, outcome.start)

    def _among(self, rows: Ints) -> Ints:
        """Where these rows stand in the zone's table."""
        return np.flatnonzero(np.isin(self.held, rows))


class Changed:
    """What has joined and left since a vicinity was made, and where the last search ended."""

    def __init__(self) -> None:
        self.start: Start | None = None
        self.begin(None)

    def begin(self, vicinity: Vicinity | None) -> None:
        """Count from this vicinity on."""
        self.vicinity = vicinity
        self.joined: set[int] = set()
        self.left: set[int] = set()

    @property
    def many(self) -> bool:
        """Whether a new vicinity is due."""
        return len(self.joined) + len(self.left) > MOST

    def join(self, row: int) -> None:
        """A row holds from now on."""
        self.join_all((row,))

    def join_all(self, rows: Collection[int]) -> None:
        """These rows hold from now on."""
        if self.vicinity is None:
            return
        if len(rows) > MOST:
            self.begin(None)
        else:
            self.joined.update(rows)

    def leave(self, row: int) -> None:
        """A row holds no more."""
        if row in self.joined:
            self.joined.remove(row)
        elif self.vicinity is not None:
            self.left.add(row)


class _Outside(Exception):
    """The search asks what a zone does not know."""


class _Rest:
    """Those who are settled throughout a zone, but for some who are gone, as one client.

    answered: the quotes it knows exactly, by its answer.
    """

    def __init__(self, zone: Zone, gone: ClientTable) -> None:
        self._zone, self._gone = zone, gone
        self.answered: dict[float, Quote] = {}

    def demand(self, quote: Quote) -> float:
        """Their demand, cores.

        Beyond an end of the zone it is that at the end: which side of the crossing a quote is on
        shows all the same, and nothing found there is believed.
        """
        if leads(quote, self._zone.low):
            return self._demand(self._zone.low)
        if leads(self._zone.high, quote):
            return self._demand(self._zone.high)
        if not (leads(self._zone.low, quote) and leads(quote, self._zone.high)):
            raise _Outside
        demand = self._demand(quote)
        self.answered[demand] = replace(quote, at_least=0.0, at_most=np.inf)
        return demand

    def total(self, quote: Quote, gone: Ints) -> float:
        """The sum of their shares at a quote, cores, every one worked out; gone: who is gone."""
        shares = self._zone.shares(quote)
        shares[gone] = 0.0
        return exact_sum(shares)[0]

    def _demand(self, quote: Quote) -> float:
        quote = replace(quote, at_least=0.0, at_most=np.inf)
        lost = answer_all(self._gone, quote).shares.sum() if len(self._gone) else 0.0
        return max(self._zone.settled(quote) * (1.0 + MARGIN) - float(lost), 0.0)


def _play(rule: Rule, few: ClientTable, rest: _Rest, start: Start) -> Outcome:
    """The outcome among the few and the rest, who comes last."""
    count = len(few)
    auctioneer = Auctioneer(rule.tariff, count + 1, start=replace(start, spread=STEP))
    while not isinstance(post := auctioneer.post, Outcome):
        if isinstance(post, Probe):
            auctioneer.answer(_reconsidered(rule, few, post))
            continue
        own = post.for_client(count)
        if own.at_least > 0.0 or own.at_most < np.inf:
            raise _Outside
        shares = np.empty(count + 1)
        shares[:count] = answer_all(few, post.for_rows(slice(0, count))).shares
        shares[count] = rest.demand(post)
        auctioneer.answer(shares)
    return post


def _filled(rule: Rule, few: ClientTable, shares: Floats, rest: float) -> tuple[Floats, float]:
    """Shares of the few, and F, once they have been offered what rounding left unsold."""
    most, shares = Sale(rule.tariff, 1, None).most, shares.copy()
    for i in np.argsort(-shares, kind="stable").tolist():
        total = exact_sum(shares)[0] + rest
        if total >= most or shares[i] == 0.0:
            break
        wanted = best_replies(few.take(np.array([i])), rule.tariff, np.array([total - shares[i]]))
        shares[i] = min(float(wanted.shares[0]), shares[i] + (most - total))
    return shares, exact_sum(shares)[0] + rest


def _reconsidered(rule: Rule, few: ClientTable, probe: Probe) -> Floats:
    """The few's best responses; the rest keeps what it has, which theorem C says is best."""
    answers = probe.shares[probe.asked]
    own = np.flatnonzero(probe.asked < len(few))
    if len(own):
        table = few.take(probe.asked[own])
        present = answers[own]
        found = best_replies(table, rule.tariff, probe.others[own], present=present)
        answers[own] = found.shares
    return answers


def _rows(rows: Collection[int]) -> Ints:
    return np.fromiter(rows, np.int64, len(rows))
