"""``dds solve``: the equilibrium of a market given as plain numbers."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from dds.cli.tables import aligned
from dds.errors import InvalidInput
from dds.files import write_whole
from dds.market.document import Instance, read_market, report, solve
from dds.market.equilibrium import Equilibrium
from dds.units import format_seconds

__all__ = ["add", "run"]

#: A table longer than this shows the clients that pay most.
SHOWN = 20

_EXAMPLE = """\
the document (docs/solve.md):
  {"concept": "nash", "tariff": {"kind": "barrier", "base_price": 0.1, "capacity": 2.0},
   "quantum": 0.001,
   "clients": [{"name": "camera", "value_of_time": 1.0,
                "pieces": [[0.05, 0.4], [0.9, 0.0]], "max_share": 4.0}]}

units: seconds, cores, credits/s. A piece [A, W] costs A + W / f seconds at f cores.
tariffs: clearing, flat, linear, power, barrier, piecewise.
"""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the ``dds`` parser."""
    parser = commands.add_parser(
        "solve",
        help="the equilibrium of a market given as plain numbers",
        description="The equilibrium of a market given as plain numbers: every client's cut and "
        "share, the price, and what anybody could still gain.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", metavar="FILE.json", help="the market; - for standard input")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument(
        "--certificate",
        metavar="OUT.json",
        help="also write the proof that it is an equilibrium, for dds verify",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Read, solve, print."""
    market = read_market(_read(args.file))
    equilibrium = solve(market)
    if args.certificate is not None:
        _write(Path(args.certificate), equilibrium.certificate.to_json())
    if args.json:
        print(json.dumps(report(equilibrium), allow_nan=False))
    else:
        print(_table(market, equilibrium))
    return 0


def _read(name: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no such name"
        raise InvalidInput(f"{name!r}: cannot be read: {reason}") from None


def _write(path: Path, text: str) -> None:
    try:
        write_whole(path, f"{text}\n".encode())
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no such name"
        raise InvalidInput(f"--certificate {str(path)!r}: cannot be written: {reason}") from None


def _table(market: Instance, equilibrium: Equilibrium) -> str:
    """The allocation for people: the clients that pay most if there are many, then the sums."""
    order = list(range(len(equilibrium.clients)))
    if len(order) > SHOWN:
        order = sorted(order, key=lambda i: (-equilibrium.payments[i], i))[:SHOWN]
    rows = [("client", "piece", "share", "latency", "payment", "regret")] + [
        (
            equilibrium.clients[i],
            str(equilibrium.pieces[i]),
            f"{equilibrium.shares[i]:.6g}",
            format_seconds(float(equilibrium.latencies[i])),
            f"{equilibrium.payments[i]:.6g}",
            f"{equilibrium.regret[i]:.2g}",
        )
        for i in order
    ]
    lines = aligned(rows)
    hidden = len(equilibrium.clients) - len(order)
    if hidden:
        lines.append(f"... and {hidden} more who pay less")
    capacity = market.tariff.capacity
    of = "" if capacity == float("inf") else f" of {capacity:g}"
    return "\n".join(
        [
            *lines,
            "",
            f"{equilibrium.concept} equilibrium of {len(equilibrium.clients)} clients",
            f"price {equilibrium.price:.6g} credits/s per core",
            f"total demand {equilibrium.total:.6g}{of} cores",
            f"largest regret {equilibrium.max_regret:.2g} credits/s, {equilibrium.rounds} rounds",
        ]
    )
