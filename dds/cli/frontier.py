"""``dds frontier``: every cut of a model that is best at some share of the server."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from dds.cli.arguments import (
    add_device_flag,
    add_link_flags,
    add_model_argument,
    link_from,
    model_shapes,
)
from dds.cli.tables import aligned
from dds.costs.link import Link
from dds.cut.pieces import Frontier, Piece
from dds.errors import InternalError
from dds.model.graph import ModelGraph
from dds.units import format_bytes, format_seconds

__all__ = ["add", "describe", "run"]

_EXAMPLE = """\
Each piece is a cut, seen as T(f) = base latency + server work / f seconds at a share
of f cores. Pieces stand from offloading most to local-only.

units: flags take Mbit/s and seconds unless a unit is written; JSON is in s, core s, bytes.

example:
  dds frontier resnet50 --device raspberry-pi-4 --server edge-core \\
      --uplink 18.88 --downlink 40 --rtt 20ms
  dds frontier model.onnx --shape input=1,3,224,224 --uplink 5.85 --json
"""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the ``dds`` parser."""
    parser = commands.add_parser(
        "frontier",
        help="every cut of a model that is best at some share",
        description="Every cut of a model that is best at some share of the server.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_model_argument(parser)
    add_device_flag(parser, "--device", "raspberry-pi-4", "where the model's input is")
    add_device_flag(parser, "--server", "edge-core", "one reference core of the server")
    add_link_flags(parser)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument(
        "--operators", action="store_true", help="also name the operators on the device"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Load, cut, print."""
    from dds.cut.solver import frontier
    from dds.model.importer import load_model

    graph = load_model(_read(args.model), shapes=model_shapes(args))
    link = link_from(args)
    found = frontier(graph, args.device, args.server, link)
    pieces = [describe(graph, piece, operators=args.operators) for piece in found.pieces]
    if args.json:
        document = {
            "model": args.model,
            "device": args.device.name,
            "server": args.server.name,
            "link": _link_document(link),
            "pieces": pieces,
        }
        print(json.dumps(document, indent=2, allow_nan=False))
    else:
        print(f"{args.model}: {len(graph.operators)} operators, {graph.flops / 1e9:.3g} GFLOP; "
              f"device {args.device.name}, server {args.server.name}")  # fmt: skip
        sys.stdout.writelines(line + "\n" for line in _table(found, pieces))
    return 0


def _read(source: str) -> bytes:
    """The model's bytes; of a zoo model the topology, as planning needs no weights."""
    from dds.model.zoo import name_in, read, topology

    name = name_in(source)
    return read(source) if name is None else topology(name)


def describe(graph: ModelGraph, piece: Piece, *, operators: bool = False) -> dict[str, Any]:
    """One piece of ``--json``: seconds, bytes, counts, names of the tensors that cross."""
    cut = piece.cut
    if cut is None:
        raise InternalError("a piece of a model's frontier has no cut")
    document: dict[str, Any] = {
        "base_latency_s": piece.base_latency,
        "server_work_s": piece.server_work,
        "operators_on_device": len(cut.on_device),
        "operators_on_server": len(graph.operators) - len(cut.on_device),
        "crossing_bytes": cut.crossing_bytes,
        "uplink_bytes": cut.uplink_bytes,
        "downlink_bytes": cut.downlink_bytes,
        "cut_tensors": [graph.tensors[t].name for t in cut.uploads + cut.downloads],
    }
    if operators:
        document["device_operators"] = [graph.operators[v].name for v in cut.on_device]
    return document


def _link_document(link: Link) -> dict[str, float | None]:
    """The link in SI units; JSON has no infinity, so unbounded is null."""
    return {
        "uplink_bytes_per_s": None if link.uplink == float("inf") else link.uplink,
        "downlink_bytes_per_s": None if link.downlink == float("inf") else link.downlink,
        "rtt_s": link.rtt,
    }


def _table(found: Frontier, pieces: Sequence[dict[str, Any]]) -> Iterable[str]:
    head = ("piece", "base latency", "server work", "at 1 core", "on device", "on server",
            "uplink", "downlink", "crossing tensors")  # fmt: skip
    rows = [head]
    rows += [
        (
            str(k),
            format_seconds(row["base_latency_s"]),
            format_seconds(row["server_work_s"]),
            format_seconds(piece.latency(1.0)),
            str(row["operators_on_device"]),
            str(row["operators_on_server"]),
            format_bytes(row["uplink_bytes"]),
            format_bytes(row["downlink_bytes"]),
            _shortened(row["cut_tensors"]),
        )
        for k, (piece, row) in enumerate(zip(found.pieces, pieces, strict=True))
    ]
    yield from aligned(rows, left=(len(head) - 1,))
    for k, row_document in enumerate(pieces):
        if names := row_document.get("device_operators"):
            yield f"piece {k} on the device: {', '.join(names)}"


def _shortened(names: Sequence[str], most: int = 3) -> str:
    if not names:
        return "none"
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
