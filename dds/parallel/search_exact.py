"""Exact search: whole operators on workers, by branch and bound.

Outside, operators are assigned to workers in topological order; what the longest path or the load
of a worker or of the shared medium already takes is a lower bound.  Inside, tasks and transfers of
one assignment are put in order of their starts.  Of what could come next, only what starts before
the earliest possible end of all that could: anything else leaves room for that one, which would not
delay it (Giffler and Thompson 1960).  So every active schedule is met, or bounded away: by longest
paths, and for each worker and way by the least moment from which it can go on, the seconds of what
it has left, and the least path behind any of that (the one-machine bound of job-shop scheduling).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dds.compiled import njit
from dds.parallel.search_tables import Tables

__all__ = ["MOST_OPERATORS", "Exact", "exact"]

#: Up to so many operators the search is exact.
MOST_OPERATORS = 9
#: Steps of the inner search before it gives up; what was found until then is still valid.
_MOST_STEPS = 3_000_000


class Exact(NamedTuple):
    """latency: s; proven: the search ended; the rest as arrays, of which `found` tells the use.

    workers: of each operator; starts: of each; sent: (tensor, worker) start of a transfer, < 0 if
    there is none.  Where nothing beat the latency that was given, found is False.
    """

    latency: float
    proven: bool
    found: bool
    workers: NDArray[np.int64]
    starts: NDArray[np.float64]
    sent: NDArray[np.float64]


def exact(tables: Tables, known: float) -> Exact:
    """The schedule of least latency with every operator whole; at most `known` seconds."""
    count = tables.workers
    seconds = np.ascontiguousarray(np.stack([tables.cost[:, k, k] for k in range(count)], axis=1))
    rates = np.where(np.eye(count, dtype=bool), np.inf, tables.rates)
    last = tables.message + tables.size[:, None, None] / rates
    twin = np.full(count, -1, np.int64)
    for k in range(2, count):
        alike = [
            j for j in range(1, k)
            if (seconds[1:-1, j] == seconds[1:-1, k]).all()
            and (np.delete(rates[j], [j, k]) == np.delete(rates[k], [j, k])).all()
        ]  # fmt: skip
        twin[k] = alike[-1] if alike else -1
    workers = np.zeros(tables.units, np.int64)
    starts = np.zeros(tables.units)
    sent = np.full((len(tables.size), count), -1.0)
    latency, steps = _assign(
        tables.start, tables.reads, tables.producer, seconds, last, twin, tables.shared, known,
        _MOST_STEPS, workers, starts, sent,
    )  # fmt: skip
    return Exact(latency, steps < _MOST_STEPS, latency < known, workers, starts, sent)


@njit
def _assign(
    start: Any, reads: Any, producer: Any, seconds: Any, last: Any, twin: Any, shared: bool,
    known: float, most: int, best_workers: Any, best_starts: Any, best_sent: Any,
) -> tuple[float, int]:  # fmt: skip
    """Try every assignment of operators to workers that is not bounded away."""
    count, workers = seconds.shape
    least = np.zeros(count)  # seconds from the end of an operator to that of the sink, at least
    for v in range(count - 1, 0, -1):
        fastest = np.inf
        for k in range(workers):
            if seconds[v, k] >= 0.0:
                fastest = min(fastest, seconds[v, k])
        for e in range(start[v], start[v + 1]):
            u = producer[reads[e]]
            least[u] = max(least[u], fastest + least[v])
    where = np.zeros(count, np.int64)
    ends = np.zeros(count)
    load = np.zeros(workers)
    carried = np.zeros(count)  # seconds of the shared medium, up to each operator
    best, steps = known, 0
    v = 1
    where[1] = -1
    while v > 0 and steps < most:
        if where[v] >= 0:
            load[where[v]] -= seconds[v, where[v]]
        where[v] += 1
        k = where[v]
        if k == (1 if v == count - 1 else workers):
            where[v] = -1
            v -= 1
            continue
        load[k] += seconds[v, k]
        if twin[k] >= 0 and v < count - 1:
            used = False
            for u in range(1, v):
                used |= where[u] == twin[k]
            if not used:
                continue
        ready, carried[v] = 0.0, carried[v - 1]
        for e in range(start[v], start[v + 1]):
            t = reads[e]
            u = producer[t]
            there = ends[u]
            if where[u] != k:
                there += last[t, where[u], k]
                first = True
                for w in range(v):  # another operator there may read it too
                    if where[w] == k:
                        for f in range(start[w], start[w + 1]):
                            first &= reads[f] != t
                if first:
                    carried[v] += last[t, where[u], k]
            ready = max(ready, there)
        ends[v] = ready + seconds[v, k]
        bound = best * (1.0 - 1e-12)
        if ends[v] + least[v] >= bound or load[k] >= bound or (shared and carried[v] >= bound):
            continue
        if v < count - 1:
            v += 1
            where[v] = -1
            continue
        best, steps = _order(
            start, reads, producer, seconds, last, shared, where, best, steps, most,
            best_workers, best_starts, best_sent,
        )  # fmt: skip
    return best, steps


@njit
def _order(
    start: Any, reads: Any, producer: Any, seconds: Any, last: Any, shared: bool, where: Any,
    known: float, steps: int, most: int, best_workers: Any, best_starts: Any, best_sent: Any,
) -> tuple[float, int]:  # fmt: skip
    """The best order of the tasks and transfers of one assignment, if it beats `known`."""
    count, workers = seconds.shape
    tensors = producer.shape[0]
    # Jobs: tasks by operator, then the transfers that there are.
    number = np.full((tensors, workers), -1, np.int64)
    jobs = count
    for v in range(count):
        for e in range(start[v], start[v + 1]):
            t = reads[e]
            if where[producer[t]] != where[v] and number[t, where[v]] < 0:
                number[t, where[v]] = jobs
                jobs += 1
    lasts = np.zeros(jobs)
    ways = np.full((jobs, 2), -1, np.int64)
    before = np.zeros((jobs, jobs), np.bool_)
    for v in range(count):
        lasts[v] = seconds[v, where[v]]
        ways[v, 0] = where[v]
        for e in range(start[v], start[v + 1]):
            t = reads[e]
            u = producer[t]
            job = u
            if where[u] != where[v]:
                job = number[t, where[v]]
                lasts[job] = last[t, where[u], where[v]]
                ways[job, 0] = workers if shared else workers + where[u]
                ways[job, 1] = -1 if shared else 2 * workers + where[v]
                before[job, u] = True
            before[v, job] = True
    # Seconds from the start of a job to the end of the sink, along the longest path.
    tail = lasts.copy()
    changed = True
    while changed:
        changed = False
        for a in range(jobs):
            for b in range(jobs):
                if before[b, a] and lasts[a] + tail[b] > tail[a]:
                    tail[a] = lasts[a] + tail[b]
                    changed = True
    best = known
    free = np.zeros((jobs + 1, 3 * workers))
    # Of a worker or way: when it can go on, s of what it has left to do, and s after that.
    heads, works, rests = np.zeros((3, 3 * workers))
    ends = np.zeros(jobs)
    starts = np.zeros(jobs)
    done = np.zeros(jobs, np.bool_)
    done[0] = True  # the source
    chosen = np.full(jobs + 1, -1, np.int64)
    could = np.full((jobs + 1, jobs), np.inf)
    depth, fresh = 1, True
    while depth > 0:
        if fresh:
            steps += 1
            if steps >= most:
                break
            soonest = np.inf
            for way in range(3 * workers):
                heads[way], works[way], rests[way] = np.inf, 0.0, np.inf
            for j in range(jobs):
                could[depth, j] = np.inf
                if done[j]:
                    continue
                at, ready = 0.0, True
                for i in range(jobs):
                    if before[j, i]:
                        ready &= done[i]
                        at = max(at, ends[i] if done[i] else 0.0)
                for way in ways[j]:
                    if way >= 0:
                        at = max(at, free[depth, way])
                for way in ways[j]:
                    if way >= 0:
                        heads[way] = min(heads[way], at)
                        rests[way] = min(rests[way], tail[j] - lasts[j])
                        works[way] += lasts[j]
                if at + tail[j] >= best * (1.0 - 1e-12):
                    soonest = -1.0  # this job comes too late already, whatever is next
                    break
                if ready:
                    could[depth, j] = at
                    soonest = min(soonest, at + lasts[j])
            for way in range(3 * workers):
                if heads[way] + works[way] + rests[way] >= best * (1.0 - 1e-12) and works[way] > 0:
                    soonest = -1.0  # so does the last of what this way or worker has left to do
            for j in range(jobs):
                # What takes no time ends when it starts: it may come next as well.
                late = could[depth, j] > soonest or (could[depth, j] == soonest and lasts[j] > 0.0)
                if soonest < 0.0 or late:
                    could[depth, j] = np.inf
            chosen[depth] = -1
        else:
            done[chosen[depth]] = False
        j = chosen[depth] + 1
        while j < jobs and could[depth, j] == np.inf:
            j += 1
        if j == jobs:
            depth -= 1
            fresh = False
            continue
        chosen[depth] = j
        starts[j] = could[depth, j]
        ends[j] = starts[j] + lasts[j]
        done[j] = True
        if depth == jobs - 1:
            if ends.max() < best * (1.0 - 1e-12):
                best = ends.max()
                best_workers[:] = where
                best_starts[:] = starts[:count]
                best_sent[:] = -1.0
                for t in range(tensors):
                    for k in range(workers):
                        if number[t, k] >= 0:
                            best_sent[t, k] = starts[number[t, k]]
            fresh = False
            continue
        free[depth + 1] = free[depth]
        for way in ways[j]:
            if way >= 0:
                free[depth + 1, way] = ends[j]
        depth += 1
        fresh = True
    return best, steps
