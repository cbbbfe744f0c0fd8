"""Equilibria of a market: ``nash`` and ``competitive``, each found, checked and certified."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property

import numpy as np

from dds.errors import Infeasible, InvalidInput
from dds.market.auctioneer import Auctioneer
from dds.market.certificate import Certificate, Public, assemble, certificate_row
from dds.market.client import Client
from dds.market.exact import exact_client
from dds.market.numbers import Floats, Ints, exact_share, read_quantum, to_quanta
from dds.market.replies import BOUNDLESS, Quote, Replies, best_replies, respond_all
from dds.market.sale import Outcome
from dds.market.table import ClientTable
from dds.market.tariff import Clearing
from dds.market.tariff_base import Tariff

__all__ = ["Equilibrium", "competitive", "nash"]


@dataclass(frozen=True, eq=False)
class Equilibrium:
    """Shares from which nobody gains by moving alone.

    concept: "nash" or "competitive"; clients: their names; per client, in order: shares (cores),
    cuts (index of the piece in its frontier), latencies (T, s), payments (f price, credits/s)
    and regret (the best saving left to it, credits/s); price: credits/s per core; total: F,
    cores; rounds: questions the auctioneer asked.
    """

    concept: str
    clients: tuple[str, ...]
    shares: Floats
    cuts: Ints
    latencies: Floats
    payments: Floats
    price: float
    total: float
    regret: Floats
    rounds: int
    _problem: _Problem = field(repr=False)
    _outcome: Outcome = field(repr=False)

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
        problem, outcome = self._problem, self._outcome
        public = Public(
            self.concept, problem.tariff, problem.quantum, self.price, outcome.price_below
        )
        exact = [exact_share(share, problem.quantum) for share in self.shares.tolist()]
        total = sum(exact, Fraction(0))
        below = outcome.shares_below
        rows = [
            certificate_row(
                client,
                public,
                share,
                total - own,
                share_below=None if below is None else float(below[i]),
                name=self.clients[i],
            )
            for i, (client, share, own) in enumerate(
                zip(problem.clients, self.shares.tolist(), exact, strict=True)
            )
        ]
        return assemble(public, rows)


def nash(
    clients: Sequence[Client],
    tariff: Tariff,
    *,
    quantum: float | Fraction | None = None,
) -> Equilibrium:
    """A pure Nash equilibrium of the allocation game under a convex nondecreasing tariff.

    Client i minimises ``w_i T_i(f_i) + f_i pi(F)``, F the sum of all shares, over f_i = 0
    (local-only) or min_share <= f_i <= max_share, F within capacity.  With a quantum (cores)
    shares are multiples of it and no client can gain anything, exactly; without one, no more
    than 1e-9 of its own cost.  With :class:`Clearing` everybody takes the clearing price as
    given.

    Raises InvalidInput for wrong arguments, Infeasible when clients without a local-only
    piece do not fit into the capacity or demand has no limit.
    """
    return _solve("nash", clients, tariff, quantum)


def competitive(
    clients: Sequence[Client],
    tariff: Tariff | float,
    *,
    quantum: float | Fraction | None = None,
) -> Equilibrium:
    """The competitive equilibrium: everybody takes the price p as given.

    A tariff sells F where pi(F) = p; a capacity in cores, or :class:`Clearing`, all of it at
    the price that clears it (0 if everybody's max_share fits).  Where demand jumps past supply
    the tied clients, indifferent at p, are served in order while they fit.

    Raises as :func:`nash` does.
    """
    return _solve(
        "competitive", clients, tariff if isinstance(tariff, Tariff) else Clearing(tariff), quantum
    )


@dataclass(frozen=True, eq=False)
class _Problem:
    clients: tuple[Client, ...]
    tariff: Tariff
    quantum: Fraction | None
    table: ClientTable


def _solve(
    concept: str,
    clients: Sequence[Client],
    tariff: Tariff,
    quantum: float | Fraction | None,
) -> Equilibrium:
    if not isinstance(tariff, Tariff):
        raise InvalidInput(f"tariff is {tariff!r}; need one such as Clearing(2.0)")
    names = _names(clients)
    problem = _Problem(tuple(clients), tariff, read_quantum(quantum), ClientTable.of(clients))
    _check_servable(problem, names)
    outcome = _auction(problem, concept)
    shares = outcome.shares
    latencies, pieces = problem.table.latencies(shares, problem.quantum)
    payments = shares * outcome.price
    regret = _regrets(problem, concept, outcome, latencies)
    for values in (shares, latencies, pieces, payments, regret):
        values.setflags(write=False)
    return Equilibrium(
        concept, names, shares, pieces, latencies, payments, outcome.price, outcome.total,
        regret, outcome.rounds, problem, outcome,
    )  # fmt: skip


def _names(clients: Sequence[Client]) -> tuple[str, ...]:
    """Everybody's name; one without gets its index."""
    if not clients:
        raise InvalidInput("clients: need at least one")
    seen: dict[str, int] = {}
    for i, client in enumerate(clients):
        if not isinstance(client, Client):
            raise InvalidInput(f"clients[{i}] is {type(client).__name__}; need a Client")
        first = seen.setdefault(client.name or f"client {i}", i)
        if first != i:
            raise InvalidInput(f"clients[{i}].name repeats {client.name!r} of clients[{first}]")
    return tuple(seen)


def _check_servable(problem: _Problem, names: tuple[str, ...]) -> None:
    """Raise Infeasible for a client that must offload and has no allowed share."""
    low, high = problem.table.bounds(problem.quantum)
    stuck = problem.table.must_offload & (low > high)
    if stuck.any():
        i = int(stuck.argmax())
        raise Infeasible(
            f"clients[{i}] ({names[i]}) has no local-only piece and no multiple of quantum "
            f"{problem.quantum!s} between its min_share and max_share"
        )


def _auction(problem: _Problem, concept: str) -> Outcome:
    """Drive the auctioneer with everybody's truthful answers."""
    table, tariff, quantum = problem.table, problem.tariff, problem.quantum
    auctioneer = Auctioneer(tariff, len(table), concept=concept, quantum=quantum)
    while not isinstance(post := auctioneer.post, Outcome):
        if isinstance(post, Quote):
            auctioneer.answer(respond_all(table, post, quantum).shares)
            continue
        asked = table if len(post.asked) == len(table) else table.take(post.asked)
        present = post.shares[post.asked]
        auctioneer.answer(best_replies(asked, tariff, post.others, quantum, present).shares)
    return post


def _regrets(problem: _Problem, concept: str, outcome: Outcome, latencies: Floats) -> Floats:
    """What each client could still save; exactly 0 where rational arithmetic says so."""
    table, tariff, quantum = problem.table, problem.tariff, problem.quantum
    shares = outcome.shares
    taking = concept == "competitive" or isinstance(tariff, Clearing)
    if not taking and quantum is not None:
        return np.zeros(len(table))  # the last probe compared everybody's options exactly
    if taking:
        replies = respond_all(table, Quote(BOUNDLESS, outcome.price, 0.0), quantum)
    else:
        others = np.maximum(outcome.total - shares, 0.0)
        replies = best_replies(table, tariff, others)
    cost = table.value * latencies + shares * outcome.price
    regret: Floats = np.maximum(cost - replies.costs, 0.0)
    if quantum is not None:
        regret = np.zeros(len(table))
        for i in np.flatnonzero(replies.shares != shares).tolist():
            regret[i] = _gain(problem, replies, outcome, i, quantum)
    return regret


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
