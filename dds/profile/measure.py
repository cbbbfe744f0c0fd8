"""Measuring a profile with onnxruntime.

The profiler times every kernel by the wall clock, in whole microseconds, and slows small models by
up to 37 %; another process on the same core makes single numbers several times too long.  So

- one run warms up and is thrown away;
- a kernel's time is the mean of its runs between the 10th and the 50th percentile: disturbed
  runs, which are long, do not count, and the mean tells tenths of a microsecond;
- what the profiler itself adds to it, about 3 µs, is taken off (:mod:`dds.profile.overhead`);
- these are *shares* of the whole: they are scaled to the median of plain runs, without the
  profiler, of the model.  With one thread those are in *CPU time*, which is what a paced device
  and a paced server spend; otherwise they are in wall time.

Each group's noise is the standard error of its mean by the jackknife, and of counting whole
microseconds.
"""

from __future__ import annotations

import json
import math
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from dds.errors import InvalidInput
from dds.model.graph import ModelGraph
from dds.profile.kernels import kernel_seconds, match
from dds.profile.overhead import profiler_overhead
from dds.profile.platform import THIS_MACHINE, Platform
from dds.profile.profile import RESOLUTION, Profile
from dds.profile.runtime import Runtime, open_session, random_inputs

__all__ = ["Clock", "Report", "clock_of", "measure", "measure_here", "noise_of", "steady"]

#: Told how many of how many runs are done, from none on.
Report = Callable[[int, int], None]
#: Seconds since some moment.
Clock = Callable[[], float]

#: The profiler's unit, s.
_TICK = 1e-6


def measure(
    model: bytes,
    graph: ModelGraph,
    *,
    platform: Platform = THIS_MACHINE,
    repeats: int = 20,
    budget: float = math.inf,
    report: Report | None = None,
) -> Profile:
    """Profile the ONNX bytes `model`, whose graph is `graph`, on `platform`.

    repeats: profiled runs, and as many plain ones, after those that are thrown away;
    budget: seconds after which measuring stops early, half for either kind, though never
    before two of each.  A platform with a duty below 1 is measured in another process.

    Raises InvalidInput when onnxruntime refuses the model or a number is out of range.
    """
    if repeats < 1:
        raise InvalidInput(f"repeats is {repeats}; need at least 1")
    if math.isnan(budget):
        raise InvalidInput("budget is not a number; give seconds")
    if platform.duty < 1.0:
        from dds.profile.child import measure_throttled

        return measure_throttled(model, graph, platform, repeats, budget, report)
    clock = clock_of(platform.runtime)
    return measure_here(model, graph, platform, repeats, budget, report, clock)


def clock_of(runtime: Runtime) -> Clock:
    """The clock of plain runs: CPU time if all is done in one thread, else wall time."""
    return time.thread_time if runtime.threads == 1 else time.perf_counter


def measure_here(
    model: bytes,
    graph: ModelGraph,
    platform: Platform,
    repeats: int,
    budget: float,
    report: Report | None,
    clock: Clock,
) -> Profile:
    """Profile in this process, which already has the platform's duty; `clock` times plain runs."""
    inputs = random_inputs(graph, np.random.default_rng(0))
    overhead = profiler_overhead(platform.runtime)
    with tempfile.TemporaryDirectory(prefix="dds-profile-") as folder:
        optimised = Path(folder) / "graph.onnx"
        session = open_session(
            model, platform.runtime, profile=Path(folder) / "kernels", optimised=optimised
        )
        kernels = match(graph, onnx.load(optimised, load_external_data=False).graph)

        def plain(offset: int) -> list[float]:
            times: list[float] = []
            end = time.monotonic() + budget / 2.0
            while len(times) < repeats and (len(times) < 2 or time.monotonic() < end):
                started = clock()
                session.run(None, inputs)
                times.append(clock() - started)
                if report:
                    report(offset + len(times), 2 * repeats)
            return times

        session.run(None, inputs)
        if report:
            report(0, 2 * repeats)
        profiled = plain(0)
        if report and len(profiled) < repeats:
            report(repeats, 2 * repeats)
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
        whole = plain(repeats)
    if report and len(whole) < repeats:
        report(2 * repeats, 2 * repeats)
    runs = kernel_seconds(events, kernels, 1 + len(profiled))[1:]
    fused = kernels.fusion.fused(graph)
    total = float(np.median(whole))
    added = overhead.added * np.array(kernels.counts())
    times = np.maximum(steady(runs) - added, max(overhead.least, RESOLUTION))
    seconds = np.maximum(times * (total / times.sum()), RESOLUTION) if len(times) else times
    return Profile(
        digest=graph.digest,
        platform=platform.fingerprint,
        runtime=platform.runtime,
        operators=tuple(operator.name for operator in fused.operators),
        groups=kernels.fusion.groups,
        seconds=tuple(seconds.tolist()),
        noise=tuple(noise_of(runs).tolist()),
        whole=total,
        kernels=float(times.sum()),
        spread=(max(whole) - min(whole)) / total,
        repeats=len(whole),
    ).scaled(1.0 / platform.frequency)


def steady(runs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean of the runs between the 10th and the 50th percentile, per column; at least one run."""
    low = len(runs) // 10
    return np.asarray(np.sort(runs, axis=0)[low : max(low + 1, len(runs) // 2)].mean(axis=0))


def noise_of(runs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Relative standard error of :func:`steady` per column.

    sqrt((n - 1)/n sum_i (s_i - mean s)^2 + tick^2 / (12 m)) / s, where s_i is the statistic without
    run i (jackknife, Quenouille 1956), n the runs, m the runs in the mean, and the tick one
    microsecond.  A single run says nothing of its noise: then it is 1.
    """
    count = len(runs)
    if count < 2:
        return np.ones(runs.shape[1])
    without = np.array([steady(np.delete(runs, i, axis=0)) for i in range(count)])
    jackknife = (count - 1) / count * ((without - without.mean(axis=0)) ** 2).sum(axis=0)
    averaged = max(1, count // 2 - count // 10)
    ticks = _TICK**2 / (12.0 * averaged)
    return np.asarray(np.sqrt(jackknife + ticks) / np.maximum(steady(runs), RESOLUTION))
