"""Small games solved by looking at every profile, in rational arithmetic.

Nothing of the solvers is used here, and no property of the tariff: a price may jump,
fall or bend as it likes, so games without an equilibrium can be shown to have none.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from fractions import Fraction

from dds.errors import InvalidInput
from dds.market.client import Client
from dds.market.numbers import snapped
from dds.market.tariff_base import Tariff

__all__ = ["Price", "costs_in_quanta", "posted", "pure_equilibria"]

#: pi(F): credits/s per core at a load in cores, exactly; None where it may not be sold.
Price = Callable[[Fraction], Fraction | None]


def posted(tariff: Tariff, quantum: Fraction) -> Price:
    """A tariff as a plain function of the load, None beyond its capacity."""
    grid = tariff.on_grid(quantum)
    return lambda load: grid.exact_price(load) if tariff.admits(load, quantum) else None


def pure_equilibria(
    clients: Sequence[Client], price: Price | Tariff, quantum: Fraction
) -> list[tuple[int, ...]]:
    """Every profile of shares, in quanta, from which no client gains by moving alone.

    The set of pure Nash equilibria by definition: all profiles within the clients' bounds that
    the price admits are compared with all deviations that it admits.  Equilibria that differ in
    nothing but which of two equally fast pieces runs count once.

    Raises InvalidInput for a client whose max_share is infinite: nothing bounds its actions.
    """
    pi = posted(price, quantum) if isinstance(price, Tariff) else price
    waits = [costs_in_quanta(client, quantum) for client in clients]
    most = sum(max(wait, default=0) for wait in waits)
    units = [pi(n * quantum) for n in range(most + 1)]

    def cost(i: int, own: int, others: int) -> Fraction | None:
        unit = units[others + own]
        return None if unit is None else waits[i][own] + own * quantum * unit

    @functools.cache
    def least(i: int, others: int) -> Fraction:
        costs = (cost(i, own, others) for own in waits[i])
        return min(found for found in costs if found is not None)

    return [
        profile
        for profile in itertools.product(*waits)
        if units[sum(profile)] is not None
        and all(
            cost(i, own, sum(profile) - own) == least(i, sum(profile) - own)
            for i, own in enumerate(profile)
        )
    ]


def costs_in_quanta(client: Client, quantum: Fraction) -> dict[int, Fraction]:
    """``w T(n q)`` in credits/s for every number of quanta that the client may buy.

    Raises InvalidInput when max_share is infinite.
    """
    if math.isinf(client.max_share):
        raise InvalidInput(f"{client.name!r} may buy any share; give it a max_share")
    value = Fraction(client.value_of_time)
    pieces = [(Fraction(p.base_latency), Fraction(p.server_work)) for p in client.frontier.pieces]
    found: dict[int, Fraction] = {}
    for base, work in pieces:
        if not work:
            found[0] = value * base
    least = max(1, math.ceil(snapped(client.min_share, quantum) / quantum))
    most = math.floor(snapped(client.max_share, quantum) / quantum)
    for n in range(least, most + 1):
        waits = [base + work / (n * quantum) for base, work in pieces if work]
        if waits:
            found[n] = value * min(waits)
    return found
