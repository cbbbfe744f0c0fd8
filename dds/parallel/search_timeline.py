"""When everything happens in a plan: what slices cost and read, and the transfers between them.

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
from dds.parallel.search_tables import ALL, NONE

__all__ = ["ROWS", "timeline"]

#: The kind of rows, the only one of runs of several units.
ROWS = 2
#: What rounding may make of a sum of seconds.
_ROUNDING = 1e-9


@njit
def _read(tables: Any, scratch: Any, v: int, k: int, kind: int, head: int) -> bool:
    """Note what worker k reads and spends to compute what it does of unit v, in a run from head on.

    Returns whether units of the run read from one another what slices of rows can give.
    """
    made, hull, wanted = scratch.made, scratch.hull, scratch.wanted
    low, high = made[v, k, 0], made[v, k, 1]
    whole = tables.whole[v, k]
    below = above = 0
    if kind > 0:
        step = tables.align[kind]
        below, above = (low + step - 1) // step, (high + step - 1) // step
        if whole > 0.0:
            base = tables.at[v, kind - 1]
            whole = tables.until_there[base + above, k] - tables.before[base + below, k]
            whole = max(whole, 0.0) + tables.thin[v, kind - 1, k]
    scratch.lasts[v, k] = whole
    scratch.left[k] += whole
    for e in range(tables.start[v], tables.start[v + 1]):
        axis, first, stop = ALL, 0, 0
        if kind > 0 and tables.edge_axis[e, kind - 1] >= 0:
            base = tables.edge_at[e, kind - 1]
            first, stop = tables.edge_low[base + below], tables.edge_high[base + above]
            axis = tables.edge_axis[e, kind - 1] if first < stop else NONE
        t = tables.reads[e]
        u = tables.producer[t]
        inside = u >= head and u < v
        wanted[e, k] = axis != NONE and not inside
        if axis == NONE:
            continue
        if inside:
            if axis != ROWS:
                return False
            if made[u, k, 0] >= 0:
                first, stop = min(made[u, k, 0], first), max(made[u, k, 1], stop)
            made[u, k, 0], made[u, k, 1] = first, stop
        elif hull[t, k, 0] == NONE:
            hull[t, k, 0], hull[t, k, 1], hull[t, k, 2] = axis, first, stop
        elif hull[t, k, 0] != axis:
            hull[t, k, 0] = ALL
        elif axis != ALL:
            hull[t, k, 1] = min(hull[t, k, 1], first)
            hull[t, k, 2] = max(hull[t, k, 2], stop)
    return True


@njit
def _regions(tables: Any, scratch: Any, plan: Any) -> bool:
    """Fill what every worker computes of every unit, and needs of every tensor from outside.

    Of a tensor that is the least interval that holds all that its readers there need.  Returns
    whether the plan's runs can be sliced as they stand.
    """
    made, hull, extent, until = scratch.made, scratch.hull, tables.extent, tables.until
    kind, cut, joined = plan.kind, plan.cut, plan.joined
    workers, units = tables.rates.shape[0], kind.shape[0]
    hull[:, :, 0] = NONE
    made[:] = -1
    scratch.lasts[:] = 0.0
    scratch.left[:] = 0.0
    scratch.wanted[:] = False
    head = end = units
    for v in range(units - 1, -1, -1):
        if v < head:
            head = end = v
            while joined[head]:
                head -= 1
        handed = v == end or until[v] > end
        if head < end:
            if kind[v] != ROWS:
                return False
            if handed and v < end:
                if extent[v, 1] != extent[end, 1]:
                    return False
                for k in range(workers + 1):
                    cut[v, k] = cut[end, k]
        for k in range(workers):
            first, stop = cut[v, k], cut[v, k + 1]
            if handed and first < stop:
                if made[v, k, 0] >= 0:
                    first, stop = min(made[v, k, 0], first), max(made[v, k, 1], stop)
                made[v, k, 0], made[v, k, 1] = first, stop
            if made[v, k, 0] >= 0 and not _read(tables, scratch, v, k, kind[v], head):
                return False
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
def _fetch(
    t: int, k: int, u: int, kind: int, size: float, dims: Any, rates: Any, message: float,
    shared: bool, cut: Any, finish: Any, hull: Any, busy: Any, used: Any, log: Any,
) -> float:  # fmt: skip
    """When worker k has what it needs of tensor t, of unit u; sends it.  inf: it is not made yet.

    Takes arrays one by one: of tuples of arrays, numba would count references at every call.
    """
    workers = rates.shape[0]
    there = 0.0
    for j in range(workers):
        first, stop = cut[u, j], cut[u, j + 1]
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
            amount = size
            if axis != ALL:
                amount *= (high - low) / dims[t, axis]
            last = message + amount / rates[j, k]
            out, into = (0, 0) if shared else (j, workers + k)
            at = _gap(busy, used, out, into, end, last)
            end = at + last
            _keep(busy, used, out, at, end)
            if into != out:
                _keep(busy, used, into, at, end)
            if log.shape[0] > 0:
                log[0, 0] += 1
                row = int(log[0, 0])
                log[row, 0], log[row, 1], log[row, 2], log[row, 3] = t, j, k, axis
                log[row, 4], log[row, 5], log[row, 6], log[row, 7] = low, high, at, end
        there = max(there, end)
    return there


@njit
def timeline(tables: Any, scratch: Any, plan: Any, limit: float, log: Any) -> float:
    """When all is done and the outputs are on worker 0.

    inf if that is after `limit`, which shows as soon as a worker cannot do in time what it has left
    to do, or where a run cannot be sliced or comes before what it reads.
    scratch.begin and finish are filled with start and end of each slice.  log: transfers as
    (tensor, from, to, axis, low, high, start, end) from row 1 on, their number in log[0, 0]; or an
    array without rows.
    """
    if not _regions(tables, scratch, plan):
        return float("inf")
    kind, cut, joined, order = plan.kind, plan.cut, plan.joined, plan.order
    start, reads, producer, size = tables.start, tables.reads, tables.producer, tables.size
    dims, rates, overhead = tables.dims, tables.rates, tables.overhead
    message, shared = tables.message, tables.shared
    begin, finish, free, arrival = scratch.begin, scratch.finish, scratch.free, scratch.arrival
    lasts, wanted, hull = scratch.lasts, scratch.wanted, scratch.hull
    busy, used, left = scratch.busy, scratch.used, scratch.left
    late = limit * (1.0 + _ROUNDING)
    free[:] = 0.0
    arrival[:] = -1.0
    finish[:] = -1.0
    used[:] = 0
    for i in range(order.shape[0]):
        head = order[i]
        if joined[head]:
            continue
        end = head
        while end + 1 < order.shape[0] and joined[end + 1]:
            end += 1
        for k in range(rates.shape[0]):
            if cut[end, k] == cut[end, k + 1]:
                continue
            ready, last = free[k], 0.0
            for v in range(head, end + 1):
                last += lasts[v, k]
                for e in range(start[v], start[v + 1]):
                    if not wanted[e, k]:
                        continue
                    t = reads[e]
                    if arrival[t, k] < 0.0:
                        u = producer[t]
                        here = hull[t, k, 0] == kind[u] and cut[u, k] <= hull[t, k, 1]
                        here = here and hull[t, k, 2] <= cut[u, k + 1]
                        if here and finish[u, k] >= 0.0:
                            arrival[t, k] = finish[u, k]
                        else:
                            arrival[t, k] = _fetch(
                                t, k, u, kind[u], size[t], dims, rates, message, shared, cut,
                                finish, hull, busy, used, log,
                            )  # fmt: skip
                    ready = max(ready, arrival[t, k])
            left[k] -= last
            if kind[end] != 0 and last > 0.0:
                last += overhead[k]
            begin[head, k] = ready
            free[k] = ready + last
            for v in range(head, end + 1):
                finish[v, k] = free[k]
            if not free[k] + left[k] <= late:
                return float("inf")
    end = float(free.max())
    return end if end <= limit else float("inf")
