"""Plans to compare with, and to start from.

A plan is a layout per operator and an order; :mod:`dds.parallel.search_timeline` says what it comes
to.  Each rule below decides with simple estimates, as published; all are then played out on the
same links.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dds.compiled import njit
from dds.parallel.search_tables import Plan, Tables, plan_of

__all__ = ["BASELINES", "baseline_plans"]

#: The names of :func:`baseline_plans`.
BASELINES = ("single", "layer-wise", "rows", "channels", "heft", "greedy")


def baseline_plans(tables: Tables) -> dict[str, Plan]:
    """A plan for each of :data:`BASELINES`.

    single      all on one worker, the best with transfers of inputs and outputs
    layer-wise  runs of layers one after the other, each on a worker: the best by dynamic
                programming over live tensors
    rows        rows over all workers in proportion to speed, halos exchanged
    channels    channels over all workers in proportion to speed
    heft        operators by upward rank, each where it ends first (Topcuoglu, Hariri and Wu 2002)
    greedy      operators as they become ready, each where it ends first
    """
    count = tables.units
    given = np.arange(count)
    plans = {
        "single": plan_of(tables, _pinned(np.full(count, _single(tables))), given),
        "layer-wise": plan_of(tables, _pinned(_layer_wise(tables)), given),
    }
    for kind, name in ((2, "rows"), (1, "channels")):
        layout = np.full(count, _fastest(tables))
        for everybody in np.flatnonzero(tables.kinds == kind)[:1]:
            layout[tables.valid[:, everybody]] = everybody
        plans[name] = plan_of(tables, _pinned(layout), given)
    for name, ranked in (("heft", True), ("greedy", False)):
        layout, starts = np.zeros(count, np.int64), np.zeros(count)
        first = np.argsort(-upward_rank(tables) if ranked else _level(tables), kind="stable")
        seconds = whole_seconds(tables)
        _soonest(
            tables.start, tables.reads, tables.producer, tables.size, seconds, tables.rates,
            tables.message, first, ranked, layout, starts,
        )  # fmt: skip
        place = np.empty(count, np.int64)
        place[first] = given
        # In order of start; the sink last, the source first, whatever takes no time as ranked.
        starts[0], starts[-1] = -1.0, np.inf
        plans[name] = plan_of(tables, layout, np.lexsort((place, starts)))
    return plans


def whole_seconds(tables: Tables) -> NDArray[np.float64]:
    """Seconds of each operator, whole, on each worker: operators x workers."""
    of_whole = tables.cost[:, : tables.workers]
    return np.ascontiguousarray(of_whole.diagonal(axis1=1, axis2=2))


def upward_rank(tables: Tables) -> NDArray[np.float64]:
    """Seconds of the longest path from each operator's start on, with means over workers.

    ``rank(v) = mean_k s_vk + max over readers w of (mean transfer + rank(w))``
    """
    count = tables.workers
    mean = np.maximum(whole_seconds(tables), 0.0).mean(axis=1)
    pairs = ~np.eye(count, dtype=bool)
    per_byte = float((1.0 / tables.rates[pairs]).mean()) if count > 1 else 0.0
    sending = (tables.message + tables.size * per_byte) * (count - 1) / count
    sent, producer = sending.tolist(), tables.producer.tolist()
    rank, behind = mean.tolist(), [0.0] * tables.units
    for v, read in reversed([*enumerate(_reads(tables))]):
        rank[v] += behind[v]
        for t in read:
            behind[producer[t]] = max(behind[producer[t]], sent[t] + rank[v])
    rank[0] = math.inf
    return np.array(rank, np.float64)


def _level(tables: Tables) -> NDArray[np.float64]:
    """How many operators precede each on the longest path: the order of becoming ready."""
    producer, level = tables.producer.tolist(), [0.0] * tables.units
    for v, read in enumerate(_reads(tables)):
        level[v] = 1.0 + max((level[producer[t]] for t in read), default=0.0)
    level[0], level[-1] = 0.0, math.inf
    return np.array(level, np.float64)


def _reads(tables: Tables) -> list[list[int]]:
    """The tensors that each unit reads."""
    return [tables.reads[low:high].tolist() for low, high in pairwise(tables.start.tolist())]


def _pinned(layout: NDArray[np.int64]) -> NDArray[np.int64]:
    """Source and sink on worker 0."""
    layout[[0, -1]] = 0
    return layout


def _fastest(tables: Tables) -> int:
    """The worker that would be done with all operators first."""
    return int(np.argmin(whole_seconds(tables)[1:-1].sum(axis=0)))


def _single(tables: Tables) -> int:
    """The worker that ends first if it does everything, inputs and outputs sent one by one."""
    returned = tables.reads[tables.start[-2] :]
    given = np.flatnonzero(tables.producer == 0)
    used = given[np.isin(given, tables.reads[: tables.start[-2]])]
    sent = np.concatenate([used, returned[tables.producer[returned] > 0]])
    ends = whole_seconds(tables)[1:-1].sum(axis=0)
    for k in range(1, tables.workers):
        ends[k] += (tables.message + tables.size[sent] / tables.rates[0, k]).sum()
    return int(np.argmin(ends))


def _layer_wise(tables: Tables) -> NDArray[np.int64]:
    """Layers in order, all live tensors moving with them: Viterbi over (layer, worker)."""
    count, workers = tables.units, tables.workers
    seconds = whole_seconds(tables)
    last = np.zeros(len(tables.size), np.int64)
    last[tables.reads] = np.repeat(np.arange(count), np.diff(tables.start))  # the last one stays
    live = last > tables.producer  # crosses every position from its producer to its last reader
    number, amount = (
        np.cumsum(
            np.bincount(tables.producer[live] + 1, weight[live], count + 1)
            - np.bincount(last[live] + 1, weight[live], count + 1)
        )
        for weight in (np.ones(len(last)), tables.size)
    )
    per_byte = 1.0 / tables.rates
    np.fill_diagonal(per_byte, 0.0)
    sending = amount[:, None, None] * per_byte
    messages = number[:, None, None] * tables.message * (1.0 - np.eye(workers))
    came = np.zeros((count, workers), np.int64)
    ends = np.where(np.arange(workers) == 0, 0.0, np.inf)
    for v in range(1, count):
        moved = ends[:, None] + sending[v] + messages[v]
        came[v] = moved.argmin(axis=0)
        ends = moved.min(axis=0) + seconds[v]
    layout = np.zeros(count, np.int64)
    k = 0
    for v in range(count - 1, 0, -1):
        layout[v] = k
        k = int(came[v, k])
    return layout


@njit
def _soonest(
    start: Any, reads: Any, producer: Any, size: Any, seconds: Any, rates: Any,
    message: float, first: Any, insert: bool, layout: Any, starts: Any,
) -> None:  # fmt: skip
    """Give each operator, in the order `first`, the worker where it ends first.

    Links are taken to be free.  insert: into the first gap that is long enough, else behind what
    the worker has.  layout and starts are filled.
    """
    count, workers = seconds.shape
    ends = np.zeros(count)
    busy = np.zeros((workers, count, 2))
    used = np.zeros(workers, np.int64)
    for i in range(count):
        v = first[i]
        best = np.inf
        pinned = v == 0 or v == count - 1
        for k in range(1 if pinned else workers):
            ready = 0.0
            for e in range(start[v], start[v + 1]):
                t = reads[e]
                u = producer[t]
                there = ends[u]
                if layout[u] != k:
                    there += message + size[t] / rates[layout[u], k]
                ready = max(ready, there)
            at = ready
            p = used[k]
            if p > 0 and not insert:
                at = max(at, busy[k, p - 1, 1])
            while insert and p > 0 and busy[k, p - 1, 1] > ready:
                p -= 1
            while p < used[k] and busy[k, p, 0] < at + seconds[v, k]:
                at = max(at, busy[k, p, 1])
                p += 1
            if at + seconds[v, k] < best:
                best = at + seconds[v, k]
                layout[v], starts[v], ends[v] = k, at, best
        k = layout[v]
        p = used[k]
        used[k] += 1
        while p > 0 and (busy[k, p - 1, 0] > starts[v] or busy[k, p - 1, 1] > ends[v]):
            busy[k, p, 0] = busy[k, p - 1, 0]
            busy[k, p, 1] = busy[k, p - 1, 1]
            p -= 1
        busy[k, p, 0] = starts[v]
        busy[k, p, 1] = ends[v]
