"""Models in slices on two real cores: a pinned process on each, shared memory between them.

Per model of the zoo, normalised: one thread, pinned; onnxruntime's own threads, one per core; a
worker process per core with the schedule of dds.schedule.  Beside what they took stands what was
forecast before any of it was played; what that predicts with what other schedules of the model took
over their own forecasts; and what a trial of a few plays of this one took when it was planned.

A round gives each of the three a few inferences in a row, of which the first does not count, as
the others have been using the caches; so the machine's drift hits all alike.  A pinned process
cannot evade what else runs on its core: the kernel knows for how long threads stood in a queue for
one, and only runs count that hardly did.  Outputs are compared, relative to the largest.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from measuring import Spread, arguments, machine, machine_line, progress, text_table, write_json

from dds.execution.machine import MachinePlan, plan_for_this_machine
from dds.execution.processes import PinnedWorkers
from dds.model import zoo
from dds.model.zoo import NAMES
from dds.parallel.program import Compute
from dds.profile.measure import undisturbed
from dds.profile.runtime import Runtime, open_session, random_inputs

EXAMPLES = """  python benchmarks/parallel_real.py --json parallel_real.json
  python benchmarks/parallel_real.py --models resnet50 vgg19
  python benchmarks/parallel_real.py --quick"""
#: Bars: speed-up on five models, on one of them, and the prediction, relative, on six of eight.
_FASTER, _VGG, _NEAR = 1.4, 1.7, 0.15


#: Inferences of a contender in a round that count.
_IN_A_ROW = 3


@dataclass(frozen=True)
class Contender:
    """Seconds of each run, and its wall time over what it would have had without queueing."""

    seconds: list[float]
    slowed: list[float]

    def spread(self) -> Spread:
        """Of the undisturbed runs."""
        return Spread.of([self.seconds[k] for k in undisturbed(self.slowed)])


def queued(processes: Iterable[int]) -> float:
    """Seconds that threads of these processes have waited for a core so far."""
    tasks = (task for process in processes for task in Path(f"/proc/{process}/task").iterdir())
    return 1e-9 * sum(int((task / "schedstat").read_text().split()[1]) for task in tasks)


def rounds_of(
    calls: Mapping[str, tuple[Callable[[], object], Sequence[int]]], rounds: int
) -> dict[str, Contender]:
    """Runs of every contender in turn, each with the processes it runs in; a round warms up."""
    found = {name: Contender([], []) for name in calls}
    for turn in range(rounds + 1):
        for name, (call, processes) in calls.items():
            for run in range(1 + _IN_A_ROW):
                before, start = queued(processes), time.perf_counter()
                call()
                seconds = time.perf_counter() - start
                waited = min(queued(processes) - before, 0.9 * seconds)
                if turn and run:
                    found[name].seconds.append(seconds)
                    found[name].slowed.append(seconds / (seconds - waited))
    return found


def on_core(core: int, call: Callable[[], object]) -> object:
    """What a call returns that runs on one core; this thread is free again afterwards."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        return call()
    finally:
        os.sched_setaffinity(0, before)


def cell(name: str, cores: tuple[int, ...], rounds: int, seed: int) -> dict[str, Any]:
    """One model."""
    start = time.perf_counter()
    plan = plan_for_this_machine(zoo.build(name, seed), cores)
    planning = time.perf_counter() - start
    inputs = random_inputs(plan.graph, np.random.default_rng(seed))
    one = open_session(plan.model, Runtime(1))
    threads = open_session(plan.model, Runtime(len(cores)))
    outputs = [output.name for output in one.get_outputs()]
    with PinnedWorkers(plan.programs, plan.graph, plan.cores) as workers:
        own = [os.getpid()]
        found = rounds_of(
            {
                "one": (lambda: on_core(cores[0], lambda: one.run(outputs, inputs)), own),
                "threads": (lambda: threads.run(outputs, inputs), own),
                "workers": (lambda: workers.run(inputs), [*own, *workers.pids]),
            },
            rounds,
        )
        ours = workers.run(inputs).outputs
    return _row(name, plan, found, planning) | {
        "difference": max(
            float(np.abs(ours[output] - whole).max() / max(np.abs(whole).max(), 1e-30))
            for output, whole in zip(outputs, one.run(outputs, inputs), strict=True)
        )
    }


def _row(
    name: str, plan: MachinePlan, found: Mapping[str, Contender], planning: float
) -> dict[str, Any]:
    times = {who: contender.spread() for who, contender in found.items()}
    return {
        "model": name,
        **times,
        "runs": found,
        "forecast": plan.forecast,
        "prediction": plan.prediction,
        "trial": plan.latency,
        "scheduled": plan.schedule.latency,
        "speedup": times["one"].median / times["workers"].median,
        "speedup_threads": times["one"].median / times["threads"].median,
        "off": plan.forecast / times["workers"].median - 1.0,
        "off_prediction": plan.prediction / times["workers"].median - 1.0,
        "off_trial": plan.latency / times["workers"].median - 1.0,
        "models": [sum(isinstance(s, Compute) for s in p.steps) for p in plan.programs],
        "transfers": len(plan.schedule.transfers),
        "costs": {k: getattr(plan.costs, k) for k in ("start", "handling", "thin", "error")},
        "message": plan.links.message,
        "bandwidth": plan.links.bandwidth,
        "wake": plan.wake,
        "planning": planning,
    }


def print_cells(cells: Sequence[dict[str, Any]]) -> None:
    """A line for each, and how many pass which bar."""
    lines = [
        [
            row["model"],
            *(f"{1e3 * row[who].median:.1f}" for who in ("one", "threads", "workers")),
            f"{row['speedup_threads']:.2f}",
            f"{row['speedup']:.2f}",
            f"{1e3 * row['forecast']:.1f}",
            f"{100.0 * row['off']:+.0f} %",
            f"{100.0 * row['off_prediction']:+.0f} %",
            f"{100.0 * row['off_trial']:+.0f} %",
            "+".join(map(str, row["models"])),
            str(row["transfers"]),
            f"{row['difference']:.1e}",
            f"{row['planning']:.0f}",
        ]
        for row in cells
    ]
    head = ["", "one thread ms", "ORT threads ms", "workers ms", "x ORT", "x workers",
            "forecast ms", "off", "predicted off", "trial off", "models", "transfers", "difference",
            "s to plan"]  # fmt: skip
    print(text_table(head, lines))
    faster = sum(row["speedup"] >= _FASTER for row in cells)
    print(f"\n{faster} of {len(cells)} at least {_FASTER} times as fast as one thread")
    for off, what in (
        ("off", "forecast, before any ran,"),
        ("off_prediction", "predicted, before this one ran,"),
        ("off_trial", "by a trial"),
    ):
        near = sum(abs(row[off]) <= _NEAR for row in cells)
        print(f"{near} of {len(cells)} {what} within {100.0 * _NEAR:.0f} %")
    for row in cells:
        if row["model"] == "vgg19":
            print(f"vgg19: {row['speedup']:.2f} times as fast, wanted {_VGG}")


def main() -> None:
    """Print the table."""
    parser = arguments(__doc__, EXAMPLES)
    add = parser.add_argument
    add("--models", nargs="+", default=[*NAMES], choices=NAMES, metavar="NAME",
        help="of the zoo (all)")  # fmt: skip
    add("--rounds", type=int, default=7, help="three runs of each (7)")
    add("--cores", type=int, nargs="+", metavar="CORE", help="as the system counts (first two)")
    args = parser.parse_args()
    cores = tuple(args.cores or sorted(os.sched_getaffinity(0))[:2])
    names, rounds = (["squeezenet"], 2) if args.quick else (args.models, args.rounds)
    found = machine("onnxruntime")
    print(f"{machine_line(found)}\nworkers on cores {', '.join(map(str, cores))}\n")
    cells = []
    for name in names:
        cells.append(row := cell(name, cores, rounds, args.seed))
        progress(
            f"{name}: one thread {row['one']}, threads {row['threads']}, workers {row['workers']}, "
            f"forecast {row['forecast']:.3g}, trial {row['trial']:.3g} s"
        )
    print_cells(cells)
    if args.json:
        write_json(args.json, {"machine": found, "cores": cores, "cells": cells})


if __name__ == "__main__":
    main()
