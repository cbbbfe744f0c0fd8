"""What a predictor sees of an operator: numbers that any model graph has, fused or not.

Everything comes from the :class:`~dds.model.graph.ModelGraph` alone, so a model is predicted
without weights and without running it.  Counts enter as ``log2(1 + x)``, because times and errors
are ratios; kinds as how often each occurs among the operators that a runtime runs as one.  Some
things are not of the operator but of the model around it: whether its neighbours keep tensors in
the blocked layout of fast convolutions (a conversion costs as much as a small kernel); how many
bytes were moved since the producers of its inputs began, and how much the operator before computed;
how much was computed and moved since an operator of its kind last ran, in this inference or in the
one before; and, for matrix products, which read their weights once, how many bytes one inference
moves in all.  On these it depends what caches still hold of data and probably, since short
operators take several times as long after much else ran, of code.  The last two are told in steps
of a doubling only, because told exactly they would name the model that was measured, and a network
learn how busy the machine was at that time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from operator import attrgetter
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from dds.costs.once import once_per_graph
from dds.model.graph import ModelGraph

__all__ = ["COLUMNS", "FAMILIES", "WORK", "Features", "features"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
T = TypeVar("T", bound=Hashable)

#: Operators that cost alike; an operator made of several belongs to the first that one is in.
_MEMBERS: dict[str, str] = {
    "convolution": "Conv FusedConv ConvTranspose ConvInteger QLinearConv",
    "product": "Gemm MatMul FusedMatMul MatMulInteger QLinearMatMul Einsum Attention",
    "local_norm": "LRN",
    "pool": "MaxPool AveragePool LpPool GlobalAveragePool GlobalMaxPool GlobalLpPool",
    "reduction": (
        "Softmax LogSoftmax ReduceMean ReduceSum ReduceMax LayerNormalization "
        "InstanceNormalization GroupNormalization RMSNormalization ArgMax TopK"
    ),
    "elementwise": (
        "Relu Clip Sigmoid Tanh LeakyRelu PRelu HardSwish HardSigmoid Elu Selu Softplus Gelu Erf "
        "Exp Log Sqrt Pow Neg Abs Add Sum Mul Sub Div Max Min Mean BatchNormalization"
    ),
    "move": "Concat Split Transpose Slice Pad Gather Cast Expand Tile Resize Upsample",
    "view": "Reshape Flatten Squeeze Unsqueeze Identity Dropout Shape",
}
#: Convolutions by how their channels are grouped come before all others.
FAMILIES: tuple[str, ...] = ("convolution", "grouped", "depthwise", *list(_MEMBERS)[1:], "other")

_FAMILY_OF = {kind: family for family, kinds in _MEMBERS.items() for kind in kinds.split()}
_KINDS: tuple[str, ...] = (
    "Relu", "Clip", "Sigmoid", "Tanh", "LeakyRelu", "HardSwish", "HardSigmoid", "Elu", "Exp", "Erf",
    "Pow", "Sqrt", "Add", "Sum", "Mul", "Sub", "Div", "BatchNormalization", "Softmax",
    "LayerNormalization", "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "Gemm",
    "MatMul", "Concat", "Transpose", "Split", "Slice", "Pad", "Reshape", "Flatten", "Dropout",
)  # fmt: skip

_NUMBERS_OF = attrgetter("flops", "macs", "weight_bytes", "groups")
_WINDOW_OF, _KIND_OF, _SHAPE_OF = (
    attrgetter("kernel", "stride"),
    attrgetter("kind"),
    attrgetter("shape"),
)

#: Columns of :attr:`Features.work`, which a roofline charges: FLOPs and bytes.
WORK: tuple[str, ...] = ("flops", "activation_bytes", "weight_bytes", "reordered_bytes")

_NUMBERS: tuple[str, ...] = (
    "flops", "macs", "bytes_in", "bytes_out", "weight_bytes", "reordered_in", "reordered_out",
    "distance", "flops_before", "intensity", "kernel", "kernel_height", "stride", "groups",
    "channels_in", "channels_out", "points_in", "points_out", "depth", "parts", "inputs",
    "odd_channels_in", "odd_channels_out", "blocked", "cold",
    "flops_since", "bytes_since",
)  # fmt: skip
#: Names of the columns of :attr:`Features.values`.
COLUMNS: tuple[str, ...] = (*_NUMBERS, *(f"kind_{kind}" for kind in _KINDS))

#: Channels that one vector of the blocked layout holds, and who keeps tensors in that layout.
_BLOCK = 8
_BLOCKED_BY_ITSELF = frozenset({"convolution", "grouped", "depthwise", "pool"})
_BLOCKED_AS_GIVEN = frozenset(
    (
        *("Relu", "Clip", "Sigmoid", "Tanh", "LeakyRelu", "HardSigmoid"),
        *("Add", "Sum", "Mul", "BatchNormalization", "Concat"),
    )
)

#: From 2^22 bytes per inference on, caches lose weights from one inference to the next.
_CACHE_BITS = 22.0
#: Between which powers of two work counts, FLOPs and bytes: less leaves caches as they were, more
#: than generated models have says nothing that was learned.
_FEWEST_BITS, _MOST_BITS = np.array((18.0, 14.0)), np.array((33.0, 28.0))


@dataclass(frozen=True)
class Features:
    """Features of a graph's operators.

    values: shape (operators, len(COLUMNS)); family: of each, an index into FAMILIES;
    work: shape (operators, len(WORK)), in FLOPs and bytes.  Do not write to them.
    """

    values: Floats
    family: Ints
    work: Floats

    @classmethod
    def joined(cls, several: Sequence[Features]) -> Features:
        """The operators of several graphs, at least one, one behind another."""
        return cls(
            np.concatenate([each.values for each in several]),
            np.concatenate([each.family for each in several]),
            np.concatenate([each.work for each in several]),
        )


@dataclass(frozen=True)
class _Edges:
    """Tensors that operators read, or make, all in one row, and the operator of each."""

    tensor: Ints
    operator: Ints
    count: int

    @classmethod
    def of(cls, lists: Sequence[tuple[int, ...]]) -> _Edges:
        """From the tensors of each operator."""
        lengths = [len(items) for items in lists]
        tensor = np.fromiter(chain.from_iterable(lists), np.int64, sum(lengths))
        return cls(tensor, np.repeat(np.arange(len(lists)), lengths), len(lists))

    def total(self, per_tensor: Floats) -> Floats:
        """Per operator the sum over its tensors."""
        return self.sum(per_tensor[self.tensor])

    def sum(self, per_edge: Floats) -> Floats:
        """Per operator the sum over its edges."""
        return np.asarray(np.bincount(self.operator, per_edge, minlength=self.count), np.float64)

    def first(self) -> Ints:
        """Per operator the first of its tensors; tensor 0 for one that has none."""
        first = np.zeros(self.count, np.int64)
        first[self.operator[::-1]] = self.tensor[::-1]
        return first


@once_per_graph
def features(graph: ModelGraph) -> Features:
    """Features of every operator of `graph`, computed once per graph."""
    operators = graph.operators
    if not operators:
        return Features(
            np.zeros((0, len(COLUMNS))), np.zeros(0, np.int64), np.zeros((0, len(WORK)))
        )
    size = np.array([tensor.bytes for tensor in graph.tensors], np.float64)
    extents, of_tensor = _per_distinct(map(_SHAPE_OF, graph.tensors), _extent)
    channels, points = extents.T[:, of_tensor]
    reads = _Edges.of([operator.inputs for operator in operators])
    makes = _Edges.of([operator.outputs for operator in operators])
    first_in, first_out = reads.first(), makes.first()
    bytes_in, bytes_out = reads.total(size), makes.total(size)
    numbers = np.fromiter(chain.from_iterable(map(_NUMBERS_OF, operators)), np.float64)
    flops, macs, weight_bytes, groups = numbers.reshape(-1, 4).T
    windows, window = _per_distinct(map(_WINDOW_OF, operators), _window)
    kernel, kernel_height, stride = windows.T[:, window]
    channels_in, channels_out = channels[first_in], channels[first_out]
    shape = np.array((channels_in, channels_out, groups))
    known, kind = _per_distinct(map(_KIND_OF, operators), _kind)
    family = _families(known[:, 0].astype(np.int64)[kind], shape)
    parts = known[:, 1][kind]
    occurrences = known[:, 2:].astype(np.float32)[kind]
    blocked = _blocked(graph, family, shape)
    reordered_in, reordered_out = _reordered(graph, blocked, size, reads, makes)
    # A convolution of few channels, as of a picture, reads the plain layout.
    reordered_in[(groups == 1) & (channels_in < _BLOCK)] = 0.0
    moved = bytes_in + bytes_out + weight_bytes
    computed_moved = np.column_stack((flops, moved))
    counts = np.array(
        (
            flops, macs, bytes_in, bytes_out, weight_bytes, reordered_in, reordered_out,
            _distance(graph, reads, size, moved) / np.maximum(bytes_in, 1.0),
            np.append(0.0, flops[:-1]), flops / np.maximum(moved, 1.0),
            kernel, kernel_height, stride, groups,
            channels_in, channels_out, points[first_in], points[first_out],
            macs / np.maximum(makes.total(channels * points), 1.0), parts,
            np.bincount(reads.operator, minlength=len(operators)),
        )
    )  # fmt: skip
    whole_in, whole_out = (ends / groups % _BLOCK == 0 for ends in (channels_in, channels_out))
    since = _doublings(_since(kind, computed_moved))
    counts += 1.0
    flags = np.column_stack((~whole_in, ~whole_out, blocked, _cold(family, moved)))
    return Features(
        np.hstack((np.log2(counts, out=counts).T, flags, since, occurrences)),
        family,
        np.column_stack((flops, bytes_in + bytes_out, weight_bytes, reordered_in + reordered_out)),
    )


def _per_distinct(
    items: Iterable[T], numbers: Callable[[T], tuple[float, ...]]
) -> tuple[Floats, Ints]:
    """Numbers of each distinct item, one row each; and which of them every item is."""
    index: dict[T, int] = {}
    which = np.fromiter((index.setdefault(item, len(index)) for item in items), np.int64)
    return np.array([numbers(item) for item in index], np.float64), which


def _extent(shape: tuple[int, ...]) -> tuple[float, float]:
    """Channels, and elements per channel."""
    if len(shape) < 2:
        return 1.0, float(math.prod(shape))
    return float(shape[1]), float(math.prod(shape[2:]) * shape[0])


def _window(window: tuple[tuple[int, ...], tuple[int, ...]]) -> tuple[float, float, float]:
    """Elements of the kernel, its height, and elements that a step skips."""
    kernel, stride = window
    return float(math.prod(kernel)), float(kernel[0] if kernel else 1), float(math.prod(stride))


def _families(by_kind: Ints, shape: Floats) -> Ints:
    """The families that kinds say, with convolutions told apart.

    shape: rows of channels in, channels out and groups.
    """
    family = by_kind.copy()
    channels_in, channels_out, groups = shape
    grouped = (family == FAMILIES.index("convolution")) & (groups > 1)
    family[grouped] = FAMILIES.index("grouped")
    depthwise = grouped & (groups == channels_in) & (groups == channels_out)
    family[depthwise] = FAMILIES.index("depthwise")
    return family


def _reordered(
    graph: ModelGraph, blocked: NDArray[np.bool_], size: Floats, reads: _Edges, makes: _Edges
) -> tuple[Floats, Floats]:
    """Bytes that each operator converts into the blocked layout, and out of it."""
    by_operator = np.append(blocked, False)  # what no operator produced is not blocked
    plain = np.where(by_operator[np.array(graph.producer)], 0.0, size)
    read_plain = np.zeros(len(size), bool)
    read_plain[reads.tensor[~blocked[reads.operator]]] = True
    read_plain[list(graph.outputs)] = True
    return blocked * reads.total(plain), blocked * makes.total(np.where(read_plain, size, 0.0))


def _distance(graph: ModelGraph, reads: _Edges, size: Floats, moved: Floats) -> Floats:
    """Per operator the sum over its inputs of bytes times bytes moved since the producer began.

    From when it began, because what it reads displaces what it writes.
    """
    before = np.concatenate(([0.0], np.cumsum(moved)))
    started = before[np.maximum(np.array(graph.producer)[reads.tensor], 0)]
    since = reads.sum(size[reads.tensor] * (before[reads.operator] - started))
    return np.maximum(since, 0.0)


def _cold(family: Ints, moved: Floats) -> Floats:
    """For products, in five steps, how much more one inference moves than caches hold."""
    steps = np.round(np.clip(np.log2(max(moved.sum(), 1.0)) - _CACHE_BITS, 0.0, 4.0))
    return np.where(family == FAMILIES.index("product"), steps, 0.0)


def _since(kind: Ints, amounts: Floats) -> Floats:
    """Per operator what was done since one of its kind last ended, one inference after another.

    amounts: what each operator does, one row each, >= 0; the sum is over the operators between.
    """
    order = np.argsort(kind, kind="stable")
    first = np.append(True, np.diff(kind[order]) > 0)
    last = np.append(first[1:], True)
    last_run = np.roll(order, 1)
    last_run[first] = order[last]  # of the inference before
    previous = np.empty_like(order)
    previous[order] = last_run
    done = np.concatenate((np.zeros((1, amounts.shape[1])), np.cumsum(amounts, axis=0)))
    again = previous >= np.arange(len(kind))
    since = done[:-1] - done[previous + 1] + again[:, None] * done[-1]
    return np.asarray(np.maximum(since, 0.0))


def _doublings(computed_moved: Floats) -> Floats:
    """FLOPs and bytes, the last axis, in whole doublings from the least that counts."""
    bits = np.log2(np.maximum(computed_moved, 1.0))
    return np.asarray(np.round(np.clip(bits, _FEWEST_BITS, _MOST_BITS)) - _FEWEST_BITS)


def _blocked(graph: ModelGraph, family: Ints, shape: Floats) -> NDArray[np.bool_]:
    """Which operators write the blocked layout, where a runtime has one.

    shape: rows of channels in, channels out and groups.  Convolutions and poolings convert what
    they read, if their channels come in whole blocks; others work on blocks that they are given.
    """
    channels_in, channels_out, groups = shape
    whole = channels_out % _BLOCK == 0
    convolution = family == FAMILIES.index("convolution")
    # A convolution of few channels, as of a picture, reads the plain layout.
    whole &= ~convolution | (channels_in < _BLOCK) | (channels_in % _BLOCK == 0)
    apart = (channels_in / groups % _BLOCK == 0) & (channels_out / groups % _BLOCK == 0)
    whole &= (family != FAMILIES.index("grouped")) | apart
    able = {FAMILIES.index(name) for name in _BLOCKED_BY_ITSELF}
    producer = graph.producer
    blocked: list[bool] = []
    for operator, kind, fits in zip(graph.operators, family.tolist(), whole.tolist(), strict=True):
        if not fits or kind in able:
            blocked.append(fits)
            continue
        first = operator.kind.split("+", 1)[0]
        # Adding a constant is done in the plain layout; multiplying by one is not.
        passes = first in _BLOCKED_AS_GIVEN and (first != "Add" or len(operator.inputs) > 1)
        given = [producer[t] for t in operator.inputs]
        blocked.append(passes and bool(given) and all(u >= 0 and blocked[u] for u in given))
    return np.array(blocked)


@lru_cache(maxsize=4096)
def _kind(kind: str) -> tuple[int, ...]:
    """The family of a kind, then how many operators it joins, in all and of each known kind.

    Convolutions are not told apart: their groups are not in the kind.
    """
    members = kind.split("+")
    order = list(_MEMBERS)
    present = [_FAMILY_OF[member] for member in members if member in _FAMILY_OF]
    family = FAMILIES.index(min(present, key=order.index) if present else "other")
    return family, len(members), *(members.count(known) for known in _KINDS)
