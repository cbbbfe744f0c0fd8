"""The exact frontier of a client: every cut that is best at some share."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from dds.costs.link import Link
from dds.costs.roofline import Timing, operator_times, server_times
from dds.cut.engine import run
from dds.cut.network import Network, network
from dds.cut.pieces import Cut, Frontier, Piece
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
    engine: "numba" or "python" to insist on one; None never waits for a compiler: it
    is the compiled search where :func:`dds.cut.prepare` (or "numba") has made it ready
    in this process, else plain Python.  Both give the same pieces.

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
    local, work = operator_times(graph, device), server_times(graph, server)
    return Frontier(_pieces(network(graph), local, work, link, 0.0, True, engine))


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
    local, work = operator_times(graph, device), server_times(graph, server)
    [piece] = _pieces(network(graph), local, work, link, 1.0 / share, False, engine)
    return piece


def _pieces(
    net: Network,
    local: NDArray[np.float64],
    work: NDArray[np.float64],
    link: Link,
    x: float,
    every: bool,
    engine: str | None,
) -> tuple[Piece, ...]:
    """Search, and make pieces of the columns that come back."""
    listing, values = run(net, local, work, link, x, every, engine)
    begins = listing[: 3 * len(values[0]) + 1]
    lists = iter([tuple(listing[a:b]) for a, b in pairwise(begins)])
    pieces = []
    for elapsed, base, behind, up, down, front in zip(*values, strict=True):
        kept = net.operators[: int(front)] + next(lists)
        cut = Cut(kept, next(lists), next(lists), int(up), int(down), elapsed)
        pieces.append(Piece(base, behind, cut))
    return tuple(pieces)
