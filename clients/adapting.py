"""When what an agent has learned from its inferences is worth another game.

New costs re-open the market for everybody, so a client that changes its mind at every flicker is
a nuisance.  It asks for a new game only after a sustained change, if that would save a stated
part of what it pays and waits for, and not again for a while.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from dds.errors import Infeasible
from dds.market.client import Client
from dds.market.response import best_response
from dds.market.tariff import Clearing, Flat
from dds.predict.correction import Correction, Times
from dds.session.messages import Allocation, Terms

__all__ = ["LEAST_SAVING", "Watch", "saving"]

#: A new game must promise to save this part of the cost.
LEAST_SAVING = 0.05
#: Inferences after a new game before there is another.
_REST = 8


@dataclass(frozen=True, slots=True)
class Watch:
    """Decides when to look at the costs again.

    correction: what was learned; pending: something changed since the costs were last looked
    at; rest: inferences to make before the next new game.
    """

    correction: Correction = field(default_factory=Correction)
    pending: bool = False
    rest: int = 0

    def observe(self, measured: Times, predicted: Times) -> Watch:
        """One more inference: what it took, and what uncorrected costs said it would."""
        correction = self.correction.observe(measured, predicted)
        return Watch(correction, self.pending or bool(correction.changes), max(self.rest - 1, 0))

    @property
    def due(self) -> bool:
        """Whether to find out what a new game would save."""
        return self.pending and not self.rest

    def looked(self, *, again: bool) -> Watch:
        """The costs were looked at; again: they were worth a new game."""
        return replace(self, pending=False, rest=_REST if again else self.rest)


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
