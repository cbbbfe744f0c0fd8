"""``dds profile``: how long each operator of a model takes on this machine."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dds.cli.arguments import (
    add_cache_flags,
    add_model_argument,
    add_platform_flags,
    cache_from,
    model_shapes,
    platform_from,
    quantity,
)
from dds.cli.progress import bar_for_terminal
from dds.cli.tables import aligned, short_kind
from dds.units import format_seconds, parse_seconds

if TYPE_CHECKING:
    from dds.model.graph import ModelGraph
    from dds.profile.platform import Platform
    from dds.profile.profile import Profile

__all__ = ["add", "run"]

_DESCRIPTION = """\
Measure a model with onnxruntime, as mec-client and mec-server run it. Operators that onnxruntime
runs as one are one line, and one operator for a cut. The result is kept on disk by model and
platform. Needs the extra dds[server].
"""

_EPILOG = """\
examples: the five slowest operators of ResNet-50; the same on a device a quarter as fast
  dds profile zoo:resnet50 --top 5
  dds profile zoo:resnet50 --top 5 --duty 25%
"""

#: Kernels that sum to this much more than the model were disturbed.
_BUSY = 0.15


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
    add_platform_flags(parser)
    more = parser.add_argument
    more("--repeats", type=int, default=20, metavar="N", help="runs to measure (default: 20)")
    more("--budget", type=quantity(parse_seconds), default="20", metavar="TIME",
         help="measure no longer than this, if that allows two runs (default: 20 s)")  # fmt: skip
    more("--apart", action="store_true",
         help="measure unfused too: what a fused kernel takes more if taken apart")  # fmt: skip
    more("--top", type=int, default=10, metavar="N", help="operators in the table (default: 10)")
    more("--json", action="store_true", help="print every operator as JSON")
    add_cache_flags(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure, or read what was measured, and print it."""
    from dds.model import load_model, zoo
    from dds.profile.apart import cost_apart

    model = zoo.read(args.model)
    graph = load_model(model, shapes=model_shapes(args))
    platform = platform_from(args)
    profile, cached = _measured(args, model, graph, platform)
    apart: Sequence[float] | None = None
    if args.apart:
        plain = replace(platform, runtime=replace(platform.runtime, optimisation="none"))
        apart = cost_apart(profile, _measured(args, model, graph, plain)[0]).tolist()
    fused = profile.fusion.fused(graph)
    if args.json:
        print(json.dumps(_document(profile, graph, fused, apart, cached), indent=2))
    else:
        print(_table(profile, fused, apart, args.top))
    return 0


def _measured(
    args: argparse.Namespace, model: bytes, graph: ModelGraph, platform: Platform
) -> tuple[Profile, bool]:
    from dds.profile.cache import measured_profile

    with bar_for_terminal("measuring") as bar:
        return measured_profile(
            model,
            graph,
            cache=cache_from(args),
            platform=platform,
            repeats=args.repeats,
            budget=args.budget,
            report=bar,
        )


def _document(
    profile: Profile,
    graph: ModelGraph,
    fused: ModelGraph,
    apart: Sequence[float] | None,
    cached: bool,
) -> dict[str, Any]:
    rows: list[dict[str, Any]] = [
        {
            "name": operator.name,
            "kind": operator.kind,
            "members": [graph.operators[v].name for v in group],
            "seconds": seconds,
            "noise": noise,
        }
        for operator, group, seconds, noise in zip(
            fused.operators, profile.groups, profile.seconds, profile.noise, strict=True
        )
    ]
    for row, more in zip(rows, apart or [], strict=False):
        row["apart_s"] = more
    return {
        "model": graph.name,
        "digest": profile.digest,
        "platform": profile.platform,
        "threads": profile.runtime.threads,
        "optimisation": profile.runtime.optimisation,
        "repeats": profile.repeats,
        "cached": cached,
        "total_s": sum(profile.seconds),
        "whole_run_s": profile.whole,
        "kernels_s": profile.kernels,
        "spread": profile.spread,
        "operators": rows,
    }


def _table(profile: Profile, fused: ModelGraph, apart: Sequence[float] | None, top: int) -> str:
    total = sum(profile.seconds)
    order = sorted(range(len(profile.seconds)), key=lambda g: -profile.seconds[g])
    rows = [["operator", "runs as", "time", "noise", "share", *(["apart"] if apart else [])]]
    for g in order[: max(top, 0)]:
        operator, seconds = fused.operators[g], profile.seconds[g]
        rows.append([operator.name, short_kind(operator.kind), format_seconds(seconds),
                     f"{profile.noise[g]:.1%}", f"{seconds / total:.1%}"])  # fmt: skip
        if apart:
            alone = len(profile.groups[g]) == 1
            rows[-1].append("" if alone else f"{'+' * (apart[g] >= 0.0)}{format_seconds(apart[g])}")
    lines = aligned(rows, left=(0, 1))
    if len(order) > len(rows) - 1:
        lines.append(f"... and {len(order) - len(rows) + 1} more")
    fusing = f" in {len(order)} kernels" if len(order) < profile.fusion.size else ""
    count = f"{profile.fusion.size} operators{fusing}"
    lines += ["", f"{count}, {format_seconds(total)} on {profile.platform}"]
    off = profile.kernels / profile.whole - 1.0
    lines.append(
        f"whole model: {format_seconds(profile.whole)}, median of {profile.repeats} plain runs, "
        f"spread {profile.spread:.0%}; kernels under the profiler sum to "
        f"{format_seconds(profile.kernels)}, {off:+.1%}"
    )
    if off > _BUSY:
        lines.append("these should be nearer: something else ran meanwhile; measure again")
    if apart:
        lines.append(
            f"taken apart, all fused kernels together take {format_seconds(sum(apart))} more"
        )
    return "\n".join(lines)
