"""``dds experiment parallel``: schedules over a device and its helpers against baselines."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from dds.cli.arguments import chosen, device, quantity
from dds.cli.picture import add_plot_flag, check_plot, save
from dds.cli.progress import search_bar_for_terminal
from dds.cli.tables import aligned
from dds.costs.device import DEVICES
from dds.errors import InvalidInput
from dds.units import parse_number

if TYPE_CHECKING:
    from dds.experiments.parallel import Setting

__all__ = ["add", "run"]

_EPILOG = """\
A cell is a model of the zoo on a device and its helpers, joined by one network. dds.schedule says
who computes which operators or slices when; its rivals get the same model, workers and links.

  single        everything on one worker, the best, input and output sent there and back
  layer-wise    runs of layers, one after the other, on the best workers for them
  rows          rows over everybody in proportion to speed, halos exchanged
  channels      channels over everybody in proportion to speed
  heft          operators by upward rank, each where it ends first (Topcuoglu et al. 2002)
  greedy        operators as they become ready, each where it ends first
  operators     our own search if operators stay whole: the granularity is fixed

  emulated      a device of 8 GFLOP/s and 4 GB/s; a helper of speed 2 has twice that
  WiFi5         200 Mbit/s, 2 ms a message, one transfer at a time
  WiFi6         600 Mbit/s, 1 ms a message, one transfer at a time
  wired         1 Gbit/s to a switch, 0.2 ms a message, each sends one and receives one at a time

columns: speeds, the device's first; lower bound (all speeds added up, nothing sent), our latency
and the rivals', the device's without helpers; the best rival, and by how much ours is below it.
Models are normalised first (batch norms folded, LRN as a convolution), for all alike.
units: latencies in the tables are ms, in JSON s.

example:
  dds experiment parallel
  dds experiment parallel --models inception_v1 --helpers 1+2+4 --networks wired --plot gantt.png

Simulated: kernel times come from the roofline of the device, every slice costs 20 us and half a
row more than its share. The picture is of the cell that gains most; choose cells to see another.
Exit code 1 when a rival is faster than our schedule anywhere, or the checker finds a violation.

in the market: with --market WiFi clients of all models, as many of each, buy shares of a server of
36 cores (edge-core) at the price that clears it, first without helpers. Then one of them is given
its helpers, at that price, then all. Of the frontier with helpers: its pieces, how many cuts were
scheduled (+: more could have been), and how far it is above a bound on all plans at most.

  dds experiment parallel --market WiFi
  dds experiment parallel --market 4G --clients 2 --networks wired --helpers 1 1+2+4 --json
"""

#: Helpers in the market, unless others are named.
_IN_THE_MARKET = ((1.0, 2.0, 4.0),)


def add(kinds: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command to ``dds experiment``."""
    parser = kinds.add_parser(
        "parallel",
        help="schedules over a device and its helpers against seven rivals",
        description="Schedules of operators and slices over a device and its helpers, against "
        "baselines.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    more = parser.add_argument
    more("--device", type=device, metavar="NAME",
         help=f"at speed 1 (default: emulated): {', '.join(DEVICES)}")  # fmt: skip
    more("--helpers", type=_speeds, nargs="+", metavar="SPEEDS",
         help="groups of helpers: the speed of each, the device's being 1. 1+1+1: three like the "
         "device, 3: one that is three times as fast (default: 1+2 1+2+4 0.5+1+2+4)")  # fmt: skip
    more("--models", nargs="+", metavar="NAME", help="of the zoo (default: all nine)")
    more("--networks", nargs="+", metavar="NAME", help="of WiFi5, WiFi6, wired (default: all)")
    more("--json", action="store_true", help="print JSON instead of the tables")
    add_plot_flag(parser, "also draw who computes and sends what when, in one cell")
    more("--market", metavar="LINK",
         help="play a market instead; clients reach its server by 3G, 4G or WiFi "
         "(helpers by default 1+2+4)")  # fmt: skip
    more("--clients", type=int, metavar="N", help="per model in the market (default 10)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Simulate, print, draw; 1 for what must not be: see --help."""
    from dds.experiments import parallel, parallel_report

    if args.market is not None:
        return _run_market(args)
    if args.clients is not None:
        raise InvalidInput("--clients: only with --market")
    check_plot(args.plot)
    setting = _setting(args, parallel.HELPERS)
    with search_bar_for_terminal("parallel") as bar:
        cells = parallel.run(setting, bar)
    if args.json:
        print(json.dumps(parallel_report.document(setting, cells), indent=2, allow_nan=False))
    else:
        table = parallel_report.rows(cells)
        lines = (
            "latencies in ms; speeds of the device and its helpers",
            *aligned(table, left=(0, 1, 2, len(table[0]) - 2)),
            "",
            *aligned(parallel_report.summary_rows(cells)),
            "",
            *parallel_report.summary_lines(cells),
        )
        print("\n".join(lines))
    if args.plot is not None:
        from dds.experiments.parallel_chart import draw, most_gained

        save(args.plot, draw(setting, most_gained(cells)))
    found = parallel.summary(cells)
    return 1 if found.worse or found.invalid else 0


def _run_market(args: argparse.Namespace) -> int:
    """Play the markets, print."""
    from dds.experiments import helped
    from dds.experiments.three_tier import NETWORKS

    if args.plot is not None:
        raise InvalidInput("--plot: draws schedules; --market has none to show")
    (link,) = chosen("--market", [args.market], NETWORKS).items()
    server = helped.Server() if args.clients is None else helped.Server(clients=args.clients)
    setting = _setting(args, _IN_THE_MARKET)
    with search_bar_for_terminal("frontiers") as bar:
        markets = helped.play(setting, link, server, bar)
    if args.json:
        print(json.dumps(helped.document(markets, server), indent=2, allow_nan=False))
        return 0
    for market in markets:
        print("\n".join([*helped.lines(market), "", *aligned(helped.rows(market)), ""]))
    return 0


def _setting(args: argparse.Namespace, helpers: Sequence[tuple[float, ...]]) -> Setting:
    from dds.experiments.parallel import EMULATED, NETWORKS, Setting
    from dds.model.zoo import NAMES

    return Setting(
        models=tuple(args.models or NAMES),
        device=args.device or EMULATED,
        helpers=tuple(args.helpers or helpers),
        networks=chosen("--networks", args.networks, NETWORKS),
    )


def _speeds(text: str) -> tuple[float, ...]:
    """An argparse type: ``1+2+4``."""
    return tuple(quantity(parse_number)(part) for part in text.split("+"))
