"""Which product suits these clients and this server, and why."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from dds.errors import Infeasible, InvalidInput
from dds.market.arguments import table_of
from dds.market.client import Client
from dds.market.equilibrium import Equilibrium, competitive
from dds.market.social import SocialOptimum, social
from dds.market.table import ClientTable
from dds.pool.equilibrium import PooledEquilibrium, mean_latency, pooled
from dds.pool.server import Pool

__all__ = ["Candidate", "Recommendation", "recommend"]

#: Latencies this close, relative, are a tie: the simpler product is named.
TIE = 1e-9


@dataclass(frozen=True, eq=False)
class Candidate:
    """One product, computed for these clients.

    product: "local", "pooled", "reserved-social" or "reserved-market"; mean_latency: what
    clients would see, sum of w T / sum of w, s, waiting for their own earlier requests
    included; inf when the product does not apply; promised: the same without that wait (a lease
    promises A + W / f); note: one clause about it; result: what computed it.
    """

    product: str
    mean_latency: float
    promised: float
    note: str
    result: PooledEquilibrium | SocialOptimum | Equilibrium | None = field(repr=False, default=None)


@dataclass(frozen=True, eq=False)
class Recommendation:
    """The product of least mean latency, why in one sentence, and all that were compared."""

    product: str
    mean_latency: float
    why: str
    candidates: tuple[Candidate, ...]

    @property
    def result(self) -> PooledEquilibrium | SocialOptimum | Equilibrium | None:
        """What computed the recommended product; None for "local"."""
        return self[self.product].result

    def __getitem__(self, product: str) -> Candidate:
        for found in self.candidates:
            if found.product == product:
                return found
        known = ", ".join(c.product for c in self.candidates)
        raise InvalidInput(f"product is {product!r}; there are {known}")


def recommend(clients: Sequence[Client] | ClientTable, server: Pool) -> Recommendation:
    """Compute every product for these clients, and name the one of least mean latency.

    - local: nobody offloads;
    - pooled: :func:`dds.pool.pooled`;
    - reserved-social: leases that minimise the sum of w T, :func:`dds.market.social.social`;
    - reserved-market: leases bought at the price that clears, :func:`dds.competitive`.

    Requests arrive at random in all of them.  A lease of f cores is then a small server of its
    own at load ``rate W / f``: its client sees ``A + W / (f - rate W)`` on average (M/G/1
    processor sharing), and a lease with f <= rate W falls behind for ever, so a product with
    such a lease does not apply.  Everybody's mean is weighted by the value of time, so that it
    is the mean over inferences when w is proportional to the rate.

    For a like-for-like comparison give clients as max_share what one request can use of the
    pool: its ``width`` (1 core by default).

    Raises InvalidInput for wrong arguments, Infeasible when no product can serve those who
    must offload.

    >>> from dds import Client, Frontier
    >>> cameras = [
    ...     Client(Frontier.from_points([(0.1, 0.2), (0.4, 0.0)]), 1.0, max_share=1.0, rate=1.0)
    ...     for _ in range(8)
    ... ]
    >>> found = recommend(cameras, Pool(4))
    >>> found.product, found.why  # doctest: +NORMALIZE_WHITESPACE
    ('pooled', 'sharing the pool gives 307.6 ms on average at load 0.40; leases would give
     375 ms, local-only would give 400 ms')
    """
    if not isinstance(server, Pool):
        raise InvalidInput(f"server is {server!r}; need one such as Pool(4)")
    table = table_of(clients)
    candidates = (
        _local(table),
        _pooled(table, server),
        _reserved("reserved-social", table, server.capacity, social),
        _reserved("reserved-market", table, server.capacity, competitive),
    )
    best = min(c.mean_latency for c in candidates)
    if math.isinf(best):
        raise Infeasible(
            "no product can serve the clients that must offload: "
            + "; ".join(f"{c.product}: {c.note}" for c in candidates)
        )
    chosen = next(c for c in candidates if c.mean_latency <= best * (1.0 + TIE))
    return Recommendation(chosen.product, chosen.mean_latency, _why(chosen, candidates), candidates)


def _local(table: ClientTable) -> Candidate:
    if table.must_offload.any():
        count = int(table.must_offload.sum())
        return Candidate("local", math.inf, math.inf, f"{count} clients must offload")
    mean = mean_latency(table, table.local_base)
    return Candidate("local", mean, mean, "nobody offloads")


def _pooled(table: ClientTable, server: Pool) -> Candidate:
    try:
        found = pooled(table, server)
    except Infeasible as error:
        return Candidate("pooled", math.inf, math.inf, str(error))
    mean = found.mean_latency
    return Candidate("pooled", mean, mean, f"load {found.load:.2f}", found)


def _reserved(
    product: str,
    table: ClientTable,
    capacity: float,
    solve: Callable[[ClientTable, float], SocialOptimum | Equilibrium],
) -> Candidate:
    try:
        found = solve(table, capacity)
    except Infeasible as error:
        return Candidate(product, math.inf, math.inf, str(error))
    return _leases(product, table, found)


def _leases(product: str, table: ClientTable, found: SocialOptimum | Equilibrium) -> Candidate:
    """A product of leases, each a server of its own client's requests."""
    shares, promised = found.shares, found.latencies
    sold = shares > 0.0
    work = np.zeros(len(table))
    work[sold] = table.work[found.pieces[sold], np.flatnonzero(sold)]
    free = shares - table.rate * work
    with np.errstate(divide="ignore", invalid="ignore"):
        # An unlimited share leaves nothing to wait for.
        waiting = np.where(sold & np.isfinite(shares), work / free - work / shares, 0.0)
    behind = int((sold & (free <= 0.0)).sum())
    least = mean_latency(table, promised)
    if behind:
        note = f"{behind} of {int(sold.sum())} leases are less than their client's load"
        return Candidate(product, math.inf, least, note, found)
    note = f"{int(sold.sum())} of {len(table)} clients holding one"
    return Candidate(product, mean_latency(table, promised + waiting), least, note, found)


def _why(chosen: Candidate, candidates: Sequence[Candidate]) -> str:
    """One sentence."""
    local, shared, *leases = candidates
    if chosen is local:
        if chosen.mean_latency < shared.mean_latency * (1.0 - TIE):
            return f"computing locally gives {_ms(local)}, the pool {_ms(shared)}"
        return f"offloading gains nobody anything: {_ms(local)} on average either way"
    leased = min(leases, key=lambda c: c.mean_latency)
    others = [
        f"{name} would give {_ms(c)}"
        for name, c in (("leases", leased), ("the pool", shared), ("local-only", local))
        if c is not chosen
        and c.product.split("-")[0] != chosen.product.split("-")[0]
        and math.isfinite(c.mean_latency)
    ]
    against = "; " + ", ".join(others) if others else ""
    if chosen is shared:
        broken = (
            "" if math.isfinite(leased.mean_latency) else f"; leases do not apply: {leased.note}"
        )
        return f"sharing the pool gives {_ms(chosen)} on average at {chosen.note}{against}{broken}"
    return (
        f"leases shield clients from each other: {_ms(chosen)} on average, {chosen.note}{against}"
    )


def _ms(candidate: Candidate) -> str:
    return f"{1e3 * candidate.mean_latency:.4g} ms"
