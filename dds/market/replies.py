"""What a table of clients answers: best shares at a quote, best responses to a tariff.

A client minimises ``w T(f) + payment(f)`` over the shares it may buy and the pieces
of its frontier.  Both minima commute, so each piece is solved for its best share
(closed form, or Newton on a convex cubic) and the best piece wins.  Ties go to the
smaller share, then to the smaller piece index.  In quanta, floats decide wherever
they are sure and rational arithmetic decides the rest, so answers are exact.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from dds.market.exact import exact_client, tariff_payment
from dds.market.numbers import (
    Floats,
    Ints,
    positive_root,
    quanta_within,
    to_quanta,
    to_shares,
)
from dds.market.table import ClientTable
from dds.market.tariff import Tariff

__all__ = ["BOUNDLESS", "TOLERANCE", "Quote", "Replies", "best_replies", "respond_all"]

#: The load of a quote that nothing limits, cores: finite, so that answers stay finite.
BOUNDLESS = 2.0**500
#: A continuous client stays where it is when moving gains no more than this part of its cost.
TOLERANCE = 1e-9
#: More quanta than a double counts need not be exact: nobody can sell them.
EXACT = 2.0**52
#: Costs or slopes closer than this, relative, are compared in rationals.
CLOSE = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Quote:
    """A question to every client: the f that minimises ``w T(f) + price f + slope f^2 / 2``.

    load: no share above it, cores; price: credits/s per core; slope: credits/s per core^2,
    0 when clients take the price as given; at_least, at_most: further bounds, cores, one
    number or one per client (at_least > 0 rules out local-only).
    """

    load: float
    price: float
    slope: float
    at_least: float | Floats = 0.0
    at_most: float | Floats = math.inf

    def for_rows(self, rows: Ints | slice) -> Quote:
        """The quote as some of the clients see it."""
        least, most = (
            bound[rows] if isinstance(bound, np.ndarray) else bound
            for bound in (self.at_least, self.at_most)
        )
        return replace(self, at_least=least, at_most=most)

    def for_client(self, index: int) -> Quote:
        """The quote as client ``index`` sees it: five numbers."""
        least, most = (
            float(bound[index]) if isinstance(bound, np.ndarray) else bound
            for bound in (self.at_least, self.at_most)
        )
        return replace(self, at_least=least, at_most=most)


@dataclass(frozen=True, eq=False)
class Replies:
    """Answers of N clients: shares (cores), piece indices, costs J (credits/s).

    A client without an allowed share has cost inf; if it must offload it asks for its least.
    """

    shares: Floats
    pieces: Ints
    costs: Floats


def respond_all(table: ClientTable, quote: Quote, quantum: Fraction | None = None) -> Replies:
    """Every client's answer to a quote.

    Costs are those of the question, ``w T(f) + price f + slope f^2 / 2``.
    """
    count = len(table)
    least = np.atleast_1d(np.asarray(quote.at_least, float))
    most = np.atleast_1d(np.minimum(quote.at_most, quote.load))
    low, high = table.bounds(quantum)
    price, slope = quote.price, quote.slope

    def exact(_: int, unit: Fraction) -> Callable[[int], Fraction]:
        p, d = Fraction(price) * unit, Fraction(slope) * unit * unit / 2
        return lambda n: n * (p + n * d)

    return _Decision(
        table,
        low=np.maximum(low, least if quantum is None else quanta_within(least, quantum, up=True)),
        high=np.minimum(high, most if quantum is None else quanta_within(most, quantum, up=False)),
        may_stay=np.broadcast_to(least <= 0.0, count),
        others=np.zeros(count),
        free=lambda work: positive_root(work, price, slope),
        pay=lambda f: f * (price + slope * f / 2.0),
        doubt=np.zeros_like,
        exact=exact,
    ).replies(quantum)


def best_replies(
    table: ClientTable,
    tariff: Tariff,
    others: Floats,
    quantum: Fraction | None = None,
    present: Floats | None = None,
) -> Replies:
    """Every client's best response when the others buy ``others`` (X_i, cores) at a tariff.

    The cost is ``w T(f) + f pi(X_i + f)``, and f fits into what the others leave of C.  With
    ``present`` shares whoever gains nothing by moving keeps its own: at most TOLERANCE of its
    cost when shares are continuous, exactly nothing in quanta.
    """
    low, high = table.bounds(quantum)
    if quantum is None:
        left = np.maximum(tariff.capacity - others, 0.0)
        high = np.minimum(high, np.nextafter(left, 0.0) if tariff.strict else left)
    else:
        room = tariff.room_quanta(quantum)
        left = np.maximum(room - to_quanta(others, quantum), 0.0)
        high = np.minimum(high, left)

    grid = tariff.on_grid(quantum)

    def exact(row: int, unit: Fraction) -> Callable[[int], Fraction]:
        return tariff_payment(grid, int(to_quanta(others[row], unit)) * unit, unit)

    return _Decision(
        table,
        low=low,
        high=high,
        may_stay=np.ones(len(table), bool),
        others=others,
        free=lambda work: tariff.best_shares(work, others),
        pay=lambda f: f * tariff.prices_at(others + f),
        doubt=lambda f: tariff.rounding(others + f),
        exact=exact,
    ).replies(quantum, present)


@dataclass(frozen=True, eq=False)
class _Decision:
    """N clients about to decide; bounds in cores, or in quanta if there is a quantum.

    free: the best shares on one piece, bounds aside, from w W; pay: payments at given shares;
    doubt: relative rounding error of those; exact: (row, quantum) -> payment of n quanta.
    """

    table: ClientTable
    low: Floats
    high: Floats
    may_stay: NDArray[np.bool_]  # local
    others: Floats
    free: Callable[[Floats], Floats]
    pay: Callable[[Floats], Floats]
    doubt: Callable[[Floats], Floats]
    exact: Callable[[int, Fraction], Callable[[int], Fraction]]

    def replies(self, quantum: Fraction | None, present: Floats | None = None) -> Replies:
        """Everybody's best reply; floats first, rationals where they are not sure."""
        with np.errstate(divide="ignore", over="ignore", invalid="ignore", under="ignore"):
            found, unsure = self._compare(quantum)
            if present is not None:
                found, doubtful = self._keep(found, present, quantum)
                unsure |= doubtful
        if quantum is not None and unsure.any():
            self._settle(found, np.flatnonzero(unsure), quantum, present)
        return found

    def _compare(self, quantum: Fraction | None) -> tuple[Replies, NDArray[np.bool_]]:
        """The best piece of every client in floats, and whose choice is close."""
        table, count = self.table, len(self.table)
        local = table.value * (table.local_base - table.least_base)
        best = np.where(self.may_stay, local, math.inf)
        second, share, unsure = np.full(count, math.inf), np.zeros(count), np.zeros(count, bool)
        piece = np.where(self.may_stay, table.local_piece, -1)
        allowed = self.low <= self.high
        for k in range(table.depth):
            work = table.value * table.work[k]
            free = np.minimum(self.free(work), BOUNDLESS)
            if quantum is None:
                f, close = np.clip(free, self.low, self.high), unsure
            else:
                n, close = self._best_quanta(work, free, quantum)
                f = to_shares(n, quantum)
            cost = table.value * (table.base[k] - table.least_base) + (work / f + self.pay(f))
            cost = np.where(allowed, cost, math.inf)
            better = (cost < best) | ((cost == best) & (cost < math.inf) & (f < share))
            second = np.where(better, best, np.minimum(second, cost))
            best, share = np.where(better, cost, best), np.where(better, f, share)
            piece = np.where(better, k, piece)
            unsure = np.where(better, close, unsure)
        if quantum is not None:
            unsure |= second - best <= (CLOSE + self.doubt(share)) * best
            unsure &= share < EXACT * float(quantum)
        stuck = np.isinf(best)
        least = self.low if quantum is None else to_shares(self.low, quantum)
        share = np.where(stuck & table.must_offload, least, share)
        return Replies(share, piece, best + table.value * table.least_base), unsure & ~stuck

    def _best_quanta(
        self, work: Floats, free: Floats, quantum: Fraction
    ) -> tuple[Floats, NDArray[np.bool_]]:
        """The best number of quanta on one piece, and where floats cannot be sure of it.

        n + 1 is no better than n exactly when ``n (n + 1) q (pay(n + 1) - pay(n)) >= w W``.
        """
        unit = float(quantum)
        guess = np.floor(free / unit)
        best, close = guess + 1.0, np.zeros(len(work), bool)
        after = self.pay(to_shares(guess + 1.0, quantum))
        doubt = self.doubt(to_shares(guess + 1.0, quantum)) + 4e-16
        for n in (guess, guess - 1.0):
            now = self.pay(to_shares(n, quantum))
            ratio = n * (n + 1.0) * unit * (after - now) / work
            # The difference of two payments loses about as many digits as n has.
            close |= np.abs(ratio - 1.0) <= CLOSE + doubt * (n + 2.0)
            best = np.where((ratio >= 1.0) & (n >= 1.0), n, best)
            after = now
        return np.clip(best, self.low, self.high), close

    def _keep(
        self, found: Replies, present: Floats, quantum: Fraction | None
    ) -> tuple[Replies, NDArray[np.bool_]]:
        """Stay at the present share where moving gains nothing; where that is close."""
        table = self.table
        latency, piece = table.latencies(present)
        now = table.value * latency + self.pay(present)
        net = now - table.value * table.least_base
        gain = now - found.costs
        stay = gain <= TOLERANCE * now if quantum is None else found.shares == present
        doubtful = ~stay & (gain <= (CLOSE + self.doubt(present)) * (net + 1e-6 * now))
        kept = Replies(
            np.where(stay, present, found.shares),
            np.where(stay, piece, found.pieces),
            np.where(stay, now, found.costs),
        )
        return kept, doubtful

    def _settle(
        self, found: Replies, rows: Ints, quantum: Fraction, present: Floats | None
    ) -> None:
        """Decide the given rows in rationals, in place; equal clients are decided once."""
        table, known = self.table, {}
        for row in rows.tolist():
            here = None if present is None else float(present[row])
            key = (
                table.value[row], self.low[row], self.high[row], self.may_stay[row], here,
                self.others[row], table.local_base[row], table.local_piece[row],
                table.base[:, row].tobytes(), table.work[:, row].tobytes(),
            )  # fmt: skip
            if key not in known:
                known[key] = self._settle_one(row, quantum, here)
            found.shares[row], found.pieces[row], found.costs[row] = known[key]

    def _settle_one(
        self, row: int, quantum: Fraction, here: float | None
    ) -> tuple[float, int, float]:
        client = exact_client(self.table, row, self.low[row], self.high[row], quantum)
        pay = self.exact(row, quantum)
        if not self.may_stay[row]:
            client = replace(client, local=None)

        def guess(work: Fraction) -> int:
            free = float(self.free(np.full(len(self.low), float(work)))[row])
            return int(min(free, BOUNDLESS) / float(quantum))

        cost, n, piece = client.reply(pay, guess)
        if here is not None:
            stay = int(to_quanta(here, quantum))
            wait, at = client.waiting(stay)
            if wait + pay(stay) <= cost:
                cost, n, piece = wait + pay(stay), stay, at
        return float(n * quantum), piece, float(cost)
