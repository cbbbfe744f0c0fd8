"""The exact frontier of a client: every cut that is best at some share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dds.costs.link import Link
from dds.costs.roofline import Timing, operator_times, server_times
from dds.cut import parametric
from dds.cut.engine import compiled, use_compiled
from dds.cut.network import Network, network, score
from dds.cut.parametric import Scratch
from dds.cut.pieces import Frontier, Piece
from dds.errors import InvalidInput
from dds.model.graph import ModelGraph

__all__ = ["frontier", "min_cut"]


def frontier(
    graph: ModelGraph,
    device: Timing,
    server: Timing,
    link: Link,
    *,
    engine: str | None = None,
) -> Frontier:
    """All pieces of ``T(f) = min over cuts S of A(S) + W(S) / f``, f > 0.

    where
      A(S)  L(S) + D_up(S)/b_up + D_down(S)/b_down + rtt, s; A(V) = L(V)
      W(S)  server work, core s: sum of server times of the operators not in S
      S     operators on the device, closed under predecessors

    graph: the model; device, server: a :class:`dds.costs.Device`, a profile, or
    seconds per operator (server: on one reference core, > 0); link: the client's.
    engine: "numba" or "python" to insist on one, None for the fastest installed;
    both give the same cuts.

    The pieces stand by rising A and falling W, local-only last; their cuts are
    nested, each keeping more on the device; each is strictly best at some share
    (up to rounding: T is exact to about 1e-12 of itself).  At most one piece more
    than there are operators.

    Raises InvalidInput for times of the wrong length, negative, not finite, or
    zero on the server.

    Source: Eisner and Severance (1976) on a minimum cut per breakpoint, nested as
    in Gallo, Grigoriadis and Tarjan (1989).

    >>> from dds.cut import frontier
    >>> from dds.costs import Link
    >>> from dds.model.graph import ModelGraph, Operator, Tensor
    >>> tensors = tuple(Tensor(name, (), "float32", 100) for name in "abc")
    >>> steps = (Operator("f", "F", (0,), (1,)), Operator("g", "G", (1,), (2,)))
    >>> chain = ModelGraph(steps, tensors, inputs=(0,), outputs=(2,))
    >>> found = frontier(chain, [1.0, 9.0], [0.1, 0.9], Link(uplink=100.0, downlink=100.0))
    >>> [(p.base_latency, p.server_work) for p in found.pieces]
    [(2.0, 1.0), (10.0, 0.0)]
    """
    net = network(graph)
    local, work = operator_times(graph, device), server_times(graph, server)
    count, scratch = _search(parametric.all_cuts, net, local, work, link, engine)
    order = np.asarray(scratch.order, np.int64)
    on_device = np.zeros(net.size, bool)
    pieces, kept = [], 0
    for split in scratch.splits[:count]:
        on_device[order[kept:split]] = True
        kept = split
        pieces.append(score(net.cut(on_device, local), work, link))
    return Frontier(_hull(pieces))


def min_cut(
    graph: ModelGraph,
    device: Timing,
    server: Timing,
    link: Link,
    share: float,
    *,
    engine: str | None = None,
) -> Piece:
    """The cut of least latency ``A(S) + W(S) / f`` at one share f > 0 (cores, inf allowed).

    One minimum cut; arguments, errors and accuracy as :func:`frontier`.
    """
    if not share > 0.0:
        raise InvalidInput(f"share is {share!r}; need cores > 0")
    net = network(graph)
    local, work = operator_times(graph, device), server_times(graph, server)
    kept, scratch = _search(parametric.one_cut, net, local, work, link, engine, 1.0 / share)
    on_device = np.zeros(net.size, bool)
    on_device[np.asarray(scratch.order[:kept], np.int64)] = True
    return score(net.cut(on_device, local), work, link)


def _search(
    search: Callable[..., int],
    net: Network,
    local: NDArray[np.float64],
    work: NDArray[np.float64],
    link: Link,
    engine: str | None,
    *weight: float,
) -> tuple[int, Scratch]:
    """Run a search of :mod:`dds.cut.parametric`: its result and the arrays it filled."""
    columns: tuple[Any, ...] = (local, work, np.array([link.uplink, link.downlink, link.rtt]))
    if use_compiled(engine):
        scratch = net.scratch(lists=False)
        return compiled(search)(net.arrays, scratch, *columns, *weight), scratch
    scratch = net.scratch(lists=True)
    return search(net.lists, scratch, *(column.tolist() for column in columns), *weight), scratch


def _hull(pieces: list[Piece]) -> tuple[Piece, ...]:
    """The pieces strictly best at some x = 1/f > 0, by rising A; the last has W = 0.

    Scoring rounds otherwise than searching did, so ties may have come out as pieces.
    """
    hull: list[Piece] = []
    for piece in sorted(pieces, key=lambda piece: (piece.base_latency, piece.server_work)):
        if hull and piece.server_work >= hull[-1].server_work:
            continue
        while hull and _breakpoint(hull[-1], piece) <= (
            _breakpoint(hull[-2], hull[-1]) if len(hull) > 1 else 0.0
        ):
            hull.pop()
        hull.append(piece)
    return tuple(hull)


def _breakpoint(fast: Piece, slow: Piece) -> float:
    """The x at which two pieces cost the same."""
    saved = fast.server_work - slow.server_work
    return (slow.base_latency - fast.base_latency) / saved
