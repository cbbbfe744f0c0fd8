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
from dds.parallel.search_tables import ALL, NONE, Plan, Tables, plan_of
from dds.parallel.tiles import blocks

__all__ = ["label_plan"]

#: Labels kept per layout and position.
_KEPT = 3
#: Labels kept per position.
_MOST = 30


def label_plan(tables: Tables, graph: ModelGraph, *, fused: bool) -> Plan:
    """The plan of the best label at the end; fused: units are runs."""
    stops = {block.stop for block in blocks(graph)}
    units = structure_of(graph, fused=fused).units
    ends = np.array([0, *(v for v, unit in enumerate(units, 1) if unit.stop in stops)], np.int64)
    chosen = np.zeros(len(ends) - 1, np.int64)
    fallback = tables.cost[:, : tables.workers].max(axis=2)[1:-1].sum(axis=0).argmin()
    layout = np.zeros(tables.units, np.int64)
    _labels(tables, ends, int(fallback), layout, chosen)
    return plan_of(tables, layout, np.arange(tables.units))


@njit
def _send(
    e: int, lay: int, u: int, before: int, kind: int, size: float, dims: Any, t: int,
    need_axis: Any, need: Any, cut: Any, rates: Any, message: float, out: Any, into: Any,
    waits: Any,
) -> None:  # fmt: skip
    """Add the seconds that each way is busy with what edge e needs of unit u, and who waits.

    lay, before: layouts of edge and unit, the latter of a kind; size: of the tensor t.  Takes
    arrays one by one: of tuples of arrays, numba would count references at every call.
    """
    workers = rates.shape[0]
    for k in range(workers):
        axis = need_axis[e, lay, k]
        if axis == NONE:
            continue
        for j in range(workers):
            first, last = cut[u, before, j], cut[u, before, j + 1]
            if j == k or first == last:
                continue
            amount = size
            if kind != 0 or axis != ALL:
                low, high, along = need[e, lay, k, 0], need[e, lay, k, 1], axis
                if kind != 0:
                    if axis == kind:
                        first, last = max(low, first), min(high, last)
                    low, high, along = first, last, kind
                    if low >= high:
                        continue
                amount *= (high - low) / dims[t, along]
            seconds = message + amount / rates[j, k]
            out[j] += seconds
            into[k] += seconds
            waits[k, j] = True


@njit
def _actual(valid: Any, v: int, lay: int, fallback: int) -> int:
    """The layout of a unit in a block of that layout."""
    if valid[v, lay]:
        return lay
    return fallback if valid[v, fallback] else 0


@njit
def _labels(tables: Any, ends: Any, fallback: int, layout: Any, chosen: Any) -> None:
    """Fill the layout of each unit."""
    layouts, workers = tables.kinds.shape[0], tables.rates.shape[0]
    kinds, valid, cost, start = tables.kinds, tables.valid, tables.cost, tables.start
    reads, producer, size, dims = tables.reads, tables.producer, tables.size, tables.dims
    need_axis, need, cut = tables.need_axis, tables.need, tables.cut
    rates, message, shared = tables.rates, tables.message, tables.shared
    steps = ends.shape[0]  # blocks, and the sink
    width = layouts * _KEPT
    ready, after = np.full((width, workers), np.inf), np.full((width, workers), np.inf)
    ready[0] = 0.0  # the source: whole on worker 0
    parent = np.full((steps, width), -1, np.int64)
    out, into, lasts, now = np.zeros((4, workers))
    waits = np.zeros((workers, workers), np.bool_)
    latest = np.zeros(width)
    fresh = np.zeros(reads.shape[0], np.bool_)  # of edges: the first in its block of its tensor
    seen = np.full(size.shape[0], -1, np.int64)
    outside = np.zeros((reads.shape[0], 2), np.int64)  # fresh edges from outside, their layouts
    for b in range(steps):
        first = ends[b] + 1
        stop = ends[b + 1] + 1 if b + 1 < steps else valid.shape[0]
        for e in range(start[first], start[stop]):
            fresh[e] = seen[reads[e]] != b
            seen[reads[e]] = b
        after[:] = np.inf
        for lay in range(layouts if b + 1 < steps else 1):
            useful = lay < workers
            for v in range(first, stop):
                useful |= valid[v, lay]
            if not useful:
                continue
            # Work and halos inside the block, whatever was before.
            lasts[:] = 0.0
            out[:] = 0.0
            into[:] = 0.0
            edges = 0
            serial, mixed = 0.0, False  # where layouts change inside, all wait for one another
            for v in range(first, stop):
                own = _actual(valid, v, lay, fallback)
                mixed |= own != lay
                serial += cost[v, own].max()
                for k in range(workers):
                    lasts[k] += max(cost[v, own, k], 0.0)
                for e in range(start[v], start[v + 1]):
                    t = reads[e]
                    if fresh[e] and producer[t] < first:
                        outside[edges, 0], outside[edges, 1] = e, own
                        edges += 1
                    elif fresh[e]:
                        before = _actual(valid, producer[t], lay, fallback)
                        _send(
                            e, own, producer[t], before, kinds[before], size[t], dims, t,
                            need_axis, need, cut, rates, message, out, into, waits,
                        )  # fmt: skip
            inside = out.sum() if shared else max(out.max(), into.max())
            for previous in range(layouts):
                if ready[previous * _KEPT, 0] == np.inf:
                    continue
                out[:] = 0.0
                into[:] = 0.0
                waits[:] = False
                for i in range(edges):
                    e, own = outside[i, 0], outside[i, 1]
                    t = reads[e]
                    u = producer[t]
                    before = _actual(valid, u, previous, fallback) if u > 0 else 0
                    _send(
                        e, own, u, before, kinds[before], size[t], dims, t, need_axis, need, cut,
                        rates, message, out, into, waits,
                    )  # fmt: skip
                total = out.sum()
                for label in range(previous * _KEPT, previous * _KEPT + _KEPT):
                    if ready[label, 0] == np.inf:
                        break
                    for k in range(workers):
                        now[k] = ready[label, k]
                        for j in range(workers):
                            if waits[k, j]:
                                busy = total if shared else max(into[k], out[j])
                                now[k] = max(now[k], ready[label, j] + busy)
                        if lasts[k] > 0.0 and not mixed:
                            now[k] += lasts[k] + inside
                    if mixed:
                        end = 0.0
                        for k in range(workers):
                            if lasts[k] > 0.0:
                                end = max(end, now[k])
                        for k in range(workers):
                            if lasts[k] > 0.0:
                                now[k] = end + serial + inside
                    _admit(after, parent, b, lay * _KEPT, now, label)
        _thin_out(after, parent, b, latest)
        ready, after = after, ready
    label = 0
    for k in range(_KEPT):
        if ready[k, 0] < ready[label, 0]:
            label = k
    for b in range(steps - 1, 0, -1):
        label = parent[b, label]
        chosen[b - 1] = label // _KEPT
        for v in range(ends[b - 1] + 1, ends[b] + 1):
            layout[v] = _actual(valid, v, chosen[b - 1], fallback)


@njit
def _admit(labels: Any, parent: Any, b: int, first: int, now: Any, came: int) -> None:
    """Keep a label unless one of the same layout is nowhere later; drop what it makes needless.

    Where there are too many, the one whose latest worker is latest goes.
    """
    workers = now.shape[0]
    place, worst, latest = first, -1, 0.0
    for k in range(workers):
        latest = max(latest, now[k])
    for i in range(first, first + _KEPT):
        if labels[i, 0] == np.inf:
            break
        earlier, later, end = True, True, 0.0
        for k in range(workers):
            earlier &= labels[i, k] <= now[k]
            later &= now[k] <= labels[i, k]
            end = max(end, labels[i, k])
        if earlier:
            return
        if not later:
            _move(labels, parent, b, i, place)
            place += 1
            if end > latest:
                worst, latest = i, end
    if place == first + _KEPT:
        place = worst
    else:
        labels[place : first + _KEPT] = np.inf
    if place >= 0:
        for k in range(workers):
            labels[place, k] = now[k]
        parent[b, place] = came


@njit
def _thin_out(labels: Any, parent: Any, b: int, latest: Any) -> None:
    """Keep the _MOST labels of a position whose latest workers are earliest, by layout.

    latest: room for a number per label.
    """
    width, workers = labels.shape
    for label in range(width):
        latest[label] = labels[label, 0]
        for k in range(1, workers):
            latest[label] = max(latest[label], labels[label, k])
    for first in range(0, width, _KEPT):
        place = first
        for label in range(first, first + _KEPT):
            earlier = 0
            for other in range(width):
                earlier += latest[other] < latest[label]
            if earlier < _MOST and latest[label] < np.inf:
                _move(labels, parent, b, label, place)
                place += 1
        labels[place : first + _KEPT] = np.inf


@njit
def _move(labels: Any, parent: Any, b: int, label: int, place: int) -> None:
    """Put a label of position b in another place; by a loop: rows numba compiles slowly."""
    for k in range(labels.shape[1]):
        labels[place, k] = labels[label, k]
    parent[b, place] = parent[b, label]
