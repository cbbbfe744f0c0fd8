"""What a frontier must satisfy, checked from the graph alone, without the solver's code."""

# ruff: noqa: S101 - to assert is what this module is for
from __future__ import annotations

import importlib
import math
from collections.abc import Iterable
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from dds.costs.link import Link
from dds.costs.roofline import Timing, operator_times
from dds.cut.pieces import Cut, Frontier
from dds.model.graph import ModelGraph
from dds.testing.graphs import closed_sets

__all__ = ["assert_cut", "assert_frontier", "least_latency"]

#: Graphs up to this size are compared with every closed set, larger ones with networkx.
_EXHAUSTIVE = 13


def assert_cut(graph: ModelGraph, device: Timing, cut: Cut) -> None:
    """Assert that a cut is valid and that its tensors, bytes and local time are right."""
    kept = set(cut.on_device)
    assert list(cut.on_device) == sorted(kept), "on_device is not ascending"
    assert kept <= set(range(len(graph.operators))), "on_device names an unknown operator"
    for v in kept:
        assert kept.issuperset(graph.predecessors[v]), f"data flows back to operator {v}"
    uploads, downloads = _crossing(graph, kept)
    assert list(cut.uploads) == uploads, f"uploads are {cut.uploads}, not {uploads}"
    assert list(cut.downloads) == downloads, f"downloads are {cut.downloads}, not {downloads}"
    assert cut.uplink_bytes == sum(graph.tensors[t].bytes for t in uploads)
    assert cut.downlink_bytes == sum(graph.tensors[t].bytes for t in downloads)
    times = operator_times(graph, device)
    assert math.isclose(cut.local_time, math.fsum(times[v] for v in kept), rel_tol=1e-9)


def assert_frontier(
    graph: ModelGraph,
    device: Timing,
    server: Timing,
    link: Link,
    frontier: Frontier,
    *,
    rel_tol: float = 1e-9,
) -> None:
    """Assert that a frontier is exact: T(f) is the least over all cuts, at many shares.

    Checked without the solver: each piece's cut and numbers; pieces by rising A and
    falling W with local-only last; cuts nested; each piece strictly best somewhere;
    and T(f) at every breakpoint, between them and beyond, against every closed
    set (up to 13 operators) or a minimum cut by networkx (extra ``test``).
    """
    local, work = operator_times(graph, device), operator_times(graph, server)
    pieces = frontier.pieces
    for k, piece in enumerate(pieces):
        cut = piece.cut
        assert cut is not None, f"piece {k} has no cut"
        assert_cut(graph, local, cut)
        kept = set(cut.on_device)
        base, behind = _value(graph, local, work, link, kept)
        assert math.isclose(piece.base_latency, base, rel_tol=rel_tol), f"piece {k}: A"
        assert math.isclose(piece.server_work, behind, rel_tol=rel_tol), f"piece {k}: W"
        if k > 0:
            before = pieces[k - 1]
            assert before.cut is not None
            assert before.base_latency < piece.base_latency, f"piece {k}: A does not rise"
            assert before.server_work > piece.server_work, f"piece {k}: W does not fall"
            assert kept.issuperset(before.cut.on_device), f"piece {k}: cuts are not nested"
    last = pieces[-1].cut
    assert last is not None
    assert len(last.on_device) == len(graph.operators), "local-only is not last"
    assert pieces[-1].server_work == 0.0, "local-only has server work"
    breakpoints = [
        (b.base_latency - a.base_latency) / (a.server_work - b.server_work)
        for a, b in pairwise(pieces)
    ]
    assert breakpoints == sorted(set(breakpoints)), "a piece is nowhere strictly best"
    weights = _weights(breakpoints)
    for x, least in zip(weights, least_latency(graph, local, work, link, weights), strict=True):
        found = min(piece.base_latency + x * piece.server_work for piece in pieces)
        assert math.isclose(found, least, rel_tol=rel_tol, abs_tol=1e-300), (
            f"at f = 1/{x!r} the frontier says {found!r} s, the best cut takes {least!r} s"
        )


def least_latency(
    graph: ModelGraph,
    device: Timing,
    server: Timing,
    link: Link,
    weights: Iterable[float],
) -> list[float]:
    """Minimum over all cuts of A + x W for each weight x = 1/f, by an independent method."""
    local, work = operator_times(graph, device), operator_times(graph, server)
    if len(graph.operators) <= _EXHAUSTIVE:
        points = [_value(graph, local, work, link, set(s)) for s in closed_sets(graph)]
        finite = [(a, w) for a, w in points if math.isfinite(a)]
        return [min(a + x * w for a, w in finite) for x in weights]
    return [_networkx_latency(graph, local, work, link, x) for x in weights]


def _weights(breakpoints: list[float]) -> list[float]:
    if not breakpoints:
        return [0.0, 1e-6, 1.0, 1e6]
    between = [math.sqrt(a) * math.sqrt(b) for a, b in pairwise(breakpoints)]
    return [0.0, breakpoints[0] / 2, *breakpoints, *between, breakpoints[-1] * 2]


def _crossing(graph: ModelGraph, kept: set[int]) -> tuple[list[int], list[int]]:
    uploads, downloads = [], []
    for t in range(len(graph.tensors)):
        made_by = graph.producer[t]
        on_device = t in graph.inputs or made_by in kept
        read_by_server = any(
            t in operator.inputs for v, operator in enumerate(graph.operators) if v not in kept
        )
        if on_device and read_by_server:
            uploads.append(t)
        if t in graph.outputs and t not in graph.inputs and not on_device:
            downloads.append(t)
    return uploads, downloads


def _value(
    graph: ModelGraph,
    local: NDArray[np.float64],
    work: NDArray[np.float64],
    link: Link,
    kept: set[int],
) -> tuple[float, float]:
    """(A, W) of the cut that keeps a set of operators on the device, from the definitions."""
    base = math.fsum(local[v] for v in kept)
    if len(kept) == len(local):
        return base, 0.0
    uploads, downloads = _crossing(graph, kept)
    base += sum(graph.tensors[t].bytes for t in uploads) / link.uplink
    base += sum(graph.tensors[t].bytes for t in downloads) / link.downlink
    return base + link.rtt, math.fsum(w for v, w in enumerate(work) if v not in kept)


def _networkx_latency(
    graph: ModelGraph,
    local: NDArray[np.float64],
    work: NDArray[np.float64],
    link: Link,
    x: float,
) -> float:
    """The least latency by networkx on the plainest network: nothing left out or merged.

    Costs become integers of 2**-60 of local-only's latency; a crossing dearer than
    local-only is as good as infinite.
    """
    total = math.fsum(local)
    if total == 0.0:
        return 0.0

    def ticks(seconds: float) -> int:
        return round(min(seconds / total, 2.0) * 2.0**60)

    networkx = importlib.import_module("networkx")  # slow to import, and only for tests
    flow = networkx.DiGraph()
    for v, operator in enumerate(graph.operators):
        flow.add_edge(v, "server", capacity=ticks(local[v]))
        back = sum(graph.tensors[t].bytes for t in operator.outputs if t in graph.outputs)
        flow.add_edge("device", v, capacity=ticks(x * work[v] + back / link.downlink))
        for p in graph.predecessors[v]:
            flow.add_edge(v, p)  # no capacity attribute: infinite
    for t, consumers in enumerate(graph.consumers):
        made_by = graph.producer[t]
        seconds = graph.tensors[t].bytes / link.uplink
        flow.add_edge("device" if made_by < 0 else made_by, ("tensor", t), capacity=ticks(seconds))
        for v in consumers:
            flow.add_edge(("tensor", t), v)
    least = int(networkx.minimum_cut_value(flow, "device", "server"))
    best = least / 2.0**60 * total
    return min(total, best + link.rtt)
