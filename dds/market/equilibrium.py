"""Equilibria of a market: ``nash`` and ``competitive``, each found, checked and certified."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property

import numpy as np

from dds.errors import Infeasible, InvalidInput
from dds.market.arguments import check_names, table_of
from dds.market.auctioneer import Auctioneer
from dds.market.certificate import Certificate, Public, assemble, certificate_row
from dds.market.client import Client
from dds.market.crowd import Crowd
from dds.market.exact import exact_client
from dds.market.numbers import Floats, Ints, exact_share, read_quantum, to_quanta
from dds.market.outlook import SAMPLE, look, window
from dds.market.passes import LOCAL, UNSURE, Standing, standing
from dds.market.replies import BOUNDLESS, TOLERANCE, Quote, Replies, best_replies, respond_all
from dds.market.sale import Outcome, Sale, Start
from dds.market.table import ClientTable
from dds.market.tariff import Clearing
from dds.market.tariff_base import Tariff

__all__ = ["Equilibrium", "competitive", "nash", "solve"]

#: From so many clients with continuous shares on, a Crowd answers faster than arrays.
MANY = 64


@dataclass(frozen=True, eq=False)
class Equilibrium:
    """Shares from which nobody gains by moving alone.

    concept: "nash" or "competitive"; table: its clients; per client, in order: shares (cores),
    pieces (index of the piece in its frontier), latencies (T, s) and regret (a bound on the best
    saving left to it, credits/s); price: credits/s per core; total: F, cores; rounds: questions
    the auctioneer asked.
    """

    concept: str
    tariff: Tariff
    quantum: Fraction | None
    table: ClientTable
    shares: Floats
    pieces: Ints
    latencies: Floats
    regret: Floats
    price: float
    total: float
    rounds: int
    outcome: Outcome = field(repr=False)

    @cached_property
    def clients(self) -> tuple[str, ...]:
        """Everybody's name."""
        return tuple(self.table.name(i) for i in range(len(self.table)))

    @cached_property
    def payments(self) -> Floats:
        """What everybody pays, f price, credits/s."""
        payments: Floats = self.shares * self.price
        payments.setflags(write=False)
        return payments

    @property
    def max_regret(self) -> float:
        """The largest regret of any client, credits/s."""
        return float(self.regret.max())

    @cached_property
    def certificate(self) -> Certificate:
        """The proof that this is an equilibrium, for ``proofs.check``; built when first read.

        Its regrets are bounds proven in rational arithmetic; they may exceed :attr:`regret`,
        which is computed in floats, by rounding.
        """
        below, quantum = self.outcome.shares_below, self.quantum
        public = Public(self.concept, self.tariff, quantum, self.price, self.outcome.price_below)
        exact = [exact_share(share, quantum) for share in self.shares.tolist()]
        total = sum(exact, Fraction(0))
        rows = [
            certificate_row(
                self.table.client(i),
                public,
                share,
                total - own,
                share_below=None if below is None else float(below[i]),
            )
            for i, (share, own) in enumerate(zip(self.shares.tolist(), exact, strict=True))
        ]
        return assemble(public, rows)


def nash(
    clients: Sequence[Client] | ClientTable,
    tariff: Tariff,
    *,
    quantum: float | Fraction | None = None,
    start: Equilibrium | None = None,
) -> Equilibrium:
    """A pure Nash equilibrium of the allocation game under a convex nondecreasing tariff.

    Client i minimises ``w_i T_i(f_i) + f_i pi(F)``, F the sum of all shares, over f_i = 0
    (local-only) or min_share <= f_i <= max_share, F within capacity.  With a quantum (cores)
    shares are multiples of it and no client can gain anything, exactly; without one, no more
    than 1e-9 of its own cost.  With :class:`Clearing` everybody takes the clearing price as
    given.  start: the equilibrium of nearly the same market, near which to search.

    Raises InvalidInput for wrong arguments, Infeasible when clients without a local-only
    piece do not fit into the capacity or demand has no limit.
    """
    return solve("nash", clients, tariff, quantum, _begin(start))


def competitive(
    clients: Sequence[Client] | ClientTable,
    tariff: Tariff | float,
    *,
    quantum: float | Fraction | None = None,
    start: Equilibrium | None = None,
) -> Equilibrium:
    """The competitive equilibrium: everybody takes the price p as given.

    A tariff sells F where pi(F) = p; a capacity in cores, or :class:`Clearing`, all of it at
    the price that clears it (0 if everybody's max_share fits).  Where demand jumps past supply
    the tied clients, indifferent at p, are served in order while they fit.  With a quantum many
    prices may sell exactly the capacity: the one reported is any of them.  start: the
    equilibrium of nearly the same market, near which to search.

    Raises as :func:`nash` does.
    """
    sold = tariff if isinstance(tariff, Tariff) else Clearing(tariff)
    return solve("competitive", clients, sold, quantum, _begin(start))


def _begin(start: Equilibrium | None) -> Start | None:
    """Where a search that begins at an equilibrium begins."""
    if start is None:
        return None
    if not isinstance(start, Equilibrium):
        raise InvalidInput(f"start is {type(start).__name__}; need a dds.Equilibrium or None")
    return start.outcome.start


@dataclass(frozen=True, eq=False)
class _Problem:
    concept: str
    table: ClientTable
    tariff: Tariff
    quantum: Fraction | None

    @property
    def taking(self) -> bool:
        """Whether everybody takes the price as given."""
        return self.concept == "competitive" or isinstance(self.tariff, Clearing)


def solve(
    concept: str,
    clients: Sequence[Client] | ClientTable,
    tariff: Tariff,
    quantum: float | Fraction | None,
    start: Start | None,
) -> Equilibrium:
    """What :func:`nash` and :func:`competitive` return, searched from ``start``."""
    if not isinstance(tariff, Tariff):
        raise InvalidInput(f"tariff is {tariff!r}; need one such as Clearing(2.0)")
    table = table_of(clients)
    check_names(table)
    problem = _Problem(concept, table, tariff, read_quantum(quantum))
    _check_servable(problem)
    outcome, crowd = _auction(problem, start)
    latencies, pieces, regret = _judged(problem, outcome, crowd)
    for values in (outcome.shares, latencies, pieces, regret):
        values.setflags(write=False)
    return Equilibrium(
        concept,
        tariff,
        problem.quantum,
        table,
        outcome.shares,
        pieces,
        latencies,
        regret,
        outcome.price,
        outcome.total,
        outcome.rounds,
        outcome,
    )


def _check_servable(problem: _Problem) -> None:
    """Raise Infeasible for a client that must offload and has no allowed share."""
    low, high = problem.table.bounds(problem.quantum)
    stuck = problem.table.must_offload & (low > high)
    if stuck.any():
        i = int(stuck.argmax())
        raise Infeasible(
            f"clients[{i}] ({problem.table.name(i)}) has no local-only piece and no multiple of "
            f"quantum {problem.quantum!s} between its min_share and max_share"
        )


def _auction(problem: _Problem, start: Start | None) -> tuple[Outcome, Crowd | None]:
    """Drive the auctioneer with everybody's truthful answers."""
    table, tariff, quantum = problem.table, problem.tariff, problem.quantum
    sale = Sale(tariff, len(table), quantum)
    crowd = None
    if quantum is None and len(table) >= MANY:
        if start is None and len(table) > SAMPLE:
            start = look(table, sale, taking=problem.taking)
        expected = None if start is None else window(sale, start, taking=problem.taking)
        crowd = Crowd(table, tariff, expected)
    auctioneer = Auctioneer(
        tariff, len(table), concept=problem.concept, quantum=quantum, start=start
    )
    while not isinstance(post := auctioneer.post, Outcome):
        if crowd is not None:
            auctioneer.trust(crowd.answer(post))
        elif isinstance(post, Quote):
            auctioneer.answer(respond_all(table, post, quantum).shares)
        else:
            asked = table if len(post.asked) == len(table) else table.take(post.asked)
            present = post.shares[post.asked]
            auctioneer.answer(best_replies(asked, tariff, post.others, quantum, present).shares)
    return post, crowd


def _judged(
    problem: _Problem, outcome: Outcome, crowd: Crowd | None
) -> tuple[Floats, Ints, Floats]:
    """Everybody's latency, piece and regret."""
    table, quantum = problem.table, problem.quantum
    if quantum is not None:
        latencies, pieces = table.latencies(outcome.shares, quantum)
        return latencies, pieces, _exact_regrets(problem, outcome)
    found = _standing(problem, outcome, crowd or Crowd(table, problem.tariff))
    latencies, regret = found.latencies, found.savings
    pieces = np.where(found.rows == LOCAL, table.local_piece, found.rows)
    close = np.flatnonzero(found.rows == UNSURE)
    if len(close):
        pieces[close] = table.take(close).latencies(outcome.shares[close])[1]
    if problem.taking:
        return latencies, pieces, regret
    # The bound is loose for whoever changes the price much: ask those themselves.
    cost = table.value * latencies + outcome.shares * outcome.price
    loose = np.flatnonzero(regret > 0.1 * TOLERANCE * cost)
    if len(loose):
        others = np.maximum(outcome.total - outcome.shares[loose], 0.0)
        best = best_replies(table.take(loose), problem.tariff, others)
        regret[loose] = np.maximum(cost[loose] - best.costs, 0.0)
    return latencies, pieces, regret


def _standing(problem: _Problem, outcome: Outcome, crowd: Crowd) -> Standing:
    if not problem.taking:
        return crowd.standing(problem.table, outcome.shares, outcome.total)
    return standing(problem.table, outcome.shares, outcome.price, 0.0, 0.0, math.inf)


def _exact_regrets(problem: _Problem, outcome: Outcome) -> Floats:
    """What each client could still save in quanta, exactly."""
    table, quantum, shares = problem.table, problem.quantum, outcome.shares
    regret = np.zeros(len(table))
    if problem.taking and quantum is not None:
        replies = respond_all(table, Quote(BOUNDLESS, outcome.price, 0.0), quantum)
        for i in np.flatnonzero(replies.shares != shares).tolist():
            regret[i] = _gain(problem, replies, outcome, i, quantum)
    return regret  # in a Nash game the last probe compared everybody's options exactly


def _gain(
    problem: _Problem, replies: Replies, outcome: Outcome, row: int, quantum: Fraction
) -> float:
    """Exactly what client ``row``, served at a tie, would save by its answer to the price."""
    client = exact_client(problem.table, row, 1.0, math.inf, quantum)
    price = Fraction(outcome.price)
    costs = [
        client.waiting(n)[0] + n * quantum * price
        for n in (int(to_quanta(s, quantum)) for s in (outcome.shares[row], replies.shares[row]))
    ]
    return float(max(costs[0] - costs[1], Fraction(0)))
