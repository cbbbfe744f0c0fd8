"""``dds profile``: how long each operator of a model takes on this machine."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dds.cli.arguments import add_model_argument, model_shapes
from dds.units import format_seconds

if TYPE_CHECKING:
    from dds.model.graph import ModelGraph
    from dds.profile.profile import Profile

__all__ = ["add", "run"]

_DESCRIPTION = """\
Measure a model with onnxruntime: CPU seconds of every operator, one thread unless --threads,
graph optimisation off, as mec-client and mec-server run it. The result is kept on disk by model
and machine. Needs the extra dds[server].
"""

_EPILOG = """\
example: the five slowest operators of ResNet-50
  dds profile zoo:resnet50 --top 5
"""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command to the parser of ``dds``."""
    parser = commands.add_parser(
        "profile",
        help="measure a model's operators on this machine",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_model_argument(parser)
    more = parser.add_argument
    more("--repeats", type=int, default=10, metavar="N", help="runs to measure (default: 10)")
    more("--threads", type=int, default=1, metavar="N", help="of onnxruntime (default: 1)")
    more("--top", type=int, default=10, metavar="N", help="operators in the table (default: 10)")
    more("--json", action="store_true", help="print every operator as JSON")
    more("--cache", metavar="DIR", help="default: $XDG_CACHE_HOME/dds or ~/.cache/dds")
    more("--no-cache", action="store_true", help="measure even what is known, and keep nothing")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure, or read what was measured, and print it."""
    from dds.model import load_model, zoo
    from dds.profile.cache import cache_directory, measured_profile

    model = zoo.read(args.model)
    graph = load_model(model, shapes=model_shapes(args))
    folder = Path(args.cache) if args.cache else cache_directory()
    profile, cached = measured_profile(
        model,
        graph,
        cache=None if args.no_cache else folder,
        repeats=args.repeats,
        threads=args.threads,
        report=_progress if sys.stderr.isatty() else None,
    )
    if args.json:
        print(json.dumps(_document(profile, graph, cached), indent=2))
    else:
        print(_table(profile, graph, args.top))
    return 0


def _progress(done: int, total: int) -> None:
    end = "\r" if done < total else "\r\033[K"
    print(f"measuring: run {done} of {total}", end=end, file=sys.stderr, flush=True)


def _document(profile: Profile, graph: ModelGraph, cached: bool) -> dict[str, Any]:
    return {
        "model": graph.name,
        "digest": profile.digest,
        "platform": profile.platform,
        "threads": profile.threads,
        "repeats": profile.repeats,
        "cached": cached,
        "total_s": sum(profile.seconds),
        "whole_run_s": profile.whole,
        "kernels_s": profile.kernels,
        "spread": profile.spread,
        "operators": [
            {"name": operator.name, "kind": operator.kind, "seconds": seconds}
            for operator, seconds in zip(graph.operators, profile.seconds, strict=True)
        ],
    }


def _table(profile: Profile, graph: ModelGraph, top: int) -> str:
    ranked = sorted(zip(profile.seconds, graph.operators, strict=True), key=lambda row: -row[0])
    total = sum(profile.seconds)
    width = max((len(operator.name) for _, operator in ranked[:top]), default=0)
    lines = [
        f"{operator.name:<{width}}  {operator.kind:<20}  {format_seconds(seconds):>8}"
        f"  {seconds / total:6.1%}"
        for seconds, operator in ranked[:top]
    ]
    if len(ranked) > len(lines):
        lines.append(f"... and {len(ranked) - len(lines)} more")
    summary = f"{len(ranked)} operators, {format_seconds(total)} of CPU time on {profile.platform}"
    lines += ["", summary]
    lines.append(
        f"a plain run takes {format_seconds(profile.whole)} (median of {profile.repeats}, spread "
        f"{profile.spread:.0%}); the fastest kernels under the profiler sum to "
        f"{format_seconds(profile.kernels)}, {profile.kernels / profile.whole - 1.0:+.1%}"
    )
    return "\n".join(lines)
