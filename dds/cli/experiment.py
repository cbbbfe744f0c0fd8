"""``dds experiment``: comparisons, simulated and measured, one sub-command each."""

from __future__ import annotations

import argparse
import json

from dds.cli import measured, parallel
from dds.cli.arguments import add_device_flag, chosen, quantity
from dds.cli.picture import add_plot_flag, check_plot, save
from dds.cli.progress import bar_for_terminal
from dds.cli.tables import aligned
from dds.units import parse_number

__all__ = ["add", "run"]

_THREE_TIER = """\
A cell is a model of the zoo on one network in one market. In a market every model has the same
number of clients; all plan over device, edge and cloud and buy shares of the edge at the price that
clears it. Then the exact plan and its baselines are compared, all at the share of the edge that
edge-only, the keenest buyer, would buy at that price. The cloud costs nothing and has room for all.

  device to edge  3G 1.1 up, 4 down; 4G 5.85, 20; WiFi 18.88, 50 Mbit/s; round trip 66.7 ms
  edge to cloud   50 Mbit/s either way, 20 ms
  direct path     device to cloud, bandwidth of the network, 100 ms
  baselines       device-only, edge-only, cloud-only, device+edge, device+cloud, edge+cloud, each
                  at its own best cut; two-point is chain two-point search

columns: price, and the mean share that the model's clients bought at it; the share at which all are
compared; operators of the exact plan on device/edge/cloud, "direct" where it passes by the edge;
latencies; what the exact plan saves against the best of the six.
units: latencies in the table are ms, in JSON s; shares are cores of the edge, prices credits/s per
core, for clients whose second is worth 1 credit/s.

example:
  dds experiment three-tier --plot three-tier.png
  dds experiment three-tier --device raspberry-pi-4 --cloud edge-core --cloud-share 8 --json

Simulated: kernel times come from the roofline of each device. Exit code 1 when anything in the
comparison is faster than the exact plan.
"""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the ``dds`` parser."""
    parser = commands.add_parser(
        "experiment",
        help="comparisons, simulated and measured: three-tier, parallel",
        description="Comparisons of plans with baselines, simulated and measured.",
        epilog="example: dds experiment three-tier --help\n"
        "         dds experiment parallel --help\n\n"
        "units: latencies in ms in tables and s in JSON; shares in cores.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    kinds = parser.add_subparsers(dest="experiment", metavar="NAME", required=True)
    _add_three_tier(kinds)
    parallel.add(kinds)


def _add_three_tier(kinds: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = kinds.add_parser(
        "three-tier",
        help="exact plans over device, edge and cloud against six baselines",
        description="Exact plans over device, edge and cloud against six baselines and chain "
        "two-point search.",
        epilog=f"{_THREE_TIER}\n{measured.EPILOG}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_device_flag(parser, "--device", "raspberry-pi-3b", "where the model's input is")
    add_device_flag(parser, "--edge", "edge-core", "one core of the edge")
    add_device_flag(parser, "--cloud", "cloud-gpu", "one core of the cloud, or what counts as one")
    more = parser.add_argument
    cores = quantity(parse_number)
    more("--cloud-share", type=cores, default=1.0, metavar="CORES",
         help="of the cloud, for each client (default 1)")  # fmt: skip
    more("--capacity", type=cores, default=36.0, metavar="CORES",
         help="of the edge, for sale to all clients together (default 36)")  # fmt: skip
    more("--max-share", type=cores, default=4.0, metavar="CORES",
         help="the most cores of the edge that one inference can use (default 4)")  # fmt: skip
    more("--light", type=int, default=1, metavar="N",
         help="clients per model in the light market (default 1: the edge suffices for all, "
         "its price is 0)")  # fmt: skip
    more("--heavy", type=int, default=40, metavar="N",
         help="clients per model in the heavy market (default 40: at 9 models 360 clients, "
         "0.1 cores each)")  # fmt: skip
    more("--models", nargs="+", metavar="NAME", help="of the zoo (default: all nine)")
    more("--networks", nargs="+", metavar="NAME", help="of 3G, 4G, WiFi (default: all)")
    more("--json", action="store_true", help="print JSON instead of the tables")
    add_plot_flag(parser, "also draw what is saved, tile by tile")
    measured.add_flags(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Simulate or measure, print, draw; 1 for what must not be: see --help."""
    from dds.experiments import report, three_tier
    from dds.model.zoo import NAMES

    measured.check(args)
    networks = chosen("--networks", args.networks, three_tier.NETWORKS)
    if args.measure:
        return measured.run(args, networks)
    check_plot(args.plot)
    setting = three_tier.Setting(
        models=tuple(args.models or NAMES),
        device=args.device,
        edge=args.edge,
        cloud=args.cloud,
        cloud_share=args.cloud_share,
        capacity=args.capacity,
        max_share=args.max_share,
        markets={"light": args.light, "heavy": args.heavy},
        networks=networks,
    )
    with bar_for_terminal("three tiers") as bar:
        cells = three_tier.run(setting, bar)
    found = three_tier.summary(cells)
    if args.json:
        print(json.dumps(report.document(setting, cells, found), indent=2, allow_nan=False))
    else:
        lines = (
            "latencies in ms, prices in credits/s per core",
            *aligned(report.rows(cells), left=(0, 1, 2)),
            "",
            *aligned(report.summary_rows(found)),
            "",
            *report.summary_lines(found),
        )
        print("\n".join(lines))
    if args.plot is not None:
        from dds.experiments.chart import draw

        save(args.plot, draw(setting, cells, found))
    return 1 if found.worse else 0
