"""The coordinator of the market: posts questions, takes shares, ends with an allocation.

It knows the tariff and sees nothing but shares, so the same object drives the
library's solver (answers are arrays) and the protocol over a network (answers are
messages).  How it searches stands in ``taking`` (price-taking markets) and in
``anticipating`` (the Nash game).
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np

from dds.errors import InvalidInput
from dds.market.anticipating import anticipating
from dds.market.crossing import Answers, Given, NotMonotone
from dds.market.numbers import Floats, to_quanta, to_shares
from dds.market.replies import BOUNDLESS, Quote
from dds.market.sale import Outcome, Probe, Sale, Start
from dds.market.taking import price_taking
from dds.market.tariff import Clearing
from dds.market.tariff_base import Tariff

__all__ = ["Auctioneer", "NotMonotone", "Outcome", "Probe", "Quote"]

#: A share may miss a multiple of the quantum by this, relative.
OFF_GRID = 1e-9


class Auctioneer:
    """Finds one equilibrium of ``size`` clients at a tariff by asking them.

    concept: "nash" (clients anticipate their effect on the price) or "competitive"
    (everybody takes the price as given; :class:`Clearing` is that in either case); start:
    where to begin, if an outcome of nearly the same market is known.
    Read :attr:`post`, hand the answers to :meth:`answer`, until the post is an Outcome.

    Raises InvalidInput without clients, for another concept, or a quantum too fine to count.
    """

    def __init__(
        self,
        tariff: Tariff,
        size: int,
        *,
        concept: str = "nash",
        quantum: Fraction | None = None,
        start: Start | None = None,
    ) -> None:
        if size < 1:
            raise InvalidInput(f"an auction has {size} clients; need at least one")
        if concept not in ("nash", "competitive"):
            raise InvalidInput(f"concept is {concept!r}; need 'nash' or 'competitive'")
        self._size, self._quantum, self._rounds = size, quantum, 0
        sale = Sale(tariff.on_grid(quantum), size, quantum)
        taking = concept == "competitive" or isinstance(tariff, Clearing)
        self._play = price_taking(sale, start) if taking else anticipating(sale, start)
        self._sale = sale
        self._post = self._step(None)

    @property
    def post(self) -> Quote | Probe | Outcome:
        """The open question, or the outcome."""
        return self._post

    def answer(self, shares: Floats) -> None:
        """Take the answers to :attr:`post`: one per client, or per client asked by a Probe.

        Raises InvalidInput naming the client whose answer is no share, NotMonotone where
        answers contradict each other, Infeasible when the clients cannot be served; after
        NotMonotone or Infeasible the auction is over.
        """
        if isinstance(self._post, Outcome):
            raise InvalidInput("the auction is over; read its outcome from post")
        asked = self._post.asked if isinstance(self._post, Probe) else np.arange(self._size)
        answers = np.asarray(shares, dtype=np.float64)
        if answers.shape != asked.shape:
            raise InvalidInput(
                f"answers have shape {answers.shape}; need one for each of {len(asked)} clients"
            )
        wrong = ~((answers >= 0.0) & (answers <= 2.0 * BOUNDLESS))
        grid = ""
        if self._quantum is not None:
            grid = f" and a multiple of {self._quantum!s}"
            on_grid = to_shares(to_quanta(answers, self._quantum), self._quantum)
            wrong |= np.abs(on_grid - answers) > OFF_GRID * answers
        if wrong.any():
            k = int(wrong.argmax())
            raise InvalidInput(
                f"clients[{int(asked[k])}]: answered {float(answers[k])!r}; need cores >= 0{grid}"
            )
        counted = self._sale.count(answers)
        self._post = self._step(Given(counted) if isinstance(self._post, Quote) else counted)

    def trust(self, answers: Answers | Floats) -> None:
        """Take answers as :meth:`answer` does, counted and from clients known to be truthful.

        For a solver that plays them itself; a Quote's may be worked out when first looked at.
        """
        self._post = self._step(answers)

    def _step(self, answers: Answers | Floats | None) -> Quote | Probe | Outcome:
        try:
            post = next(self._play) if answers is None else self._play.send(answers)
        except StopIteration as end:
            outcome: Outcome = end.value
            return replace(outcome, rounds=self._rounds)
        self._rounds += 1
        return post
