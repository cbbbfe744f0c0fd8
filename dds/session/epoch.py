"""One epoch: an auctioneer, its players in a fixed order, and the bids of the open round."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from dds.errors import InternalError, InvalidInput
from dds.market.auctioneer import Auctioneer, Outcome, Probe, Quote
from dds.session.messages import Allocation, Below, Holding, Quotation, Terms

__all__ = ["Epoch"]

#: A bid may miss a multiple of the quantum by rounding, relative.
_ROUNDING = 1e-9


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
            total = float(np.sum(post.shares))
            for i in post.asked.tolist():
                own = float(post.shares[i])
                yield self.players[i], Holding(max(total - own, 0.0), own)

    def bid(self, lease: str, share: float) -> None:
        """Record the bid of a player that was asked and has not answered.

        Raises InvalidInput when the share is off the quantum's grid.
        """
        quantum = self._terms.quantum
        if quantum is not None:
            steps = share / float(quantum)
            if abs(steps - round(steps)) > _ROUNDING * max(steps, 1.0):
                raise InvalidInput(f"bid.share {share!r} is not a multiple of {quantum} cores")
        self._bids[self._index[lease]] = share

    def advance(self) -> None:
        """Close a complete round: hand its bids over and open the next, or reach the outcome.

        Raises NotMonotone, naming the player, when the bids contradict earlier ones.
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
