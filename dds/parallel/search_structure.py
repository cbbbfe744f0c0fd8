"""What a search knows of a graph alone: its units, what they read, and the borders of slices.

A *unit* is what the search moves about: a run of :func:`dds.parallel.granularity.fused_runs`, or
one operator.  Units count from 1, between a *source* 0, which makes the model's inputs, and a
*sink* n + 1, which reads its outputs.

Of a slice [low, high) of a unit, the low end of whatever it reads and computes depends on low
alone, and the high end on high alone.  So one table per border says all about every slice
(:class:`Structure`): a border is a row, or every 16th channel.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dds.costs.once import once_per_graph
from dds.model.graph import ModelGraph, Reach
from dds.parallel.granularity import fused_runs
from dds.parallel.tiles import ALIGNMENT, Kind, extent, sliceable

__all__ = ["KINDS", "Structure", "structure_of"]

#: Kinds of slices; the number of one is the axis that it slices.
KINDS: tuple[Kind, ...] = ("whole", "channels", "rows")
#: Tensors are followed along their first axes only.
_MOST_AXES = 4
_ALL = Reach(-1)


class Structure(NamedTuple):
    """Arrays over units, edges (what a unit reads from outside), tensors, and borders.

    Of a unit and axis that cannot be sliced, extent is 0.  The borders of unit v along axis a are
    places ``at[v, a - 1] ..`` of arrays over borders, those of an edge ``edge_at[e, a - 1] ..`` of
    edge_low and edge_high.
    """

    units: tuple[range, ...]
    start: NDArray[np.int64]  # (units + 1,) of each unit's edges
    reads: NDArray[np.int64]  # (edges,) tensor
    producer: NDArray[np.int64]  # (tensors,) unit
    until: NDArray[np.int64]  # (units,) the last unit that reads what this one makes
    size: NDArray[np.float64]  # (tensors,) bytes
    dims: NDArray[np.int64]  # (tensors, 4) indices along each axis
    extent: NDArray[np.int64]  # (units, 2) indices along channels and rows
    at: NDArray[np.int64]  # (units, 2)
    edge_axis: NDArray[np.int8]  # (edges, 2) axis of the input that is sliced, -1: all is read
    edge_at: NDArray[np.int64]  # (edges, 2)
    edge_low: NDArray[np.int32]  # first index that a slice from this border on reads
    edge_high: NDArray[np.int32]  # first index that a slice up to this border does not read
    part: NDArray[np.int64]  # (parts,) operator; a part is an operator at a border of its unit
    border: NDArray[np.int64]  # (parts,)
    low: NDArray[np.float64]  # (parts,) share of the operator in front of a slice from there on
    high: NDArray[np.float64]  # (parts,) share up to the end of a slice up to there
    unit: NDArray[np.int64]  # (operators,)
    height: NDArray[np.float64]  # (operators, 2) indices of its output along channels and rows


@once_per_graph
def _of_runs(graph: ModelGraph) -> Structure:
    return _structure(graph, fused_runs(graph))


@once_per_graph
def _of_operators(graph: ModelGraph) -> Structure:
    return _structure(graph, tuple(range(v, v + 1) for v in range(len(graph.operators))))


def structure_of(graph: ModelGraph, *, fused: bool) -> Structure:
    """The structure of a graph; fused: by runs instead of by operators."""
    return _of_runs(graph) if fused else _of_operators(graph)


class _Borders:
    """Arrays that grow unit by unit."""

    def __init__(self) -> None:
        self.count, self.edge_count = 0, 0
        self.edge_low: list[NDArray[np.int64]] = []
        self.edge_high: list[NDArray[np.int64]] = []
        self.parts: list[tuple[int, NDArray[np.int64], NDArray[Any], NDArray[Any]]] = []


def _structure(graph: ModelGraph, units: tuple[range, ...]) -> Structure:
    borders = _Borders()
    unit_of = np.zeros(len(graph.operators) + 1, np.int64)  # the last one for inputs: the source
    starts, reads, extents, at = [0, 0], list[int](), [[0, 0]], [[0, 0]]
    edge_axis, edge_at = list[list[int]](), list[list[int]]()
    for number, unit in enumerate(units, 1):
        unit_of[unit.start : unit.stop] = number
        edges = _edges(graph, unit)
        axes, places = np.full((len(edges), 2), -1), np.zeros((len(edges), 2), np.int64)
        sizes, first = [0, 0], [borders.count, borders.count]
        for a, kind in enumerate(KINDS[1:]):
            first[a] = borders.count
            found = _slices(graph, unit, kind)
            if found:
                sizes[a] = extent(graph, unit, kind)
                _append(graph, borders, unit, a, found, (axes, places))
        extents.append(sizes)
        at.append(first)
        reads += [graph.operators[v].inputs[i] for v, i in edges]
        edge_axis += axes.tolist()
        edge_at += places.tolist()
        starts.append(len(reads))
    returned = sorted(set(graph.outputs))
    reads += returned
    starts.append(len(reads))
    nothing = [[-1, -1]] * len(returned)
    producer = unit_of[_ints(graph.producer)]
    until = np.zeros(len(units) + 2, np.int64)
    for v, (low, high) in enumerate(pairwise(starts)):
        until[producer[reads[low:high]]] = v
    dims = [_dims(graph, t) for t in range(len(graph.tensors))]
    part = [np.full(len(where), v) for v, where, _, _ in borders.parts]
    return Structure(
        units, _ints(starts), _ints(reads), producer, until,
        np.array([float(tensor.bytes) for tensor in graph.tensors]),
        _ints(dims).reshape(-1, _MOST_AXES), _ints([*extents, [0, 0]]), _ints([*at, [0, 0]]),
        np.array([*edge_axis, *nothing], np.int8).reshape(-1, 2),
        _ints([*edge_at, *([[0, 0]] * len(returned))]).reshape(-1, 2),
        _joined(borders.edge_low, np.int32), _joined(borders.edge_high, np.int32),
        _joined(part, np.int64), _joined([where for _, where, _, _ in borders.parts], np.int64),
        _joined([low for _, _, low, _ in borders.parts], np.float64),
        _joined([high for _, _, _, high in borders.parts], np.float64), unit_of[:-1],
        np.array([_dims(graph, o.outputs[0])[1:3] if o.outputs else [1, 1]
                  for o in graph.operators], np.float64).reshape(-1, 2),
    )  # fmt: skip


def _dims(graph: ModelGraph, t: int) -> list[int]:
    shape = graph.tensors[t].shape[:_MOST_AXES]
    return [*shape, *[1] * (_MOST_AXES - len(shape))]


def _edges(graph: ModelGraph, unit: range) -> list[tuple[int, int]]:
    """(operator, input slot) of what a unit reads from outside."""
    return [
        (v, i)
        for v in unit
        for i, t in enumerate(graph.operators[v].inputs)
        if graph.producer[t] not in unit
    ]


#: Per tensor, or per edge, the axis and the two ends of what slices at every border have of it.
_Ends = tuple[int, NDArray[np.int64], NDArray[np.int64]]


def _slices(
    graph: ModelGraph, unit: range, kind: Kind
) -> tuple[dict[int, _Ends], list[_Ends]] | None:
    """(per operator what slices compute of it, per edge what they read); None: not sliced."""
    axis = KINDS.index(kind)
    if len(graph.operators[unit[-1]].outputs) != 1 or not sliceable(graph, unit, kind):
        return None
    size = extent(graph, unit, kind)
    border = np.minimum(np.arange(-(-size // ALIGNMENT[kind]) + 1) * ALIGNMENT[kind], size)
    inner: dict[int, _Ends] = {graph.operators[unit[-1]].outputs[0]: (axis, border, border)}
    made: dict[int, _Ends] = {}
    edges: list[_Ends] = []
    for v in reversed(unit):
        operator = graph.operators[v]
        (t,) = operator.outputs
        _, low, high = made[v] = inner[t]
        ways = operator.reach[axis]
        per = max((way.per for way in ways), default=1)
        # Only whole groups of channels: else what a slice computes depends on both its ends.
        if (low % per).any() or ((high % per != 0) & (high < graph.tensors[t].shape[axis])).any():
            return None
        read: list[_Ends] = []
        for i, way in enumerate(ways):
            source = operator.inputs[i]
            outside = graph.producer[source] not in unit
            if way.axis < 0 or way.axis >= _MOST_AXES:
                if not outside:
                    return None
                read.append((-1, low, high))
                continue
            most = graph.tensors[source].shape[way.axis]
            first = np.clip(low // way.per * way.step - way.before, 0, most)
            last = np.clip((high - 1) // way.per * way.step - way.before + way.extent, 0, most)
            if outside:
                read.append((way.axis, first, last))
            elif source in inner:
                _, a, b = inner[source]
                inner[source] = axis, np.minimum(a, first), np.maximum(b, last)
            else:
                inner[source] = axis, first, last
        edges[:0] = read
    return made, edges


def _append(
    graph: ModelGraph, borders: _Borders, unit: range, a: int,
    found: tuple[dict[int, _Ends], list[_Ends]], edges: tuple[Any, Any],
) -> None:  # fmt: skip
    """Add the borders of a unit along an axis."""
    made, read = found
    axes, places = edges
    count = len(made[unit[0]][1])
    for e, (axis, low, high) in enumerate(read):
        axes[e, a] = axis
        if axis >= 0:
            places[e, a] = borders.edge_count
            borders.edge_low.append(low)
            borders.edge_high.append(high)
            borders.edge_count += count
    where = np.arange(borders.count, borders.count + count)
    for v in unit:
        _, low, high = made[v]
        size = graph.tensors[graph.operators[v].outputs[0]].shape[a + 1]
        borders.parts.append((v, where, low / size, high / size))
    borders.count += count


def _joined(arrays: list[Any], dtype: Any) -> NDArray[Any]:
    return np.concatenate(arrays).astype(dtype) if arrays else np.zeros(0, dtype)


def _ints(numbers: Any) -> NDArray[np.int64]:
    return np.array(numbers, np.int64)
