"""Sorted runs of events: immutable, with the sums of all that came before.

A run is one array of blocks (``run_kernels`` says how a block is laid out), sorted by s
and then by row, so that any two runs merge in one pass.  A client that leaves adds its
events *undone*, before for after; where an event and the same one undone meet, both
vanish.  Sums carry twice the digits of a double and a count, so that nothing drifts, and
where nobody is left the sum is 0.
"""

from __future__ import annotations

import math

import numpy as np

from dds.market.numbers import Floats, Ints
from dds.online.engine import compiled, run_kernels
from dds.online.walk import Events

__all__ = ["EMPTY", "Run", "cancelled", "events_of", "merge", "pack", "renumbered"]

Run = Floats

BLOCK, SUMS, WIDTH = 8, 32, 38

#: The run without events.
EMPTY: Run = np.empty((0, WIDTH))


def pack(events: Events, *, undone: bool = False) -> Run:
    """The run of events given client by client; undone: before for after in each."""
    order = events.at.argsort(kind="stable")
    if compiled():
        run: Run = run_kernels().pack(
            events.at, events.before, events.after, events.row, order, undone
        )
        return run
    first, then = events.before[order], events.after[order]
    if undone:
        first, then = then, first
    return _packed(Events(events.at[order], first, then, events.row[order]))


def merge(one: Run, other: Run) -> Run:
    """The run of the events of both; an event and the same undone cancel."""
    if not len(one) or not len(other):
        return other if len(other) else one
    if compiled():
        run: Run = run_kernels().merge(one, other)
        return run
    first, second = events_of(one), events_of(other)
    both = Events(
        *(
            np.concatenate((getattr(first, name), getattr(second, name)))
            for name in ("at", "before", "after", "row")
        )
    )
    return _packed(cancelled(both))


def events_of(run: Run) -> Events:
    """The events of a run, in its order."""
    at, before, after, row = (run[:, i : i + BLOCK].ravel() for i in range(0, SUMS, BLOCK))
    real = at < math.inf
    return Events(at[real], before[real], after[real], row[real])


def cancelled(events: Events) -> Events:
    """The events by s and then by row, without those that undo each other."""
    order = np.lexsort((events.row, events.at))
    at, row = events.at[order], events.row[order]
    before, after = events.before[order], events.after[order]
    pair = (
        (at[1:] == at[:-1])
        & (row[1:] == row[:-1])
        & (before[1:] == after[:-1])
        & (after[1:] == before[:-1])
    )
    stays = ~(np.append(pair, False) | np.append(False, pair)) if len(at) else at < math.inf
    return Events(at[stays], before[stays], after[stays], row[stays])


def renumbered(run: Run, places: Ints) -> Run:
    """The run with row i called ``places[i]``, which rise with i."""
    rows = run[:, SUMS - BLOCK : SUMS]
    moved = run.copy()
    moved[:, SUMS - BLOCK : SUMS] = np.where(rows < 0.0, rows, places[rows.astype(np.int64)])
    return moved


def _packed(events: Events) -> Run:
    """The run of sorted events, by arrays."""
    count = len(events.at)
    blocks = -(-count // BLOCK)
    run = np.empty((blocks, WIDTH))
    columns = (events.at, math.inf), (events.before, 0.0), (events.after, 0.0), (events.row, -1.0)
    for i, (column, filler) in enumerate(columns):
        full = np.full(blocks * BLOCK, filler)
        full[:count] = column
        run[:, i * BLOCK : (i + 1) * BLOCK] = full.reshape(blocks, BLOCK)
    before, after = events.before, events.after
    for place, sign in ((SUMS, 1.0), (SUMS + 3, -1.0)):
        old, new = np.maximum(sign * before, 0.0), np.maximum(sign * after, 0.0)
        high, low = _exact_sums(new, -old)
        run[:, place], run[:, place + 1] = high[:-1:BLOCK], low[:-1:BLOCK]
        counts = np.cumsum((new > 0.0).astype(np.int64) - (old > 0.0))
        run[:, place + 2] = np.append(0, counts)[:-1:BLOCK]
    return run


def _exact_sums(plus: Floats, minus: Floats) -> tuple[Floats, Floats]:
    """Sums over the first 0, 1, ..., n of the pairs, in two parts: together nearly exact.

    The numbers are cut into slices on a common grid, so coarse that their sums are exact.
    """
    high, low = np.zeros(len(plus) + 1), np.zeros(len(plus) + 1)
    bits = (2 * len(plus)).bit_length()
    scale = float(max(plus.max(initial=0.0), -minus.min(initial=0.0)))
    while scale > 0.0 and bits < 50:
        unit = math.ldexp(1.0, max(math.frexp(scale)[1] + bits - 52, -1070))
        slices = []
        for rest in (plus, minus):
            part = np.rint(rest / unit) * unit
            slices.append((part, rest - part))
        part = np.append(0.0, np.cumsum(slices[0][0] + slices[1][0]))
        plus, minus = slices[0][1], slices[1][1]
        new = high + part
        back = new - high
        low += (high - (new - back)) + (part - back)
        high = new
        scale = 0.0 if unit < 2.0**-1060 or unit < 1e-40 * float(high.max()) else unit / 2.0
    new = high + low
    return new, low - (new - high)
