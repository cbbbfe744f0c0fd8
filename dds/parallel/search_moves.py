"""Local search: plans made better by moves, each of them timed.

Compiled by numba or run as plain Python, as :mod:`dds.parallel.search_timeline`.
"""

from __future__ import annotations

from typing import Any

from dds.compiled import njit, njit_calling
from dds.parallel import search_timeline
from dds.parallel.search_timeline import ROWS, timeline

__all__ = ["improve"]


@njit_calling(search_timeline)
def improve(
    tables: Any, scratch: Any, plan: Any, kept: Any, least: Any, joining: bool, tries: int,
    seed: int, heat: float, orders: int,
) -> float:  # fmt: skip
    """Local search from a plan, which becomes the best one met; returns when it ends, s.

    joining: first each unit is joined with the run in front of it, or parted, if that helps, from
    front to back.  Then each try gives a unit or several in a row another layout, moves a border
    between two workers, joins or parts runs, or, `orders` of 24 times, moves a unit in the order.
    What is up to a fraction `heat` worse is still accepted at first, and nothing worse at the end.
    kept, least: copies of the plan, room for the search.
    """
    count = plan.kind.shape[0]
    no_log = scratch.finish[:0]
    best = now = timeline(tables, scratch, plan, float("inf"), no_log)
    _put(kept, plan)
    _put(least, plan)
    state = seed
    draws = [0, 0, 0, 0]
    first = 3 - count if joining else 0
    for step in range(first, tries if count > 2 else 0):
        allowed = now
        if step < 0:  # one loop for both: each place that calls the timeline takes long to compile
            _join_or_part(plan, count - 1 + step)
        else:
            for d in range(4):
                state = state * 48271 % 2147483647
                draws[d] = state >> 4
            _move(tables, plan, orders, draws[0], draws[1], draws[2], draws[3])
            allowed *= 1.0 + heat * (1.0 - step / tries) ** 2
        if _same(plan, kept):
            continue
        end = timeline(tables, scratch, plan, allowed, no_log)
        if end < now or (step >= 0 and end <= allowed):
            now = end
            _put(kept, plan)
            if end < best:
                best = end
                _put(least, plan)
        else:
            _put(plan, kept)
    _put(plan, least)
    return best


@njit
def _join_or_part(plan: Any, v: int) -> None:
    """Join the run that a unit of rows is in with the one in front of it, or part them."""
    if plan.kind[v] == ROWS and plan.kind[v - 1] == ROWS:
        plan.joined[v] = 1 - plan.joined[v]


@njit
def _move(tables: Any, plan: Any, orders: int, unit: int, which: int, what: int, far: int) -> None:
    """Change a plan in one of the ways of :func:`improve`, told by four drawn numbers."""
    count, workers = plan.kind.shape[0], tables.rates.shape[0]
    layouts = tables.kinds.shape[0]
    i = 1 + unit % (count - 2)
    choice = which % 24 - orders
    stop = min(count - 1, i + (1 + far % 8 if far % 3 else count // 4))
    if choice < 0:
        spread = 1 + far % max(2, min(count // 2, 24))
        _move_in_order(tables, plan.order, i, spread if what % 2 == 0 else -spread)
    elif choice < 3 or (choice > 11 and layouts == workers):
        _relayout(tables, plan, i, i + 1, what % layouts)
    elif choice < 6:
        _relayout(tables, plan, i, stop, what % layouts)
    elif choice < 12:  # what follows or precedes a change of layout joins the other side
        p = i
        while p < count - 2 and _alike(plan, p - 1, p):
            p += 1
        if p > 1 and what % 2 == 0:
            for v in range(p, min(count - 1, p + 1 + far % 8)):
                _copy_layout(tables, plan, p - 1, v)
        else:
            for v in range(p - 1, max(0, p - 2 - far % 8), -1):
                _copy_layout(tables, plan, p, v)
    elif choice < 18:
        by = 1 + far // 8 % 2
        by = by if what % 2 else -by
        _shift(tables, plan, i, stop, what // 2 % (workers - 1), by)
    elif i > 1:
        plan.joined[i] = 1 - plan.joined[i]


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
def _put(target: Any, source: Any) -> None:
    """Overwrite a plan."""
    for v in range(source.kind.shape[0]):
        target.kind[v] = source.kind[v]
        target.joined[v] = source.joined[v]
        target.order[v] = source.order[v]
        for k in range(source.cut.shape[1]):
            target.cut[v, k] = source.cut[v, k]


@njit
def _same(plan: Any, other: Any) -> bool:
    """Whether two plans are equal."""
    for v in range(plan.kind.shape[0]):
        same = plan.kind[v] == other.kind[v]
        same &= plan.joined[v] == other.joined[v]
        same &= plan.order[v] == other.order[v]
        for k in range(plan.cut.shape[1]):
            same &= plan.cut[v, k] == other.cut[v, k]
        if not same:
            return False
    return True


@njit
def _alike(plan: Any, u: int, v: int) -> bool:
    """Whether two units are cut in the same way."""
    alike = plan.kind[u] == plan.kind[v]
    for k in range(plan.cut.shape[1]):
        alike &= plan.cut[u, k] == plan.cut[v, k]
    return bool(alike)
