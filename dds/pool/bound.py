"""How good any pieces could be on a shared server: a lower bound on the total cost S.

Suppose the load is between a and b.  Then the slowdown is at least x(a), and for every price m
on cores, posted for a load of b if m > 0 and of a if m < 0,

    S  >=  sum over clients of min over pieces of (w A + (w x(a) + m rate) W)  -  m C (b or a)

because ``m (R - C b) <= 0`` for m > 0 and ``m (R - C a) <= 0`` for m < 0 (weak duality).  The
best m is where the answers' load crosses the interval.  The least of these bounds over intervals
that cover all loads bounds S; the interval of least bound is halved, as long as it matters.
"""

from __future__ import annotations

import heapq
import math

from dds.errors import InvalidInput
from dds.market.numbers import exact_sum
from dds.pool.equilibrium import PooledEquilibrium
from dds.pool.game import Game

__all__ = ["total_bound"]

#: What rounding may add to a sum of N products, relative: the bound is lowered by it.
ROUNDING = 1e-14
#: Halvings in the search for a price; any price gives a bound.
HALVINGS = 40


def total_bound(found: PooledEquilibrium, *, gap: float = 1e-3, intervals: int = 200) -> float:
    """A number, credits/s, that ``sum of w T`` is not below, whatever pieces clients take.

    gap: stop when the equilibrium's cost is within this part of the bound; intervals: or after
    so many halvings.  ``found.cost / total_bound(found) - 1`` bounds what is lost to the social
    optimum.  In floats, rounded down; each interval costs some 40 passes over the clients.

    Raises InvalidInput for a gap below 0.

    >>> from dds import Client, Frontier
    >>> from dds.pool import Pool, pooled
    >>> pieces = Frontier.from_points([(0.1, 0.5), (1.0, 0.0)])
    >>> found = pooled([Client(pieces, 1.0, rate=0.1) for _ in range(200)], Pool(8))
    >>> found.cost <= 1.001 * total_bound(found)
    True
    """
    if not gap >= 0.0:
        raise InvalidInput(f"gap is {gap!r}; need a number >= 0")
    game = Game.of(found.table, found.server)
    begin = (0.0, found.server.slowdown.limit)
    queue = [(_bound(game, *begin), *begin)]
    for _ in range(intervals):
        least, low, high = queue[0]
        middle = low + (high - low) / 2.0
        if found.cost <= least * (1.0 + gap) or not low < middle < high:
            break
        heapq.heapreplace(queue, (_bound(game, low, middle), low, middle))
        heapq.heappush(queue, (_bound(game, middle, high), middle, high))
    return min(queue[0][0], found.cost)


def _bound(game: Game, low: float, high: float) -> float:
    """The bound for loads from ``low`` to ``high``; inf where no such load occurs."""
    x = float(game.slowdown(low))
    if math.isinf(x):
        return math.inf
    cores = game.capacity * low, game.capacity * high

    def busy_and_bound(price: float) -> tuple[float, float]:
        rows = game.replies(x, price)
        sums = game.sums(rows)
        paid = price * (sums.busy - cores[price > 0.0])
        total = sums.waits + x * sums.weight
        return sums.busy, total + paid - ROUNDING * (total + abs(price) * (sums.busy + cores[1]))

    busy, best = busy_and_bound(0.0)
    if cores[0] <= busy <= cores[1]:
        return best
    # A price that is high (or low) enough to bring the load into the interval, if one is.
    sign = 1.0 if busy > cores[1] else -1.0
    target = cores[1] if sign > 0.0 else cores[0]
    end = sign * x * exact_sum(game.value)[0] / exact_sum(game.rate)[0]
    start = 0.0
    for _ in range(HALVINGS):
        busy, bound = busy_and_bound(end)
        best = max(best, bound)
        if (busy - target) * sign <= 0.0:
            break
        start, end = end, 4.0 * end
    for _ in range(HALVINGS):
        price = start + (end - start) / 2.0
        busy, bound = busy_and_bound(price)
        best = max(best, bound)
        if busy == target or abs(end - start) <= 1e-9 * abs(end):
            break
        start, end = (price, end) if (busy - target) * sign > 0.0 else (start, price)
    return best
