"""Tatonnement: a price is posted, demand is counted, and the price follows it.

Nothing is sold on the way.  Price-takers ask for D(p); what is for sale at p is S(p), the
capacity, or where the tariff's pi reaches p.  Then

    p  <-  p (D(p) / S(p))^step         within a factor of 16 either way

Demand on fixed pieces falls as 1 / sqrt(p), so with a hard capacity the distance to the
clearing price, in logarithms, shrinks by ``1 - step / 2`` a round; with a tariff whose supply has
elasticity e there, by ``1 - step (1/2 + e)``, so a step of ``2 / (1/2 + e)`` or more overshoots for
ever.  Where demand jumps it may not clear at any price, and then this never ends either: the
solver says who is tied instead.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from dds.dynamics.trajectory import Seen, Trajectory, follow, read_rounds, read_tolerance
from dds.errors import Infeasible, InvalidInput
from dds.market.arguments import table_of
from dds.market.client import Client
from dds.market.numbers import Floats, exact_sum
from dds.market.passes import answer_all
from dds.market.replies import BOUNDLESS, Quote
from dds.market.table import ClientTable
from dds.market.tariff import Clearing
from dds.market.tariff_base import Tariff

__all__ = ["tatonnement"]

#: No price changes by more than this factor in a round.
LEAP = 16.0
#: Prices stay within these, credits/s per core.
LOWEST, HIGHEST = 1e-120, 1e120
#: Demand above this is demand without a limit, cores.
LIMITLESS = 2.0**400


def tatonnement(
    clients: Sequence[Client] | ClientTable,
    tariff: Tariff | float,
    *,
    step: float = 0.5,
    price: float = 1.0,
    rounds: int = 1000,
    tolerance: float = 1e-9,
    keep: bool = False,
) -> Trajectory:
    """A posted price that follows demand until what is asked for is what is for sale.

    tariff: as in :func:`dds.competitive`, or a capacity in cores; price: the first, credits/s per
    core; tolerance: demand this close to supply, relative, clears.  Everybody has what it wants
    at the posted price, so the regrets are 0; ``excess`` is D(p) - S(p).  Where everything that
    anybody could want fits, the price falls until it is no more than ``tolerance`` of the first.

    Raises InvalidInput for wrong arguments, Infeasible when clients that must offload ask for
    more than there is at any price, or nobody asks for a finite amount.
    """
    sold = tariff if isinstance(tariff, Tariff) else Clearing(tariff)
    for name, value, most in (("step", step, 2.0), ("price", price, HIGHEST)):
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or not LOWEST <= value <= most:
            raise InvalidInput(f"{name} is {value!r}; need a number > 0, at most {most:g}")
    near = read_tolerance(tolerance)
    market = _Posted(table_of(clients), sold, step, near, _least(sold, near * price))
    return follow(
        "tatonnement",
        np.array([max(float(price), market.least)]),
        market.look,
        market.after,
        market.shares,
        read_rounds(rounds),
        keep=keep,
    )


def _least(tariff: Tariff, nearly_nothing: float) -> float:
    """The least price that is posted: a hard capacity goes for nothing, no tariff below pi(0)."""
    if isinstance(tariff, Clearing):
        return nearly_nothing
    return max(float(tariff.exact_price(Fraction(0))), LOWEST)


@dataclass(frozen=True, eq=False)
class _Posted:
    """Price-takers and who posts prices to them; a state is the posted price alone, in an array."""

    table: ClientTable
    tariff: Tariff
    step: float
    tolerance: float
    least: float

    def shares(self, state: Floats) -> Floats:
        """What everybody asks for, cores, N."""
        return answer_all(self.table, Quote(BOUNDLESS, float(state[0]), 0.0)).shares

    def balance(self, state: Floats) -> tuple[float, float]:
        """D(p) and S(p), cores."""
        posted = float(state[0])
        asked = exact_sum(self.shares(state))[0]
        clearing = isinstance(self.tariff, Clearing)
        supply = self.tariff.capacity if clearing else self.tariff.supply(posted)
        if not asked < LIMITLESS or (math.isinf(supply) and asked > 0.0):
            raise Infeasible("demand or supply has no limit; give a capacity or max_share")
        return asked, supply

    def look(self, state: Floats) -> Seen:
        """Whether the market clears at this price."""
        posted = float(state[0])
        asked, supply = self.balance(state)
        spare = asked <= supply and posted <= self.least
        settled = abs(asked - supply) <= self.tolerance * supply or spare
        if asked > supply and posted >= HIGHEST / LEAP:
            raise Infeasible(
                f"clients that must offload ask for {asked:g} cores at any price, and {supply:g} "
                "are for sale"
            )
        return Seen(posted, asked, asked - supply, 0.0, settled)

    def after(self, state: Floats) -> Floats:
        """The next price."""
        asked, supply = self.balance(state)
        ratio = LEAP if supply == 0.0 else asked / supply
        if asked == 0.0:
            ratio = 0.0 if supply > 0.0 else 1.0
        factor = min(max(ratio**self.step, 1.0 / LEAP), LEAP)
        after: Floats = np.clip(state * factor, max(self.least, LOWEST), HIGHEST)
        return after
