"""The loops of the search: what tiles cost and read, when everything happens, local search.

Compiled by numba or run as plain Python.  All of it works on the flat arrays of
:class:`dds.parallel.search_tables.Tables`: operators 1 .. n with a *source* 0 before them, which
makes the model's inputs on worker 0, and a *sink* n + 1 behind them, which reads its outputs there.

A *plan* is a layout per operator and an order of all operators.  Its timeline: operators in their
order; each tile after the one before it on its worker, as soon as what it reads has arrived.  Per
tensor one transfer goes from each worker that has a part of it to each that needs that part, as
large as all its readers there need, into the first gap that is long enough.
"""

from __future__ import annotations

from typing import Any

from dds.compiled import njit

__all__ = ["fill_tables", "improve", "timeline"]

#: No part of a tensor; all of it; else the axis of an interval.
NONE, ALL = -2, -1


@njit
def fill_tables(
    shares: Any, kinds: Any, align: Any, extent: Any, start: Any, reach: Any, clip: Any,
    seconds: Any, overhead: Any, thin: Any, cost: Any, own: Any, need_axis: Any, need: Any,
) -> None:  # fmt: skip
    """Seconds of each tile, what it makes and what it reads, for every operator and layout.

    Arrays as in Tables and Structure; the last four are filled, they come as "no tile" everywhere.
    """
    workers = shares.shape[1]
    for v in range(extent.shape[0]):
        for lay in range(shares.shape[0]):
            kind = kinds[lay]
            if kind == 0:
                for k in range(workers):
                    if shares[lay, k] > 0.0:
                        cost[v, lay, k] = seconds[v, k]
                        for e in range(start[v], start[v + 1]):
                            need_axis[e, lay, k] = ALL
                continue
            axis = kind - 1
            size = extent[v, axis]
            if size < 2:
                continue
            per = 1
            for e in range(start[v], start[v + 1]):
                per = max(per, reach[e, axis, 4])
            low, parts, before = 0, 0, 0.0
            for k in range(workers):
                before += shares[lay, k]
                high = min(size, align[kind] * int(size * before / align[kind] + 0.5))
                if before > 1.0 - 1e-9:
                    high = size
                if shares[lay, k] == 0.0 or high <= low:
                    continue
                parts += 1
                own[v, lay, k, 0] = low
                own[v, lay, k, 1] = high
                # What spans groups of channels is computed in whole groups.
                first, last = low, high
                if low // per != (high - 1) // per:
                    first, last = low // per * per, ((high - 1) // per + 1) * per
                cost[v, lay, k] = 0.0
                if seconds[v, k] > 0.0:
                    work = (last - first + thin[k] * align[kind]) / size
                    cost[v, lay, k] = seconds[v, k] * work + overhead[k]
                for e in range(start[v], start[v + 1]):
                    way = reach[e, axis]
                    if way[0] < 0:
                        need_axis[e, lay, k] = ALL
                        continue
                    a = max(first // way[4] * way[1] - way[3], 0)
                    b = min((last - 1) // way[4] * way[1] - way[3] + way[2], clip[e, axis])
                    if a < b:
                        need_axis[e, lay, k] = way[0]
                        need[e, lay, k, 0] = a
                        need[e, lay, k, 1] = b
                low = high
            if parts < 2:
                for k in range(workers):
                    cost[v, lay, k] = -1.0


@njit
def _hulls(tables: Any, layout: Any, hull: Any) -> None:
    """Per tensor and worker the least interval that holds all its readers there need."""
    workers = tables.rates.shape[0]
    for t in range(hull.shape[0]):
        for k in range(workers):
            hull[t, k, 0] = NONE
    for v in range(layout.shape[0]):
        lay = layout[v]
        for e in range(tables.start[v], tables.start[v + 1]):
            t = tables.reads[e]
            for k in range(workers):
                axis = tables.need_axis[e, lay, k]
                if tables.cost[v, lay, k] < 0.0 or axis == NONE:
                    continue
                low, high = tables.need[e, lay, k, 0], tables.need[e, lay, k, 1]
                if hull[t, k, 0] == NONE:
                    hull[t, k, 0] = axis
                    hull[t, k, 1] = low
                    hull[t, k, 2] = high
                elif hull[t, k, 0] != axis:
                    hull[t, k, 0] = ALL
                elif axis != ALL:
                    hull[t, k, 1] = min(hull[t, k, 1], low)
                    hull[t, k, 2] = max(hull[t, k, 2], high)


@njit
def _gap(busy: Any, used: Any, out: int, into: int, ready: float, last: float) -> float:
    """The first moment from `ready` on at which both ways are free for `last` seconds."""
    at = ready
    while True:
        asked = at
        for way in (out, into):
            p = used[way]
            while p > 0 and busy[way, p - 1, 1] > at:
                p -= 1
            while p < used[way] and busy[way, p, 0] < at + last:
                at = max(at, busy[way, p, 1])
                p += 1
        if at == asked or out == into:
            return at


@njit
def _keep(busy: Any, used: Any, way: int, at: float, end: float) -> None:
    """Note that a way is busy meanwhile."""
    p = used[way]
    used[way] += 1
    # By start and then by end: what takes no time stays in front of what starts then.
    while p > 0 and (busy[way, p - 1, 0] > at or busy[way, p - 1, 1] > end):
        busy[way, p, 0] = busy[way, p - 1, 0]
        busy[way, p, 1] = busy[way, p - 1, 1]
        p -= 1
    busy[way, p, 0] = at
    busy[way, p, 1] = end


@njit
def _fetch(tables: Any, scratch: Any, layout: Any, t: int, k: int, log: Any) -> float:
    """When worker k has what it needs of tensor t; sends it."""
    finish, hull, busy, used = scratch.finish, scratch.hull, scratch.busy, scratch.used
    u = tables.producer[t]
    lay = layout[u]
    kind = tables.kinds[lay]
    there = 0.0
    for j in range(tables.rates.shape[0]):
        if tables.cost[u, lay, j] < 0.0:
            continue
        axis, low, high = hull[t, k, 0], hull[t, k, 1], hull[t, k, 2]
        if kind != 0:
            if axis == kind:
                low = max(low, tables.own[u, lay, j, 0])
                high = min(high, tables.own[u, lay, j, 1])
                if low >= high:
                    continue
            else:
                axis, low, high = kind, tables.own[u, lay, j, 0], tables.own[u, lay, j, 1]
        at = end = finish[u, j]
        if j != k:
            amount = tables.size[t]
            if axis != ALL:
                amount *= (high - low) / tables.dims[t, axis]
            last = tables.message + amount / tables.rates[j, k]
            out, into = (0, 0) if tables.shared else (j, tables.rates.shape[0] + k)
            at = _gap(busy, used, out, into, end, last)
            end = at + last
            _keep(busy, used, out, at, end)
            if into != out:
                _keep(busy, used, into, at, end)
            if log.shape[0] > 0:
                log[0, 0] += 1
                row = log[int(log[0, 0])]
                row[0], row[1], row[2], row[3] = t, j, k, axis
                row[4], row[5], row[6], row[7] = low, high, at, end
        there = max(there, end)
    return there


@njit
def timeline(tables: Any, scratch: Any, layout: Any, order: Any, limit: float, log: Any) -> float:
    """When all is done and the outputs are on worker 0; inf if that is after `limit`.

    scratch.begin and finish are filled with start and end of each tile.  log: transfers as
    (tensor, from, to, axis, low, high, start, end) from row 1 on, their number in log[0, 0]; or an
    array without rows.
    """
    workers = tables.rates.shape[0]
    finish, free, arrival = scratch.finish, scratch.free, scratch.arrival
    for k in range(workers):
        free[k] = 0.0
        for t in range(arrival.shape[0]):
            arrival[t, k] = -1.0
    for way in range(scratch.used.shape[0]):
        scratch.used[way] = 0
    _hulls(tables, layout, scratch.hull)
    for i in range(order.shape[0]):
        v = order[i]
        lay = layout[v]
        for k in range(workers):
            finish[v, k] = -1.0
            if tables.cost[v, lay, k] < 0.0:
                continue
            ready = free[k]
            for e in range(tables.start[v], tables.start[v + 1]):
                if tables.need_axis[e, lay, k] != NONE:
                    t = tables.reads[e]
                    if arrival[t, k] < 0.0:
                        arrival[t, k] = _fetch(tables, scratch, layout, t, k, log)
                    ready = max(ready, arrival[t, k])
            scratch.begin[v, k] = ready
            free[k] = finish[v, k] = ready + tables.cost[v, lay, k]
            if free[k] > limit:
                return float("inf")
    return float(free.max())


@njit
def _move_in_order(tables: Any, order: Any, place: int, steps: int) -> None:
    """Move an operator up to `steps` earlier (< 0) or later, not past what it depends on."""
    while steps != 0:
        way = 1 if steps > 0 else -1
        other = place + way
        if not 0 < other < order.shape[0] - 1:
            return
        first, then = (order[place], order[other]) if way > 0 else (order[other], order[place])
        for e in range(tables.start[then], tables.start[then + 1]):
            if tables.producer[tables.reads[e]] == first:
                return
        order[place], order[other] = order[other], order[place]
        place = other
        steps -= way


@njit
def improve(
    tables: Any, scratch: Any, layout: Any, order: Any, tries: int, seed: int, heat: float
) -> float:
    """Local search from a plan, which becomes the best one met; returns when it ends, s.

    Each try gives one operator, or a run of them, another layout, or moves one in the order.  What
    is up to a fraction `heat` worse is still accepted at first, and nothing worse at the end.
    """
    count = layout.shape[0]
    no_log = scratch.finish[:0]
    best_layout, best_order = layout.copy(), order.copy()
    kept_layout, kept_order = layout.copy(), order.copy()
    best = now = timeline(tables, scratch, layout, order, float("inf"), no_log)
    layouts = tables.kinds.shape[0]
    state = seed
    draws = [0, 0, 0, 0]
    for step in range(tries if count > 2 else 0):
        for d in range(4):
            state = state * 48271 % 2147483647
            draws[d] = state >> 4
        i = 1 + draws[0] % (count - 2)
        choice = draws[1] % 16
        if choice < 4:
            spread = 1 + draws[3] % max(2, min(count // 2, 24))
            _move_in_order(tables, order, i, spread if draws[2] % 2 == 0 else -spread)
        else:
            lay, way = draws[2] % layouts, 1
            length = (
                1 if choice < 10 else 2 + draws[3] % max(1, count // (4 if choice == 10 else 16))
            )
            if choice > 11:  # what follows or precedes a change of layout joins the other side
                while i < count - 2 and layout[order[i]] == layout[order[i - 1]]:
                    i += 1
                lay, length = layout[order[i - 1]], 1 + draws[3] % 8
                if draws[2] % 2 == 0:
                    lay, way, i = layout[order[i]], -1, i - 1
            for p in range(i, max(0, min(i + way * length, count - 1)), way):
                if tables.valid[order[p], lay]:
                    layout[order[p]] = lay
        allowed = now * (1.0 + heat * (1.0 - step / tries) ** 2)
        end = timeline(tables, scratch, layout, order, allowed, no_log)
        if end <= allowed:
            now = end
            kept_layout[:] = layout
            kept_order[:] = order
            if end < best:
                best = end
                best_layout[:] = layout
                best_order[:] = order
        else:
            layout[:] = kept_layout
            order[:] = kept_order
    layout[:] = best_layout
    order[:] = best_order
    return best
