"""One client's answers: the scalar face of :mod:`dds.market.replies`.

A client that plays over a wire needs these four functions and nothing else of
the market.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from dds.errors import Infeasible, InvalidInput
from dds.market.client import Client
from dds.market.numbers import exact_share, read_quantum
from dds.market.replies import Quote, Replies, best_replies, respond_all
from dds.market.table import ClientTable
from dds.market.tariff import Tariff

__all__ = ["Bid", "best_response", "piece_at", "reconsider", "respond"]


@dataclass(frozen=True, slots=True)
class Bid:
    """An answer: a share in cores, the index of the piece it runs, its cost J in credits/s."""

    share: float
    piece: int
    cost: float


def respond(client: Client, quote: Quote, *, quantum: float | Fraction | None = None) -> Bid:
    """The share that minimises ``w T(f) + price f + slope f^2 / 2`` within the quote's bounds.

    Posted (F, pi(F), pi'(F)), it is a best response to the others' F - f wherever the answers
    add up to F (Theorem C).  The cost is that of the question.  A client that must offload and
    has no allowed share asks for its least one, at cost inf.
    """
    return _bid(respond_all(ClientTable.of([client]), quote, read_quantum(quantum)))


def best_response(
    client: Client,
    tariff: Tariff,
    others: float,
    *,
    quantum: float | Fraction | None = None,
) -> Bid:
    """The share that minimises ``J = w T(f) + f pi(X + f)``, X = others in cores.

    Raises InvalidInput for a negative or non-finite X, Infeasible when the client must
    offload and what the others leave is less than its smallest share, or when no finite
    share is best (a price of 0 without a limit).
    """
    _check_others(others)
    bid = _bid(
        best_replies(ClientTable.of([client]), tariff, np.array([others]), read_quantum(quantum))
    )
    if math.isinf(bid.cost):
        raise Infeasible(
            f"others buy {others:g} of {tariff.capacity:g} cores, which leaves too little for "
            f"min_share {client.min_share:g} of a client without a local-only piece"
        )
    if bid.share >= 2.0**499:
        raise Infeasible("the price is 0 at any share, so no share is best; give a max_share")
    return bid


def reconsider(
    client: Client,
    tariff: Tariff,
    share: float,
    others: float,
    *,
    quantum: float | Fraction | None = None,
) -> Bid:
    """The answer to a probe: the best response to ``others``, or ``share`` if that is as good.

    As good means: within 1e-9 of its own cost; with a quantum, exactly.
    """
    _check_others(others)
    return _bid(
        best_replies(
            ClientTable.of([client]),
            tariff,
            np.array([others]),
            read_quantum(quantum),
            np.array([share]),
        )
    )


def piece_at(client: Client, share: float, *, quantum: float | Fraction | None = None) -> int:
    """The index of the piece with the least latency at a share; local-only at 0.

    Decided exactly; on a tie the smaller index.  With a quantum the share means the multiple it
    is nearest to.  Raises InvalidInput at share 0 without a local-only piece.
    """
    exact = exact_share(share, read_quantum(quantum))
    pieces = client.frontier.pieces
    allowed = [k for k, piece in enumerate(pieces) if (piece.server_work == 0.0) == (share == 0.0)]
    if not allowed:
        raise InvalidInput(f"share is {share!r}, and the client has no piece to run there")
    if share == 0.0:
        return allowed[0]
    return min(
        (Fraction(pieces[k].base_latency) + Fraction(pieces[k].server_work) / exact, k)
        for k in allowed
    )[1]


def _check_others(others: float) -> None:
    if not (math.isfinite(others) and others >= 0.0):
        raise InvalidInput(f"others is {others!r}; need the cores that everybody else buys")


def _bid(replies: Replies) -> Bid:
    return Bid(float(replies.shares[0]), int(replies.pieces[0]), float(replies.costs[0]))
