"""The markets that the benchmarks solve: seeded heterogeneous clients, one tariff of each kind.

Device speeds and values of time are lognormal; the pieces of a client trade its own seconds
for server work.  Capacity grows with N, so every tariff sees the same contention whatever N.
With 0.02 cores per client, the default, one client in 15 offloads; with 0.2 one in 4.
"""

from __future__ import annotations

import numpy as np

from dds.market.numbers import Floats
from dds.market.replies import BOUNDLESS, Quote, best_replies, respond_all
from dds.market.table import ClientTable
from dds.market.tariff import Barrier, Clearing, Linear, PiecewiseLinear, Power, Tariff

__all__ = ["CORES", "PIECES", "clients", "regrets", "tariffs"]

PIECES = 10
#: C / N.
CORES = 0.02
#: Rows of a table that a check answers at a time; its arrays then stay small.
CHUNK = 50_000


def clients(count: int, seed: int, *, pieces: int = PIECES, bounded: bool = False) -> ClientTable:
    """``count`` different clients; bounded gives every third one a largest share."""
    rng = np.random.default_rng(seed)
    alone = 0.5 * rng.lognormal(0.0, 0.8, count)  # s on the device alone
    sooner = np.sort(rng.random((pieces - 1, count)), axis=0)
    base = np.vstack((alone * (0.05 + 0.9 * sooner), alone))
    work = np.vstack((0.3 * alone * np.sort(rng.random(sooner.shape), axis=0)[::-1], 0.0 * alone))
    value = rng.lognormal(0.0, 1.0, count)
    most = np.where(np.arange(count) % 3 == 0, rng.uniform(0.02, 0.5, count), np.inf)
    return ClientTable.from_arrays(base, work, value, max_share=most if bounded else np.inf)


def tariffs(count: int, cores: float = CORES) -> dict[str, Tariff]:
    """By name, for ``cores`` per client.

    "sold out" asks next to nothing up to a hard capacity: what rations is not the price.
    """
    C = cores * count
    return {
        "linear": Linear(0.1, 10.0 / C),
        "barrier": Barrier(0.3, C),
        "power": Power(0.1, 5.0 / C**2, 2, C),
        "piecewise": PiecewiseLinear((0.0, 0.4 * C, 0.8 * C), (0.1, 1.0, 6.0)),
        "sold out": Linear(0.0, 0.01 / C, C),
        "clearing": Clearing(C),
    }


def regrets(table: ClientTable, tariff: Tariff, shares: Floats, price: float = np.nan) -> Floats:
    """What each client could save by moving alone, as a part of its cost; inf past capacity.

    The best responses are those of ``best_replies``, tested against enumeration, whoever
    found the shares.  With :class:`Clearing` everybody takes ``price`` as given.
    """
    total = float(shares.sum())
    room = tariff.room()
    if room is not None and total > float(room) * (1.0 + 1e-12):
        return np.full(len(table), np.inf)
    taking = isinstance(tariff, Clearing)
    unit = price if taking else float(tariff.prices_at(np.array([total]))[0])
    found = np.empty(len(table))
    for begin in range(0, len(table), CHUNK):
        rows = slice(begin, begin + CHUNK)
        some, own = table.slice(rows), shares[rows]
        now = some.value * some.latencies(own)[0] + own * unit
        if taking:
            best = respond_all(some, Quote(BOUNDLESS, unit, 0.0)).costs
        else:
            best = best_replies(some, tariff, np.maximum(total - own, 0.0)).costs
        # The present share is an option too, so nothing is below zero but by rounding.
        found[rows] = np.maximum(now - best, 0.0) / now
    return found
