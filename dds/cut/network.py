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

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dds.costs.link import Link
from dds.costs.once import once_per_graph
from dds.cut.block import BARRED, INFINITE
from dds.cut.layout import BLOCK_START, RETURNED_BY, RETURNED_BYTES, SIZES
from dds.cut.pieces import Cut, Piece
from dds.cut.structure import blocks, open_bytes, reduction, through_bytes
from dds.errors import InvalidInput
from dds.model.graph import ModelGraph

__all__ = ["Network", "make_cut", "network", "score"]

#: Bytes that float64 counts exactly; a model graph with more is refused.
_MOST_BYTES = 2**53


@dataclass(frozen=True, eq=False)
class Network:
    """The flow network of one graph.

    graph, sizes: the columns that :mod:`dds.cut.layout` lists, for plain Python;
    operators: 0..n-1.
    """

    graph: tuple[list[int], ...]
    sizes: tuple[list[float], ...]
    operators: tuple[int, ...]

    @cached_property
    def arrays(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """(graph, sizes) for compiled code: tables as high as their longest column."""
        return _table(self.graph, np.int64), _table(self.sizes, np.float64)

    @property
    def same_outputs(self) -> bool:
        """Whether all cuts but local-only return the same bytes.

        They do where only the last operator returns any, and all others lead to it.
        """
        sizes, returned_by, bytes_of = self.graph[SIZES], self.graph[RETURNED_BY], self.sizes
        last = {v for v, size in zip(returned_by, bytes_of[RETURNED_BYTES], strict=True) if size}
        alone = sizes[0] > 0 and self.graph[BLOCK_START][-2] == sizes[0] - 1
        return not last or (alone and last == {sizes[0] - 1})


@once_per_graph
def network(graph: ModelGraph) -> Network:
    """The network of this graph object, built at the first call and kept while it lives.

    Raises InvalidInput when its tensors hold 2**53 bytes or more.
    """
    n = len(graph.operators)
    tensor_bytes = [int(tensor.bytes) for tensor in graph.tensors]
    if sum(tensor_bytes) >= _MOST_BYTES:
        raise InvalidInput(f"model {graph.name!r}: its tensors hold 2**53 bytes or more")
    producer = graph.producer
    block = blocks(graph)
    needs, readers = reduction(graph, block)
    read = [t for t, maximal in enumerate(readers) if maximal]
    returned = sorted({t for t in graph.outputs if producer[t] >= 0})
    input_bytes, output_bytes = [0] * n, [0] * n
    for t in returned:
        output_bytes[producer[t]] += tensor_bytes[t]
    arcs = _Arcs()
    hub = [-1] * len(read)
    hubs = 0
    touch: list[list[int]] = [[] for _ in range(block[-1] + 1 if block else 0)]
    for i, t in enumerate(read):
        maximal, made_by = readers[t], producer[t]
        if len(maximal) == 1 and made_by < 0:
            input_bytes[maximal[0]] += tensor_bytes[t]
            continue
        home = block[maximal[0]]
        touch[home].append(i)
        if made_by >= 0 and block[made_by] != home:
            touch[block[made_by]].append(i)
        if len(maximal) > 1:
            hub[i] = n + hubs
            hubs += 1
            if made_by >= 0:
                arcs.add(made_by, hub[i], i)
            for v in maximal:
                arcs.add(hub[i], v, INFINITE)
        else:
            # The arc that keeps data from flowing back is this one's opposite.
            back = made_by in needs[maximal[0]]
            needs[maximal[0]].discard(made_by)
            arcs.add(made_by, maximal[0], i, INFINITE if back else BARRED)
    for v, before in enumerate(needs):
        for p in sorted(before):
            arcs.add(v, p, INFINITE)
    block_start = [*(v for v in range(n) if v == 0 or block[v] != block[v - 1]), n]
    wide = [b for b, (begin, end) in enumerate(pairwise(block_start)) if end - begin > 1]
    columns = (
        [n, n + hubs, len(read), len(returned), len(touch), len(wide)],
        *arcs.columns(n + hubs),
        hub,
        read,
        [producer[t] for t in read],
        _starts(readers[t] for t in read),
        [v for t in read for v in readers[t]],
        returned,
        [producer[t] for t in returned],
        block,
        block_start,
        wide,
        _starts(touch),
        [i for tensors in touch for i in tensors],
    )
    sizes = (
        [tensor_bytes[t] for t in read],
        [tensor_bytes[t] for t in returned],
        input_bytes,
        output_bytes,
        open_bytes(graph, tensor_bytes),
        [*accumulate(reversed(output_bytes), initial=0)][::-1],
        through_bytes(graph, tensor_bytes, block),
    )
    return Network(
        columns,
        tuple([float(size) for size in column] for column in sizes),
        tuple(range(n)),
    )


def make_cut(graph: ModelGraph, on_device: Iterable[int], device_times: NDArray[np.float64]) -> Cut:
    """The cut that keeps the operators ``on_device`` and sends every other to the server.

    on_device: operator indices, any order; device_times: s per operator.
    Raises InvalidInput for an index out of range and for a set that is not closed
    under predecessors: data would flow back from the server.
    """
    count = len(graph.operators)
    kept = set(on_device)
    for v in sorted(kept):
        if not 0 <= v < count:
            raise InvalidInput(f"on_device: operator {v} is not one of the {count}")
        for p in graph.predecessors[v]:
            if p not in kept:
                reader, missing = graph.operators[v].name, graph.operators[p].name
                raise InvalidInput(
                    f"on_device: operator {reader!r} reads from {missing!r}, which would be on "
                    f"the server; add {missing!r} or drop {reader!r}"
                )
    at_hand = kept | {-1}  # model inputs, which no operator produces, are on the device too
    uploads = [
        t
        for t, readers in enumerate(graph.consumers)
        if graph.producer[t] in at_hand and not kept.issuperset(readers)
    ]
    downloads = sorted({t for t in graph.outputs if graph.producer[t] not in at_hand})
    return Cut(
        on_device=tuple(sorted(kept)),
        uploads=tuple(uploads),
        downloads=tuple(downloads),
        uplink_bytes=sum(int(graph.tensors[t].bytes) for t in uploads),
        downlink_bytes=sum(int(graph.tensors[t].bytes) for t in downloads),
        local_time=float(sum(device_times[v] for v in sorted(kept))),
    )


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


class _Arcs:
    """Collects arcs in pairs of opposites and lists them by their tail."""

    def __init__(self) -> None:
        self._ends: list[tuple[int, int]] = []
        self._carries: list[int] = []

    def add(self, tail: int, head: int, carries: int, back: int = BARRED) -> None:
        self._ends += ((tail, head), (head, tail))
        self._carries += (carries, back)

    def columns(self, nodes: int) -> tuple[list[int], list[int], list[int], list[int]]:
        """START, HEAD, MATE and CARRIES."""
        by_tail = sorted(range(len(self._ends)), key=lambda a: self._ends[a][0])
        place = [0] * len(by_tail)
        degree = [0] * nodes
        for i, a in enumerate(by_tail):
            place[a] = i
            degree[self._ends[a][0]] += 1
        return (
            [*accumulate(degree, initial=0)],
            [self._ends[a][1] for a in by_tail],
            [place[a ^ 1] for a in by_tail],
            [self._carries[a] for a in by_tail],
        )


def _starts(groups: Iterable[Sequence[int]]) -> list[int]:
    """Where each group begins once all are listed one after the other, and the end."""
    return [*accumulate(map(len, groups), initial=0)]


def _table(columns: Sequence[Sequence[float]], dtype: Any) -> NDArray[Any]:
    table = np.zeros((len(columns), max(map(len, columns))), dtype)
    for row, column in zip(table, columns, strict=True):
        row[: len(column)] = column
    return table
