"""What a client computes in private: its answer to a question, its check of an allocation.

Costs here are exact rationals of the given doubles, so a share on the quantum's grid is never
given up, nor an allocation disputed, for a rounding error.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

from dds.errors import InvalidInput
from dds.market.auctioneer import Quote
from dds.market.client import Client
from dds.market.response import best_response, respond
from dds.market.tariff import Clearing, Flat, Tariff
from dds.session.messages import Allocation, Holding, Terms

__all__ = ["Settlement", "answer", "settle"]

#: A continuous share is kept unless another saves more than this part of its cost.
TOLERANCE = 1e-9
#: Sums and products that the server rounded may differ by this much, relative.
_ROUNDING = 1e-9
#: Regret of a continuous allocation that raises an objection, relative to its cost.
_OBJECTION = 1e-6


@dataclass(frozen=True, slots=True)
class Settlement:
    """An allocation as its client sees it.

    piece: index of the piece to run, into its frontier; latency: T(f), s; cost: w T + f pi,
    credits/s; regret: what its best response to the others would save, credits/s, >= 0;
    objections: one line for each thing the server got wrong, none if it can be accepted.
    """

    allocation: Allocation
    piece: int
    latency: float
    cost: float
    regret: float
    objections: tuple[str, ...] = ()


def answer(client: Client, question: Quote | Holding, terms: Terms) -> float:
    """The share, in cores, with which a truthful client answers a post.

    To a Quote R_i(F); to a Holding its best response, or the share it has when that saves at
    most 1e-9 of its cost (with a quantum: nothing at all).
    """
    if isinstance(question, Quote):
        return respond(client, question, quantum=terms.quantum).share
    others = _on_grid(question.others, terms.quantum)
    share = _on_grid(question.share, terms.quantum)
    best = best_response(client, terms.tariff, float(others), quantum=terms.quantum).share
    held = _cost(client, share, terms.tariff, others, terms.quantum)
    gain = held - _cost(
        client, _on_grid(best, terms.quantum), terms.tariff, others, terms.quantum
    )
    keep = gain <= (0 if terms.quantum is not None else Fraction(TOLERANCE) * held)
    return question.share if keep else best


def settle(client: Client, allocation: Allocation, terms: Terms) -> Settlement:
    """Check an allocation against this client's costs and the public facts.

    Raises InvalidInput when no piece of the client can run on the share.
    """
    share = _on_grid(allocation.share, terms.quantum)
    others = _on_grid(allocation.others, terms.quantum)
    piece, _ = _fastest(client, share)
    latency = client.frontier.pieces[piece].latency(allocation.share)
    objections = _arithmetic(allocation, terms)
    # At a clearing price nobody moves the price: everybody takes it as given.
    clearing = isinstance(terms.tariff, Clearing)
    tariff = Flat(allocation.price) if clearing else terms.tariff
    if not tariff.admits(others + share, terms.quantum):
        return Settlement(allocation, piece, latency, math.inf, math.inf, objections)
    cost = _cost(client, share, tariff, others, terms.quantum)
    best = best_response(client, tariff, float(others), quantum=terms.quantum)
    least = _cost(client, _on_grid(best.share, terms.quantum), tariff, others, terms.quantum)
    regret = max(cost - least, Fraction(0))
    if regret > (0 if terms.quantum is not None else Fraction(_OBJECTION) * cost):
        objections += (f"share {allocation.share:g}: {best.share:g} would save {float(regret):g}",)
    return Settlement(allocation, piece, latency, float(cost), float(regret), objections)


def _arithmetic(allocation: Allocation, terms: Terms) -> tuple[str, ...]:
    """What is wrong with the public numbers."""
    share, price, total = allocation.share, allocation.price, allocation.total
    wrong = []
    if not _close(allocation.payment, share * price):
        wrong.append(f"payment {allocation.payment:g} is not share times price")
    if not _close(share + allocation.others, total):
        wrong.append(f"total {total:g} is not own share plus the others'")
    if total > terms.capacity * (1.0 + _ROUNDING):
        wrong.append(f"total {total:g} is above the capacity {terms.capacity:g}")
    if not isinstance(terms.tariff, Clearing) and not _close(price, terms.tariff.price(total)):
        wrong.append(f"price {price:g} is not the tariff's at {total:g} cores")
    return tuple(wrong)


def _close(a: float, b: float) -> bool:
    return abs(a - b) <= _ROUNDING * max(abs(a), abs(b))


def _on_grid(cores: float, quantum: Fraction | None) -> Fraction:
    """The exact multiple of the quantum that a double stands for; the double without one."""
    exact = Fraction(cores)
    return exact if quantum is None else round(exact / quantum) * quantum


def _fastest(client: Client, share: Fraction) -> tuple[int, Fraction]:
    """The piece to run on a share, and its exact T(f); local-only needs and takes none.

    Raises InvalidInput when the client has no such piece.
    """
    times = [
        (Fraction(piece.base_latency) + Fraction(piece.server_work) / (share or 1), k)
        for k, piece in enumerate(client.frontier.pieces)
        if (piece.server_work > 0.0) == (share > 0)
    ]
    if not times:
        raise InvalidInput(f"{client.name or 'client'}: has no piece for a share of {share}")
    time, k = min(times)
    return k, time


def _cost(
    client: Client, share: Fraction, tariff: Tariff, others: Fraction, quantum: Fraction | None
) -> Fraction:
    """J = w T(f) + f pi(X + f), exactly."""
    _, time = _fastest(client, share)
    price = tariff.exact_price(others + share, quantum) if share > 0 else Fraction(0)
    return Fraction(client.value_of_time) * time + share * price
