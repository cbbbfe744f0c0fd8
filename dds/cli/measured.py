"""``dds experiment three-tier --measure``: a subset of the cells with real processes."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from dds.cli.progress import bar_for_terminal
from dds.cli.tables import aligned
from dds.errors import InvalidInput

if TYPE_CHECKING:
    from dds.costs.link import Link
    from dds.demo.tiers import Measurement

__all__ = ["EPILOG", "add_flags", "check", "run"]

EPILOG = """\
measured: with --measure, a cloud and an edge mec-server and one mec-client after another run on
this machine, alone in their market; by default squeezenet, alexnet and resnet50 on WiFi, in about
2 minutes. The client plays the exact plan, then device-only, edge-only and cloud-only, 3 inferences
each. Kernels are real, speeds emulated: the device takes 60 times as long as the cloud, a core of
the edge 12 times, about as in the simulation; links are 9 times slower than their names say, as the
cloud, a core of this machine, is slower than the simulated one. Latencies are in s.
Exit code 1 when outputs differ from the whole model's (rtol 1e-4, atol 1e-5).

  dds experiment three-tier --measure
  dds experiment three-tier --measure --models vgg19 --networks 4G WiFi --inferences 1 --json
"""

#: What --measure has no use for.
_SIMULATED = ("device", "edge", "cloud", "light", "heavy", "plot")
_NEEDS = ("grpc", "grpc_health", "grpc_reflection", "onnxruntime")


def add_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of measuring, on a parser that has all others."""
    group = parser.add_argument_group("with real processes")
    add = group.add_argument
    add("--measure", action="store_true",
        help="measure instead of simulating; three models on a network take 2 minutes")  # fmt: skip
    add("--inferences", type=int, metavar="N", help="per cell and way, measured (default 3)")
    add("--seed", type=int, metavar="N", help="of measured weights and inputs, >= 0 (default 0)")
    parser.set_defaults(simulated={name: parser.get_default(name) for name in _SIMULATED})


def check(args: argparse.Namespace) -> None:
    """Raises InvalidInput for flags that do not go together."""
    if not args.measure:
        for name in ("inferences", "seed"):
            if getattr(args, name) is not None:
                raise InvalidInput(f"--{name}: only with --measure")
        return
    for name, default in args.simulated.items():
        if getattr(args, name) != default:
            raise InvalidInput(f"--{name}: is of the simulation; --measure has no use for it")
    missing = [name for name in _NEEDS if find_spec(name) is None]
    if missing:
        raise InvalidInput(
            f"--measure needs {', '.join(missing)}; install them: pip install 'dds[server]'"
        )


def run(args: argparse.Namespace, networks: Mapping[str, Link]) -> int:
    """Measure and print; 1 when outputs differ from the whole model's."""
    from dds import __version__
    from dds.demo import tiers, tiers_report
    from dds.experiments.three_tier import Setting
    from dds.model.zoo import NAMES

    models = tuple(args.models or tiers.MODELS)
    for model in models:
        if model not in NAMES:
            raise InvalidInput(f"--models: {model!r} is not one of {', '.join(NAMES)}")
    wanted = tiers.Measurement(
        Setting(
            models=models,
            networks=networks if args.networks else {tiers.NETWORK: networks[tiers.NETWORK]},
            capacity=args.capacity,
            max_share=args.max_share,
            cloud_share=args.cloud_share,
        ),
        inferences=3 if args.inferences is None else args.inferences,
        seed=args.seed or 0,
    )
    with bar_for_terminal("inferences") as bar:
        cells = asyncio.run(tiers.measure(wanted, _counting(wanted, bar)))
    if args.json:
        document = tiers_report.document(wanted, cells, __version__)
        print(json.dumps(document, indent=2, allow_nan=False))
    else:
        table = aligned(tiers_report.rows(cells), left=(0, 1))
        said = (*tiers_report.caption(wanted), "", *table, "", *tiers_report.lines(cells))
        print("\n".join(said))
    return 0 if all(cell.outputs_match for cell in cells) else 1


def _counting(
    wanted: Measurement, bar: Callable[[int, int], None] | None
) -> Callable[[str, Mapping[str, Any]], None]:
    """Moves the bar at each inference."""
    done = 0

    def on_event(_who: str, event: Mapping[str, Any]) -> None:
        nonlocal done
        done += event["event"] == "inference"
        if bar is not None:
            bar(done, wanted.total)

    return on_event
