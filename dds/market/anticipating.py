"""The Nash game: everybody anticipates what its own share does to the price.

Answers to (F, pi(F), d), d a subgradient of pi at F, are best responses wherever
they add up to F (Theorem C), and one search finds that F (``loads``).  At a jump of
demand tied clients are served in order while they fit, the next one if it prefers
what results, and each is held on its side while the search goes on.
"""

from __future__ import annotations

import math
from collections.abc import Generator

import numpy as np

from dds.errors import InternalError, InvalidInput
from dds.market.crossing import Answers
from dds.market.loads import ROUGH, Found, Search, Sides
from dds.market.numbers import Floats, Ints, exact_sum
from dds.market.replies import TOLERANCE, Quote
from dds.market.sale import Outcome, Play, Probe, Sale, Start, served

__all__ = ["anticipating", "rough_load"]

#: How often jumping clients are held and the search resumed before clients move one by one.
PASSES = 40
#: After so many in a row that do not move after all everybody is asked again.
IDLE = 3
#: How many clients are offered what is left of the capacity.
OFFERS = 8


def anticipating(sale: Sale, start: Start | None = None) -> Play:
    """Search F, hold clients at jumps, and let who still gains move, one at a time."""
    sides = Sides.free(sale.size)
    for _ in range(PASSES):
        found = yield from Search(sale, sides).found(start)
        sale.check_bounded(found.bracket.above, sale.price(found.load))
        shares, jumping, left = served(found.bracket)
        if not jumping.size:
            break
        if not found.cut_off:
            shares = _one_more(sale, found, shares, left)
        sides = sides.held(found.bracket, shares, jumping, sale.quantum)
        start = found.start(sale, abs(found.load - exact_sum(shares)[0]))
    if found.cut_off and sale.quantum is None:
        shares = yield from _filled(sale, shares)
    shares = yield from _settled(sale, shares)
    total = sale.total(shares)
    price = float(sale.tariff.exact_price(total))
    return Outcome(sale.cores(shares), price, float(total), 0, found.start(sale, 0.0))


def rough_load(sale: Sale) -> Generator[Quote, Answers, Start]:
    """About where demand meets load, to a thousandth."""
    found = yield from Search(sale, Sides.free(sale.size), rough=True).found(None)
    return found.start(sale, ROUGH * found.load)


def _one_more(sale: Sale, found: Found, shares: Floats, left: Ints) -> Floats:
    """Serve one more jumping client if it prefers what results.

    With F posted at the jump and r of it unfilled, taking h more is a best response while
    ``pi(F + h - r) <= pi(F) + d h / 2``; otherwise leaving it is one.
    """
    below = found.bracket.below
    if below is None or not left.size:
        return shares
    i = int(left[0])
    more = float(below.answers.of(left[:1])[0] - shares[i])
    total = exact_sum(shares)[0] + more
    if sale.price(total) > sale.price(found.load) + found.slope * more * sale.unit / 2.0:
        return shares
    fuller = shares.copy()
    fuller[i] += more
    return fuller


def _filled(sale: Sale, shares: Floats) -> Generator[Quote | Probe, Floats, Floats]:
    """Offer what rounding left unsold to the smallest clients, one after the other.

    Everybody would gain a little by taking it, and they the most for their cost: of r cores
    more a client with f saves less than r / f of its cost.
    """
    left = -_excess(shares, sale.most)
    buyers = np.flatnonzero((shares > 0.0) & (TOLERANCE * shares < left))
    for i in buyers[np.argsort(shares[buyers], kind="stable")[:OFFERS]].tolist():
        if _excess(shares, sale.most) < 0.0:
            answers = yield Probe(sale.cores(shares), np.array([i]))
            shares = _moved(sale, shares, i, float(answers[0]))
    return shares


def _settled(sale: Sale, shares: Floats) -> Generator[Quote | Probe, Floats, Floats]:
    """Ask everybody; let who gains move, one at a time, until nobody does.

    Often the first to move takes what others wanted too: once several in a row want nothing any
    more, everybody is asked again.
    """
    everybody = np.arange(sale.size)
    patience = 1000 + 100 * sale.size
    while True:
        answers = yield Probe(sale.cores(shares), everybody)
        movers = np.flatnonzero(answers != shares)
        if not movers.size:
            return shares
        idle, before = 0, patience
        for place, i in enumerate(movers.tolist()):
            if place > 0:  # what the first one said still holds
                answers[i] = (yield Probe(sale.cores(shares), np.array([i])))[0]
            after = _moved(sale, shares, i, float(answers[i]))
            if after[i] != shares[i]:
                shares, idle, patience = after, 0, patience - 1
            elif (idle := idle + 1) == IDLE:
                break
        if patience == before:  # they want no more than rounding takes away
            return shares
        if patience < 0:
            raise InternalError("clients keep moving although each move gains; report this")


def _moved(sale: Sale, shares: Floats, client: int, share: float) -> Floats:
    """Shares after one client's move, less what rounding would oversell."""
    moved = shares.copy()
    moved[client] = share
    while (over := _excess(moved, sale.most)) > 0.0:
        if over > 1e-9 * sale.most:
            raise InvalidInput(f"clients[{client}]: asked for more than the others leave")
        moved[client] = min(math.nextafter(moved[client], 0.0), moved[client] - over)
    return moved


def _excess(shares: Floats, most: float) -> float:
    total, rest = exact_sum(shares)
    return (total - most) + rest
