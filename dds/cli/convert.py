"""``dds convert``: a model made ready for another runtime, and whether it is right there."""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dds.cli.arguments import add_model_argument, model_shapes
from dds.cli.tables import aligned
from dds.units import format_seconds

if TYPE_CHECKING:
    from dds.engines import Engine
    from dds.engines.conversion import Conversion
    from dds.model.graph import ModelGraph

__all__ = ["add", "run"]

_DESCRIPTION = """\
Make a model ready for a runtime, compare its outputs there with onnxruntime's, and time both. A
conversion that differs is refused: exit code 1, and no file. Engines: onnxruntime (extra
dds[server]), openvino (dds[openvino]), torch (dds[torch]).
"""

_EPILOG = """\
examples: is ResNet-50 right on OpenVINO, also between its blocks? And write it in OpenVINO's form
  dds convert zoo:resnet50 --to openvino --check
  dds convert model.onnx --to openvino -o model.xml

-o writes what the engine's own tools read: .onnx, .xml with a .bin beside it, or torch's .pt2.
A file of that name is replaced; a .bin that is there without its .xml is not: exit code 2.
"""

#: Runs of each engine before the clock counts, at most how many then, and for how long, s.
_WARM, _RUNS, _BUDGET = 2, 15, 4.0


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command to the parser of ``dds``."""
    parser = commands.add_parser(
        "convert",
        help="make a model ready for another runtime, and compare the two",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_model_argument(parser)
    more = parser.add_argument
    more("--to", required=True, metavar="ENGINE", help="onnxruntime, openvino or torch")
    more("--check", action="store_true", help="compare between the model's blocks too")
    more("--threads", type=int, default=1, metavar="N", help="of both runtimes (default: 1)")
    more("-o", "--out", type=Path, metavar="FILE", help="write the converted model there")
    more("--json", action="store_true", help="print the result as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Convert, compare, time, write and print; 1 if the engine differs or refuses the model."""
    from dds.engines import engine
    from dds.engines.conversion import convert
    from dds.engines.saving import check_place, save
    from dds.model import load_model, zoo
    from dds.profile.runtime import Runtime

    runtime = Runtime(args.threads)
    target, reference = engine(args.to, runtime), engine("onnxruntime", runtime)
    if args.out is not None:
        check_place(args.out, args.to)
    model, shapes = zoo.read(args.model), model_shapes(args)
    graph = load_model(model, shapes=shapes)
    done = convert(model, target, shapes=shapes, boundaries=args.check)
    if done.refused:
        result = _Result(graph, done, {}, ())
    else:
        seconds = _latencies(graph, (reference, model), (target, done.model))
        written = save(done.model, args.to, args.out) if args.out is not None else ()
        result = _Result(graph, done, seconds, written)
    print(json.dumps(result.document(), indent=2) if args.json else result.text(args.check))
    return 1 if done.refused else 0


def _latencies(
    graph: ModelGraph, before: tuple[Engine, bytes], after: tuple[Engine, bytes]
) -> dict[str, float]:
    """Median seconds of one inference before and after, which take turns."""
    import numpy as np

    from dds.profile.runtime import random_inputs

    feeds = random_inputs(graph, np.random.default_rng(0))
    loaded = {"before": before[0].load(before[1]), "after": after[0].load(after[1])}
    for executable in loaded.values():
        for _ in range(_WARM):
            executable.run(feeds)
    seconds: dict[str, list[float]] = {name: [] for name in loaded}
    began = time.perf_counter()
    for _ in range(_RUNS):
        for name, executable in loaded.items():
            started = time.perf_counter()
            executable.run(feeds)
            seconds[name].append(time.perf_counter() - started)
        if time.perf_counter() - began > _BUDGET:
            break
    for executable in loaded.values():
        executable.close()
    return {name: statistics.median(values) for name, values in seconds.items()}


@dataclass(frozen=True)
class _Result:
    """What became of a conversion: seconds before and after, files written."""

    graph: ModelGraph
    done: Conversion
    seconds: Mapping[str, float]
    written: Sequence[Path]

    def document(self) -> dict[str, Any]:
        """For ``--json``; an infinite difference is null."""
        outputs = {self.graph.tensors[t].name for t in self.graph.outputs}
        return {
            "model": self.graph.name,
            "digest": self.graph.digest,
            "engine": self.done.engine,
            "right": not self.done.refused,
            "refused": self.done.refused,
            "tensors": [
                {
                    "name": name,
                    "output": name in outputs,
                    "difference": far if far < 1e300 else None,
                }
                for name, far in self.done.differences.items()
            ],
            "latency_s": dict(self.seconds),
            "files": [str(path) for path in self.written],
        }

    def text(self, boundaries: bool) -> str:
        """For people: outputs, the worst tensor between blocks, latency, files."""
        apart = self.done.differences
        outputs = [self.graph.tensors[t].name for t in self.graph.outputs]
        inner = {name: far for name, far in apart.items() if name not in outputs}
        rows = [["output", "difference / largest value"]]
        rows += [[name, f"{apart[name]:.1e}"] for name in outputs if name in apart]
        lines = aligned(rows) if apart else []
        if inner:
            far, name = max((far, name) for name, far in inner.items())
            lines.append(f"{len(inner)} tensors between blocks: at most {far:.1e}, at {name}")
        elif boundaries and apart:
            lines.append("no tensor between blocks is left to compare")
        if self.done.refused:
            return "\n".join([*lines, f"refused: {self.done.refused}"])
        before, after = (format_seconds(self.seconds[k]) for k in ("before", "after"))
        ratio = self.seconds["after"] / self.seconds["before"]
        lines.append(
            f"latency: {before} as it was on onnxruntime, {after} on {self.done.engine} "
            f"({ratio:.2f} times as long)"
        )
        if self.written:
            lines.append(f"wrote {' and '.join(map(str, self.written))}")
        return "\n".join(lines)
