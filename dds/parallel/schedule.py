"""Which worker computes which tile when, and what is sent meanwhile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from dds.errors import InvalidInput
from dds.model.graph import ModelGraph
from dds.parallel.baselines import baseline_plans
from dds.parallel.search_exact import MOST_OPERATORS, Exact, exact
from dds.parallel.search_labels import label_plan
from dds.parallel.search_structure import KINDS, structure_of
from dds.parallel.search_tables import Plan, Scratch, Tables, tables_of
from dds.parallel.tiles import WHOLE, Region, Tile
from dds.parallel.workers import Worker, WorkerLinks, check_question

__all__ = ["Schedule", "Task", "Transfer", "baselines", "schedule"]

#: Tries of the local search: fewer on large graphs and teams, where each takes longer.
_MOST_TRIES, _LEAST_TRIES, _WORK = 4000, 150, 240_000
#: From how many plans it joins runs before it goes on from the best.
_STARTS = 2
#: How much worse a plan may get, and of 24 tries how many go to the order.
_SEED, _HEAT, _ORDERS = 20_261, 0.003, 1
#: Of few operators it starts several times, accepts more, and looks more for an order.
_FEW_TURNS, _FEW_TRIES, _FEW_HEAT, _FEW_ORDERS = 8, 2000, 0.5, 8
#: The exact search is for models of few operators and these many workers.
_MOST_WORKERS = 4
#: Where a baseline of whole operators takes at most so many times as long, whole operators are
#: searched by themselves, too: fewer moves to choose from, and at times more comes of them.
_NEAR = 1.25


@dataclass(frozen=True, slots=True)
class Task:
    """A tile on a worker, by index, from start to end, s."""

    worker: int
    tile: Tile
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Transfer:
    """A region of a tensor on its way between two workers, by index, from start to end, s."""

    sender: int
    receiver: int
    tensor: int
    region: Region
    start: float
    end: float


@dataclass(frozen=True)
class Schedule:
    """Tasks and transfers, each in order of start.

    latency: when the last of them ends, s; method: what found it; proven: no schedule of whole
    operators is faster (the exact search ended, and nothing is sliced).
    """

    tasks: tuple[Task, ...]
    transfers: tuple[Transfer, ...]
    latency: float
    method: str = ""
    proven: bool = False

    @property
    def sliced(self) -> bool:
        """Whether some operator runs in slices."""
        return any(task.tile.kind != "whole" for task in self.tasks)


def schedule(
    graph: ModelGraph,
    workers: Sequence[Worker],
    links: WorkerLinks,
    *,
    slices: bool = True,
    tries: int | None = None,
    search_exactly: bool = True,
) -> Schedule:
    """A schedule of low latency: never slower than any of :func:`baselines`.

    The model's inputs are on workers[0], and its outputs end there.  Every run of operators
    (:func:`dds.refine`; with up to 9 operators each is one) is whole on one worker, or in slices
    of its rows or channels on a group of them, or in one longer run with others: then halos are
    computed where they are needed instead of being sent.  Data goes straight from the worker that
    made it to the one that needs it.

    slices: whether operators may be sliced; tries: steps of the local search, by default fewer on
    larger graphs; search_exactly: with up to 9 operators and 4 workers also look for the best
    schedule of whole operators by branch and bound.  No randomness: equal questions get equal
    answers, with and without numba.

    Raises InvalidInput without workers, and for what times and links refuse.

    >>> from dds.model.graph import Operator, Tensor
    >>> tensors = tuple(Tensor(n, (), "float32", 100) for n in "abcd")
    >>> ops = (Operator("f", "F", (0,), (1,)), Operator("g", "F", (0,), (2,)),
    ...        Operator("h", "F", (1, 2), (3,)))
    >>> fork = ModelGraph(ops, tensors, inputs=(0,), outputs=(3,))
    >>> both = [Worker([4.0, 4.0, 1.0]), Worker([2.0, 2.0, 1.0])]
    >>> found = schedule(fork, both, WorkerLinks(100.0))
    >>> found.latency, [task.worker for task in found.tasks]
    (5.0, [0, 1, 0])
    """
    check_question(graph, workers, links)
    if tries is not None and tries < 0:
        raise InvalidInput(f"tries is {tries}; need a number >= 0")
    question = graph, workers, links
    found, whole = _search(*question, slices, tries)
    few = len(graph.operators) <= MOST_OPERATORS
    if search_exactly and few and len(workers) <= _MOST_WORKERS:
        tables = tables_of(*question, slices=slices, fused=False)
        return _settled(tables, found, exact(tables, found.latency))
    if slices and whole <= _NEAR * found.latency:
        other, _ = _search(*question, False, tries)
        return min(found, other, key=lambda each: each.latency)
    return found


def _search(
    graph: ModelGraph, workers: Sequence[Worker], links: WorkerLinks, slices: bool,
    tries: int | None,
) -> tuple[Schedule, float]:  # fmt: skip
    """Labels, joining, local search; and the least latency of a baseline without slices, s."""
    from dds.parallel.search_moves import improve

    few = len(graph.operators) <= MOST_OPERATORS
    tables = tables_of(graph, workers, links, slices=slices, fused=not few)
    scratch = Scratch.of(tables)
    plans = {**baseline_plans(tables), "labels": label_plan(tables, graph, fused=not few)}
    ends = {name: end_of(tables, scratch, plan) for name, plan in plans.items()}
    whole = min(ends[name] for name, plan in plans.items() if not plan.kind.any())
    first, *others = sorted(plans, key=lambda each: ends[each])
    best, end, method = plans[first], ends[first], first
    if tries is None:
        most = _WORK // max(tables.units * len(workers), 1)
        tries = _FEW_TRIES if few else min(_MOST_TRIES, max(_LEAST_TRIES, most))
    for name in (first, *others[: _STARTS - 1]) if tries and slices else ():
        plan = plans[name].copy()
        room = plan.copy(), plan.copy()
        reached = improve(tables, scratch, plan, *room, True, 0, _SEED, 0.0, 0)
        if reached < end:
            best, end, method = plan, reached, "local search"
    start = best
    for turn in range(_FEW_TURNS if few else 1):
        plan = start.copy()
        heat, orders = (_FEW_HEAT, _FEW_ORDERS) if few else (_HEAT, _ORDERS)
        room = plan.copy(), plan.copy()
        reached = improve(tables, scratch, plan, *room, False, tries, _SEED + turn, heat, orders)
        if reached < end:
            best, end, method = plan, reached, "local search"
    units = structure_of(graph, fused=not few).units
    return schedule_of(tables, units, best, method), whole


def baselines(
    graph: ModelGraph, workers: Sequence[Worker], links: WorkerLinks
) -> Mapping[str, Schedule]:
    """What to compare a schedule with, by name: :data:`dds.parallel.baselines.BASELINES`.

    Arguments and errors are those of :func:`schedule`.
    """
    check_question(graph, workers, links)
    fused = len(graph.operators) > MOST_OPERATORS
    tables = tables_of(graph, workers, links, slices=True, fused=fused)
    units = structure_of(graph, fused=fused).units
    plans = baseline_plans(tables)
    return {name: schedule_of(tables, units, plan, name) for name, plan in plans.items()}


def end_of(tables: Tables, scratch: Scratch, plan: Plan) -> float:
    """When all is done, s."""
    from dds.parallel.search_timeline import timeline

    return float(timeline(tables, scratch, plan, np.inf, scratch.finish[:0]))


def schedule_of(tables: Tables, units: Sequence[range], plan: Plan, method: str) -> Schedule:
    """What a plan comes to."""
    from dds.parallel.search_timeline import timeline

    scratch = Scratch.of(tables)
    log = np.zeros((len(tables.size) * tables.workers**2 + 1, 8))
    latency = timeline(tables, scratch, plan, np.inf, log)
    tasks = []
    joined, kinds, cuts = plan.joined.tolist(), plan.kind.tolist(), plan.cut.tolist()
    begin, finish = scratch.begin.tolist(), scratch.finish.tolist()
    head = 1
    for end in range(1, tables.units - 1):
        if joined[end + 1]:
            continue
        operators = range(units[head - 1].start, units[end - 1].stop)
        for k, (low, high) in enumerate(pairwise(cuts[end])):
            if low < high:
                tile = Tile(operators, KINDS[kinds[end]], low, high)
                tasks.append(Task(k, tile, begin[head][k], finish[end][k]))
        head = end + 1
    transfers = [_transfer(*row) for row in log[1 : int(log[0, 0]) + 1].tolist()]
    return _sorted(tasks, transfers, float(latency), method)


def _transfer(
    tensor: float, sender: float, receiver: float, axis: float, low: float, high: float,
    start: float, end: float,
) -> Transfer:  # fmt: skip
    """Of a row of the timeline's log."""
    region = Region(int(axis), int(low), int(high)) if axis >= 0.0 else WHOLE
    return Transfer(int(sender), int(receiver), int(tensor), region, start, end)


def _settled(tables: Tables, found: Schedule, best: Exact) -> Schedule:
    """The better of a schedule and the exact search's."""
    proven = best.proven and not (found.sliced and not best.found)
    if not best.found:
        return Schedule(found.tasks, found.transfers, found.latency, found.method, proven)
    tasks, transfers = [], []
    for v in range(1, tables.units - 1):
        k, start = int(best.workers[v]), float(best.starts[v])
        end = start + float(tables.cost[v, k, k])
        tasks.append(Task(k, Tile(range(v - 1, v)), start, end))
    for t, k in np.argwhere(best.sent >= 0.0).tolist():
        sender, start = int(best.workers[tables.producer[t]]), float(best.sent[t, k])
        last = tables.message + float(tables.size[t]) / float(tables.rates[sender, k])
        transfers.append(Transfer(sender, k, t, WHOLE, start, start + last))
    return _sorted(tasks, transfers, best.latency, "exact", proven=proven)


def _sorted(
    tasks: list[Task], transfers: list[Transfer], latency: float, method: str, *,
    proven: bool = False,
) -> Schedule:  # fmt: skip
    """In order of start; what takes no time first."""

    def when(each: Task | Transfer) -> tuple[float, float]:
        return each.start, each.end

    return Schedule(
        tuple(sorted(tasks, key=when)), tuple(sorted(transfers, key=when)), latency, method, proven
    )
