"""A market nobody loses by: everyone owns an equal part of the server, and trades it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dds.market.arguments import read_capacity, table_of
from dds.market.client import Client
from dds.market.equilibrium import competitive
from dds.market.numbers import Floats, Ints
from dds.market.table import ClientTable

__all__ = ["Endowed", "endowed"]


@dataclass(frozen=True, eq=False)
class Endowed:
    """The clearing market among clients who own ``endowment`` cores each.

    shares: f, cores; pieces: indices into each frontier; latencies: T, s; payments:
    ``p (f - C/N)``, credits/s, negative for who sells; equal: T with C/N cores of one's own, s,
    inf for a client they cannot serve; gains: ``w (equal - T) - payment``, credits/s; N each.
    price: p, credits/s per core; endowment: C/N, cores; unsold: cores that nobody holds.
    """

    shares: Floats
    pieces: Ints
    latencies: Floats
    payments: Floats
    equal: Floats
    gains: Floats
    price: float
    endowment: float
    unsold: float

    @property
    def subsidy(self) -> float:
        """``p x unsold``, credits/s: what the operator pays for cores that found no buyer."""
        return self.price * self.unsold


def endowed(clients: Sequence[Client] | ClientTable, capacity: float) -> Endowed:
    """Everyone owns e = C/N cores and trades at the price p that clears the market.

    Nobody is worse off than with a reserved share of e cores.  Proof: at price p client i
    buys f_i that minimises ``w T_i(f) + p f``.  With a reserved share it runs with some
    f' <= e that it may buy (e itself, max_share, or nothing and locally), so

        w T_i(f_i) + p (f_i - e)  <=  w T_i(f') + p (f' - e)  <=  w T_i(f')

    The left side is what it bears here, the right side what it bears there.

    The payments add up to ``-p x unsold``.  Where demand jumps past supply some cores find no
    buyer at p (see :func:`dds.competitive`); the operator pays for them (``subsidy``), at most
    one client's jump.  Where the market clears, payments add up to 0 and nobody subsidises.

    Raises as :func:`dds.competitive` does.

    >>> from dds import Client, Frontier
    >>> pieces = Frontier.from_points([(0, 1)])
    >>> found = endowed([Client(pieces, 1.0, name="a"), Client(pieces, 9.0, name="b")], 2.0)
    >>> found.shares.round(3).tolist(), found.payments.round(3).tolist()
    ([0.5, 1.5], [-2.0, 2.0])
    >>> found.gains.round(3).tolist()
    [1.0, 1.0]
    """
    cores = read_capacity(capacity)
    table = table_of(clients)
    market = competitive(table, cores)
    own = cores / len(table)
    payments = market.price * (market.shares - own)
    equal = _reserved(table, own)
    with np.errstate(invalid="ignore"):
        gains = table.value * (equal - market.latencies) - payments
    for values in (payments, equal, gains):
        values.setflags(write=False)
    return Endowed(
        market.shares,
        market.pieces,
        market.latencies,
        payments,
        equal,
        gains,
        market.price,
        own,
        max(cores - market.total, 0.0),
    )


def _reserved(table: ClientTable, share: float) -> Floats:
    """T in s of every client with ``share`` cores of its own, of which it may leave some idle."""
    offloaded = np.minimum(table.high, share)
    latency = table.latencies(offloaded)[0]
    fits = np.where(table.low <= share, latency, math.inf)
    best: Floats = np.minimum(fits, table.local_base)
    return best
