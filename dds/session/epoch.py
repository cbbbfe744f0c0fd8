"""One epoch: an auctioneer, its players in a fixed order, and the bids of the open round."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from fractions import Fraction

import numpy as np

from dds.errors import InternalError, InvalidInput
from dds.market.auctioneer import Auctioneer, Outcome, Probe, Quote
from dds.market.replies import BOUNDLESS
from dds.session.messages import Allocation, Below, Holding, Quotation, Terms

__all__ = ["Epoch"]

#: A bid may miss a multiple of the quantum or the capacity by rounding, relative.
_ROUNDING = 1e-10
#: Moves of one player in the verification of one epoch; the auctioneer's patience is 100 each.
_MOST_MOVES = 99


class Epoch:
    """Puts the auctioneer's posts to players and their bids to the auctioneer.

    number: counts up over the server's life; players: leases, in the order of the auctioneer's
    clients (ties are filled in it); terms: what is for sale.
    """

    def __init__(self, number: int, terms: Terms, players: Sequence[str]) -> None:
        self.number = number
        self.players = tuple(players)
        self.round = 1
        self._terms = terms
        self._auctioneer = Auctioneer(terms.tariff, len(players), quantum=terms.quantum)
        self._index = {lease: i for i, lease in enumerate(self.players)}
        self._bids: dict[int, float] = {}
        self._moves: Counter[int] = Counter()
        self._asked = self._count_asked()

    def __contains__(self, lease: str) -> bool:
        return lease in self._index

    @property
    def outcome(self) -> Outcome | None:
        """The final shares, once the last round is complete."""
        post = self._auctioneer.post
        return post if isinstance(post, Outcome) else None

    @property
    def complete(self) -> bool:
        """Whether every bid of this round is in."""
        return len(self._bids) == self._asked

    def _count_asked(self) -> int:
        post = self._auctioneer.post
        return len(post.asked) if isinstance(post, Probe) else len(self.players)

    def questions(self) -> Iterator[tuple[str, Quotation | Holding]]:
        """Who is asked what in this round."""
        post = self._auctioneer.post
        if isinstance(post, Quote):
            for i, lease in enumerate(self.players):
                yield lease, _quotation(post, i)
        elif isinstance(post, Probe):
            for i, others in zip(post.asked.tolist(), post.others.tolist(), strict=True):
                yield self.players[i], Holding(others, float(post.shares[i]))

    def bid(self, lease: str, share: float) -> None:
        """Record the bid of a player that was asked and has not answered.

        Raises InvalidInput for a share that is too large or off the quantum's grid, and for a
        player that keeps finding better shares: only a liar does that without end.
        """
        i, post, quantum = self._index[lease], self._auctioneer.post, self._terms.quantum
        if share > BOUNDLESS:
            raise InvalidInput(f"bid.share {share!r} is more than any server has")
        if quantum is not None and abs(share - _on_grid(share, quantum)) > _ROUNDING * share:
            raise InvalidInput(f"bid.share {share!r} is not a multiple of {quantum} cores")
        if isinstance(post, Probe) and share != post.shares[i]:
            others = math.fsum(post.shares.tolist()) - float(post.shares[i])
            if others + share > self._terms.tariff.capacity * (1.0 + _ROUNDING):
                raise InvalidInput(f"bid.share {share!r} is more than the others leave")
            self._moves[i] += 1
            if self._moves[i] > _MOST_MOVES:
                raise InvalidInput(f"bid.share: moved {_MOST_MOVES} times in one epoch already")
        self._bids[i] = share

    def advance(self) -> None:
        """Close a complete round: hand its bids over and open the next, or reach the outcome.

        Raises NotMonotone, whose index is a player's, when bids contradict earlier ones, and
        Infeasible when these players cannot be served together; the epoch is over then.
        """
        if not self.complete:
            raise InternalError("epoch.advance: bids are missing")
        post = self._auctioneer.post
        order = post.asked.tolist() if isinstance(post, Probe) else range(len(self.players))
        self._auctioneer.answer(np.array([self._bids[i] for i in order], dtype=np.float64))
        self._bids = {}
        if self.outcome is None:
            self.round += 1
            self._asked = self._count_asked()

    def bidders(self) -> list[str]:
        """The players that asked for more than nothing in this round."""
        return [lease for i, lease in enumerate(self.players) if self._bids.get(i, 0.0) > 0.0]

    def allocation(self, lease: str, revision: int) -> Allocation:
        """What one player gets, once there is an outcome."""
        outcome = self.outcome
        if outcome is None:
            raise InternalError("epoch.allocation: the epoch has no outcome yet")
        i = self._index[lease]
        share = float(outcome.shares[i])
        below = None
        if outcome.price_below is not None and outcome.shares_below is not None:
            below = Below(outcome.price_below, float(outcome.shares_below[i]))
        return Allocation(
            lease=lease,
            epoch=self.number,
            share=share,
            price=outcome.price,
            total=outcome.total,
            others=max(outcome.total - share, 0.0),
            payment=share * outcome.price,
            rounds=outcome.rounds,
            below=below,
            revision=revision,
        )


def _quotation(quote: Quote, index: int) -> Quotation:
    """A quote as one client sees it."""
    own = quote.for_client(index)
    return Quotation(own.load, own.price, own.slope, float(own.at_least), float(own.at_most))


def _on_grid(share: float, quantum: Fraction) -> float:
    """The multiple of the quantum that is nearest to a share, cores."""
    return float(round(Fraction(share) / quantum) * quantum)
