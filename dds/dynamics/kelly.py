"""Kelly's mechanism: everybody bids money, and the cores are split in proportion to the bids.

    f_i = C b_i / B,     B = sum of b_j,     cost of client i:  w_i T_i(f_i) + b_i

*Price-takers* (Kelly, 1997) look at the price B / C alone and pay it for what they want, so an
equilibrium is a competitive one with bids b = p f.  Those who *anticipate* (Johari and
Tsitsiklis, 2004) know that their bid moves the price.  On a piece k, when the others bid X,

    w (A_k + W_k (b + X) / (C b)) + b   is least at   b = sqrt(w W_k X / C)

Where every client has one convex way to be served (one piece and no choice) an equilibrium exists
and is unique for two clients or more.  T of a frontier is not convex, and then none need exist:
the best bid *rises* with the others' bids on one piece and jumps down to the next, so this game
has not the strategic substitutes that the tariffs' game has (Lemma A).  What is returned
says what everybody could still gain (``regret``); zero, to rounding, proves an equilibrium.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dds.errors import Infeasible
from dds.market.arguments import read_capacity, table_of
from dds.market.client import Client
from dds.market.equilibrium import competitive
from dds.market.numbers import Floats, Ints, exact_sum
from dds.market.replies import BOUNDLESS, Quote, respond_all
from dds.market.table import ClientTable

__all__ = ["Kelly", "kelly"]

#: A piece that costs no more than the best one, relative, is as good.
TIE = 1e-12
#: Halvings of the range of B, and how often a client that jumps is kept off a piece.
STEPS, HOLDS = 200, 64
#: A part of all bids that changes by more between neighbouring totals jumps; this near to all of
#: the cores is all of them; bids and their inverse stay below this, credits/s.
JUMP, ALL, LARGEST_BIDS = 1e-9, 1e-12, 1e200


@dataclass(frozen=True, eq=False)
class Kelly:
    """Bids and what they buy.

    anticipating: whether everybody knew that its bid moves the price; bids: b, credits/s;
    shares: f, cores; pieces: indices; latencies: T, s; regret: what the best other bid would
    save, credits/s; N each.  price: B / C, credits/s per core; capacity: C, cores.
    """

    anticipating: bool
    bids: Floats
    shares: Floats
    pieces: Ints
    latencies: Floats
    regret: Floats
    price: float
    capacity: float

    @property
    def max_regret(self) -> float:
        """The largest regret of any client, credits/s."""
        return float(self.regret.max())


def kelly(
    clients: Sequence[Client] | ClientTable, capacity: float, *, anticipating: bool = True
) -> Kelly:
    """Bids from which nobody wants to change, if there are such, and the shares that they buy.

    A bid of 0 is local-only; a client that offloads bids for a share within its bounds, and what
    max_share leaves of its part stays idle.  Look at ``max_regret``: above rounding, no equilibrium
    was found, and there may be none.

    Raises InvalidInput for a capacity that is not a finite number > 0, Infeasible when clients that
    must offload do not fit, or when only one client bids: half its bid buys all the same, so it has
    no best one.

    >>> from dds import Client, Frontier
    >>> pieces = Frontier.from_points([(0, 1)])
    >>> found = kelly([Client(pieces, 1.0, name="a"), Client(pieces, 1.0, name="b")], 1.0)
    >>> found.shares.round(6).tolist(), found.bids.round(6).tolist(), found.price
    ([0.5, 0.5], [1.0, 1.0], 2.0)
    """
    cores = read_capacity(capacity)
    table = table_of(clients)
    market = competitive(table, cores)
    if market.price == 0.0:  # everybody's largest share fits: no bid is needed
        return _played(table, cores, np.zeros(len(table)), market.shares, anticipating=anticipating)
    if not anticipating:
        return _played(table, cores, market.payments, None, anticipating=False)
    return _anticipated(table, cores)


def _played(
    table: ClientTable, cores: float, bids: Floats, shares: Floats | None, *, anticipating: bool
) -> Kelly:
    """What the bids buy, and what everybody could gain by another one."""
    total = exact_sum(bids)[0]
    if shares is None:
        part = cores * bids / total if total > 0.0 else np.zeros(len(table))
        shares = np.minimum(part, np.where(part > 0.0, table.high, 0.0))
    latencies, pieces = table.latencies(shares)
    costs = table.value * latencies + bids
    if not anticipating or total == 0.0:
        best = _at_price(table, total / cores)
    else:
        best = _replies(table, cores, np.maximum(total - bids, 0.0))
    with np.errstate(invalid="ignore"):
        regret = np.where(np.isinf(costs), math.inf, np.maximum(costs - best, 0.0))
    for values in (bids, shares, pieces, latencies, regret):
        values.setflags(write=False)
    return Kelly(anticipating, bids, shares, pieces, latencies, regret, total / cores, cores)


def _at_price(table: ClientTable, price: float) -> Floats:
    """The least ``w T(f) + p f`` of everybody, credits/s."""
    return respond_all(table, Quote(BOUNDLESS, price, 0.0)).costs


def _replies(table: ClientTable, cores: float, others: Floats) -> Floats:
    """The least ``w T(C b / (b + X)) + b`` of everybody, X what all others bid, credits/s."""
    best = table.value * table.local_base
    for k in range(table.depth):
        best = np.minimum(best, _cost(table, k, cores, others))
    return best


def _cost(table: ClientTable, k: int, cores: float, others: Floats) -> Floats:
    """The least cost on piece k when all others bid X; inf where it cannot be had."""
    work = table.value * table.work[k]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        bid = np.sqrt(work * others / cores)
        share = np.clip(cores * bid / (bid + others), table.low, table.high)
        # Without another bid a share costs as little as one likes.
        share = np.where(others > 0.0, share, np.minimum(cores, table.high))
        bid = np.where(share < cores, others * share / (cores - share), math.inf)
        bid = np.where(others > 0.0, bid, 0.0)
        cost = table.value * table.base[k] + work / share + bid
    return np.where((share > 0.0) & (table.low <= cores) & ~np.isnan(cost), cost, math.inf)


def _anticipated(table: ClientTable, cores: float) -> Kelly:
    """Bids at the B where the parts that everybody is content with add up to one.

    Given B, a client is content with part s of it on piece k if the bid s B is best against
    (1 - s) B.  A larger B makes the parts on a piece smaller; where two pieces content a client
    the one with the larger part is taken.  Where that makes the sum jump over one, a client that
    jumps is kept off the larger piece, and again, until the sum is met.
    """
    barred = np.isinf(table.base)
    found: list[Kelly] = []
    for _ in range(HOLDS):
        try:
            below, above = _crossing(table, cores, barred)
        except Infeasible:
            if not found:
                raise
            break
        (more, pieces), (less, _) = (_parts(table, cores, b, barred) for b in (below, above))
        found.append(_played(table, cores, above * less, None, anticipating=True))
        row = int(np.argmax(more - less))
        if more[row] - less[row] <= JUMP:
            break
        barred[pieces[row], row] = True
    return min(found, key=lambda one: one.max_regret)


def _crossing(table: ClientTable, cores: float, barred: NDArray[np.bool_]) -> tuple[float, float]:
    """Neighbouring totals of bids between which the parts fall through one."""

    def wanted(total: float) -> float:
        return exact_sum(_parts(table, cores, total, barred)[0])[0]

    stakes = np.where(np.isinf(table.base), 0.0, table.value * table.work)
    low = high = float(stakes.max()) / cores
    while wanted(high) > 1.0:
        high *= 16.0
        if high > LARGEST_BIDS:
            raise Infeasible("clients that must offload want more than there is at any bids")
    while wanted(low) <= 1.0:
        low /= 16.0
        if low < 1.0 / LARGEST_BIDS:
            raise Infeasible(
                "no bids of two clients found from which nobody wants to change, and one that bids "
                "alone has no best bid: half of it buys as much"
            )
    for _ in range(STEPS):
        middle = math.sqrt(low) * math.sqrt(high)
        if not low < middle < high:
            break
        low, high = (middle, high) if wanted(middle) > 1.0 else (low, middle)
    return low, high


def _parts(
    table: ClientTable, cores: float, total: float, barred: NDArray[np.bool_]
) -> tuple[Floats, Ints]:
    """The largest part of B that contents each client, and its piece, -1 for none."""
    best = np.where(np.isfinite(table.local_base), 0.0, -math.inf)
    piece = np.full(len(table), -1)
    most = np.minimum(table.high, cores * (1.0 - ALL))
    for k in range(table.depth):
        a = table.value * table.work[k] / cores
        # b^2 = a (B - b), its root written without a difference
        part = 2.0 * a / (a + np.sqrt(a * a + 4.0 * a * total))
        share = np.clip(cores * part, table.low, most)
        others = total * (1.0 - share / cores)
        own = table.value * (table.base[k] + table.work[k] / share) + total * share / cores
        content = (own <= _replies(table, cores, others) * (1.0 + TIE)) & ~barred[k]
        better = content & (share / cores > best)
        best, piece = np.where(better, share / cores, best), np.where(better, k, piece)
    parts: Floats = np.where(np.isinf(best), table.low / cores, best)
    return parts, piece
