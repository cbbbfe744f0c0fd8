"""What a client with helpers offers the market: its frontier, the device's part run in parallel.

Helpers make the device's part of a cut faster, by how much depends on the cut, and nothing else
changes: the server's part is bought as ever.  So a client with helpers is a client with another
frontier, and every market takes it as it is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from dds.costs.link import Link
from dds.costs.roofline import Timing, server_times
from dds.cut.crossing import best_of
from dds.cut.hull import hull
from dds.cut.network import make_cut, score
from dds.cut.pieces import Cut, Frontier, Piece
from dds.cut.solver import frontier
from dds.errors import InvalidInput
from dds.model.graph import ModelGraph
from dds.model.subgraph import device_part
from dds.parallel.schedule import Schedule, schedule
from dds.parallel.tiles import blocks
from dds.parallel.workers import Worker, WorkerLinks, check_question, seconds_of

__all__ = ["DevicePlan", "ParallelFrontier", "parallel_frontier"]

Floats = NDArray[np.float64]

#: Of a latency: a cut that could save less than this is not scheduled.
_LEAST_GAIN = 1e-9
#: Of the hull over all speeds of the device; a model of the zoo has up to 26.
_MOST_CUTS = 64


@dataclass(frozen=True)
class DevicePlan:
    """How device and helpers run the device's part of a cut.

    cut: its ``local_time`` is that of the schedule, L'(S), s; part: the operators on the device as
    a graph of its own (:func:`dds.model.subgraph.device_part`); schedule: of that graph.
    """

    cut: Cut
    part: ModelGraph = field(repr=False)
    schedule: Schedule = field(repr=False)


@dataclass(frozen=True)
class ParallelFrontier:
    """What a client with helpers can ask of the market.

    frontier: pieces ``T'(f) = A' + W/f`` with ``A' = L' + D/b + rtt``, by rising A' and falling W,
    local-only last, which calls no server: ``A' = L'``, without rtt; plans: the plan behind each
    piece; alone: the frontier without helpers, which is nowhere below; bound: a frontier that no
    plan of device, helpers and server is below; scheduled: for how many cuts a schedule was made;
    complete: whether all others considered are worse by their bounds, or ``most`` stopped the
    search.
    """

    frontier: Frontier
    plans: tuple[DevicePlan, ...]
    alone: Frontier = field(repr=False)
    bound: Frontier = field(repr=False)
    scheduled: int
    complete: bool

    @property
    def gap(self) -> float:
        """The largest ``T'(f) / bound(f) - 1`` over all shares: how far from the best T' may be.

        Infinite where the bound is 0 and T' is not.  Between two breakpoints of either both are
        linear in x = 1/f, and the quotient of linear functions is largest at an end.
        """
        ours, least = self.frontier.pieces, self.bound.pieces
        x = np.array([*_breakpoints(ours), *_breakpoints(least)])
        reached, floor = _latencies(ours, x), _latencies(least, x)
        above = np.where(reached > floor, math.inf, 0.0)
        return float(np.divide(reached - floor, floor, out=above, where=floor > 0.0).max())


def parallel_frontier(
    graph: ModelGraph,
    workers: Sequence[Worker],
    links: WorkerLinks,
    server: Timing,
    link: Link,
    *,
    most: int = 32,
    tries: int | None = None,
    engine: str | None = None,
) -> ParallelFrontier:
    """Pieces of ``T'(f) = min over cuts S of L'(S) + D(S)/b + rtt + W(S)/f``, f > 0.

    where
      L'(S)  latency of ``dds.schedule`` of the operators S, s
      D, W   bytes that cross and server work, as for :func:`dds.frontier`
      rtt    of the link; none for local-only, S = V, whose ``T' = L'(V)`` at every f

    workers[0] is the device, the others are its helpers; what crosses the cut ends on the device.
    graph, server, link, engine: as for :func:`dds.frontier`; workers, links, tries: as for
    ``dds.schedule``, which is called for local-only, for up to ``most`` cuts that may be better,
    and for those pieces of the frontier without helpers that are left.

    *Which cuts.*  L' is not a sum over operators, so no minimum cut finds the best S.  Device and
    helpers together are like a faster device, though: considered are all cuts that are best for
    the link at some share on a device c times as fast, for any c from 1 to what all workers'
    speeds add up to (one :func:`dds.cut.hull`, of links slower by up to c), and all between blocks,
    where schedules change layout.  A cut is scheduled only if its bound (below) undercuts what has
    been found; so T', where complete, is exactly the least over the cuts considered, given their
    schedules.

    *Guarantees.*  The pieces of ``dds.frontier`` without helpers are among the cuts, and a
    schedule is never slower than the device alone: T' is nowhere above, up to rounding.  In the
    other direction the cut that is best of all may be none of those considered, and a schedule
    need not be the fastest.  ``bound`` limits what that can cost: for weights y_k >= 0 of the
    workers, 1 together,

        L'(S) >= sum over v in S of min over k of y_k s_vk

    (worker k is busy for at most L', and somebody computes every part of v), and that is a sum over
    operators: the frontier of a device with these times is exact.  y is in proportion to the
    workers' speeds, where the bound is the time with work divided at will.  It knows no
    transfers between workers, so on slow links the true gap is smaller.

    Raises InvalidInput for what ``dds.frontier``, ``dds.hull`` and ``dds.schedule`` refuse, and
    for most < 0.

    >>> from dds.model.graph import ModelGraph, Operator, Tensor
    >>> tensors = tuple(Tensor(n, (), "float32", 100) for n in "abcde")
    >>> ops = (Operator("f", "F", (0,), (1,)), Operator("g", "F", (0,), (2,)),
    ...        Operator("h", "F", (1, 2), (3,)), Operator("i", "F", (3,), (4,)))
    >>> fork = ModelGraph(ops, tensors, inputs=(0,), outputs=(4,))
    >>> both = [Worker([4.0, 4.0, 1.0, 2.0]), Worker([2.0, 2.0, 1.0, 2.0])]
    >>> found = parallel_frontier(fork, both, WorkerLinks(100.0), [1.0] * 4, Link(50.0, 50.0))
    >>> [(piece.base_latency, piece.server_work) for piece in found.frontier.pieces]
    [(4.0, 4.0), (7.0, 0.0)]
    >>> found.alone.pieces[-1].base_latency
    11.0
    """
    check_question(graph, workers, links)
    if most < 0:
        raise InvalidInput(f"most is {most}; need a number of cuts >= 0")
    seconds = seconds_of(graph, workers)
    work = server_times(graph, server)
    least = _least_seconds(seconds)
    alone = frontier(graph, seconds[:, 0], work, link, engine=engine)
    bound = frontier(graph, least, work, link, engine=engine)
    planner = _Planner(graph, tuple(workers), seconds, links, tries)
    known = dict(zip(_kept(alone), alone.pieces, strict=True))
    others = [*_candidates(graph, seconds, least, work, link, engine), *_kept(bound), *known]
    waiting = {
        kept: score(make_cut(graph, kept, least), work, link) for kept in dict.fromkeys(others)
    }
    plans: dict[tuple[int, ...], DevicePlan] = {}
    kept = _kept(alone)[-1]
    while True:
        del waiting[kept]
        plans[kept] = planner.plan(kept)
        known[kept] = score(plans[kept].cut, work, link)
        pieces, best = _envelope(known)
        promising = _promising(pieces, waiting, plans, least)
        # A piece without helpers that is best all the same is still to be scheduled.
        missing = [each for each in best if each not in plans]
        if promising is not None and len(plans) <= most:
            kept = promising
        elif missing:
            kept = missing[0]
        else:
            return ParallelFrontier(
                Frontier(pieces), tuple(plans[each] for each in best), alone, bound,
                scheduled=len(plans), complete=promising is None,
            )  # fmt: skip


@dataclass(frozen=True, eq=False)
class _Planner:
    """Schedules parts of a graph; seconds: operators x workers."""

    graph: ModelGraph
    workers: tuple[Worker, ...]
    seconds: Floats
    links: WorkerLinks
    tries: int | None

    def plan(self, kept: tuple[int, ...]) -> DevicePlan:
        """Of the operators kept."""
        cut = make_cut(self.graph, kept, self.seconds[:, 0])
        part = device_part(self.graph, cut)
        team = [
            replace(worker, timing=self.seconds[list(kept), k])
            for k, worker in enumerate(self.workers)
        ]
        found = schedule(part, team, self.links, tries=self.tries)
        return DevicePlan(replace(cut, local_time=found.latency), part, found)


def _least_seconds(seconds: Floats) -> Floats:
    """``min over k of y_k s_vk``, with y in proportion to the workers' speeds over all operators.

    One worker that takes no time for anything makes all of it 0.
    """
    totals = seconds.sum(axis=0)
    if not totals.all():
        return np.zeros(len(seconds))
    weights = totals.min() / totals
    weights /= weights.sum()
    return np.asarray((seconds * weights).min(axis=1))


def _candidates(
    graph: ModelGraph, seconds: Floats, least: Floats, work: Floats, link: Link, engine: str | None
) -> Iterator[tuple[int, ...]]:
    """Cuts worth a schedule, as operators kept; some more than once."""
    yield ()
    for block in blocks(graph):
        yield tuple(range(block.stop))
    speedup = 1.0
    if least.any():
        speedup = max(1.0, float(seconds[:, 0].sum() / least.sum()))
    uplinks, downlinks = (
        (max(rate / speedup, 1e-100), max(rate, 1e-100)) for rate in (link.uplink, link.downlink)
    )
    # c A = L + D/(b/c) + c rtt + c W/f: a device c times as fast is a link c times as slow.
    faster = hull(
        graph, seconds[:, 0], work, uplinks=uplinks, downlinks=downlinks, most=_MOST_CUTS,
        engine=engine,
    )  # fmt: skip
    for cut in faster.cuts:
        yield cut.on_device


def _kept(of: Frontier) -> list[tuple[int, ...]]:
    """The operators on the device of each piece that a search found."""
    return [piece.cut.on_device for piece in of.pieces if piece.cut is not None]


def _envelope(
    known: Mapping[tuple[int, ...], Piece],
) -> tuple[tuple[Piece, ...], tuple[tuple[int, ...], ...]]:
    """The pieces best at some share, by falling work, and what each keeps on the device."""
    keys, pieces = list(known), list(known.values())
    order = sorted(
        range(len(pieces)), key=lambda k: (-pieces[k].server_work, pieces[k].base_latency)
    )
    bases = [pieces[k].base_latency for k in order]
    works = [pieces[k].server_work for k in order]
    count = best_of(order, len(order), bases, works)
    return tuple(pieces[k] for k in order[:count]), tuple(keys[k] for k in order[:count])


def _breakpoints(pieces: Sequence[Piece]) -> list[float]:
    """Where along x = 1/f one piece takes over from the one before; x = 0 first."""
    return [0.0] + [
        (right.base_latency - left.base_latency) / (left.server_work - right.server_work)
        for left, right in pairwise(pieces)
    ]


def _latencies(pieces: Sequence[Piece], x: Floats) -> Floats:
    """T at x = 1/f: the least of ``A + W x``, s."""
    return np.asarray(_lines(pieces, x).min(axis=0))


def _lines(pieces: Sequence[Piece], x: Floats) -> Floats:
    """``A + W x`` by piece and x."""
    base = np.array([piece.base_latency for piece in pieces])
    work = np.array([piece.server_work for piece in pieces])
    return np.asarray(base[:, None] + work[:, None] * x)


def _promising(
    pieces: Sequence[Piece],
    waiting: Mapping[tuple[int, ...], Piece],
    plans: Mapping[tuple[int, ...], DevicePlan],
    least: Floats,
) -> tuple[int, ...] | None:
    """Of the cuts that wait, with bounds on their pieces, the one likely to save most.

    A cut is taken to miss its bound by the factor that the plan of nearest bound does; least:
    seconds per operator in the bound.  How far a line is below the envelope is greatest at a
    breakpoint, as the envelope is concave in x = 1/f.  None if no cut can be below by its bound.
    """
    if not waiting:
        return None
    x = np.array(_breakpoints(pieces))
    reached = _latencies(pieces, x)
    scale = np.where(reached > 0.0, reached, 1.0)
    lines = list(waiting.values())
    below = (reached - _lines(lines, x)) / scale
    able = np.flatnonzero(below.max(axis=1) > _LEAST_GAIN)
    if not len(able):
        return None
    floors = np.array([line.cut.local_time for line in lines if line.cut is not None])
    bounds = np.array([float(least[list(kept)].sum()) for kept in plans])
    factors = np.array([plan.cut.local_time for plan in plans.values()])
    factors = np.divide(factors, bounds, out=np.ones(len(plans)), where=bounds > 0.0)
    nearest = np.abs(bounds - floors[:, None]).argmin(axis=1)
    more = floors * (factors[nearest] - 1.0)
    guess = (below - more[:, None] / scale).max(axis=1)
    return list(waiting)[int(able[guess[able].argmax()])]
