"""The reduction from a model graph to a flow network, and its way back.

Device = source side.  Operators and tensors become nodes:

- an operator v costs L_v seconds on the device side, x W_v (and the seconds to
  return the model outputs it produces) on the server side;
- data never flows back: a consumer drags its producer onto the device through an
  infinite arc consumer -> producer.  Arcs that others imply are left out;
- a tensor is paid once.  It crosses if and only if one of its *maximal* consumers
  (those that no other consumer of it depends on) is on the server, so only these
  are connected: one by a direct arc, several through a node of the tensor's own.
  Tensors are told apart by their index, never by shape or name.

An operator comparable with every other one is an *articulation*; between two of
them lies a *block*, and all maximal consumers of a tensor lie in one block.  Along
articulations no flow is needed (:mod:`dds.cut.parametric`).

None of this depends on times or link, so it is done once per graph.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dds.costs.link import Link
from dds.cut.block import BARRED, INFINITE, Layout
from dds.cut.pieces import Cut, Piece
from dds.cut.structure import blocks, open_bytes, reduction, through_bytes
from dds.errors import InvalidInput
from dds.model.graph import ModelGraph

__all__ = ["Network", "make_cut", "network", "score"]

#: Bytes that float64 counts exactly; a model graph with more is refused.
_MOST_BYTES = 2**53


@dataclass(frozen=True, eq=False)
class Network:
    """The flow network of one graph, and the way back from it to cuts.

    arrays: its layout for compiled code, numpy; lists: the same for plain Python;
    bytes: per tensor; read: the tensors that are read, ascending; made_by: their
    producers, -1 for a model input; readers: their maximal consumers, one after the
    other, those of read[i] from reader_start[i] on; returned: (tensor, producer) of
    the model outputs that operators produce, by tensor.
    """

    arrays: Layout
    bytes: tuple[int, ...]
    read: NDArray[np.int64]
    made_by: NDArray[np.int64]
    readers: NDArray[np.int64]
    reader_start: NDArray[np.int64]
    returned: tuple[tuple[int, int], ...]

    @cached_property
    def lists(self) -> Layout:
        """The layout as Python lists."""
        columns: list[Any] = [np.asarray(column).tolist() for column in self.arrays]
        return Layout(*columns)

    @property
    def size(self) -> int:
        """Number of operators."""
        return len(self.arrays.block)

    def cuts(
        self, order: NDArray[np.int64], splits: Sequence[int], local: NDArray[np.float64]
    ) -> list[Cut]:
        """The way back: for each p in splits the cut that keeps ``order[:p]`` on the device.

        order: a permutation of the operators; every ``order[:p]`` closed under
        predecessors; local: device times, s.
        """
        rank = np.empty(len(order) + 1, np.int64)
        rank[order] = np.arange(len(order))
        rank[-1] = -1  # producer -1: a model input is on the device from the start
        made = rank[self.made_by]
        # Sent by the cuts p with made < p <= last: produced on the device, not all read there.
        last = np.maximum.reduceat(rank[self.readers], self.reader_start) if len(made) else made
        operators = order.tolist()
        elapsed = [0.0, *np.add.accumulate(local[order]).tolist()]
        cuts = []
        for p in splits:
            uploads = self.read[(made < p) & (p <= last)].tolist()
            downloads = [t for t, v in self.returned if rank[v] >= p]
            cuts.append(
                Cut(
                    on_device=tuple(sorted(operators[:p])),
                    uploads=tuple(uploads),
                    downloads=tuple(downloads),
                    uplink_bytes=sum([self.bytes[t] for t in uploads]),
                    downlink_bytes=sum([self.bytes[t] for t in downloads]),
                    local_time=elapsed[p],
                )
            )
        return cuts


_NETWORKS: dict[int, tuple[weakref.ref[ModelGraph], Network]] = {}


def network(graph: ModelGraph) -> Network:
    """The network of this graph object, built at the first call and kept while it lives.

    Raises InvalidInput when its tensors hold 2**53 bytes or more.
    """
    key = id(graph)  # hashing a graph by value would cost more than the cuts
    known = _NETWORKS.get(key)
    if known is not None and known[0]() is graph:
        return known[1]
    built = _build(graph)
    _NETWORKS[key] = (weakref.ref(graph, lambda _: _NETWORKS.pop(key, None)), built)
    return built


def make_cut(graph: ModelGraph, on_device: Iterable[int], device_times: NDArray[np.float64]) -> Cut:
    """The cut that keeps the operators ``on_device`` and sends every other to the server.

    on_device: operator indices, any order; device_times: s per operator.
    Raises InvalidInput for an index out of range and for a set that is not closed
    under predecessors: data would flow back from the server.
    """
    marks = np.zeros(len(graph.operators), bool)
    for v in on_device:
        if not 0 <= v < len(marks):
            raise InvalidInput(f"on_device: operator {v} is not one of the {len(marks)}")
        marks[v] = True
    for v in marks.nonzero()[0].tolist():
        for p in graph.predecessors[v]:
            if not marks[p]:
                reader, missing = graph.operators[v].name, graph.operators[p].name
                raise InvalidInput(
                    f"on_device: operator {reader!r} reads from {missing!r}, which would be on "
                    f"the server; add {missing!r} or drop {reader!r}"
                )
    order = np.concatenate([marks.nonzero()[0], (~marks).nonzero()[0]])
    return network(graph).cuts(order, [int(marks.sum())], device_times)[0]


def score(cut: Cut, server_times: NDArray[np.float64], link: Link) -> Piece:
    """The piece of a cut: A = L + D_up/b_up + D_down/b_down + rtt, W = server work.

    server_times: core s per operator.  Local-only pays no transfer and no rtt.
    """
    if len(cut.on_device) == len(server_times):
        return Piece(cut.local_time, 0.0, cut)
    on_server = np.ones(len(server_times), bool)
    on_server[list(cut.on_device)] = False
    base = cut.local_time + link.transfer_time(cut.uplink_bytes, cut.downlink_bytes)
    return Piece(base, float(server_times[on_server].sum()), cut)


def _build(graph: ModelGraph) -> Network:
    n = len(graph.operators)
    sizes = tuple(int(tensor.bytes) for tensor in graph.tensors)
    if sum(sizes) >= _MOST_BYTES:
        raise InvalidInput(f"model {graph.name!r}: its tensors hold 2**53 bytes or more")
    producer = graph.producer
    outputs = sorted({t for t in graph.outputs if producer[t] >= 0})
    block = blocks(graph)
    needs, readers = reduction(graph, block)
    arcs = _Arcs()
    input_bytes, output_bytes = [0] * n, [0] * n
    for t in outputs:
        output_bytes[producer[t]] += sizes[t]
    hub_tensor: list[int] = []
    for t, maximal in enumerate(readers):
        if len(maximal) > 1:
            hub = n + len(hub_tensor)
            hub_tensor.append(t)
            if producer[t] >= 0:
                arcs.add(producer[t], hub, t)
            for v in maximal:
                arcs.add(hub, v, INFINITE)
        elif maximal and producer[t] < 0:
            input_bytes[maximal[0]] += sizes[t]
        elif maximal:
            # The arc that keeps data from flowing back is this one's opposite.
            back = producer[t] in needs[maximal[0]]
            needs[maximal[0]].discard(producer[t])
            arcs.add(producer[t], maximal[0], t, INFINITE if back else BARRED)
    for v, before in enumerate(needs):
        for p in sorted(before):
            arcs.add(v, p, INFINITE)
    starts = [v for v in range(n) if v == 0 or block[v] != block[v - 1]]
    layout = Layout(
        *arcs.columns(n + len(hub_tensor)),
        hub_tensor=_ints(hub_tensor),
        hub_producer=_ints([producer[t] for t in hub_tensor]),
        block=_ints(block),
        block_start=_ints([*starts, n]),
        tensor_bytes=_floats(sizes),
        input_bytes=_floats(input_bytes),
        output_bytes=_floats(output_bytes),
        prefix_up=_floats(open_bytes(graph, sizes)),
        prefix_down=_floats([*accumulate(reversed(output_bytes), initial=0)][::-1]),
        through_up=_floats(through_bytes(graph, sizes, block)),
    )
    read = [t for t, maximal in enumerate(readers) if maximal]
    return Network(
        arrays=layout,
        bytes=sizes,
        read=_ints(read),
        made_by=_ints([producer[t] for t in read]),
        readers=_ints([v for maximal in readers for v in maximal]),
        reader_start=_ints([0, *accumulate(len(readers[t]) for t in read)][: len(read)]),
        returned=tuple((t, producer[t]) for t in outputs),
    )


class _Arcs:
    """Collects arcs in pairs of opposites and lists them by their tail."""

    def __init__(self) -> None:
        self._ends: list[tuple[int, int]] = []
        self._carries: list[int] = []

    def add(self, tail: int, head: int, carries: int, back: int = BARRED) -> None:
        self._ends += ((tail, head), (head, tail))
        self._carries += (carries, back)

    def columns(self, nodes: int) -> tuple[Any, Any, Any, Any]:
        """(start, head, mate, carries) of :class:`dds.cut.block.Layout`."""
        ends = np.array(self._ends, np.int64).reshape(-1, 2)
        by_tail = np.argsort(ends[:, 0], kind="stable")
        place = np.empty_like(by_tail)
        place[by_tail] = np.arange(len(by_tail))
        start = np.searchsorted(ends[by_tail, 0], np.arange(nodes + 1)).astype(np.int64)
        carries = np.array(self._carries, np.int64)[by_tail]
        return start, ends[by_tail, 1].copy(), place[by_tail ^ 1], carries


def _ints(values: Sequence[int]) -> Any:
    return np.array(values, np.int64)


def _floats(values: Sequence[int]) -> Any:
    return np.array(values, np.float64)
