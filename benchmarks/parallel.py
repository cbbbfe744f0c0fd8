"""Schedules of operators and slices on several workers: valid, never slower, how good, how fast.

random    Drawn graphs, workers and links: every schedule is looked at by the checker, and compared
          with every baseline; on those of up to 9 operators the dynamic programme with local search
          alone is compared with the exact search of whole operators.
zoo       Models, normalised, on emulated workers of given speeds, over 1 and 10 Gbit/s wires and
          WiFi: latency, the best single worker (its transfers included), the best baseline, the
          fluid bound; on 1 Gbit/s also some seconds of simulated annealing with the same moves.
planning  inception_v1 for four workers: called again (for equal ones, and for four of different
          speeds), called first in a new process, whose machine code is on disk or still to be
          compiled, and without numba; and a graph of some 3 000 operators.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from measuring import (
    Spread,
    arguments,
    machine,
    machine_line,
    progress,
    text_table,
    write_json,
)
from models import residual
from numpy.random import Generator

from dds.costs import Device
from dds.model import zoo
from dds.model.graph import ModelGraph, Operator, Reach, Tensor
from dds.model.importer import load_model
from dds.model.zoo import NAMES
from dds.parallel.baselines import baseline_plans
from dds.parallel.bound import lower_bound
from dds.parallel.checker import violations
from dds.parallel.normalise import normalise
from dds.parallel.schedule import baselines, end_of, schedule
from dds.parallel.search_labels import label_plan
from dds.parallel.search_moves import improve
from dds.parallel.search_tables import Scratch, tables_of
from dds.parallel.workers import Worker, WorkerLinks

EXAMPLES = """  python benchmarks/parallel.py --json parallel.json
  python benchmarks/parallel.py --models vgg19 resnet50 --cases 1000
  python benchmarks/parallel.py --quick"""
PARTS = ("random", "zoo", "planning")
#: Speeds of the workers, in units of one that sustains 8 GFLOP/s and 4 GB/s.
TEAMS = ((1, 1), (1, 1, 1, 1), (1, 2), (1, 1, 2), (1, 1, 2, 4))
#: name, bytes/s, seconds a message, shared
LINKS = {
    "1 Gbit/s": WorkerLinks(125e6, 2e-4),
    "10 Gbit/s": WorkerLinks(1.25e9, 5e-5),
    "WiFi 6": WorkerLinks(75e6, 1e-3, shared=True),
    "WiFi 5": WorkerLinks(25e6, 2e-3, shared=True),
}


def drawn(
    rng: Generator, operators: int, workers: int, *, slices: bool = False
) -> tuple[ModelGraph, list[Worker], WorkerLinks]:
    """A question; with slices most operators are convolutions or sums of equal shape."""
    graph = _layers(rng, operators) if slices else _plain(rng, operators)
    speeds = rng.choice([1.0, 1.0, 2.0, 4.0], size=workers)
    base = rng.integers(0, 8, size=len(graph.operators)) * rng.choice([0.1, 1.0])
    if rng.random() < 0.5:
        base = base * rng.uniform(0.5, 1.5, size=len(base))
    hosts = [
        Worker(base / speed, *(rng.choice([0.0, 0.05, 0.3], 2).tolist() if slices else ()))
        for speed in speeds
    ]
    rate = float(rng.choice([10.0, 100.0, 1000.0, math.inf]))
    rates = rate if rng.random() < 0.5 else tuple(rate * rng.choice([1.0, 2.0], size=workers))
    return graph, hosts, WorkerLinks(rates, float(rng.choice([0.0, 0.1])), bool(rng.random() < 0.5))


def _plain(rng: Generator, operators: int) -> ModelGraph:
    """Any graph: several inputs, outputs that operators read too, operators that nobody reads."""
    tensors = int(rng.integers(1, 3))
    steps = []
    inputs = tuple(range(tensors))
    for v in range(operators):
        reads = rng.choice(tensors, size=min(tensors, int(rng.integers(1, 4))), replace=False)
        made = int(rng.choice([1, 1, 1, 2]))
        outs = tuple(range(tensors, tensors + made))
        steps.append(Operator(f"op{v}", "Test", tuple(sorted(reads.tolist())), outs))
        tensors += made
    sizes = rng.choice([0, 10, 100, 300], size=tensors)
    chosen = rng.random(tensors) < 0.3
    chosen[-1] = True
    return ModelGraph(
        tuple(steps),
        tuple(Tensor(f"t{t}", (1,), "float32", int(size)) for t, size in enumerate(sizes)),
        inputs,
        tuple(np.flatnonzero(chosen).tolist()),
    )


def _layers(rng: Generator, operators: int) -> ModelGraph:
    """Convolutions, strided or grouped ones too, and sums, on tensors of many rows."""
    shapes = [(1, 32, 12)]
    steps = []
    for v in range(operators):
        t = int(rng.integers(max(0, len(shapes) - 3), len(shapes)))
        alike = [u for u in range(len(shapes)) if shapes[u] == shapes[t] and u != t]
        kind = rng.choice(["Conv", "Conv", "Pool", "Group", "Add", "Soft"])
        _, c, h = shapes[t]
        reads: tuple[int, ...] = (t,)
        if kind == "Add" and alike:
            reads = tuple(sorted((t, int(rng.choice(alike)))))
            reach: tuple[tuple[Reach, ...], ...] = ((), (Reach(1),) * 2, (Reach(2),) * 2)
        elif kind in ("Conv", "Add"):
            kernel = int(rng.choice([1, 3, 5]))
            window = Reach(2, extent=kernel, before=kernel // 2)
            c = int(rng.choice([16, 32, 48]))
            reach = ((), (Reach(-1),), (window,))
        elif kind == "Pool" and h > 3:
            step = int(rng.choice([2, 3]))
            reach = ((), (Reach(1),), (Reach(2, step=step, extent=int(rng.choice([1, step]))),))
            h = (h - 1) // step if (h - 1) // step * step + 1 <= h else h
        elif kind == "Group" and c % 8 == 0:
            reach = ((), (Reach(1, step=8, extent=8, per=8),), (Reach(2),))
        else:
            reach = ()
        shapes.append((1, c, h))
        steps.append(Operator(f"op{v}", str(kind), reads, (v + 1,), reach=reach))
    tensors = tuple(
        Tensor(f"t{t}", (1, c, h), "float32", c * h) for t, (_, c, h) in enumerate(shapes)
    )
    ends = {0, *range(1, operators + 1)} - {t for step in steps for t in step.inputs}
    return ModelGraph(tuple(steps), tensors, (0,), tuple(sorted(ends | {operators})))


def team(speeds: Sequence[float]) -> list[Worker]:
    """Emulated workers."""
    return [Worker(Device("emulated", 8e9 * s, 4e9 * s, 0.0), 2e-5, 0.5) for s in speeds]


def random_cases(count: int, seed: int) -> dict[str, Any]:
    """How many are invalid, slower than a baseline, or not the best where that is known."""
    rng = np.random.default_rng(seed)
    invalid, slower, small, missed, unproven, worst = 0, 0, 0, 0, 0, 1.0
    for i in range(count):
        question = drawn(rng, int(rng.integers(0, 15)), int(rng.integers(1, 5)), slices=bool(i % 2))
        found = schedule(*question, tries=200)
        invalid += bool(violations(*question, found))
        least = min(other.latency for other in baselines(*question).values())
        slower += found.latency > least * (1 + 1e-12)
    for _ in range(count // 5):
        question = drawn(rng, int(rng.integers(2, 10)), int(rng.integers(2, 5)))
        found = schedule(*question, slices=False, search_exactly=False)
        best = schedule(*question, slices=False)
        small += best.proven
        unproven += not best.proven
        if best.proven and found.latency > best.latency * (1 + 1e-9):
            missed += 1
            worst = max(worst, found.latency / best.latency)
    return {
        "cases": count, "invalid": invalid, "slower_than_a_baseline": slower, "small": small,
        "unproven": unproven, "missed": missed, "worst_miss": worst,
    }  # fmt: skip


def print_tally(tally: dict[str, Any]) -> None:
    """Of drawn cases."""
    print(
        f"\n{tally['cases']} drawn cases: {tally['invalid']} invalid, "
        f"{tally['slower_than_a_baseline']} slower than a baseline\n"
        f"{tally['small'] + tally['unproven']} of 2 to 9 operators, whole: {tally['small']} proven "
        f"optimal; without the exact search {tally['missed']} of these are not, at worst "
        f"{100.0 * (tally['worst_miss'] - 1.0):.1f} % slower"
    )


def annealed(asked: tuple[ModelGraph, list[Worker], WorkerLinks], seconds: float) -> float:
    """Latency after so long of simulated annealing, from the best of labels and baselines."""
    tables = tables_of(*asked, slices=True, fused=True)
    scratch = Scratch.of(tables)
    plans = [*baseline_plans(tables).values(), label_plan(tables, asked[0], fused=True)]
    plan = min(plans, key=lambda each: end_of(tables, scratch, each)).copy()
    best, rate, tries = math.inf, math.inf, 1000
    stop = time.perf_counter() + seconds
    while (left := stop - time.perf_counter()) > 0:
        # The first rounds tell how many tries there is time for in the last.
        tries = tries if rate == math.inf else max(int(left / rate), 100)
        now, start = plan.copy(), time.perf_counter()
        room = now.copy(), now.copy()
        best = min(best, improve(tables, scratch, now, *room, False, tries, 1, 0.03, 2))
        rate = (time.perf_counter() - start) / tries
    return best


def cell(name: str, speeds: Sequence[float], links: str, annealing: float) -> dict[str, Any]:
    """One model on one team."""
    asked = load_model(normalise(zoo.build(name))), team(speeds), LINKS[links]
    schedule(*asked)
    start = time.perf_counter()
    found = schedule(*asked)
    spent = time.perf_counter() - start
    others = {rule: plan.latency for rule, plan in baselines(*asked).items()}
    assert violations(*asked, found) == ()
    anneals = annealing and links == "1 Gbit/s"
    return {
        "model": name, "workers": list(speeds), "links": links, "latency": found.latency,
        "method": found.method, "baselines": others, "bound": lower_bound(*asked),
        "annealed": annealed(asked, annealing) if anneals else math.nan, "seconds": spent,
    }  # fmt: skip


def print_cells(cells: Sequence[dict[str, Any]]) -> None:
    """A line for each, and medians for each team and links."""
    lines, groups = [], defaultdict[tuple[str, str], list[tuple[float, ...]]](list)
    for row in cells:
        least = min(row["baselines"], key=row["baselines"].get)
        gains = (
            100.0 * (1.0 - row["latency"] / row["baselines"]["single"]),
            100.0 * (1.0 - row["latency"] / row["baselines"][least]),
            100.0 * (row["latency"] / row["annealed"] - 1.0),
            row["latency"] / row["bound"],
        )
        team_name, links = "+".join(map(str, row["workers"])), row["links"]
        groups[team_name, links].append(gains)
        groups["all", links].append(gains)
        if len(set(row["workers"])) > 1:
            groups["of several speeds", links].append(gains)
        lines.append([row["model"], team_name, links, f"{1e3 * row['latency']:.1f}", least,
                      row["method"], *(_number(gain, 1) for gain in gains[:3]), f"{gains[3]:.2f}",
                      f"{1e3 * row['seconds']:.0f}"])  # fmt: skip
    head = ["", "workers", "links", "ms", "best baseline", "by", "% below single",
            "% below best", "% above annealing", "x bound", "ms to plan"]  # fmt: skip
    print(text_table(head, lines))
    print("\nmedians")
    medians = [
        [*where, *(_number(float(np.median([g[i] for g in gains])), 2) for i in range(4)),
         f"{max(g[0] for g in gains):.1f}", f"{sum(g[1] < 0.05 for g in gains)}/{len(gains)}"]
        for where, gains in groups.items()
    ]  # fmt: skip
    print(text_table(["workers", "links", "% below single", "% below best", "% above annealing",
                      "x bound", "best % below single", "ties with best"], medians))  # fmt: skip


def _number(value: float, digits: int) -> str:
    """What was not measured is a dash."""
    return "-" if math.isnan(value) else f"{value:.{digits}f}"


#: Seconds of a schedule in a new process, the first one and the one after it.
_APART = """
import sys, time
{without}
from parallel import LINKS, NAMES, load_model, normalise, schedule, team, zoo
asked = load_model(normalise(zoo.build("inception_v1"))), team((1, 1, 1, 1)), LINKS["1 Gbit/s"]
for _ in range(2):
    start = time.perf_counter()
    schedule(*asked)
    print(time.perf_counter() - start)
"""


def planning(rounds: int) -> dict[str, Spread]:
    """Seconds that planning takes."""
    graph, links = load_model(normalise(zoo.build("inception_v1"))), LINKS["1 Gbit/s"]
    asked = {
        "again": (graph, team((1, 1, 1, 1)), links),
        "of different speeds": (graph, team((1, 1, 2, 4)), links),
        "large": (residual(3000), team((1, 1, 2, 4)), links),
    }
    spent: dict[str, list[float]] = defaultdict(list)
    for measured in (False, *[True] * rounds):
        for name, question in asked.items():
            start = time.perf_counter()
            schedule(*question)
            if measured:
                spent[name].append(time.perf_counter() - start)
    for _ in range(rounds):
        spent["first"].append(in_new_process()[0])
    with tempfile.TemporaryDirectory() as folder:
        spent["compiling"].append(in_new_process(cache=folder)[0])
    spent["without numba"].append(in_new_process("sys.modules['numba'] = None")[1])
    found = {name: Spread.of(times) for name, times in spent.items()}
    print(
        f"\nseconds to plan inception_v1 for 1+1+1+1: again {found['again']}; first in a process "
        f"{found['first']}; first of all, loops compiled {found['compiling']}; without numba "
        f"{found['without numba']}\n"
        f"again, for 1+1+2+4: {found['of different speeds']}\n"
        f"{len(asked['large'][0].operators)} operators for it: {found['large']}"
    )
    return found


def in_new_process(without: str = "", cache: str | None = None) -> list[float]:
    """Seconds that planning takes in a new process: for the first time, and again.

    without: code that forbids numba; cache: the folder of its machine code, None for the usual.
    """
    settings = os.environ if cache is None else os.environ | {"NUMBA_CACHE_DIR": cache}
    done = subprocess.run(
        [sys.executable, "-c", _APART.format(without=without)],
        check=True, text=True, capture_output=True, cwd=Path(__file__).parent, env=settings,
    )  # fmt: skip
    return [float(word) for word in done.stdout.split()]


def main() -> None:
    """Print the tables."""
    parser = arguments(__doc__, EXAMPLES)
    add = parser.add_argument
    add("--models", nargs="+", default=[*NAMES], choices=NAMES, metavar="NAME",
        help="of the zoo (all)")  # fmt: skip
    add("--cases", type=int, default=10_000, help="drawn at random (10000)")
    add("--annealing", type=float, default=5.0, metavar="S",
        help="seconds of annealing to compare with on 1 Gbit/s, 0 for none (5)")  # fmt: skip
    add("--parts", nargs="+", default=PARTS, choices=PARTS, help="what to measure (all)")
    args = parser.parse_args()
    report: dict[str, Any] = {"machine": machine("scipy")}
    print(machine_line(report["machine"]))
    if "random" in args.parts:
        report["random"] = random_cases(200 if args.quick else args.cases, args.seed)
        print_tally(report["random"])
    if "zoo" in args.parts:
        report["cells"] = []
        for name in args.models[:2] if args.quick else args.models:
            for speeds in TEAMS:
                for links in LINKS:
                    progress(f"{name} {speeds} {links}")
                    annealing = 0.5 if args.quick else args.annealing
                    report["cells"].append(cell(name, speeds, links, annealing))
        print_cells(report["cells"])
    if "planning" in args.parts:
        report["planning"] = planning(2 if args.quick else 9)
    if args.json:
        write_json(args.json, report)


if __name__ == "__main__":
    main()
