"""Schedules of operators and slices on several workers: valid, never slower, how good, how fast.

random  Drawn graphs, workers and links: every schedule is looked at by the checker, and compared
        with every baseline; on those of up to 9 operators the dynamic programme with local search
        alone is compared with the exact search of whole operators.
zoo     Models, normalised, on emulated workers of given speeds, over 1 and 10 Gbit/s wires and
        WiFi: latency, the best single worker (its transfers included), the best baseline, ten times
        as many tries of the local search (--longer), the fluid bound; ms of a warm call.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
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
from dds.parallel.bound import lower_bound
from dds.parallel.checker import violations
from dds.parallel.normalise import normalise
from dds.parallel.schedule import baselines, schedule
from dds.parallel.workers import Worker, WorkerLinks

EXAMPLES = """  python benchmarks/parallel.py --json parallel.json
  python benchmarks/parallel.py --models vgg19 resnet50 --cases 1000
  python benchmarks/parallel.py --quick"""
#: Speeds of the workers, in units of one that sustains 8 GFLOP/s and 4 GB/s.
TEAMS = ((1, 1), (1, 1, 1, 1), (1, 1, 2, 4))
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


def cell(name: str, speeds: Sequence[float], links: str, *, longer: bool) -> dict[str, Any]:
    """One model on one team."""
    graph, workers = load_model(normalise(zoo.build(name))), team(speeds)
    asked = graph, workers, LINKS[links]
    schedule(*asked)
    start = time.perf_counter()
    found = schedule(*asked)
    spent = time.perf_counter() - start
    others = {rule: plan.latency for rule, plan in baselines(*asked).items()}
    assert violations(*asked, found) == ()
    more = schedule(*asked, tries=10_000).latency if longer else math.nan
    return {
        "model": name, "workers": list(speeds), "links": links, "latency": found.latency,
        "method": found.method, "baselines": others, "more_tries": more,
        "bound": lower_bound(*asked), "seconds": spent,
    }  # fmt: skip


def print_cells(cells: Sequence[dict[str, Any]]) -> None:
    """A line for each, and medians for each team and links."""
    lines, groups = [], dict[tuple[str, str], list[tuple[float, ...]]]()
    for row in cells:
        least = min(row["baselines"], key=row["baselines"].get)
        gains = (
            100.0 * (1.0 - row["latency"] / row["baselines"]["single"]),
            100.0 * (1.0 - row["latency"] / row["baselines"][least]),
            100.0 * (row["latency"] / row["more_tries"] - 1.0),
            row["latency"] / row["bound"],
        )
        where = "+".join(map(str, row["workers"])), row["links"]
        groups.setdefault(where, []).append(gains)
        lines.append([row["model"], *where, f"{1e3 * row['latency']:.1f}", least, row["method"],
                      *(_number(gain, 1) for gain in gains[:3]), f"{gains[3]:.2f}",
                      f"{1e3 * row['seconds']:.0f}"])  # fmt: skip
    head = ["", "workers", "links", "ms", "best baseline", "by", "% below single",
            "% below best", "% above more tries", "x bound", "ms to plan"]  # fmt: skip
    print(text_table(head, lines))
    print("\nmedians")
    medians = [
        ["+".join(where[:1]), where[1],
         *(_number(float(np.median([g[i] for g in gains])), 2) for i in range(4)),
         f"{max(g[0] for g in gains):.1f}", f"{sum(g[1] < 0.05 for g in gains)}/{len(gains)}"]
        for where, gains in groups.items()
    ]  # fmt: skip
    print(text_table(["workers", "links", "% below single", "% below best", "% above more tries",
                      "x bound", "best % below single", "ties with best"], medians))  # fmt: skip


def _number(value: float, digits: int) -> str:
    """What was not measured is a dash."""
    return "-" if math.isnan(value) else f"{value:.{digits}f}"


def large(rounds: int) -> Spread:
    """Seconds of a graph of some 3000 operators on four workers."""
    graph = residual(3000)
    asked = graph, team((1, 1, 2, 4)), LINKS["1 Gbit/s"]
    spent = []
    for _ in range(rounds):
        start = time.perf_counter()
        schedule(*asked)
        spent.append(time.perf_counter() - start)
    print(f"\n{len(graph.operators)} operators: {Spread.of(spent)} s")
    return Spread.of(spent)


def main() -> None:
    """Print the tables."""
    parser = arguments(__doc__, EXAMPLES)
    add = parser.add_argument
    add("--models", nargs="+", default=[*NAMES], choices=NAMES, metavar="NAME",
        help="of the zoo (all)")  # fmt: skip
    add("--cases", type=int, default=10_000, help="drawn at random (10000)")
    add("--longer", action="store_true", help="also with 10 000 tries of the local search")
    args = parser.parse_args()
    cases = 200 if args.quick else args.cases
    found = machine("scipy")
    print(machine_line(found))
    start = time.perf_counter()
    tally = random_cases(cases, args.seed)
    print(
        f"\n{tally['cases']} drawn cases: {tally['invalid']} invalid, "
        f"{tally['slower_than_a_baseline']} slower than a baseline\n"
        f"{tally['small']} of 2 to 9 operators, whole: {tally['missed']} not optimal without the "
        f"exact search, at worst {100.0 * (tally['worst_miss'] - 1.0):.1f} % slower; "
        f"{tally['unproven']} more that it gave up\n({time.perf_counter() - start:.0f} s)\n"
    )
    cells = []
    for name in args.models[:2] if args.quick else args.models:
        for speeds in TEAMS:
            for links in LINKS:
                progress(f"{name} {speeds} {links}")
                cells.append(cell(name, speeds, links, longer=args.longer))
    print_cells(cells)
    spent = large(2 if args.quick else 5)
    if args.json:
        write_json(args.json, {"machine": found, "random": tally, "cells": cells, "large": spent})


if __name__ == "__main__":
    main()
