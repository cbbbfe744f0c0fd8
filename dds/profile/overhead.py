"""What onnxruntime's profiler adds to every kernel time.

It writes an event per kernel inside the interval that it times: 2 to 4 µs, whatever the kernel,
which is more than a reshape takes at all.  A chain of operators that do next to nothing tells how
much: profiled, they take that long; plain, they do not.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper

from dds.profile.kernels import durations, profiler_events
from dds.profile.runtime import Runtime, open_session

__all__ = ["Overhead", "profiler_overhead"]

_OPERATORS, _RUNS = 64, 40


@dataclass(frozen=True)
class Overhead:
    """added: seconds that profiling adds to one kernel time; least: what the cheapest takes."""

    added: float
    least: float


@lru_cache(maxsize=64)
def profiler_overhead(runtime: Runtime) -> Overhead:
    """The overhead of the profiler, measured once per process and runtime: 0.1 to 0.3 s.

    added = (k - t) / n and least = t / n for a chain of n tiny operators, where k is the sum of
    their kernel times and t the time of a plain run, which pays for going from one operator to
    the next as well; the first quartile over 40 runs each.
    """
    model = _chain()
    inputs = {"x0": np.zeros((1, 16), np.float32)}
    plain = open_session(model, runtime)
    with tempfile.TemporaryDirectory(prefix="dds-profile-") as folder:
        profiled = open_session(model, runtime, profile=Path(folder) / "kernels")
        profiled.run(None, inputs)
        plain.run(None, inputs)
        times = []
        for _ in range(_RUNS):
            profiled.run(None, inputs)
            started = time.perf_counter()
            plain.run(None, inputs)
            times.append(time.perf_counter() - started)
        seconds = durations(profiler_events(profiled))
    runs = np.array(list(seconds.values())).reshape(_OPERATORS, 1 + _RUNS)[:, 1:].sum(axis=0)
    kernels, whole = float(np.quantile(runs, 0.25)), float(np.quantile(times, 0.25))
    return Overhead(max(0.0, kernels - whole) / _OPERATORS, whole / _OPERATORS)


def _chain() -> bytes:
    """Tangents of absolutes of tangents: nothing that onnxruntime would fuse."""
    nodes = [
        helper.make_node("Abs" if k % 2 else "Tanh", [f"x{k}"], [f"x{k + 1}"], f"n{k}")
        for k in range(_OPERATORS)
    ]
    start, end = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 16])
        for name in ("x0", f"x{_OPERATORS}")
    )
    graph = helper.make_graph(nodes, "chain", [start], [end])
    opset = helper.make_opsetid("", 17)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=8)
    return bytes(model.SerializeToString())
