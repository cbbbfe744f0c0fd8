"""What a client computes in private: its answer to a question, its check of an allocation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

from dds.errors import Infeasible
from dds.market.auctioneer import Quote
from dds.market.client import Client
from dds.market.response import best_response, piece_at, reconsider, respond
from dds.market.tariff import Clearing, Flat
from dds.session.messages import Allocation, Holding, Quotation, Terms

__all__ = ["Settlement", "answer", "settle"]

#: Sums and products that the server rounded may differ by this much, relative.
_ROUNDING = 1e-9
#: Regret of a continuous allocation that raises an objection, relative to its cost.
_OBJECTION = 1e-6


@dataclass(frozen=True, slots=True)
class Settlement:
    """An allocation as its client sees it.

    piece: index of the piece to run, into its frontier; latency: T(f), s; cost: w T + f price,
    credits/s; regret: what its best response to the others would save, credits/s, >= 0;
    objections: one line for each thing the server got wrong, none if it can be accepted.
    """

    allocation: Allocation
    piece: int
    latency: float
    cost: float
    regret: float
    objections: tuple[str, ...] = ()


def answer(client: Client, question: Quotation | Holding, terms: Terms) -> float:
    """The share, in cores, with which a truthful client answers a post.

    To a Quotation R_i(F); to a Holding its best response, or the share it has when that saves at
    most 1e-9 of its cost (with a quantum: nothing at all).
    """
    if isinstance(question, Quotation):
        quote = Quote(
            load=question.load,
            price=question.price,
            slope=question.slope,
            at_least=question.at_least,
            at_most=question.at_most,
        )
        return respond(client, quote, quantum=terms.quantum).share
    return reconsider(
        client, terms.tariff, question.share, question.others, quantum=terms.quantum
    ).share


def settle(client: Client, allocation: Allocation, terms: Terms) -> Settlement:
    """Check an allocation against this client's costs and the public facts.

    Raises InvalidInput when no piece of the client can run on the share.
    """
    share, others = allocation.share, allocation.others
    piece = piece_at(client, share)
    latency = client.frontier.pieces[piece].latency(share)
    cost = client.value_of_time * latency + allocation.payment
    objections = _arithmetic(allocation, terms)
    if objections:  # a best response to numbers that contradict each other means nothing
        return Settlement(allocation, piece, latency, cost, math.inf, objections)
    # At a clearing price nobody moves the price: everybody takes it as given.
    clearing = isinstance(terms.tariff, Clearing)
    tariff = Flat(allocation.price) if clearing else terms.tariff
    try:
        better = reconsider(client, tariff, share, others, quantum=terms.quantum)
        best = best_response(client, tariff, others, quantum=terms.quantum)
    except Infeasible as error:
        return Settlement(allocation, piece, latency, cost, math.inf, (str(error),))
    if terms.quantum is not None and better.share == share:
        return Settlement(allocation, piece, latency, cost, 0.0)  # exactly: rationals decided
    regret = max(cost - best.cost, 0.0)
    if terms.quantum is not None or regret > _OBJECTION * cost:
        objections = (f"share {share:g}: {best.share:g} would save {regret:g} credits/s",)
    return Settlement(allocation, piece, latency, cost, regret, objections)


def _arithmetic(allocation: Allocation, terms: Terms) -> tuple[str, ...]:
    """What is wrong with the public numbers."""
    share, price, total = allocation.share, allocation.price, allocation.total
    wrong = []
    if not _close(allocation.payment, share * price):
        wrong.append(f"payment {allocation.payment:g} is not share times price")
    if not _close(share + allocation.others, total):
        wrong.append(f"total {total:g} is not own share plus the others'")
    if not terms.tariff.admits(_on_grid(total, terms.quantum), terms.quantum):
        wrong.append(f"total {total:g} is more than {terms.tariff.capacity:g} cores may be sold")
    elif not isinstance(terms.tariff, Clearing) and not _close(price, terms.tariff.price_at(total)):
        wrong.append(f"price {price:g} is not the tariff's at {total:g} cores")
    return tuple(wrong)


def _on_grid(cores: float, quantum: Fraction | None) -> Fraction:
    """The exact multiple of the quantum that a double stands for; the double without one."""
    exact = Fraction(cores)
    return exact if quantum is None else round(exact / quantum) * quantum


def _close(a: float, b: float) -> bool:
    return abs(a - b) <= _ROUNDING * max(abs(a), abs(b))
