"""A graph, its workers and their links as the flat arrays that the search runs on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dds.model.graph import ModelGraph
from dds.parallel.search_layouts import ALIGN, layouts, sums
from dds.parallel.search_structure import structure_of
from dds.parallel.workers import Worker, WorkerLinks, seconds_of

__all__ = ["ALL", "NONE", "Plan", "Scratch", "Tables", "plan_of", "tables_of"]

#: No part of a tensor; all of it; else the axis of an interval.  Kernels compile these in, and
#: numba's cache on disk does not notice if they change here.
NONE, ALL = -2, -1
#: Ends of the slices in the last axis of cut.
_LOW, _HIGH = slice(None, -1), slice(1, None)


class Plan(NamedTuple):
    """What runs where, and in which order; source and sink included.

    kind: of each unit, index into KINDS; cut: worker k has indices [cut[k], cut[k + 1]) of what it
    makes, of a whole one [0, 1) or nothing; joined: 1 where a unit is in one run with the one
    before it, halos recomputed; order: of all units, topological.
    """

    kind: NDArray[np.int64]  # (units,)
    cut: NDArray[np.int64]  # (units, workers + 1)
    joined: NDArray[np.int64]  # (units,)
    order: NDArray[np.int64]  # (units,)

    def copy(self) -> Plan:
        """The same in arrays of its own."""
        return Plan(*(array.copy() for array in self))


class Tables(NamedTuple):
    """All that the search knows; units, edges and borders are those of Structure.

    A *layout* is a kind, and how the workers share a unit.  Layout k < workers is "whole on worker
    k"; then come rows and channels shared by everybody in proportion to speed, then by every group
    so that all end together.  cost is -1 where a layout gives a worker nothing; need_axis: NONE,
    ALL or an axis.
    """

    kinds: NDArray[np.int64]  # (layouts,) index into KINDS
    valid: NDArray[np.bool_]  # (units, layouts)
    cut: NDArray[np.int64]  # (units, layouts, workers + 1) as in Plan
    cost: NDArray[np.float64]  # (units, layouts, workers) s
    need_axis: NDArray[np.int8]  # (edges, layouts, workers)
    need: NDArray[np.int32]  # (edges, layouts, workers, 2)
    start: NDArray[np.int64]
    reads: NDArray[np.int64]
    producer: NDArray[np.int64]
    until: NDArray[np.int64]
    size: NDArray[np.float64]
    dims: NDArray[np.int64]
    extent: NDArray[np.int64]
    at: NDArray[np.int64]
    edge_axis: NDArray[np.int8]
    edge_at: NDArray[np.int64]
    edge_low: NDArray[np.int32]
    edge_high: NDArray[np.int32]
    align: NDArray[np.int64]  # (kinds,) indices from one border to the next
    whole: NDArray[np.float64]  # (units, workers) s
    before: NDArray[np.float64]  # (borders, workers) s of what a slice from there on leaves out
    until_there: NDArray[np.float64]  # (borders, workers) s up to the end of a slice up to there
    thin: NDArray[np.float64]  # (units, 2, workers) s that a slice takes beyond its share
    overhead: NDArray[np.float64]  # (workers,) s, of a run in slices
    rates: NDArray[np.float64]  # (workers, workers) bytes/s
    message: float
    shared: bool

    @property
    def workers(self) -> int:
        """How many there are."""
        return len(self.rates)

    @property
    def units(self) -> int:
        """How many units there are, source and sink included."""
        return len(self.valid)


class Scratch(NamedTuple):
    """Room for one timeline."""

    begin: NDArray[np.float64]  # (units, workers) s, of the run that starts with the unit
    finish: NDArray[np.float64]  # -1 where a worker makes nothing of it
    made: NDArray[np.int64]  # (units, workers, 2) what a worker computes of a unit
    lasts: NDArray[np.float64]  # (units, workers) s of that
    wanted: NDArray[np.bool_]  # (edges, workers) whether it reads anything from outside its run
    free: NDArray[np.float64]  # (workers,) s from which on a worker is free
    left: NDArray[np.float64]  # (workers,) s of what it has left to do, overheads aside
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
            np.zeros((tables.units, workers)),
            np.zeros((tables.units, workers)),
            np.zeros((tables.units, workers, 2), np.int64),
            np.zeros((tables.units, workers)),
            np.zeros((len(tables.reads), workers), np.bool_),
            np.zeros(workers),
            np.zeros(workers),
            np.zeros((tensors, workers, 3), np.int64),
            np.zeros((tensors, workers)),
            np.zeros((1 if tables.shared else 2 * workers, most + 1, 2)),
            np.zeros(1 if tables.shared else 2 * workers, np.int64),
        )


def tables_of(
    graph: ModelGraph,
    workers: Sequence[Worker],
    links: WorkerLinks,
    *,
    slices: bool,
    fused: bool,
) -> Tables:
    """The tables of a question; fused: units are runs, else operators.

    Raises InvalidInput for what workers and links refuse.
    """
    structure = structure_of(graph, fused=fused)
    seconds = seconds_of(graph, workers)
    units = len(structure.extent)
    overhead = np.array([worker.overhead for worker in workers], np.float64)
    thin = np.array([worker.thin for worker in workers], np.float64)
    whole = sums(structure.unit, seconds, units)
    thinner = np.stack(
        [sums(structure.unit, seconds / structure.height[:, a : a + 1], units)
         * (thin * ALIGN[a + 1]) for a in (0, 1)],
        axis=1,
    )  # fmt: skip
    parts = seconds[structure.part]
    borders = int(structure.border.max(initial=-1)) + 1
    before = sums(structure.border, parts * structure.low[:, None], borders)
    until_there = sums(structure.border, parts * structure.high[:, None], borders)
    kinds, cut = layouts(structure, whole, overhead, thin, slices=slices)
    shape = (units, len(kinds), len(workers))
    edges = (len(structure.reads), *shape[1:])
    tables = Tables(
        kinds, np.zeros(shape[:2], np.bool_), cut, np.full(shape, -1.0),
        np.full(edges, NONE, np.int8), np.zeros((*edges, 2), np.int32), *structure[1:13], ALIGN,
        whole, before, until_there, thinner, overhead, links.rates(len(workers)),
        float(links.message), links.shared,
    )  # fmt: skip
    _fill(tables)
    return tables


def plan_of(tables: Tables, layout: NDArray[np.int64], order: NDArray[np.int64]) -> Plan:
    """The plan that gives every unit a layout."""
    units = np.arange(tables.units)
    return Plan(tables.kinds[layout], tables.cut[units, layout], np.zeros_like(layout), order)


def _fill(tables: Tables) -> None:
    """What every layout costs and reads."""
    unit = np.repeat(np.arange(tables.units), np.diff(tables.start))  # of each edge
    there = tables.cut[:, :, 1:] > tables.cut[:, :, :-1]
    tables.cost[:, : tables.workers] = np.where(
        there[:, : tables.workers], tables.whole[:, None], -1.0
    )
    tables.need_axis[:, : tables.workers] = np.where(there[unit, : tables.workers], ALL, NONE)
    for kind in (1, 2):
        lays = np.flatnonzero(tables.kinds == kind)
        step = tables.align[kind]
        low, high = (-(-tables.cut[:, lays, side] // step) for side in (_LOW, _HIGH))
        some = there[:, lays] & (there[:, lays].sum(axis=2) > 1)[:, :, None]
        v, lay, k = np.nonzero(some)
        base = tables.at[v, kind - 1]
        takes = tables.until_there[base + high[v, lay, k], k]
        takes = np.maximum(takes - tables.before[base + low[v, lay, k], k], 0.0)
        takes += tables.thin[v, kind - 1, k] + tables.overhead[k]
        tables.cost[v, lays[lay], k] = np.where(tables.whole[v, k] > 0.0, takes, 0.0)
        e, lay, k = np.nonzero(some[unit])
        tables.need_axis[e, lays[lay], k] = ALL
        follows = tables.edge_axis[e, kind - 1] >= 0
        e, lay, k = e[follows], lay[follows], k[follows]
        base = tables.edge_at[e, kind - 1]
        first = tables.edge_low[base + low[unit[e], lay, k]]
        stop = tables.edge_high[base + high[unit[e], lay, k]]
        axis = np.where(first < stop, tables.edge_axis[e, kind - 1], NONE)
        tables.need_axis[e, lays[lay], k] = axis
        tables.need[e, lays[lay], k] = np.stack([first, stop], axis=1)
    # The model's inputs are on worker 0, and its outputs wanted there.
    tables.cost[[0, -1], 1:] = -1.0
    tables.valid[:] = tables.cost.max(axis=2) >= 0.0
