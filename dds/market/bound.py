"""How good an allocation of C cores could be at all: the competitive market's dual bound.

Whatever the price p >= 0, no allocation of C cores has a total ``sum of w_i T_i(f_i)`` below

    LB(p) = sum of v_i(p) - p C,        v_i(p) = min over shares f of w_i T_i(f) + p f

(weak duality: charge for the cores, and give the takings back).  The best p is the one at
which price-takers buy what there is, so a competitive equilibrium comes with its bound.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from dds.errors import Infeasible
from dds.market.arguments import read_capacity, table_of
from dds.market.client import Client
from dds.market.equilibrium import Equilibrium, competitive
from dds.market.numbers import Floats, exact_sum
from dds.market.replies import BOUNDLESS, Quote, respond_all
from dds.market.table import ClientTable

__all__ = ["DualBound", "dual_bound", "ratio_of"]

#: What rounding may add to v_i(p), p C and their sum, relative: the bound is lowered by it.
ROUNDING = 4e-15


@dataclass(frozen=True, eq=False)
class DualBound:
    """The best LB(p), credits/s, and the competitive market that it belongs to.

    market: everybody's share where the market clears; room: the most that each client could
    ever have, cores, N: the capacity less what those who must offload need at least; price: p,
    the market's or, where any above some price clears, about that one; values: v_i(p),
    credits/s, N; value: LB(p), rounded down.
    """

    market: Equilibrium
    room: Floats
    price: float
    values: Floats
    value: float


def dual_bound(
    clients: Sequence[Client] | ClientTable, capacity: float, start: Equilibrium | None = None
) -> DualBound:
    """The dual bound on ``sum of w T`` over all allocations of ``capacity`` cores.

    start: the equilibrium of nearly the same market, near which to search.

    Raises InvalidInput for a capacity that is not a finite number > 0, Infeasible when the
    clients without a local-only piece do not fit into it.
    """
    cores = read_capacity(capacity)
    table = table_of(clients)
    room = _room(table, cores)
    market = competitive(table, cores, start=start)
    wanted = market.outcome.shares_below
    # A client that would take more than it could ever have makes the bound weaker than it
    # need be: without that wish the price that clears is another.
    if np.any((market.shares if wanted is None else wanted) > room):
        table = replace(table, high=np.minimum(table.high, room))
        market = competitive(table, cores, start=market)
    best = _at(table, market, room, market.price, cores)
    # Where lower bounds alone fill the capacity any high price clears, and costs digits: the
    # largest at which somebody would take more does as well.
    enough = _dearest(table, market)
    if 0.0 < enough < market.price / 2.0:
        best = max(best, _at(table, market, room, enough, cores), key=lambda one: one.value)
    return best


def _at(
    table: ClientTable, market: Equilibrium, room: Floats, price: float, capacity: float
) -> DualBound:
    """The bound at a price."""
    if price == market.price:
        values = table.value * market.latencies + price * market.shares - market.regret
    else:
        values = respond_all(table, Quote(BOUNDLESS, price, 0.0)).costs
    total = exact_sum(values)[0]
    takings = price * capacity
    value = total - takings - ROUNDING * (total + takings)
    return DualBound(market, room, price, values, value)


def _dearest(table: ClientTable, market: Equilibrium) -> float:
    """The largest ``w W / f^2`` of anybody who buys, credits/s per core: what one more is worth."""
    rows = np.flatnonzero(market.shares > 0.0)
    if not len(rows):
        return 0.0
    work = table.work[market.pieces[rows], rows]
    return float((table.value[rows] * work / market.shares[rows] / market.shares[rows]).max())


def ratio_of(cost: float, bound: float) -> float:
    """``cost / bound``, at least 1; 1 where both are 0, inf for a bound of 0 or less."""
    if bound > 0.0:
        return max(cost / bound, 1.0)
    return 1.0 if cost <= 0.0 else math.inf


def _room(table: ClientTable, capacity: float) -> Floats:
    """The most that each client could ever have, cores."""
    reserved = np.where(table.must_offload, table.low, 0.0)
    needed = exact_sum(reserved)[0]
    if needed > capacity * (1.0 + 1e-12):
        raise Infeasible(
            f"clients without a local-only piece need {needed:g} cores at least, and capacity "
            f"is {capacity:g}"
        )
    # Rounded up: a little too much room only weakens the bound.
    room: Floats = np.maximum(capacity - (needed - reserved), 0.0) + 1e-14 * capacity
    return np.maximum(room, reserved)
