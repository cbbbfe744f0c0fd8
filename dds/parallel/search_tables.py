"""A graph, its workers and their links as the flat arrays that the search runs on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dds.costs.once import once_per_graph
from dds.model.graph import ModelGraph
from dds.parallel.tiles import ALIGNMENT, Kind, extent, sliceable
from dds.parallel.workers import Worker, WorkerLinks, seconds_of

__all__ = ["KINDS", "Scratch", "Tables", "tables_of"]

#: Kinds of layouts; the number of a sliced one is the axis that it slices.
KINDS: tuple[Kind, ...] = ("whole", "channels", "rows")
#: Up to so many workers every group of them may share an operator; of more, the fastest few.
_ALL_GROUPS = 4


class Structure(NamedTuple):
    """What depends on the graph alone; operators count from 1, between a source and a sink."""

    start: NDArray[np.int64]  # (operators + 1,) of each operator's edges
    reads: NDArray[np.int64]  # (edges,) tensor
    producer: NDArray[np.int64]  # (tensors,) operator
    size: NDArray[np.float64]  # (tensors,) bytes
    dims: NDArray[np.int64]  # (tensors, 4) indices along each axis
    extent: NDArray[np.int64]  # (operators, 2) indices along channels and rows, 0: not sliceable
    reach: NDArray[np.int64]  # (edges, 2, 5) the Reach of an edge along both
    clip: NDArray[np.int64]  # (edges, 2) indices of the input along the axis it is reached by


class Tables(NamedTuple):
    """All that the search knows.  cost is -1 where a layout gives a worker no tile.

    Layout k < workers is "whole on worker k"; need_axis: -2 for nothing, -1 for all of a tensor.
    """

    kinds: NDArray[np.int64]  # (layouts,) index into KINDS
    shares: NDArray[np.float64]  # (layouts, workers)
    valid: NDArray[np.bool_]  # (operators, layouts)
    start: NDArray[np.int64]
    reads: NDArray[np.int64]
    producer: NDArray[np.int64]
    size: NDArray[np.float64]
    dims: NDArray[np.int64]
    cost: NDArray[np.float64]  # (operators, layouts, workers) s
    own: NDArray[np.int32]  # (operators, layouts, workers, 2)
    need_axis: NDArray[np.int8]  # (edges, layouts, workers)
    need: NDArray[np.int32]  # (edges, layouts, workers, 2)
    rates: NDArray[np.float64]  # (workers, workers) bytes/s
    message: float
    shared: bool

    @property
    def workers(self) -> int:
        """How many there are."""
        return len(self.rates)

    @property
    def operators(self) -> int:
        """How many there are, source and sink included."""
        return len(self.valid)


class Scratch(NamedTuple):
    """Room for one timeline."""

    begin: NDArray[np.float64]  # (operators, workers) s, of tiles that there are
    finish: NDArray[np.float64]  # -1 where there is none
    free: NDArray[np.float64]
    hull: NDArray[np.int64]
    arrival: NDArray[np.float64]
    busy: NDArray[np.float64]
    used: NDArray[np.int64]

    @classmethod
    def of(cls, tables: Tables) -> Scratch:
        """Room for timelines of these tables."""
        workers, tensors = tables.workers, len(tables.size)
        most = tensors * workers * workers if tables.shared else tensors * workers
        return cls(
            np.zeros((tables.operators, workers)),
            np.zeros((tables.operators, workers)),
            np.zeros(workers),
            np.zeros((tensors, workers, 3), np.int64),
            np.zeros((tensors, workers)),
            np.zeros((1 if tables.shared else 2 * workers, most + 1, 2)),
            np.zeros(1 if tables.shared else 2 * workers, np.int64),
        )


def tables_of(
    graph: ModelGraph, workers: Sequence[Worker], links: WorkerLinks, *, slices: bool
) -> Tables:
    """The tables of a question.  Raises InvalidInput for what workers and links refuse."""
    from dds.parallel.search_kernel import fill_tables

    structure = _structure(graph)
    count = len(workers)
    seconds = np.zeros((len(graph.operators) + 2, count))
    seconds[1:-1] = seconds_of(graph, workers)
    layouts = [*_layouts(seconds.sum(axis=0), slices)]
    kinds = np.array([kind for kind, _ in layouts], np.int64)
    shares = np.array([share for _, share in layouts])
    shape = (len(seconds), len(layouts), count)
    edges = (len(structure.reads), len(layouts), count)
    cost, need_axis = np.full(shape, -1.0), np.full(edges, -2, np.int8)
    own, need = np.zeros((*shape, 2), np.int32), np.zeros((*edges, 2), np.int32)
    align = np.array([ALIGNMENT[kind] for kind in KINDS], np.int64)
    fill_tables(
        shares, kinds, align, structure.extent, structure.start, structure.reach, structure.clip,
        seconds, np.array([w.overhead for w in workers], np.float64),
        np.array([w.thin for w in workers], np.float64), cost, own, need_axis, need,
    )  # fmt: skip
    cost[[0, -1], 1:] = -1.0  # the model's inputs are on worker 0, and its outputs wanted there
    return Tables(
        kinds, shares, cost.max(axis=2) >= 0.0, structure.start, structure.reads,
        structure.producer, structure.size, structure.dims, cost, own, need_axis, need,
        links.rates(count), float(links.message), links.shared,
    )  # fmt: skip


def _layouts(seconds: NDArray[np.float64], slices: bool) -> Iterator[tuple[int, list[float]]]:
    """(kind, share of each worker): whole ones first, then groups in proportion to speed."""
    count = len(seconds)
    for k in range(count):
        yield 0, [float(j == k) for j in range(count)]
    if not slices:
        return
    speed = 1.0 / np.maximum(seconds, max(float(seconds.max()) * 1e-9, 1e-300))
    for group in _groups(speed):
        among = [float(speed[k]) if k in group else 0.0 for k in range(count)]
        share = [each / sum(among) for each in among]
        yield 2, share
        yield 1, share


def _groups(speed: NDArray[np.float64]) -> list[tuple[int, ...]]:
    """The groups of workers that may share an operator."""
    count = len(speed)
    if count <= _ALL_GROUPS:
        return [g for size in range(2, count + 1) for g in combinations(range(count), size)]
    fastest = [int(k) for k in np.argsort(-speed, kind="stable")]
    groups = {tuple(sorted(fastest[:size])) for size in range(2, count + 1)}
    groups |= {tuple(sorted({0, *fastest[:size]})) for size in range(1, count)}
    return sorted(group for group in groups if len(group) > 1)


@once_per_graph
def _structure(graph: ModelGraph) -> Structure:
    reads: list[int] = []
    starts = [0, 0]
    reaches: list[list[list[int]]] = []
    clips: list[list[int]] = []
    extents = [[0, 0]]
    for v, operator in enumerate(graph.operators):
        one = range(v, v + 1)
        sizes = [0, 0]
        for axis, kind in enumerate(KINDS[1:], 1):
            if len(operator.outputs) == 1 and sliceable(graph, one, kind):
                sizes[axis - 1] = extent(graph, one, kind)
        extents.append(sizes)
        for i, t in enumerate(operator.inputs):
            ways = [operator.reach[axis][i] if sizes[axis - 1] else None for axis in (1, 2)]
            # Beyond four axes nothing is followed: such an input is read whole.
            ways = [None if way and way.axis > 3 else way for way in ways]
            reaches.append([[*way] if way else [-1, 1, 1, 0, 1] for way in ways])
            shape = graph.tensors[t].shape
            clips.append([shape[way.axis] if way and way.axis >= 0 else 0 for way in ways])
        reads += operator.inputs
        starts.append(len(reads))
    returned = sorted(set(graph.outputs))
    reads += returned
    reaches += [[[-1, 1, 1, 0, 1]] * 2] * len(returned)
    clips += [[0, 0]] * len(returned)
    starts.append(len(reads))
    dims = [[*t.shape[:4], *[1] * (4 - len(t.shape[:4]))] for t in graph.tensors]
    return Structure(
        _ints(starts), _ints(reads), _ints(graph.producer) + 1,
        np.array([float(tensor.bytes) for tensor in graph.tensors]),
        _ints(dims).reshape(-1, 4), _ints([*extents, [0, 0]]),
        _ints(reaches).reshape(-1, 2, 5), _ints(clips).reshape(-1, 2),
    )  # fmt: skip


def _ints(numbers: Any) -> NDArray[np.int64]:
    return np.array(numbers, np.int64)
