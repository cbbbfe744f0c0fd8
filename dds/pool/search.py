"""Where to start: the slowdown and the toll at which everybody's answers bring them about.

Among many clients nobody matters much, and a best reply is the frontier's piece at an
effective slowdown ``x(rho) + tau rate / w``.  Given rho, the toll that answers itself,
``tau = V(tau) x'(rho) / C``, is where a falling function crosses a rising one; and what
everybody asks for at it either exceeds rho C or does not, which brackets rho.  Every profile
met on the way is priced, and the cheapest is where :func:`dds.pool.game.descend` begins.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from dds.market.numbers import Ints
from dds.pool.game import Game, Sums

__all__ = ["start"]

#: More clients than this are represented by some of them while rho is bracketed.
SAMPLE = 16_384
#: How closely rho and the toll are bracketed, relative, and in how many halvings at most:
#: moves of single clients do the rest.
NEAR, HALVINGS = 1e-3, 30


def start(game: Game) -> Ints:
    """A profile of low total cost, found among answers to slowdowns and tolls."""
    step = -(-len(game) // SAMPLE)
    posted = _crossing(game.sample(step) if step > 1 else game)
    best, cost = game.lightest, game.cost(game.sums(game.lightest))
    for slowdown, toll in posted if step == 1 else posted[:3]:
        rows = game.replies(slowdown, toll)
        if (found := game.cost(game.sums(rows))) < cost:
            best, cost = rows, found
    return best


def _crossing(game: Game) -> list[tuple[float, float]]:
    """The posted (x, tau) met while bracketing rho, those of least total cost first."""
    seen: dict[tuple[float, float], float] = {}
    low, high = 0.0, game.slowdown.limit
    idle = (float(game.slowdown(0.0)), 0.0)
    seen[idle] = game.cost(game.sums(game.replies(*idle)))
    for _ in range(HALVINGS):
        if high - low <= NEAR * high:
            break
        rho = low + (high - low) / 2.0
        above = False
        for posted, sums in _tolls(game, rho):
            seen[posted] = game.cost(sums)
            above = sums.busy > rho * game.capacity
        low, high = (rho, high) if above else (low, rho)
    return sorted(seen, key=lambda posted: seen[posted])


def _tolls(game: Game, rho: float) -> Iterator[tuple[tuple[float, float], Sums]]:
    """Answers at x(rho) while the toll is bracketed; the last one is at the bracket's end."""
    x, slope = float(game.slowdown(rho)), float(game.slowdown.slope(rho)) / game.capacity
    if math.isinf(x) or math.isinf(slope):
        return
    below = game.sums(game.replies(x, 0.0))
    yield (x, 0.0), below
    low, high = 0.0, below.weight * slope
    if high == 0.0:
        return
    above = game.sums(game.replies(x, high))
    for _ in range(HALVINGS):
        if below == above or high - low <= NEAR * high:
            break
        toll = low + (high - low) / 2.0
        found = game.sums(game.replies(x, toll))
        yield (x, toll), found
        if found.weight * slope > toll:
            low, below = toll, found
        else:
            high, above = toll, found
    # Where nothing jumps in between the crossing is known.
    yield (x, below.weight * slope if below == above else high), above
