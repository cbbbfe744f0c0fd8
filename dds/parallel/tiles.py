"""Tiles: slices of runs of operators, what they read and what they cost.

Operators stand in topological order, so a run of them is a ``range``.  A *tile* computes an
interval of the rows (axis 2 of an NCHW tensor) or of the channels (axis 1; the columns of a
matrix) of a run's outputs, and of everything before them inside the run what that takes.
Rows near a boundary are computed by both neighbours (the halo), and so are channels in front
of a convolution that reads them all.  Everything here is interval arithmetic on
:class:`~dds.model.graph.Reach`: which operator does what is settled when a model is loaded.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Literal, NamedTuple

from dds.costs.once import once_per_graph
from dds.errors import InvalidInput
from dds.model.graph import ModelGraph

__all__ = [
    "ALIGNMENT", "WHOLE", "Kind", "Layout", "Region", "Tile", "TileWork", "blocks", "bounds",
    "extent", "holds", "region_bytes", "region_shape", "run_inputs", "run_outputs", "sliceable",
    "tile_inputs", "tile_outputs", "tile_regions", "tile_shares", "tile_work", "why_not",
]  # fmt: skip

Kind = Literal["whole", "rows", "channels"]
_AXIS: dict[Kind, int] = {"channels": 1, "rows": 2}
#: Runtimes keep channels in packs of 8 or 16; a slice of anything else wastes a part of one.
ALIGNMENT: dict[Kind, int] = {"whole": 1, "rows": 1, "channels": 16}
_MOST_LIVE = 3


class Region(NamedTuple):
    """Indices [low, high) of one axis of a tensor; all of it if axis is -1."""

    axis: int
    low: int
    high: int


#: All of a tensor.
WHOLE = Region(-1, 0, 0)


def holds(outer: Region, region: Region) -> bool:
    """Whether a region of a tensor lies in another one of it.

    >>> holds(WHOLE, Region(2, 0, 4)), holds(Region(2, 0, 4), Region(2, 3, 5))
    (True, False)
    """
    if outer.axis < 0:
        return True
    return outer.axis == region.axis and outer.low <= region.low and region.high <= outer.high


def region_shape(shape: tuple[int, ...], region: Region) -> tuple[int, ...]:
    """The shape of a region of a tensor.

    >>> region_shape((1, 3, 8, 8), Region(2, 3, 5))
    (1, 3, 2, 8)
    """
    if region.axis < 0:
        return shape
    return (*shape[: region.axis], region.high - region.low, *shape[region.axis + 1 :])


@dataclass(frozen=True)
class Layout:
    """How a tensor lies on k workers.

    kind: whole (on one worker), rows or channels; bounds: k + 1 ascending numbers, worker k
    has [bounds[k], bounds[k + 1]); () for whole.
    """

    kind: Kind
    bounds: tuple[int, ...] = ()


@dataclass(frozen=True)
class Tile:
    """Indices [low, high) of the rows or channels of what ``operators`` compute.

    operators: a run in topological order, ``range(first, stop)``; of a whole run low is 0
    and high its extent, or any number: both are ignored.
    """

    operators: range
    kind: Kind = "whole"
    low: int = 0
    high: int = 0


class TileWork(NamedTuple):
    """flops: floating point operations; bytes: of tensors and weights read and written."""

    flops: float
    bytes: int


@once_per_graph
def blocks(graph: ModelGraph) -> tuple[range, ...]:
    """The finest runs between positions where a layout can change, in topological order.

    A position lies before or behind an operator.  It ends a block if at most three tensors
    that something before it (or the caller) made are read behind it, all of as many rows.
    Articulations alone would leave models such as NASNet, whose every cell also reads the
    cell before the last, almost in one piece.

    >>> from dds.model import load_model, zoo
    >>> graph = load_model(zoo.topology("shufflenet"))
    >>> len(blocks(graph)), len(graph.operators)
    (159, 203)
    """
    last = [max(readers, default=-1) for readers in graph.consumers]
    live = {t for t in graph.inputs if last[t] >= 0}
    starts = [0]
    for v, operator in enumerate(graph.operators):
        live = {t for t in live.union(operator.outputs) if last[t] > v}
        if v + 1 == len(graph.operators) or _one_layout(graph, live):
            starts.append(v + 1)
    return tuple(range(low, high) for low, high in pairwise(starts))


def _one_layout(graph: ModelGraph, live: Iterable[int]) -> bool:
    shapes = [graph.tensors[t].shape for t in live]
    rows = {shape[2] if len(shape) > 2 else 1 for shape in shapes}
    return (
        len(shapes) <= _MOST_LIVE and len(rows) <= 1 and not any(_shuffled(graph, t) for t in live)
    )


def _shuffled(graph: ModelGraph, t: int) -> bool:
    """Whether a tensor is a step of a channel shuffle, whose axis 2 are no rows."""
    v = graph.producer[t]
    reshaped = v >= 0 and graph.operators[v].kind in ("Reshape", "Transpose")
    return reshaped and len(graph.tensors[t].shape) > 4


def bounds(extent: int, speeds: Sequence[float], kind: Kind = "rows") -> tuple[int, ...]:
    """Bounds that give every worker a part of ``extent`` in proportion to its speed.

    Channels come in multiples of 16.  A worker much slower than the others may get nothing.

    Raises InvalidInput unless every speed is finite and >= 0, and one is positive.

    >>> bounds(14, [1, 1, 2])
    (0, 4, 7, 14)
    >>> bounds(64, [1, 2], "channels")
    (0, 16, 64)
    """
    total = math.fsum(speeds)
    if not (0.0 < total < math.inf) or min(speeds) < 0.0:
        raise InvalidInput(f"speeds: {list(speeds)}; need numbers >= 0, one of them positive")
    align = ALIGNMENT[kind]
    steps = (min(extent, align * round(extent * s / total / align)) for s in accumulate(speeds))
    return (0, *list(steps)[:-1], extent)


def run_inputs(graph: ModelGraph, operators: range) -> tuple[int, ...]:
    """The tensors that a run reads and does not make, ascending."""
    made = {t for v in operators for t in graph.operators[v].outputs}
    reads = {t for v in operators for t in graph.operators[v].inputs}
    return tuple(sorted(reads - made))


def run_outputs(graph: ModelGraph, operators: range) -> tuple[int, ...]:
    """The tensors that a run makes and others read or the model returns, ascending."""
    returned = set(graph.outputs)
    return tuple(
        t
        for v in operators
        for t in graph.operators[v].outputs
        if t in returned or any(reader >= operators.stop for reader in graph.consumers[t])
    )


def why_not(graph: ModelGraph, operators: range, kind: Kind) -> str:
    """Why a run cannot be sliced so, in one line that names the operator; "" if it can."""
    try:
        _axes(graph, operators, kind)
    except InvalidInput as error:
        return str(error)
    return ""


def sliceable(graph: ModelGraph, operators: range, kind: Kind) -> bool:
    """Whether a run has tiles of this kind, two at least."""
    return not why_not(graph, operators, kind)


def extent(graph: ModelGraph, operators: range, kind: Kind) -> int:
    """How many rows or channels the run's outputs have, every one as many; 1 for whole.

    Raises InvalidInput when they differ, or there is nothing to slice.
    """
    if kind == "whole":
        return 1
    axis = _AXIS[kind]
    sizes = set()
    for t in run_outputs(graph, operators):
        shape = graph.tensors[t].shape
        sizes.add(shape[axis] if len(shape) > axis and not _shuffled(graph, t) else 1)
    if len(sizes) != 1 or (size := sizes.pop()) < 2:
        raise InvalidInput(f"{_place(graph, operators)} has no common number of {kind} to slice")
    return size


def tile_regions(graph: ModelGraph, tile: Tile) -> dict[int, Region]:
    """What a tile reads of every tensor from outside and makes of every tensor inside it.

    Tensors of which it needs nothing are missing.  Where operators need different parts of
    a tensor, the smallest interval that holds them all is made.

    Raises InvalidInput where :func:`why_not` says so, and for an interval that is empty or
    not within the extent.
    """
    operators, kind = tile.operators, tile.kind
    if kind == "whole":
        tensors = (*run_inputs(graph, operators), *_made(graph, operators))
        return dict.fromkeys(tensors, WHOLE)
    size = extent(graph, operators, kind)
    if not 0 <= tile.low < tile.high <= size:
        raise InvalidInput(
            f"{_place(graph, operators)}: {kind} [{tile.low}, {tile.high}) are not in [0, {size})"
        )
    axes = _axes(graph, operators, kind)
    region = Region(_AXIS[kind], tile.low, tile.high)
    regions = {t: region if axes[t] >= 0 else WHOLE for t in run_outputs(graph, operators)}
    for v in reversed(operators):
        operator = graph.operators[v]
        wanted = [regions[t] for t in operator.outputs if t in regions]
        if not wanted:
            continue
        if WHOLE in wanted:
            regions.update(dict.fromkeys((*operator.outputs, *operator.inputs), WHOLE))
            continue
        (made,) = operator.outputs
        reach = operator.reach[wanted[0].axis]
        region = _whole_groups(wanted[0], max((way.per for way in reach), default=1))
        regions[made] = region
        for t, way in zip(operator.inputs, reach, strict=True):
            if axes[t] < 0:
                regions[t] = WHOLE
                continue
            low, high = way.span(region.low, region.high)
            low, high = max(low, 0), min(high, graph.tensors[t].shape[way.axis])
            if low < high:
                before = regions.get(t, Region(way.axis, low, high))
                regions[t] = Region(way.axis, min(low, before.low), max(high, before.high))
    return regions


def tile_inputs(
    graph: ModelGraph, operators: range, kind: Kind, low: int = 0, high: int = 0
) -> dict[int, Region]:
    """What a tile reads of each tensor from outside its run, halo included.

    A tensor is missing where the tile needs none of it.  A region that turns out to be all of
    a tensor is WHOLE.  Raises InvalidInput like :func:`tile_regions`.
    """
    regions = tile_regions(graph, Tile(operators, kind, low, high))
    return {t: _plain(graph, t, regions[t]) for t in run_inputs(graph, operators) if t in regions}


def tile_outputs(
    graph: ModelGraph, operators: range, kind: Kind, low: int = 0, high: int = 0
) -> dict[int, Region]:
    """The region of each of the run's outputs that the tile hands on."""
    region = WHOLE if kind == "whole" else Region(_AXIS[kind], low, high)
    return {t: _plain(graph, t, region) for t in run_outputs(graph, operators)}


def tile_shares(
    graph: ModelGraph, operators: range, kind: Kind, low: int = 0, high: int = 0
) -> dict[int, float]:
    """Per operator of the run the share of its work that falls to the tile, overlap included.

    Over the tiles of a layout the shares of an operator add up to 1, or more by the overlap.
    Raises InvalidInput like :func:`tile_regions`.
    """
    regions = tile_regions(graph, Tile(operators, kind, low, high))
    return {
        v: max((_share(graph, t, regions[t]) for t in graph.operators[v].outputs if t in regions),
               default=0.0)
        for v in operators
    }  # fmt: skip


def tile_work(
    graph: ModelGraph, operators: range, kind: Kind, low: int = 0, high: int = 0
) -> TileWork:
    """FLOPs of a tile, and bytes its operators read and write, overlap included.

    A slice of channels reads its share of the weights, any other tile all of them.
    Raises InvalidInput like :func:`tile_regions`.
    """
    regions = tile_regions(graph, Tile(operators, kind, low, high))
    flops, moved = 0.0, 0
    for v in operators:
        operator = graph.operators[v]
        shares = [_share(graph, t, regions[t]) for t in operator.outputs if t in regions]
        if shares or not operator.outputs:
            share = max(shares, default=1.0)
            flops += share * operator.flops
            moved += round(operator.weight_bytes * (share if kind == "channels" else 1.0))
            touched = (*operator.inputs, *operator.outputs)
            moved += sum(region_bytes(graph, t, regions[t]) for t in touched if t in regions)
    return TileWork(flops, moved)


def region_bytes(graph: ModelGraph, t: int, region: Region) -> int:
    """Bytes of a region of tensor t."""
    tensor = graph.tensors[t]
    if region.axis < 0 or not tensor.bytes:
        return tensor.bytes
    return tensor.bytes * (region.high - region.low) // tensor.shape[region.axis]


def _share(graph: ModelGraph, t: int, region: Region) -> float:
    if region.axis < 0:
        return 1.0
    return (region.high - region.low) / graph.tensors[t].shape[region.axis]


def _plain(graph: ModelGraph, t: int, region: Region) -> Region:
    whole = region.axis >= 0 and region[1:] == (0, graph.tensors[t].shape[region.axis])
    return WHOLE if whole else region


def _whole_groups(region: Region, per: int) -> Region:
    """An interval within one group of channels, or else extended to whole groups."""
    first, last = region.low // per, (region.high - 1) // per
    if first == last:
        return region
    return Region(region.axis, first * per, (last + 1) * per)


def _made(graph: ModelGraph, operators: range) -> list[int]:
    return [t for v in operators for t in graph.operators[v].outputs]


def _axes(graph: ModelGraph, operators: range, kind: Kind) -> dict[int, int]:
    """Per tensor of a run the axis it is sliced along, -1 where it is needed whole.

    This depends on no interval, so all tiles of a layout slice the same tensors.
    Raises InvalidInput, naming the operator, where one cannot be sliced as its readers need.
    """
    if kind == "whole":
        return dict.fromkeys((*run_inputs(graph, operators), *_made(graph, operators)), -1)
    extent(graph, operators, kind)
    axes = dict.fromkeys(run_outputs(graph, operators), _AXIS[kind])
    for v in reversed(operators):
        operator = graph.operators[v]
        wanted = {axes[t] for t in operator.outputs if t in axes}
        if not wanted:
            continue
        axis = wanted.pop() if len(wanted) == 1 else -1
        reach = operator.reach[axis] if 0 <= axis < len(operator.reach) else ()
        if axis >= 0 and not reach:
            raise InvalidInput(
                f"{operator.name!r} ({operator.kind}) cannot be sliced along axis {axis}; keep "
                f"{_place(graph, operators)} whole"
            )
        ways = [way.axis for way in reach] if reach else [-1] * len(operator.inputs)
        for t, own in zip(operator.inputs, ways, strict=True):
            axes[t] = own if axes.get(t, own) == own else -1
    return axes


def _place(graph: ModelGraph, operators: range) -> str:
    first, last = graph.operators[operators[0]].name, graph.operators[operators[-1]].name
    return repr(first) if len(operators) == 1 else f"the run {first!r} to {last!r}"
