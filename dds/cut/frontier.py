"""The exact frontier of a client: every cut that is best at some share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dds.costs.link import Link
from dds.costs.roofline import Timing, operator_times, server_times
from dds.cut.engine import run
from dds.cut.network import Network, network
from dds.cut.parametric import all_cuts, one_cut
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
    both give the same cuts.  numba takes about a second to start, and tens of seconds
    to compile the first time ever: for a few frontiers "python" is faster.

    The pieces stand by rising A and falling W, local-only last; their cuts are
    nested, each keeping more on the device; each is strictly best at some share
    (up to rounding: T is exact to about 1e-12 of itself).  At most one piece more
    than there are operators.

    Raises InvalidInput for times of the wrong length, negative, not finite, or
    zero on the server.

    Source: Eisner and Severance (1976) on a minimum cut per breakpoint, nested as
    in Gallo, Grigoriadis and Tarjan (1989).

    >>> from dds.cut.frontier import frontier
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
    order, splits = run(all_cuts, net, local, work, link, 0.0, engine)
    pieces = _pieces(net, order, splits, local, work, link)
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
    order, splits = run(one_cut, net, local, work, link, 1.0 / share, engine)
    return _pieces(net, order, splits, local, work, link)[0]


def _pieces(
    net: Network,
    order: NDArray[np.int64],
    splits: list[int],
    local: NDArray[np.float64],
    work: NDArray[np.float64],
    link: Link,
) -> list[Piece]:
    """The pieces of the cuts that keep ``order[:p]`` on the device, p in splits."""
    behind = [*np.add.accumulate(work[order[::-1]])[::-1].tolist(), 0.0]
    pieces = []
    for p, cut in zip(splits, net.cuts(order, splits, local), strict=True):
        base = cut.local_time
        if p < len(order):
            base += link.transfer_time(cut.uplink_bytes, cut.downlink_bytes)
        pieces.append(Piece(base, behind[p], cut))
    return pieces


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
