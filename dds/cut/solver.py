"""The exact frontier of a client: every cut that is best at some share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dds.costs.device import Device
from dds.costs.link import Link
from dds.costs.roofline import Timing, operator_times, roofline, server_times
from dds.cut.engine import Found, run, use_compiled
from dds.cut.network import Network, network
from dds.cut.pieces import Cut, CutFields, Frontier, Piece
from dds.errors import InvalidInput
from dds.model.graph import ModelGraph

__all__ = ["frontier", "min_cut"]

#: What times have unless somebody takes care that they have not.
_FLOAT64 = np.dtype(np.float64)


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
    return Frontier.found(_pieces(graph, device, server, link, 0.0, True, engine))


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
    [piece] = _pieces(graph, device, server, link, 1.0 / share, False, engine)
    return piece


def _pieces(
    graph: ModelGraph,
    device: Timing,
    server: Timing,
    link: Link,
    x: float,
    every: bool,
    engine: str | None,
) -> tuple[Piece, ...]:
    """Search, and make pieces of the columns that come back."""
    net, compiled = network(graph), use_compiled(engine)
    found: Found = [], [[]]
    if compiled:
        as_is = _as_is(graph, device), _as_is(graph, server)
        if as_is[0] is not None and as_is[1] is not None:
            found = run(net, as_is[0], as_is[1], link, x, every, compiled)
    if not found[1][0]:  # times that are still to be worked out, or to be refused
        local, work = operator_times(graph, device), server_times(graph, server)
        found = run(net, local, work, link, x, every, compiled)
    _, (_, bases, works, *_) = found
    cuts = [Cut.later(_fields, net, found, k) for k in range(len(bases))]
    return tuple(map(Piece, bases, works, cuts))


def _as_is(graph: ModelGraph, timing: Timing) -> NDArray[np.float64] | None:
    """Times that compiled code can take and check on its way; None where it cannot."""
    if isinstance(timing, Device):
        return roofline(graph, timing)
    if (
        type(timing) is np.ndarray
        and timing.dtype is _FLOAT64
        and timing.shape == (len(graph.operators),)
        and timing.flags.carray
    ):
        return timing
    return None


def _fields(net: Network, found: Found, k: int) -> CutFields:
    """The fields of the k-th cut found."""
    listing, values = found
    front, uploads, downloads, end = (int(at) for at in listing[3 * k : 3 * k + 4])
    kept, up, down = (
        tuple([int(i) for i in listing[a:b]])
        for a, b in ((front, uploads), (uploads, downloads), (downloads, end))
    )
    elapsed, _, _, up_bytes, down_bytes, before = (column[k] for column in values)
    kept = net.operators[: int(before)] + kept
    return kept, up, down, int(up_bytes), int(down_bytes), elapsed
