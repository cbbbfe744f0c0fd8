"""Measuring a profile with onnxruntime.

The profiler times every kernel by the wall clock, in whole microseconds, and slows small models by
up to 37 %; another process on the same core makes single numbers several times too long.  So

- one run warms up and is thrown away;
- with one thread, a profiled run that took over 1.1 times its CPU time was disturbed, and another
  is made, up to twice as many; if too few are left, the least disturbed quarter counts;
- a kernel's time is the mean of its runs between the 10th and the 50th percentile: disturbed
  runs, which are long, do not count, and the mean tells tenths of a microsecond;
- what the profiler itself adds to it, about 3 µs, is taken off (:mod:`dds.profile.overhead`);
- these are *shares* of the whole: they are scaled to the median of plain runs, without the
  profiler, of the model.  With one thread those are in *CPU time*, which is what a paced device
  and a paced server spend; otherwise they are in wall time.

Each group's noise is the standard error of its mean by the jackknife, of counting whole
microseconds, and of what the profiler adds, which is known to about a tenth.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dds.errors import InvalidInput
from dds.model.graph import ModelGraph
from dds.profile.kernels import Kernels, kernel_seconds, profiler_events, read_kernels
from dds.profile.overhead import profiler_overhead
from dds.profile.platform import THIS_MACHINE, Platform
from dds.profile.profile import RESOLUTION, Profile
from dds.profile.runtime import Clock, Runtime, clock_of, open_session, random_inputs, run

__all__ = [
    "Report",
    "measure",
    "measure_here",
    "noise_of",
    "steady",
    "undisturbed",
]

#: Told how many of how many runs are done, from none on.
Report = Callable[[int, int], None]

#: Wall over CPU time of a run that something else ran beside.
_DISTURBED = 1.1
#: The profiler's unit, s.
_TICK = 1e-6
#: Kernel times to ask the profiler for, two of each kernel apart, and how many it records at all.
_ENOUGH_EVENTS, _MOST_EVENTS = 200_000, 1_000_000
#: Standard error of what the profiler adds to a kernel time, relative.
_UNSURE = 0.1


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

    Raises InvalidInput when onnxruntime refuses the model, an operator fails on random inputs, or a
    number is out of range.
    """
    if repeats < 1:
        raise InvalidInput(f"repeats is {repeats}; need at least 1")
    if math.isnan(budget):
        raise InvalidInput("budget is not a number; give seconds")
    if platform.duty < 1.0:
        from dds.profile.child import measure_throttled

        return measure_throttled(model, graph, platform, repeats, budget, report)
    return measure_here(model, graph, platform, repeats, budget, report)


def measure_here(
    model: bytes,
    graph: ModelGraph,
    platform: Platform,
    repeats: int,
    budget: float,
    report: Report | None,
    clock: Clock | None = None,
) -> Profile:
    """Profile in this process, which already has the platform's duty.

    clock: times plain runs, by default that of :func:`dds.profile.runtime.clock_of`.
    """
    told = -1

    def tell(done: int) -> None:
        nonlocal told
        if report and done > told:
            report(done, 2 * repeats)
            told = done

    overhead = profiler_overhead(platform.runtime)
    kernels, runs, whole = _take_runs(
        model, graph, platform.runtime, repeats, budget / 2.0, tell,
        clock or clock_of(platform.runtime.threads),
    )  # fmt: skip
    total = float(np.median(whole))
    added = overhead.added * np.array(kernels.counts())
    kernel_times = steady(runs)
    times = np.maximum(kernel_times - added, max(overhead.least, RESOLUTION))
    noise = np.minimum(np.hypot(noise_of(runs) * kernel_times, _UNSURE * added) / times, 1.0)
    seconds = np.maximum(times * (total / times.sum()), RESOLUTION) if len(times) else times
    fused = kernels.fusion.fused(graph)
    return Profile(
        digest=graph.digest,
        platform=platform.fingerprint,
        runtime=platform.runtime,
        operators=tuple(operator.name for operator in fused.operators),
        groups=kernels.fusion.groups,
        seconds=tuple(seconds.tolist()),
        noise=tuple(noise.tolist()),
        whole=total,
        kernels=float(times.sum()),
        spread=(max(whole) - min(whole)) / total,
        repeats=len(whole),
    ).scaled(1.0 / platform.frequency)


def _take_runs(
    model: bytes,
    graph: ModelGraph,
    runtime: Runtime,
    repeats: int,
    budget: float,
    tell: Callable[[int], None],
    clock: Clock,
) -> tuple[Kernels, NDArray[np.float64], list[float]]:
    """The kernels, their seconds per run and group, and the seconds of each plain run."""
    inputs = random_inputs(graph, np.random.default_rng(0))
    with tempfile.TemporaryDirectory(prefix="dds-profile-") as folder:
        optimised = Path(folder) / "graph.onnx"
        session = open_session(
            model, runtime, profile=Path(folder) / "kernels", optimised=optimised
        )
        kernels = read_kernels(graph, optimised)
        run(session, inputs)  # which says in one line why a model fails
        tell(0)
        # Twice as many runs may be made, and a large model fills the profiler, and the memory.
        few = max(2, _ENOUGH_EVENTS // (2 * kernels.size + 1))
        slowed = _profiled_runs(lambda: session.run(None, inputs), min(repeats, few), budget, tell)
        tell(repeats)
        events = profiler_events(session)
    if len(events) >= _MOST_EVENTS:
        raise InvalidInput(
            f"onnxruntime's profiler records {_MOST_EVENTS} kernels, and {1 + len(slowed)} runs of "
            "the model have more; measure a part of it"
        )
    whole: list[float] = []
    end = time.monotonic() + budget
    while len(whole) < repeats and (len(whole) < 2 or time.monotonic() < end):
        started = clock()
        session.run(None, inputs)
        whole.append(clock() - started)
        tell(repeats + len(whole))
    tell(2 * repeats)
    runs = kernel_seconds(events, kernels, 1 + len(slowed))[1:]
    return kernels, runs[undisturbed(slowed)] if runtime.threads == 1 else runs, whole


def _profiled_runs(
    once: Callable[[], object], repeats: int, budget: float, tell: Callable[[int], None]
) -> list[float]:
    """How much longer than its CPU time each run took, a ratio; until `repeats` are undisturbed."""
    slowed: list[float] = []
    quiet = 0
    end = time.monotonic() + budget
    while quiet < repeats and len(slowed) < 2 * repeats:
        if len(slowed) >= 2 and time.monotonic() >= end:
            break
        wall, cpu = time.perf_counter(), time.thread_time()
        once()
        wall, cpu = time.perf_counter() - wall, time.thread_time() - cpu
        slowed.append(wall / cpu if cpu > 0.0 else 1.0)
        quiet += slowed[-1] <= _DISTURBED
        tell(min(len(slowed), repeats))
    return slowed


def undisturbed(slowed: Sequence[float]) -> list[int]:
    """Which runs to believe: those that were not disturbed, and a quarter of all in any case."""
    order = sorted(range(len(slowed)), key=slowed.__getitem__)
    least = max(2, len(slowed) // 4)
    return [k for rank, k in enumerate(order) if rank < least or slowed[k] <= _DISTURBED]


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
