"""All cuts that are best for some link and some price: one hull serves every client.

For a fixed link the best cuts are a frontier (:func:`dds.frontier`).  With the link free
as well, a cut is a point (L, D_up, D_down, W), and what it costs a client is a weighted
sum of the four.  The few points that are best for some weights are the lower hull; a
client's frontier is then a few dozen multiplications instead of a search.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dds.costs.link import Link
from dds.costs.roofline import Timing, operator_times, server_times
from dds.cut.crossing import best_of
from dds.cut.engine import run_envelope, use_compiled
from dds.cut.network import Network, make_cut, network
from dds.cut.pieces import Cut, CutFields, Frontier, Piece
from dds.cut.solver import frontier
from dds.errors import InvalidInput
from dds.model.graph import ModelGraph

__all__ = ["CutHull", "hull"]

Floats = NDArray[np.float64]

#: Server times further apart than this are refused: what x may be would overflow.
_MOST_SPREAD = 1e100
#: Slower links than this, in bytes/s, are refused for the same reason.
_SLOWEST = 1e-100


@dataclass(frozen=True, eq=False)
class CutHull:
    """Every cut of a model that is best for some link in a box at some share and price.

    cuts: the K cuts by rising L, local-only last; L, D_up, D_down, W: of each, K numbers
    in s, B, B and core s; uplinks, downlinks: the box, least and greatest bytes/s;
    complete: whether these are all, or ``most`` stopped the search; calls: minimum cuts
    solved; graph, device, server: what it is the hull of, in seconds per operator.  The
    arrays are read-only.
    """

    cuts: tuple[Cut, ...] = field(repr=False)
    L: Floats
    D_up: Floats
    D_down: Floats
    W: Floats
    uplinks: tuple[float, float]
    downlinks: tuple[float, float]
    complete: bool
    calls: int
    graph: ModelGraph = field(repr=False)
    device: Floats = field(repr=False)
    server: Floats = field(repr=False)

    def __len__(self) -> int:
        return len(self.cuts)

    def frontier(self, link: Link) -> Frontier:
        """The frontier of a client with this link, as :func:`dds.frontier` finds it.

        The same T(f), to about 1e-12 of itself; where cuts tie, the cuts may be others and
        need not be nested.  A hull that is not complete hands over to ``dds.frontier``.
        Raises InvalidInput for a link outside the box.
        """
        self._check(np.array([link.uplink]), np.array([link.downlink]))
        if not self.complete:
            return frontier(self.graph, self.device, self.server, link)
        base = self._base(link.uplink, link.downlink, link.rtt).tolist()
        order = self._by_work.copy()
        bases, works = [base[k] for k in order], self._falling_work.copy()
        count = best_of(order, len(order), bases, works)
        return Frontier.found(
            tuple(
                Piece(base, work, self.cuts[k])
                for base, work, k in zip(bases[:count], works, order, strict=False)
            )
        )

    def pieces(
        self, uplink: ArrayLike, downlink: ArrayLike, rtt: ArrayLike
    ) -> tuple[Floats, Floats]:
        """All K cuts as pieces of n clients with links of their own: (A, W).

        uplink, downlink: bytes/s; rtt: s; n numbers each, or one for all.  A is K x n,
        s; W is K, core s; local-only stands last.  Nothing is left out, so piece k of
        each client is ``cuts[k]``, best at no share though it may be.

        Raises InvalidInput for a link outside the box, and for a hull that is not
        complete: then :meth:`frontier` still serves each client alone.
        """
        try:
            up, down, trip = np.broadcast_arrays(
                *(np.atleast_1d(np.asarray(given, np.float64)) for given in (uplink, downlink, rtt))
            )
        except (TypeError, ValueError, OverflowError):
            up = np.zeros((0, 0))
        if up.ndim != 1:
            raise InvalidInput("uplink, downlink, rtt: need n numbers each, or one for all")
        self._check(up, down)
        if not np.all((trip >= 0.0) & np.isfinite(trip)):
            raise InvalidInput("rtt: need seconds >= 0")
        if not self.complete:
            raise InvalidInput(
                f"the hull of model {self.graph.name!r} is not complete after {len(self)} cuts; "
                "raise most, narrow the box, or ask for each client's frontier"
            )
        return self._base(up, down, trip), self.W.copy()

    def _base(self, up: Floats | float, down: Floats | float, rtt: Floats | float) -> Floats:
        """A = L + D_up/b_up + D_down/b_down + rtt by cut and client; A = L of local-only."""
        base: Floats = np.multiply.outer(self.D_up, np.divide(1.0, up))
        if self._same_outputs:
            base += np.divide(self.D_down[0], down) + rtt
        else:
            base += np.multiply.outer(self.D_down, np.divide(1.0, down))
            base += rtt
        base += self.L if base.ndim == 1 else self.L[:, None]
        base[-1] = self.L[-1]
        return base

    @cached_property
    def _same_outputs(self) -> bool:
        """Whether every cut but local-only returns the same bytes."""
        return bool(np.all(self.D_down[:-1] == self.D_down[0]))

    @cached_property
    def _by_work(self) -> list[int]:
        """The cuts by falling W."""
        order: list[int] = np.argsort(-self.W, kind="stable").tolist()
        return order

    @cached_property
    def _falling_work(self) -> list[float]:
        works: list[float] = self.W[self._by_work].tolist()
        return works

    def _check(self, up: Floats, down: Floats) -> None:
        for name, values, (low, high) in (
            ("uplink", up, self.uplinks),
            ("downlink", down, self.downlinks),
        ):
            inside = (values >= low) & (values <= high)
            if not inside.all():
                value = float(values[~inside][0])
                raise InvalidInput(
                    f"link.{name} is {value!r} bytes/s, outside this hull's {low:g} to {high:g}; "
                    f"make a hull with wider {name}s"
                )


def hull(
    graph: ModelGraph,
    device: Timing,
    server: Timing,
    *,
    uplinks: tuple[float, float] = (1e3, math.inf),
    downlinks: tuple[float, float] = (1e3, math.inf),
    most: int = 4096,
    engine: str | None = None,
) -> CutHull:
    """All cuts that minimise ``A(S) + x W(S)`` for some link in the box and some x = 1/f >= 0.

    where
      A(S)  L(S) + D_up(S)/b_up + D_down(S)/b_down + rtt, s; A(V) = L(V)
      W(S)  server work, core s

    graph, device, server, engine: as for :func:`dds.frontier`; uplinks, downlinks: least
    and greatest b_up and b_down, bytes/s, ``inf`` allowed; most: stop at so many cuts.

    Whatever the rtt: it burdens all cuts but local-only alike, so a cut that is best with
    it is best without.  For any tariff, budget of shares, bounds or quanta that do not
    depend on the cut, a client needs no other cut.  Exact to about 1e-13 of the latency.
    Takes one minimum cut per cut found and one per vertex of their envelope: 3 K where
    one model output comes from the last operator.  There can be exponentially many; a
    hull stopped at ``most`` says that it is not ``complete``.

    Raises InvalidInput for what :func:`dds.frontier` refuses, for bounds that are not
    0 < least <= greatest, and for server times 1e100 times apart.

    Source: the envelope's vertices are searched as in Eisner and Severance (1976),
    beneath and beyond as in Preparata and Shamos, Computational Geometry (1985).

    >>> from dds.cut import hull
    >>> from dds.costs import Link
    >>> from dds.model.graph import ModelGraph, Operator, Tensor
    >>> tensors = tuple(Tensor(name, (), "float32", 100) for name in "abc")
    >>> steps = (Operator("f", "F", (0,), (1,)), Operator("g", "G", (1,), (2,)))
    >>> chain = ModelGraph(steps, tensors, inputs=(0,), outputs=(2,))
    >>> found = hull(chain, [1.0, 9.0], [0.1, 0.9], uplinks=(10.0, 1e6), downlinks=(10.0, 1e6))
    >>> [cut.on_device for cut in found.cuts]
    [(), (0, 1)]
    >>> [(p.base_latency, p.server_work) for p in found.frontier(Link(100.0, 100.0)).pieces]
    [(2.0, 1.0), (10.0, 0.0)]
    """
    local, work = operator_times(graph, device), server_times(graph, server)
    uplinks, downlinks = _bounds("uplinks", uplinks), _bounds("downlinks", downlinks)
    if isinstance(most, bool) or not isinstance(most, (int, np.integer)) or most < 1:
        raise InvalidInput(f"most is {most!r}; need a whole number of cuts, at least 1")
    net = network(graph)
    box = _box(net, local, work, uplinks, downlinks)
    listing, values, calls, complete = run_envelope(
        net, local, work, box, most, use_compiled(engine)
    )
    points = np.array([values[0], values[3], values[4], values[2]])
    # By rising L; of equals the one with more work first.
    order = np.lexsort((-points[3], points[0]))
    order = np.append(order[order != 0], 0)  # the search lists local-only first
    begins = [*pairwise(listing[: len(order) + 1])]
    cuts = tuple(
        Cut.later(_fields, graph, local, int(values[5][k]), listing[slice(*begins[k])])
        for k in order.tolist()
    )
    points = points[:, order]
    for shared in (points, local, work):
        shared.flags.writeable = False
    elapsed, up, down, behind = points
    return CutHull(
        cuts,
        elapsed,
        up,
        down,
        behind,
        uplinks=uplinks,
        downlinks=downlinks,
        complete=complete,
        calls=calls,
        graph=graph,
        device=local,
        server=work,
    )


def _fields(graph: ModelGraph, local: Floats, front: int, rest: Sequence[int]) -> CutFields:
    """The fields of the cut that keeps operators 0..front-1 and rest."""
    cut = make_cut(graph, [*range(front), *rest], local)
    return (
        cut.on_device,
        cut.uploads,
        cut.downloads,
        cut.uplink_bytes,
        cut.downlink_bytes,
        cut.local_time,
    )


def _bounds(name: str, given: tuple[float, float]) -> tuple[float, float]:
    """The range, checked."""
    try:
        low, high = (float(bound) for bound in given)
    except (TypeError, ValueError, OverflowError):
        low, high = math.nan, math.nan
    if not _SLOWEST <= low <= high:
        raise InvalidInput(
            f"{name}: {given!r}; need (least, greatest) bytes/s, {_SLOWEST:g} <= least <= greatest"
        )
    return low, high


def _box(
    net: Network,
    local: Floats,
    work: Floats,
    uplinks: tuple[float, float],
    downlinks: tuple[float, float],
) -> Floats:
    """Least and greatest weight of D_up, D_down and W, 2 x 3.

    The greatest x is where local-only beats even the least work by itself: beyond it
    nothing else is best.  D_down has no range where all cuts but local-only return the
    same bytes: like an rtt, a dearer link only removes cuts.
    """
    least = [1.0 / uplinks[1], 1.0 / downlinks[1], 0.0]
    greatest = [1.0 / uplinks[0], 1.0 / downlinks[0], 0.0]
    if net.same_outputs:
        greatest[1] = least[1]
    if len(work):
        if work.sum() > _MOST_SPREAD * work.min():
            raise InvalidInput(
                f"server times: from {work.min():g} s to a sum of {work.sum():g} s; need a ratio "
                f"of at most {_MOST_SPREAD:g}"
            )
        greatest[2] = local.sum() / work.min()
    return np.array([least, greatest])
