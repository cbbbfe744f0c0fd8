"""What to move about: blocks, runs of operators that belong together, and their slices."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

from dds.costs.once import once_per_graph
from dds.costs.roofline import operator_times
from dds.model.graph import ModelGraph, Operator, Reach
from dds.parallel.tiles import ALIGNMENT, Kind, blocks, extent, sliceable
from dds.parallel.workers import Worker, check_graph, check_worker

__all__ = ["Granularity", "Run", "fused_runs", "refine"]

_SLICED: tuple[Kind, ...] = ("rows", "channels")


@dataclass(frozen=True, slots=True)
class Run:
    """Operators that one worker runs one after the other, whole or a slice of them.

    operators: ``range(first, stop)``; block: index of the block it lies in; rows, channels: into
    how many slices it pays to cut it, 1 where slicing does not pay or is not possible.
    """

    operators: range
    block: int
    rows: int = 1
    channels: int = 1


@dataclass(frozen=True)
class Granularity:
    """From coarse to fine, in topological order: ``blocks`` of operators, ``runs`` inside them."""

    blocks: tuple[range, ...]
    runs: tuple[Run, ...]


def refine(graph: ModelGraph, cost: Worker) -> Granularity:
    """Partition a model at whatever granularity pays: blocks, runs of operators, slices.

    A *run* is an operator with all that directly follows it, does no multiply-adds, keeps
    channels apart and is read by nobody else: batch norms, activations, sums, pooling of windows
    that do not overlap.  Runtimes fuse them; inside, slices need nothing of one another, and no
    two compute the same.  A follower that would forbid a kind of slice starts a run of its own.
    A *block* ends where few tensors are live (:func:`dds.parallel.blocks`), and where a run ends.

    Slices into p parts pay for the largest p for which the p-th part still saves more latency
    than it adds work::

        s / (p - 1) - s / p  >=  overhead + thin a sum over v of s_v / R_v

    where
      s_v, s          seconds of operator v, and of the run, on ``cost``
      overhead, thin  of ``cost``: what a slice takes beyond its share (:class:`Worker`)
      R_v, a          rows or channels of v's output; the least slice: 1 row, or 16 channels

    so ``p (p - 1) <= s / (right-hand side)``, and no more parts than there are rows or packs of
    channels.  Time to send anything is not in it: where links are slow, fewer parts pay.

    Raises InvalidInput for what ``cost`` times wrongly, and for what is no graph or worker.

    >>> from dds import Worker, load_model
    >>> from dds.costs import Device
    >>> from dds.model import zoo
    >>> graph = load_model(zoo.topology("alexnet"))
    >>> board = Worker(Device("board", 8e9, 4e9, 0.0), overhead=2e-5, thin=0.5)
    >>> found = refine(graph, board)
    >>> len(graph.operators), len(found.runs), len(found.blocks)
    (24, 15, 15)
    >>> [(run.rows, run.channels) for run in found.runs if len(run.operators) > 1]
    [(10, 3), (7, 6), (5, 7), (5, 7), (5, 6), (1, 20), (1, 18)]
    """
    check_graph(graph)
    check_worker("cost", cost)
    seconds = operator_times(graph, cost.timing)
    runs = fused_runs(graph)
    ends = {run.stop for run in runs}
    stops = [0, *(block.stop for block in blocks(graph) if block.stop in ends)]
    coarse = tuple(range(low, high) for low, high in pairwise(stops))
    found, block = [], 0
    for operators in runs:
        block += operators.start >= coarse[block].stop
        rows, channels = (
            _parts(graph, operators, kind, seconds.tolist(), cost) for kind in _SLICED
        )
        found.append(Run(operators, block, rows, channels))
    return Granularity(coarse, tuple(found))


def _parts(
    graph: ModelGraph, operators: range, kind: Kind, seconds: list[float], cost: Worker
) -> int:
    """The number of slices that pays."""
    if not sliceable(graph, operators, kind):
        return 1
    axis, least = (2 if kind == "rows" else 1), ALIGNMENT[kind]
    added, whole = cost.overhead, 0.0
    for v in operators:
        shape = graph.tensors[graph.operators[v].outputs[0]].shape
        added += cost.thin * least * seconds[v] / shape[axis]
        whole += seconds[v]
    most = -(-extent(graph, operators, kind) // least)
    if added * most * (most - 1) <= whole:
        return most if whole > 0.0 else 1
    return int((1.0 + math.sqrt(1.0 + 4.0 * whole / added)) / 2.0)


@once_per_graph
def fused_runs(graph: ModelGraph) -> tuple[range, ...]:
    """The runs of :func:`refine`, in topological order.

    >>> from dds.model import load_model, zoo
    >>> len(fused_runs(load_model(zoo.topology("resnet50"))))
    57
    """
    returned = set(graph.outputs)
    runs, first = [], 0
    while first < len(graph.operators):
        stop = first + 1
        open_tensors = set(graph.operators[first].outputs)
        kinds = _kinds(graph, first)
        for v in range(first + 1, len(graph.operators)):
            if not kinds or not _follows(graph, range(first, v), graph.operators[v]):
                break
            if not all(sliceable(graph, range(v, v + 1), kind) for kind in kinds):
                break
            open_tensors |= set(graph.operators[v].outputs)
            open_tensors = {
                t for t in open_tensors
                if t in returned or not graph.consumers[t] or graph.consumers[t][-1] > v
            }  # fmt: skip
            if open_tensors == set(graph.operators[v].outputs):
                stop = v + 1
        runs.append(range(first, stop))
        first = stop
    return tuple(runs)


def _kinds(graph: ModelGraph, v: int) -> list[Kind]:
    """In which ways an operator can be sliced."""
    if len(graph.operators[v].outputs) != 1:
        return []
    return [kind for kind in _SLICED if sliceable(graph, range(v, v + 1), kind)]


def _follows(graph: ModelGraph, run: range, operator: Operator) -> bool:
    """Whether an operator reads a run and only adds to it what runtimes fuse."""
    if operator.macs or len(operator.outputs) != 1 or len(operator.reach) < 2:
        return False
    inner = [i for i, t in enumerate(operator.inputs) if graph.producer[t] in run]
    rows = operator.reach[2] if len(operator.reach) > 2 else ()
    return (
        bool(inner)
        and bool(operator.reach[1])
        and all(operator.reach[1][i] == Reach(1) for i in inner)
        and all(rows[i].axis == 2 and rows[i].step == rows[i].extent for i in inner if rows)
    )
