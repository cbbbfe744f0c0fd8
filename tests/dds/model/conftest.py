"""Helpers of the model tests: closed sets, cuts, and onnxruntime as the judge."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import onnxruntime
import pytest

from dds.cut.pieces import Cut
from dds.model.graph import ModelGraph

Run = Callable[[bytes, dict[str, np.ndarray]], dict[str, np.ndarray]]


def _closed_sets(graph: ModelGraph, most: int) -> set[frozenset[int]] | None:
    """Every predecessor-closed set of operators, or None if there are more than ``most``."""
    found = {frozenset[int]()}
    frontier = [frozenset[int]()]
    while frontier:
        inside = frontier.pop()
        for v in range(len(graph.operators)):
            if v not in inside and inside.issuperset(graph.predecessors[v]):
                bigger = inside | {v}
                if bigger not in found:
                    if len(found) == most:
                        return None
                    found.add(bigger)
                    frontier.append(bigger)
    return found


def _draw(graph: ModelGraph, rng: np.random.Generator) -> frozenset[int]:
    """A prefix of a random topological order."""
    size = int(rng.integers(1, max(2, len(graph.operators))))
    inside: set[int] = set()
    while len(inside) < size:
        ready = [
            v
            for v in range(len(graph.operators))
            if v not in inside and inside.issuperset(graph.predecessors[v])
        ]
        # Run a few steps along one branch, so that sets are not all near the diagonal.
        v = ready[int(rng.integers(len(ready)))]
        inside.add(v)
    return frozenset(inside)


def cut_at(graph: ModelGraph, on_device: frozenset[int]) -> Cut:
    """The cut with these operators on the device, from the definition in docs/notation.md."""
    reads = {t for v, op in enumerate(graph.operators) if v not in on_device for t in op.inputs}
    uploads = tuple(sorted(t for t in reads if graph.producer[t] in on_device | {-1}))
    downloads = tuple(sorted(t for t in graph.outputs if graph.producer[t] not in on_device | {-1}))
    return Cut(
        on_device=tuple(sorted(on_device)),
        uploads=uploads,
        downloads=downloads,
        uplink_bytes=sum(graph.tensors[t].bytes for t in uploads),
        downlink_bytes=sum(graph.tensors[t].bytes for t in downloads),
        local_time=0.0,
    )


def _cuts(graph: ModelGraph, most: int, seed: int = 0) -> Iterator[Cut]:
    """All cuts of a graph; where there are more than ``most``, that many seeded ones."""
    sets = _closed_sets(graph, most)
    if sets is None:
        rng = np.random.default_rng(seed)
        everything = frozenset(range(len(graph.operators)))
        sets = {frozenset(), everything, *(_draw(graph, rng) for _ in range(most - 2))}
    for on_device in sorted(sets, key=lambda s: (len(s), sorted(s))):
        yield cut_at(graph, on_device)


def _run(
    model: bytes, feeds: dict[str, np.ndarray], optimise: bool = False
) -> dict[str, np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.graph_optimization_level = (
        onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        if optimise
        else onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    )
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds), strict=True))


@pytest.fixture(scope="session")
def cuts():
    """``cuts(graph, most)``: all cuts, or ``most`` random ones."""
    return _cuts


@pytest.fixture(scope="session")
def cut_of():
    """``cut_of(graph, on_device)``."""
    return cut_at


@pytest.fixture(scope="session")
def run():
    """``run(model, feeds, optimise=False)`` in onnxruntime, one thread."""
    return _run
