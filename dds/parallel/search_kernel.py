"""The loops of the search: what slices cost and read, when everything happens, local search.

Compiled by numba or run as plain Python.  All of it works on the flat arrays of
:class:`dds.parallel.search_tables.Tables` and :class:`~dds.parallel.search_tables.Plan`.

The timeline of a plan: runs in its order; each slice after the one before it on its worker, as
soon as what it reads has arrived.  Per tensor one transfer goes from each worker that has a part of
it to each that needs that part, as large as all its readers there need, into the first gap that is
long enough.  Inside a run of several units nothing is sent: every slice also computes what its
later units need of its earlier ones.
"""

from __future__ import annotations

from typing import Any

from dds.compiled import njit

__all__ = ["improve", "timeline"]

#: No part of a tensor; all of it; else the axis of an interval.
NONE, ALL = -2, -1
#: The kind of rows, the only one of runs of several units.
ROWS = 2


@njit
def _need(tables: Any, e: int, kind: int, low: int, high: int) -> tuple[int, int, int]:
    """(axis, first, stop) of what a slice of a kind reads by edge e."""
    if kind == 0 or tables.edge_axis[e, kind - 1] < 0:
        return ALL, 0, 0
    base, step = tables.edge_at[e, kind - 1], tables.align[kind]
    first = tables.edge_low[base + (low + step - 1) // step]
    stop = tables.edge_high[base + (high + step - 1) // step]
    return (tables.edge_axis[e, kind - 1] if first < stop else NONE), first, stop


@njit
def _lasts(tables: Any, v: int, kind: int, k: int, low: int, high: int) -> float:
    """Seconds of a slice of unit v on worker k, its overhead left out."""
    whole = tables.whole[v, k]
    if kind == 0 or whole == 0.0:
        return float(whole)
    base, step = tables.at[v, kind - 1], tables.align[kind]
    done = tables.until_there[base + (high + step - 1) // step, k]
    left = tables.before[base + (low + step - 1) // step, k]
    return float(max(done - left, 0.0) + tables.thin[v, kind - 1, k])


@njit
def _regions(tables: Any, scratch: Any, plan: Any) -> bool:
    """Fill what every worker computes of every unit, and needs of every tensor from outside.

    Of a tensor that is the least interval that holds all that its readers there need.  Returns
    whether the plan's runs can be sliced as they stand.
    """
    made, hull = scratch.made, scratch.hull
    kind, cut, joined = plan.kind, plan.cut, plan.joined
    workers, units = tables.rates.shape[0], kind.shape[0]
    for t in range(hull.shape[0]):
        for k in range(workers):
            hull[t, k, 0] = NONE
    for v in range(units):
        for k in range(workers):
            made[v, k, 0] = made[v, k, 1] = -1
    head = end = units
    for v in range(units - 1, -1, -1):
        if v < head:
            head = end = v
            while joined[head]:
                head -= 1
        if head < end:
            if kind[v] != ROWS:
                return False
            if v < end and tables.until[v] > end:
                if tables.extent[v, 1] != tables.extent[end, 1]:
                    return False
                for k in range(workers + 1):
                    cut[v, k] = cut[end, k]
        for k in range(workers):
            low, high = made[v, k, 0], made[v, k, 1]
            if v == end or tables.until[v] > end:
                first, stop = cut[v, k], cut[v, k + 1]
                if first < stop:
                    low = first if low < 0 else min(low, first)
                    high = max(high, stop)
                made[v, k, 0], made[v, k, 1] = low, high
            if low < 0:
                continue
            for e in range(tables.start[v], tables.start[v + 1]):
                axis, first, stop = _need(tables, e, kind[v], low, high)
                if axis == NONE:
                    continue
                t = tables.reads[e]
                u = tables.producer[t]
                if u >= head and u < v:
                    if axis != ROWS:
                        return False
                    if made[u, k, 0] < 0:
                        made[u, k, 0], made[u, k, 1] = first, stop
                    else:
                        made[u, k, 0] = min(made[u, k, 0], first)
                        made[u, k, 1] = max(made[u, k, 1], stop)
                elif hull[t, k, 0] == NONE:
                    hull[t, k, 0], hull[t, k, 1], hull[t, k, 2] = axis, first, stop
                elif hull[t, k, 0] != axis:
                    hull[t, k, 0] = ALL
                elif axis != ALL:
                    hull[t, k, 1] = min(hull[t, k, 1], first)
                    hull[t, k, 2] = max(hull[t, k, 2], stop)
    return True


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
def _fetch(tables: Any, scratch: Any, plan: Any, t: int, k: int, log: Any) -> float:
    """When worker k has what it needs of tensor t; sends it.  inf: it is not made yet."""
    finish, hull, busy, used = scratch.finish, scratch.hull, scratch.busy, scratch.used
    u = tables.producer[t]
    kind, cut = plan.kind[u], plan.cut[u]
    there = 0.0
    for j in range(tables.rates.shape[0]):
        first, stop = cut[j], cut[j + 1]
        if first == stop:
            continue
        axis, low, high = hull[t, k, 0], hull[t, k, 1], hull[t, k, 2]
        if kind != 0:
            if axis == kind:
                low, high = max(low, first), min(high, stop)
                if low >= high:
                    continue
            else:
                axis, low, high = kind, first, stop
        at = end = finish[u, j]
        if end < 0.0:
            return float("inf")
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
def timeline(tables: Any, scratch: Any, plan: Any, limit: float, log: Any) -> float:
    """When all is done and the outputs are on worker 0.

    inf if that is after `limit`, or where a run cannot be sliced or comes before what it reads.
    scratch.begin and finish are filled with start and end of each slice.  log: transfers as
    (tensor, from, to, axis, low, high, start, end) from row 1 on, their number in log[0, 0]; or an
    array without rows.
    """
    workers = tables.rates.shape[0]
    kind, joined, order = plan.kind, plan.joined, plan.order
    finish, free, arrival, made = scratch.finish, scratch.free, scratch.arrival, scratch.made
    if not _regions(tables, scratch, plan):
        return float("inf")
    for k in range(workers):
        free[k] = 0.0
        for t in range(arrival.shape[0]):
            arrival[t, k] = -1.0
        for v in range(finish.shape[0]):
            finish[v, k] = -1.0
    for way in range(scratch.used.shape[0]):
        scratch.used[way] = 0
    for i in range(order.shape[0]):
        head = order[i]
        if joined[head]:
            continue
        end = head
        while end + 1 < order.shape[0] and joined[end + 1]:
            end += 1
        for k in range(workers):
            if plan.cut[end, k] == plan.cut[end, k + 1]:
                continue
            ready, last = free[k], 0.0
            for v in range(head, end + 1):
                low, high = made[v, k, 0], made[v, k, 1]
                if low < 0:
                    continue
                last += _lasts(tables, v, kind[v], k, low, high)
                for e in range(tables.start[v], tables.start[v + 1]):
                    t = tables.reads[e]
                    if head <= tables.producer[t] < v:
                        continue
                    if _need(tables, e, kind[v], low, high)[0] != NONE:
                        if arrival[t, k] < 0.0:
                            arrival[t, k] = _fetch(tables, scratch, plan, t, k, log)
                        ready = max(ready, arrival[t, k])
            if kind[end] != 0 and last > 0.0:
                last += tables.overhead[k]
            scratch.begin[head, k] = ready
            free[k] = ready + last
            for v in range(head, end + 1):
                finish[v, k] = free[k]
            if not free[k] <= limit:
                return float("inf")
    return float(free.max())


@njit
def _move_in_order(tables: Any, order: Any, place: int, steps: int) -> None:
    """Move a unit up to `steps` earlier (< 0) or later, not past what it depends on."""
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
def _relayout(tables: Any, plan: Any, first: int, stop: int, lay: int) -> None:
    """Give units [first, stop) a layout where they have it; runs end where layouts change."""
    for v in range(first, stop):
        if tables.valid[v, lay]:
            plan.kind[v] = tables.kinds[lay]
            for k in range(plan.cut.shape[1]):
                plan.cut[v, k] = tables.cut[v, lay, k]
    for v in range(first, min(stop + 1, plan.kind.shape[0])):
        if plan.joined[v] and (plan.kind[v] != ROWS or plan.kind[v - 1] != ROWS):
            plan.joined[v] = 0


@njit
def _copy_layout(tables: Any, plan: Any, source: int, v: int) -> None:
    """Cut unit v in the proportions of another one, if it can be."""
    kind = plan.kind[source]
    workers = plan.cut.shape[1] - 1
    size, of = 1, 1
    if kind > 0:
        size, of = tables.extent[v, kind - 1], tables.extent[source, kind - 1]
        if size < 2:
            return
    step = tables.align[kind]
    plan.kind[v] = kind
    for k in range(workers + 1):
        place = plan.cut[source, k]
        if place != 0:
            place = (
                size
                if place == of
                else min(size, (place * size + of * step // 2) // (of * step) * step)
            )
        plan.cut[v, k] = place
    if kind != ROWS:
        plan.joined[v] = 0
        if v + 1 < plan.joined.shape[0]:
            plan.joined[v + 1] = 0


@njit
def _shift(tables: Any, plan: Any, first: int, stop: int, k: int, by: int) -> None:
    """Move the end of worker k's slices by some rows or packs of channels, further where taller."""
    kind, size = plan.kind[first], 0
    if kind == 0:
        return
    size = tables.extent[first, kind - 1]
    step = tables.align[kind]
    for v in range(first, stop):
        if plan.kind[v] != kind:
            break
        moved = by * tables.extent[v, kind - 1] // size
        if moved == 0:
            moved = 1 if by > 0 else -1
        cut = plan.cut[v]
        at = cut[k + 1] // step + moved
        cut[k + 1] = max(cut[k], min(cut[k + 2], at * step))


@njit
def improve(tables: Any, scratch: Any, plan: Any, tries: int, seed: int, heat: float) -> float:
    """Local search from a plan, which becomes the best one met; returns when it ends, s.

    Each try gives a unit or several in a row another layout, moves a border between two workers,
    joins or parts runs, or moves a unit in the order.  What is up to a fraction `heat` worse is
    still accepted at first, and nothing worse at the end.
    """
    count = plan.kind.shape[0]
    workers = tables.rates.shape[0]
    no_log = scratch.finish[:0]
    best_kind, best_cut = plan.kind.copy(), plan.cut.copy()
    best_joined, best_order = plan.joined.copy(), plan.order.copy()
    kept_kind, kept_cut = plan.kind.copy(), plan.cut.copy()
    kept_joined, kept_order = plan.joined.copy(), plan.order.copy()
    best = now = timeline(tables, scratch, plan, float("inf"), no_log)
    layouts = tables.kinds.shape[0]
    state = seed
    draws = [0, 0, 0, 0]
    for step in range(tries if count > 2 else 0):
        for d in range(4):
            state = state * 48271 % 2147483647
            draws[d] = state >> 4
        i = 1 + draws[0] % (count - 2)
        choice = draws[1] % 24
        stop = min(count - 1, i + (1 + draws[3] % 8 if draws[3] % 3 else count // 4))
        if choice < 4:
            spread = 1 + draws[3] % max(2, min(count // 2, 24))
            _move_in_order(tables, plan.order, i, spread if draws[2] % 2 == 0 else -spread)
        elif choice < 8:
            _relayout(tables, plan, i, i + 1, draws[2] % layouts)
        elif choice < 11:
            _relayout(tables, plan, i, stop, draws[2] % layouts)
        elif choice < 14:  # what follows or precedes a change of layout joins the other side
            p = i
            while p < count - 2 and _alike(plan, p - 1, p):
                p += 1
            if p > 1 and draws[2] % 2 == 0:
                for v in range(p, min(count - 1, p + 1 + draws[3] % 8)):
                    _copy_layout(tables, plan, p - 1, v)
            else:
                for v in range(p - 1, max(0, p - 2 - draws[3] % 8), -1):
                    _copy_layout(tables, plan, p, v)
        elif choice < 20:
            if workers > 1:
                by = 1 + draws[3] // 8 % 2
                _shift(
                    tables,
                    plan,
                    i,
                    stop,
                    draws[2] // 2 % (workers - 1),
                    by if draws[2] % 2 else -by,
                )
        else:
            for v in range(max(i, 2), stop if choice == 23 else i + 1):
                plan.joined[v] = 1 - plan.joined[v] if choice < 23 else draws[2] % 2
        allowed = now * (1.0 + heat * (1.0 - step / tries) ** 2)
        end = timeline(tables, scratch, plan, allowed, no_log)
        if end <= allowed:
            now = end
            kept_kind[:], kept_cut[:] = plan.kind, plan.cut
            kept_joined[:], kept_order[:] = plan.joined, plan.order
            if end < best:
                best = end
                best_kind[:], best_cut[:] = plan.kind, plan.cut
                best_joined[:], best_order[:] = plan.joined, plan.order
        else:
            plan.kind[:], plan.cut[:] = kept_kind, kept_cut
            plan.joined[:], plan.order[:] = kept_joined, kept_order
    plan.kind[:], plan.cut[:] = best_kind, best_cut
    plan.joined[:], plan.order[:] = best_joined, best_order
    return best


@njit
def _alike(plan: Any, u: int, v: int) -> bool:
    """Whether two units are cut in the same way."""
    alike = plan.kind[u] == plan.kind[v]
    for k in range(plan.cut.shape[1]):
        alike &= plan.cut[u, k] == plan.cut[v, k]
    return bool(alike)
