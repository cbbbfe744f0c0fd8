"""When what an agent has learned from its inferences is worth another game.

New costs re-open the market for everybody, so a client that changes its mind at every flicker is
a nuisance.  It looks at its costs only when a segment's factor, which a few outliers do not move,
is another than when it last looked; asks for a new game only if that would save a stated part of
what it pays and waits for; and then not again for a while.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from dds.errors import Infeasible
from dds.market.client import Client
from dds.market.response import best_response
from dds.market.tariff import Clearing, Flat
from dds.predict.correction import Correction, Segment, Times
from dds.session.messages import Allocation, Terms

__all__ = ["LEAST_SAVING", "Watch", "saving"]

#: A new game must promise to save this part of the cost.
LEAST_SAVING = 0.05
#: A factor must have changed by so much (in its logarithm) to look at the costs at all.
_LEAST_CHANGE = math.log(1.1)
#: Inferences after a new game before there is another.
_REST = 8


@dataclass(frozen=True, slots=True)
class Watch:
    """Decides when to look at the costs again.

    correction: what was learned; reckoned: what had been learned when the costs were last looked
    at; rest: inferences to make before the next new game.
    """

    correction: Correction = field(default_factory=Correction)
    reckoned: Correction = field(default_factory=Correction)
    rest: int = 0

    def observe(self, measured: Times, predicted: Times) -> Watch:
        """One more inference: what it took, and what uncorrected costs said it would."""
        correction = self.correction.observe(measured, predicted)
        return replace(self, correction=correction, rest=max(self.rest - 1, 0))

    @property
    def due(self) -> bool:
        """Whether to find out what a new game would save."""
        return not self.rest and any(
            abs(self.correction[segment].level - self.reckoned[segment].level) > _LEAST_CHANGE
            for segment in Segment
        )

    def looked(self, *, again: bool) -> Watch:
        """The costs were looked at; again: they were worth a new game."""
        return replace(self, reckoned=self.correction, rest=_REST if again else self.rest)


def saving(client: Client, latency: float, allocation: Allocation, terms: Terms) -> float:
    """The part of J = w T + payment that `client`'s best response to the others would save.

    client: with new costs; latency: what the cut in force takes at its share by the same costs,
    s; allocation: in force.  0 when nothing is better.
    """
    cost = client.value_of_time * latency + allocation.payment
    # At a clearing price nobody moves the price: everybody takes it as given.
    tariff = Flat(allocation.price) if isinstance(terms.tariff, Clearing) else terms.tariff
    try:
        best = best_response(client, tariff, allocation.others, quantum=terms.quantum).cost
    except Infeasible:
        # Any share is better than the next at a price of 0, or there is too little for sale:
        # what can be told is what another cut would do with the share there is.
        least = client.frontier.latency(allocation.share)
        best = client.value_of_time * least + allocation.payment
    return max(cost - best, 0.0) / cost if cost > 0.0 else 0.0
