"""What clients demand as the price rises: their walk, as a list of events.

With ``s = sqrt(p)``, ``a_k = w A_k`` and ``g_k = sqrt(w W_k)`` a client at price p has
these *modes*, each with its cost:

    on piece k at its free optimum   f = g_k / s      a_k + 2 s g_k
    held at its largest share        f = high         min_k(a_k + g_k^2 / high) + high s^2
    held at its least share          f = low          min_k(a_k + g_k^2 / low) + low s^2
    local-only                       f = 0            w A

The cheapest mode changes at most K + 2 times as s rises from 0, for shares only fall:
first held high, then free on pieces of ever smaller g, then held low, then local.
Where two modes cost the same the smaller share wins.  Each change is an *event* (at s,
own before, own after), where *own* tells the demand: positive a free client's g, negative a
held client's share, 0 nothing.  The first event is at 0.  So aggregate demand is
``F = G / s + H``: G sums the positive numbers, H the others.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dds.market.numbers import Floats, Ints
from dds.online.engine import compiled, walk_kernels
from dds.online.walk_arrays import Modes, steps

__all__ = ["Bids", "Events", "most_events", "shares_at", "walk"]


@dataclass(frozen=True, slots=True, eq=False)
class Bids:
    """What the walks read, as in a :class:`dds.ClientTable`.

    base (s), work (core s): K x N; value (w), low and high (cores) and local (A of local-only,
    s): N each.
    """

    base: Floats
    work: Floats
    value: Floats
    low: Floats
    high: Floats
    local: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Events:
    """Changes of demand; row as floats, for runs keep everything in one array."""

    at: Floats
    before: Floats
    after: Floats
    row: Floats

    def where(self, chosen: NDArray[np.bool_]) -> Events:
        """Some of the events."""
        return Events(*(column[chosen] for column in (self.at, self.before, self.after, self.row)))


def most_events(depth: int) -> int:
    """The most events a client of ``depth`` pieces can have, and one to spare."""
    return depth + 4


def walk(bids: Bids, first: int, last: int) -> Events:
    """The events of rows ``first`` to ``last - 1``, by row and then by s."""
    if not compiled() and last - first > 1:
        return _walk_together(bids, first, last)
    events = np.empty((4, (last - first) * most_events(len(bids.base))))
    at, before, after, row = events
    kernel = walk_kernels().walk_rows
    arrays = (bids.base, bids.work, bids.value, bids.low, bids.high, bids.local)
    if compiled():
        count = kernel(*arrays, first, last, at, before, after, row)
    else:
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            count = kernel(*arrays, first, last, at, before, after, row)
    return Events(at[:count], before[:count], after[:count], row[:count])


def shares_at(bids: Bids, rows: Ints, s: float) -> Floats:
    """What the clients in ``rows`` demand at price s^2, cores."""
    shares = np.zeros(len(rows))
    if compiled() or len(rows) == 1:
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            walk_kernels().shares_at(
                bids.base, bids.work, bids.value, bids.low, bids.high, bids.local, rows, s, shares
            )
        return shares
    events = _walk_together(_taken(bids, rows), 0, len(rows))
    passed = events.at <= s
    own = np.zeros(len(rows))
    np.put(own, events.row[passed].astype(np.int64), events.after[passed])  # the last one stays
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(own > 0.0, own / s, 0.0 - own)


def _taken(bids: Bids, rows: Ints) -> Bids:
    return Bids(
        bids.base[:, rows],
        bids.work[:, rows],
        *(column[rows] for column in (bids.value, bids.low, bids.high, bids.local)),
    )


def _walk_together(bids: Bids, first: int, last: int) -> Events:
    """All clients take their next step at once, until all have arrived."""
    part = slice(first, last)
    base, value = bids.base[:, part], bids.value[part]
    least = np.minimum(base.min(axis=0, initial=math.inf), bids.local[part])
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        found = steps(
            Modes.of(
                value * (base - least),
                np.sqrt(value * bids.work[:, part]),
                bids.low[part],
                bids.high[part],
                value * (bids.local[part] - least),
            )
        )
    at, before, after, index = (np.concatenate(column) for column in zip(*found, strict=True))
    order = np.argsort(index, kind="stable")
    index, at, before, after = index[order], at[order], before[order], after[order]
    # Several steps at the same s are one event.
    new = np.ones(len(at), bool)
    new[1:] = (index[1:] != index[:-1]) | (at[1:] != at[:-1])
    last_of = np.append(new[1:], True)[: len(new)]
    return Events(at[new], before[new], after[last_of], index[new] + float(first))
