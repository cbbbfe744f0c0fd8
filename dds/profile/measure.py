"""Measuring a profile with onnxruntime.

The profiler times every kernel by the wall clock and slows small models by up to 37 %; another
process on the same core makes single numbers several times too long.  So each operator's share
of the model is taken from its fastest kernel time, which neither disturbs much, and the shares
are scaled to the median *CPU time* of plain runs, which is what a paced device and a paced
server spend.  Measured with 0 to 3 other busy processes on two cores, this stays within a few
percent of the CPU time that follows; sums of median kernel times were up to 3.5 times too long.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dds.errors import InternalError, InvalidInput
from dds.model.graph import ModelGraph
from dds.profile.profile import RESOLUTION, Profile
from dds.profile.runtime import Runtime, open_session, platform_fingerprint, random_inputs

__all__ = ["kernel_times", "measure"]

#: Told how many of how many runs are done.
Report = Callable[[int, int], None]


def measure(
    model: bytes,
    graph: ModelGraph,
    *,
    repeats: int = 10,
    budget: float = float("inf"),
    threads: int = 1,
    report: Report | None = None,
) -> Profile:
    """Profile the ONNX bytes `model`, whose graph is `graph`, on this machine.

    repeats: profiled runs, and as many plain ones, after one that is thrown away;
    budget: seconds after which either kind stops early, though never before two;
    threads: of onnxruntime; with more than one, plain runs are timed by the wall clock.

    Raises InvalidInput when onnxruntime refuses the model or a number is out of range.
    """
    if repeats < 1:
        raise InvalidInput(f"repeats is {repeats}; need at least 1")
    runtime = Runtime(threads, "none")
    clock = time.thread_time if threads == 1 else time.perf_counter
    inputs = random_inputs(graph, np.random.default_rng(0))
    with tempfile.TemporaryDirectory(prefix="dds-profile-") as folder:
        session = open_session(model, runtime, profile=Path(folder) / "kernels")

        def plain(offset: int) -> list[float]:
            times: list[float] = []
            while len(times) < repeats and (len(times) < 2 or sum(times) < budget):
                started = clock()
                session.run(None, inputs)
                times.append(clock() - started)
                if report:
                    report(offset + len(times), 2 * repeats)
            return times

        session.run(None, inputs)
        profiled = plain(0)
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
        whole = plain(repeats)
    fastest = kernel_times(events, _node_kinds(model), graph, 1 + len(profiled))[1:].min(axis=0)
    fastest = np.maximum(fastest, RESOLUTION)
    total = float(np.median(whole))
    seconds = np.maximum(fastest * (total / fastest.sum()), RESOLUTION) if len(fastest) else fastest
    return Profile(
        digest=graph.digest,
        platform=platform_fingerprint(runtime),
        threads=threads,
        operators=tuple(operator.name for operator in graph.operators),
        seconds=tuple(seconds.tolist()),
        whole=total,
        kernels=float(fastest.sum()),
        spread=(max(whole) - min(whole)) / total,
        repeats=len(whole),
    )


def kernel_times(
    events: Iterable[Mapping[str, Any]], kinds: Sequence[str], graph: ModelGraph, runs: int
) -> NDArray[np.float64]:
    """Seconds per run and operator, shape (runs, operators), from the profiler's events.

    kinds: operator type of each node of the ONNX graph, in file order.  onnxruntime numbers
    nodes in that order after turning ``Constant`` nodes into weights, whatever they are called,
    so an operator is found by number: names may be empty or repeated.  Kernels inside a control
    flow operator lie within its own interval and are not counted twice.  A function operator is
    inlined under new numbers; what those take is shared equally among such operators.

    Raises InternalError when the events do not belong to this model.
    """
    position, number = {}, 0
    for node, kind in enumerate(kinds):
        if kind != "Constant":
            position[node] = number
            number += 1
    durations = _durations(events)
    for index, (kind, times) in durations.items():
        if len(times) != runs:
            raise InternalError(f"kernel {index} ({kind}) ran {len(times)} times in {runs} runs")
    result = np.zeros((runs, len(graph.operators)))
    inlined: list[int] = []
    for v, operator in enumerate(graph.operators):
        kind, times = durations.get(position.get(operator.node, -1), ("", []))
        if not times:
            inlined.append(v)
        elif kind != operator.kind:
            raise InternalError(f"operator {operator.name!r} is {operator.kind}, ran as {kind}")
        else:
            result[:, v] = times
    if inlined:
        extra = [times for index, (_, times) in durations.items() if index >= number]
        result[:, inlined] = (np.sum(extra, axis=0) / len(inlined))[:, None] if extra else 0.0
    return result


def _durations(events: Iterable[Mapping[str, Any]]) -> dict[int, tuple[str, list[float]]]:
    """Per onnxruntime node: its operator type and the seconds of each outermost kernel."""
    kernels = [event for event in events if str(event.get("name", "")).endswith("_kernel_time")]
    # A kernel that starts when another does and lasts longer is the outer one.
    kernels.sort(key=lambda event: (event["ts"], -event["dur"]))
    durations: dict[int, tuple[str, list[float]]] = {}
    outer_end = 0
    for event in kernels:
        if event["ts"] < outer_end:
            continue
        outer_end = event["ts"] + event["dur"]
        number, kind = int(event["args"]["node_index"]), str(event["args"]["op_name"])
        durations.setdefault(number, (kind, []))[1].append(event["dur"] * 1e-6)
    return durations


def _node_kinds(model: bytes) -> list[str]:
    from dds.model.onnxfile import open_onnx

    return [node.op_type for node in open_onnx(model).model.graph.node]
