"""Dynamic programming over positions and layouts, with Pareto sets of ready times.

Between two positions of :func:`dds.parallel.tiles.blocks` every operator follows one layout.  A
*label* at a position is a layout and the moment from which each worker is ready.  A block adds to
it what its tiles take on each worker, and what is sent: the tensors it reads from outside, taken to
lie in the label's layout, and the halos inside.  Of two labels of one layout, one that is nowhere
later makes the other needless.

Link times are approximate (transfers of a step go one by one, or side by side over wires), so this
is a place to start from, not the answer.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dds.compiled import njit
from dds.model.graph import ModelGraph
from dds.parallel.search_structure import structure_of
from dds.parallel.search_tables import Plan, Tables, plan_of
from dds.parallel.tiles import blocks

__all__ = ["label_plan"]

#: Labels kept per layout and position.
_KEPT = 3


def label_plan(tables: Tables, graph: ModelGraph, *, fused: bool) -> Plan:
    """The plan of the best label at the end; fused: units are runs."""
    stops = {block.stop for block in blocks(graph)}
    units = structure_of(graph, fused=fused).units
    ends = np.array([0, *(v for v, unit in enumerate(units, 1) if unit.stop in stops)], np.int64)
    chosen = np.zeros(len(ends) - 1, np.int64)
    fallback = tables.cost[:, : tables.workers].max(axis=2)[1:-1].sum(axis=0).argmin()
    layout = np.zeros(tables.units, np.int64)
    _labels(tables, ends, int(fallback), _KEPT, layout, chosen)
    return plan_of(tables, layout, np.arange(tables.units))


@njit
def _part(tables: Any, t: int, before: int, e: int, lay: int, j: int, k: int) -> float:
    """Bytes of tensor t that worker k needs for edge e and worker j has, in these layouts."""
    u = tables.producer[t]
    axis = tables.need_axis[e, lay, k]
    kind = tables.kinds[before]
    if axis == -2 or tables.cost[u, before, j] < 0.0:
        return -1.0
    if kind == 0 and axis == -1:
        return float(tables.size[t])
    low, high = tables.need[e, lay, k, 0], tables.need[e, lay, k, 1]
    if kind != 0:
        first, last = tables.cut[u, before, j], tables.cut[u, before, j + 1]
        low, high = (max(low, first), min(high, last)) if axis == kind else (first, last)
        axis = kind
    if low >= high:
        return -1.0
    return float(tables.size[t] * (high - low) / tables.dims[t, axis])


@njit
def _send(
    tables: Any, t: int, before: int, e: int, lay: int, out: Any, into: Any, waits: Any
) -> None:
    """Add the seconds that each way is busy, and who waits for whom."""
    workers = tables.rates.shape[0]
    for k in range(workers):
        for j in range(workers):
            if j != k:
                amount = _part(tables, t, before, e, lay, j, k)
                if amount >= 0.0:
                    last = tables.message + amount / tables.rates[j, k]
                    out[j] += last
                    into[k] += last
                    waits[k, j] = True


@njit
def _actual(tables: Any, v: int, lay: int, fallback: int) -> int:
    """The layout of an operator in a block of that layout."""
    if tables.valid[v, lay]:
        return lay
    return fallback if tables.valid[v, fallback] else 0


@njit
def _labels(tables: Any, ends: Any, fallback: int, kept: int, layout: Any, chosen: Any) -> None:
    """Fill the layout of each operator."""
    layouts, workers = tables.kinds.shape[0], tables.rates.shape[0]
    steps = ends.shape[0]  # blocks, and the sink
    width = layouts * kept
    ready = np.full((width, workers), np.inf)
    ready[0] = 0.0  # the source: whole on worker 0
    parent = np.full((steps, width), -1, np.int64)
    out, into = np.zeros(workers), np.zeros(workers)
    waits = np.zeros((workers, workers), np.bool_)
    for b in range(steps):
        first = ends[b] + 1
        stop = ends[b + 1] + 1 if b + 1 < steps else tables.valid.shape[0]
        after = np.full((width, workers), np.inf)
        for lay in range(layouts if b + 1 < steps else 1):
            useful = lay < workers
            for v in range(first, stop):
                useful |= tables.valid[v, lay]
            if not useful:
                continue
            # Work and halos inside the block, whatever was before.
            lasts = np.zeros(workers)
            out[:] = 0.0
            into[:] = 0.0
            for v in range(first, stop):
                own = _actual(tables, v, lay, fallback)
                for k in range(workers):
                    lasts[k] += max(tables.cost[v, own, k], 0.0)
                for e in range(tables.start[v], tables.start[v + 1]):
                    u = tables.producer[tables.reads[e]]
                    if u >= first:
                        before = _actual(tables, u, lay, fallback)
                        _send(tables, tables.reads[e], before, e, own, out, into, waits)
            inside = out.sum() if tables.shared else max(out.max(), into.max())
            for previous in range(layouts):
                if ready[previous * kept, 0] == np.inf:
                    continue
                out[:] = 0.0
                into[:] = 0.0
                waits[:] = False
                for v in range(first, stop):
                    own = _actual(tables, v, lay, fallback)
                    for e in range(tables.start[v], tables.start[v + 1]):
                        u = tables.producer[tables.reads[e]]
                        if u < first:
                            before = _actual(tables, u, previous, fallback) if u > 0 else 0
                            _send(tables, tables.reads[e], before, e, own, out, into, waits)
                total = out.sum()
                for label in range(previous * kept, previous * kept + kept):
                    if ready[label, 0] == np.inf:
                        break
                    now = ready[label].copy()
                    for k in range(workers):
                        for j in range(workers):
                            if waits[k, j]:
                                busy = total if tables.shared else max(into[k], out[j])
                                now[k] = max(now[k], ready[label, j] + busy)
                        if lasts[k] > 0.0:
                            now[k] += lasts[k] + inside
                    _admit(after, parent[b], lay * kept, kept, now, label)
        ready = after
    label = 0
    for k in range(kept):
        if ready[k, 0] < ready[label, 0]:
            label = k
    for b in range(steps - 1, 0, -1):
        label = parent[b, label]
        chosen[b - 1] = label // kept
        for v in range(ends[b - 1] + 1, ends[b] + 1):
            layout[v] = _actual(tables, v, chosen[b - 1], fallback)


@njit
def _admit(labels: Any, parent: Any, first: int, kept: int, now: Any, came: int) -> None:
    """Keep a label unless one of the same layout is nowhere later; drop what it makes needless.

    Where there are too many, the one whose latest worker is latest goes.
    """
    count = 0
    for i in range(first, first + kept):
        if labels[i, 0] == np.inf:
            break
        if (labels[i] <= now).all():
            return
        if not (now <= labels[i]).all():
            labels[first + count] = labels[i]
            parent[first + count] = parent[i]
            count += 1
    place = first + count
    if count == kept:
        for i in range(first, first + kept):
            if place == first + count or labels[i].max() > labels[place].max():
                place = i
        if labels[place].max() <= now.max():
            place = -1
    else:
        for i in range(place, first + kept):
            labels[i] = np.inf
    if place >= 0:
        labels[place] = now
        parent[place] = came
