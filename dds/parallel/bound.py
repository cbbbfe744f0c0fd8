"""Lower bounds on the latency of any schedule.

Where nothing is sliced: the longest path, every transfer on it paid where it must be.  Where
operators may be sliced: a fluid relaxation, a linear program in the share x_vk of operator v on
worker k (:func:`fluid`).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from dds.errors import InvalidInput
from dds.model.graph import ModelGraph
from dds.parallel.tiles import Kind, sliceable
from dds.parallel.workers import Worker, WorkerLinks, check_question, seconds_of

__all__ = ["critical_path", "fluid", "lower_bound"]


def lower_bound(
    graph: ModelGraph, workers: Sequence[Worker], links: WorkerLinks, *, slices: bool = True
) -> float:
    """Seconds below which no schedule can be.

    slices: whether operators may be sliced.  Arguments and errors are those of
    :func:`dds.schedule`; :func:`fluid` needs scipy.
    """
    check_question(graph, workers, links)
    work = fluid(graph, workers, links, slices=slices)
    return work if slices else max(work, critical_path(graph, workers, links))


def critical_path(graph: ModelGraph, workers: Sequence[Worker], links: WorkerLinks) -> float:
    """The longest path, where every operator is whole, s.

    ``e_vk = s_vk + max over inputs t of min over j of (e_uj + transfer_t(j, k))`` is the earliest
    end of v on worker k, u the producer of t; a model's input is on worker 0 from 0 on, and an
    output must get there.
    """
    seconds = seconds_of(graph, workers)
    count = len(workers)
    per_byte = 1.0 / links.rates(count)
    apart = 1.0 - np.eye(count)
    there: dict[int, NDArray[np.float64]] = {}

    def sent(t: int, ends: NDArray[np.float64]) -> NDArray[np.float64]:
        last = (links.message + graph.tensors[t].bytes * per_byte) * apart
        return np.asarray((ends[:, None] + last).min(axis=0))

    at_home = np.where(np.arange(count) == 0, 0.0, np.inf)
    for t in graph.inputs:
        there[t] = sent(t, at_home)
    bound = 0.0
    for v, operator in enumerate(graph.operators):
        ready = np.max([there[t] for t in operator.inputs], axis=0, initial=0.0)
        ends = ready + seconds[v]
        bound = max(bound, float(ends.min()))
        for t in operator.outputs:
            there[t] = sent(t, ends)
    return max([bound, *(float(there[t][0]) for t in graph.outputs)])


def fluid(
    graph: ModelGraph, workers: Sequence[Worker], links: WorkerLinks, *, slices: bool = True
) -> float:
    """The fluid bound: work and data divided at will, s.

    minimise    T
    subject to  T >= sum over phases p of T_p,  T >= sum over t of bytes_t z_tk / b_k of each way
                T_p >= sum over v in p of s_vk x_vk      for each worker k
                z_tk >= x_wk - x_vk                      t made by v and read by w
                sum over k of x_vk = 1,  x, z >= 0
    where
      x_vk  share of operator v on worker k; z_tk: share of tensor t that k is sent
      s_vk  seconds, without what slices add; b_k: bytes/s of the fastest way to worker k
    A *phase* is what lies between two operators that everything before leads to and everything
    behind depends on, and that cannot be sliced; each of those is a phase of its own, with
    T_p = sum over k of s_vk x_vk.  The third line stands for readers of which no slice needs a
    smaller part of t than it is of w.

    Raises InvalidInput where scipy is missing, and like :func:`dds.schedule`.
    """
    try:
        from scipy.optimize import linprog  # type: ignore[import-untyped]
        from scipy.sparse import coo_array  # type: ignore[import-untyped]
    except ImportError:
        raise InvalidInput("the fluid bound needs scipy; pip install scipy") from None
    seconds = seconds_of(graph, workers)
    count, operators = len(workers), len(graph.operators)
    if not operators:
        return 0.0
    rates = links.rates(count)
    np.fill_diagonal(rates, 0.0)
    slow_byte = 1.0 / rates.max(axis=0) if count > 1 else np.zeros(1)
    scale = float(seconds.sum()) or 1.0  # HiGHS has absolute tolerances
    phase, alone = _phases(graph, slices)
    phases = max(phase) + 1
    # Variables: x by operator and worker, z by tensor and worker, T_p, T.
    z, t_p = operators * count, (operators + len(graph.tensors)) * count
    end = t_p + phases
    rows: list[tuple[int, int, float]] = []  # (row, variable, factor) of "sum <= limit"
    limits: list[float] = []

    def at_most(limit: float, *terms: tuple[int, float]) -> None:
        rows.extend((len(limits), variable, factor) for variable, factor in terms)
        limits.append(limit)

    at_most(0.0, (end, -1.0), *((t_p + p, 1.0) for p in range(phases)))
    members: list[list[int]] = [[] for _ in range(phases)]
    for v, p in enumerate(phase):
        members[p].append(v)
    for p, some in enumerate(members):
        loads = [[(v * count + k, seconds[v, k] / scale) for v in some] for k in range(count)]
        for load in [[*chain(*loads)]] if some and alone[some[0]] else loads:
            at_most(0.0, (t_p + p, -1.0), *load)
    ways: list[list[tuple[int, float]]] = [[] for _ in range(count)]
    for t, tensor in enumerate(graph.tensors):
        v = graph.producer[t]
        for k in range(count):
            ways[k].append((z + t * count + k, tensor.bytes * slow_byte[k] / scale))
            for w in _whole_readers(graph, t, slices):
                own = [(v * count + k, -1.0)] if v >= 0 else []
                here = 1.0 if v < 0 and k == 0 else 0.0
                at_most(here, (w * count + k, 1.0), *own, (z + t * count + k, -1.0))
            if t in graph.outputs and v >= 0 and k == 0:
                at_most(-1.0, (v * count, -1.0), (z + t * count, -1.0))
    for load in [[*chain(*ways)]] if links.shared else ways:
        at_most(0.0, (end, -1.0), *load)
    place, variable, factor = zip(*rows, strict=True)
    matrix = coo_array((factor, (place, variable)), shape=(len(limits), end + 1)).tocsr()
    ones = np.repeat(np.arange(operators), count)
    total = coo_array(
        (np.ones(z), (ones, np.arange(z))), shape=(operators, end + 1)
    ).tocsr()  # fmt: skip
    goal = np.zeros(end + 1)
    goal[end] = 1.0
    found = linprog(
        goal, A_ub=matrix, b_ub=limits, A_eq=total, b_eq=np.ones(operators), method="highs"
    )
    # What rounding may have added is taken off again.
    return max(float(found.fun) - 1e-7, 0.0) * scale if found.success else 0.0


def _phases(graph: ModelGraph, slices: bool) -> tuple[list[int], list[bool]]:
    """Per operator its phase, and whether it is a phase of its own."""
    count = len(graph.operators)
    if slices and any(_skips(graph, v) for v in range(count)):
        return [0] * count, [False] * count  # what nobody reads may be made at any time
    first = [min((w for t in o.outputs for w in graph.consumers[t]), default=count)
             for o in graph.operators]  # fmt: skip
    last = [max(before, default=-1) for before in graph.predecessors]
    leads = np.maximum.accumulate([-1, *first])[:-1]  # of all before: the latest first reader
    comes = np.minimum.accumulate([*last, count][::-1])[::-1][1:]  # of all behind
    phase: list[int] = []
    alone: list[bool] = []
    now = 0
    for v in range(count):
        one = range(v, v + 1)
        kinds = slices and (sliceable(graph, one, "rows") or sliceable(graph, one, "channels"))
        barrier = bool(leads[v] <= v <= comes[v]) and not kinds
        now += barrier and v > 0 and phase[-1] == now
        phase.append(now)
        alone.append(barrier)
        now += barrier
    return phase, alone


def _skips(graph: ModelGraph, v: int) -> bool:
    """Whether parts of an input may be read by no slice of an operator."""
    return any(
        way.axis >= 0 and way.step > way.extent for ways in graph.operators[v].reach for way in ways
    )


def _whole_readers(graph: ModelGraph, t: int, slices: bool) -> list[int]:
    """The readers of which no slice needs a smaller part of t than it is of the reader."""
    return [v for v in graph.consumers[t] if not slices or _reads_its_part(graph, v, t)]


def _reads_its_part(graph: ModelGraph, v: int, t: int) -> bool:
    operator = graph.operators[v]
    (i,) = (i for i, other in enumerate(operator.inputs) if other == t)
    for axis in (1, 2):
        kind: Kind = "channels" if axis == 1 else "rows"
        if not sliceable(graph, range(v, v + 1), kind):
            continue
        way = operator.reach[axis][i]
        if way.axis < 0:
            continue
        size, made = (
            graph.tensors[t].shape[way.axis],
            graph.tensors[operator.outputs[0]].shape[axis],
        )
        if way.per > 1:
            if way.before or way.step != way.extent or made * way.step != size * way.per:
                return False
            continue
        cut = np.arange(1, made)  # of the first slice the end, of the last the beginning
        head = np.minimum((cut - 1) * way.step - way.before + way.extent, size)
        tail = size - np.maximum(cut * way.step - way.before, 0)
        inner = np.minimum((cut - 1) * way.step + way.extent, size)
        part = size / made
        if min((head - cut * part).min(), (tail - (made - cut) * part).min(),
               (inner - cut * part).min()) < 0.0:  # fmt: skip
            return False
    return True
