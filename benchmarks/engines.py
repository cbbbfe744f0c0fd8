"""Models, and slices of them, on every engine that is installed: how fast, and how right.

models  Each model of the zoo as it is on onnxruntime, and made ready for each engine
        (dds.engines.conversion): median latency of one inference, one thread, one core, all taking
        turns; the largest difference at outputs and between blocks, of a tensor's largest value.
mixed   The two halves of a model on one engine, and on two engines in one process.
slices  Halves by rows and channels of every so many-th block, against onnxruntime.
nodes   The models that onnx itself is tested with.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
from measuring import (
    arguments,
    installed,
    interleaved,
    machine,
    machine_line,
    progress,
    text_table,
    write_json,
)

from dds.engines import ENGINES, Engine, checked, engine
from dds.engines.conversion import convert
from dds.model import zoo
from dds.model.importer import load_model
from dds.parallel import Tile, blocks, sliceable, tiles
from dds.parallel.normalise import normalise
from dds.parallel.rewrite import Source
from dds.profile.runtime import random_inputs
from dds.testing.engines import node_models

EXAMPLES = """  python benchmarks/engines.py --json engines.json
  python benchmarks/engines.py --parts slices --models squeezenet
  python benchmarks/engines.py --quick"""
#: Models of the parts ``mixed`` and ``slices``.
SOME = ("squeezenet", "inception_v1", "resnet50", "densenet121")
Loaded = Callable[[], object]


def models(names: list[str], engines: list[Engine], rounds: int) -> dict[str, Any]:
    """Latency in ms and differences per model and engine."""
    found: dict[str, Any] = {}
    for name in names:
        model = zoo.build(name)
        feeds = random_inputs(load_model(model), np.random.default_rng(0))
        calls: dict[str, Loaded] = {"as it is": _call(engine("onnxruntime"), model, feeds)}
        apart, refused = {}, {}
        for one in engines:
            done = convert(model, one, boundaries=True)
            apart[one.name] = max(done.differences.values(), default=None)
            refused[one.name] = done.refused
            if not done.refused:
                calls[one.name] = _call(one, done.model, feeds)
        seconds, _ = interleaved(calls, rounds)
        found[name] = {
            "ms": {key: 1e3 * statistics.median(s) for key, s in seconds.items()},
            "difference": apart,
            "refused": refused,
        }
        progress(f"{name}: measured")
    return found


def mixed(names: list[str], engines: list[Engine], rounds: int) -> dict[str, Any]:
    """Latency of both halves of a model, ms: on one engine, and on onnxruntime and another."""
    found: dict[str, Any] = {}
    first = engines[0]
    for name in names:
        model = normalise(zoo.build(name))
        graph = load_model(model)
        source = Source.read(model, graph)
        end = len(graph.operators)
        # The boundary nearest to the middle of the operators.
        middle = min((block.stop for block in blocks(graph)), key=lambda stop: abs(2 * stop - end))
        runs = range(middle), range(middle, end)
        halves = [source.tile(Tile(run, "whole", 0, 0)) for run in runs]
        feeds = random_inputs(graph, np.random.default_rng(0))
        calls = {}
        for pair in {(a.name, b.name): (a, b) for b in engines for a in (b, first)}.values():
            loaded = [one.load(half.model) for one, half in zip(pair, halves, strict=True)]
            calls[" + ".join(one.name for one in pair)] = _chain(loaded, feeds)
        seconds, _ = interleaved(calls, rounds)
        found[name] = {key: 1e3 * statistics.median(s) for key, s in seconds.items()}
        progress(f"{name}: measured")
    return found


def slices(names: list[str], engines: list[Engine], every: int) -> dict[str, Any]:
    """How many halves of blocks are within the tolerance on each engine, and the worst."""
    found: dict[str, Any] = {}
    for name in names:
        model = normalise(zoo.build(name))
        graph = load_model(model)
        source = Source.read(model, graph)
        parts = [
            source.tile(Tile(run, kind, low, high)).model
            for run in blocks(graph)[::every]
            for kind in ("rows", "channels")
            if sliceable(graph, run, kind)
            for low, high in pairwise(tiles.bounds(tiles.extent(graph, run, kind), [1.0, 1.0]))
            if low < high
        ]
        found[name] = {}
        for one in engines[1:]:
            results = [checked(one, part) for part in parts]
            worst = max((max(r.differences.values(), default=0.0) for r in results), default=0.0)
            right = sum(not result.why for result in results)
            found[name][one.name] = {"slices": len(parts), "right": right, "worst": worst}
        progress(f"{name}: measured")
    return found


def nodes(engines: list[Engine], every: int) -> dict[str, Any]:
    """How many of onnx's own test models each engine computes, refuses, and gets wrong."""
    found: dict[str, Any] = {}
    for one in engines[1:]:
        tally = node_models(one, every)
        found[one.name] = {
            "right": tally.right,
            "refused": len(tally.refused),
            "different": dict(tally.different),
        }
        progress(f"{one.name}: compared")
    return found


def _call(one: Engine, model: bytes, feeds: dict[str, Any]) -> Loaded:
    loaded = one.load(model)
    loaded.run(feeds)
    return lambda: loaded.run(feeds)


def _chain(loaded: list[Any], feeds: dict[str, Any]) -> Loaded:
    def run() -> object:
        known = dict(feeds)
        for part in loaded:
            known |= part.run({spec.name: known[spec.name] for spec in part.inputs})
        return known

    run()
    return run


def main() -> None:
    """Measure what was asked for, print tables, write JSON."""
    parser = arguments(__doc__, EXAMPLES)
    parts = ("models", "mixed", "slices", "nodes")
    parser.add_argument("--parts", nargs="+", choices=parts, default=parts)
    parser.add_argument("--models", nargs="+", choices=zoo.NAMES, default=list(zoo.NAMES))
    parser.add_argument("--rounds", type=int, default=9, help="inferences of each (9)")
    args = parser.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    engines = [engine(name) for name in ENGINES if installed(name)]
    names = ["squeezenet"] if args.quick else args.models
    some = [name for name in names if name in SOME]
    rounds, every = (3, 10) if args.quick else (args.rounds, 1)
    found: dict[str, Any] = {"machine": machine("onnxruntime", "openvino", "torch")}
    print(machine_line(found["machine"]))
    if "models" in args.parts:
        found["models"] = models(names, engines, rounds)
        keys = ["as it is", *(one.name for one in engines)]
        rows = [
            [name, *(f"{row['ms'][k]:.1f}" if k in row["ms"] else "refused" for k in keys),
             *(f"{row['difference'][one.name]:.1e}" for one in engines)]
            for name, row in found["models"].items()
        ]  # fmt: skip
        print(text_table(["ms", *keys, *(f"diff. {one.name}" for one in engines)], rows))
    if "mixed" in args.parts:
        found["mixed"] = mixed(some, engines, rounds)
        keys = list(next(iter(found["mixed"].values()), {}))
        rows = [[name, *(f"{row[k]:.1f}" for k in keys)] for name, row in found["mixed"].items()]
        print(text_table(["two halves, ms", *keys], rows))
    if "slices" in args.parts:
        found["slices"] = slices(some, engines, 3 * every)
        for name, row in found["slices"].items():
            print(name, *(f"{k}: {v['right']} of {v['slices']} right, worst {v['worst']:.1e}"
                          for k, v in row.items()))  # fmt: skip
    if "nodes" in args.parts:
        found["nodes"] = nodes(engines, every)
        for name, row in found["nodes"].items():
            print(f"{name}: {row['right']} right, {row['refused']} refused, "
                  f"{len(row['different'])} different")  # fmt: skip
    if args.json:
        write_json(args.json, found)


if __name__ == "__main__":
    main()
