"""The ``mec-server`` command: parse, serve until told to stop."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from dds.errors import DdsError, InvalidInput
from dds.profile.runtime import OPTIMISATIONS, Runtime
from dds.units import parse_bytes, parse_number, parse_seconds
from mec_server.config import Limits, ServerConfig

if TYPE_CHECKING:
    from dds.market.tariff_base import Tariff
    from mec_server.upstream import Upstream

__all__ = ["build_parser", "main", "read_config"]

#: Seconds that running calls get to finish after a signal.
_GRACE = 2.0
#: Seconds that an upstream gets to answer at the start, before that it does not is told.
_CONNECT = 3.0

_EPILOG = """\
units: shares and capacities in cores; prices in credits/s per core; times in s, or with a unit
(20ms); sizes in bytes, or with a unit (1GiB). One core is what --core and --core-slowdown say.

example: a server of 4 cores, each a quarter as fast as this machine's, sold by the millicore
  mec-server --listen 0.0.0.0:50051 --tariff clearing --capacity 4 --core-slowdown 4

example: an edge server, and the cloud behind it, whose cores have a fixed price
  mec-server --listen 0.0.0.0:50052 --tariff flat --price 0.1 --capacity 64
  mec-server --listen 0.0.0.0:50051 --upstream cloud.example:50052
"""


def build_parser() -> argparse.ArgumentParser:
    """The parser of ``mec-server``."""
    parser = argparse.ArgumentParser(
        prog="mec-server",
        description="Sell shares of this machine's cores to clients that offload parts of DNNs.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--listen", default="127.0.0.1:50051", metavar="HOST:PORT", help="port 0: any free one")
    add("--upstream", metavar="HOST:PORT",
        help="a mec-server that clients reach through this one, such as a cloud's "
        "(default: none)")  # fmt: skip
    add("--json", action="store_true", help="one JSON object per line on standard output")
    market = parser.add_argument_group("what is for sale")
    add = market.add_argument
    kinds = ("clearing", "flat", "linear", "power", "barrier", "piecewise")
    add("--tariff", choices=kinds, default="clearing", help="default: clearing")
    add("--capacity", default="4", metavar="CORES", help="cores for sale (default: 4)")
    add("--price", metavar="P", help="flat: the price")
    add("--base-price", metavar="P", help="linear, power, barrier: the price of an empty server")
    add("--slope", metavar="S", help="linear: price + S F at total demand F")
    add("--scale", metavar="S", help="power: price + S F^K")
    add("--exponent", type=int, metavar="K", help="power: whole number >= 1")
    add("--points", metavar="F:P,...", help="piecewise: loads and prices, such as 0:0.1,2:0.3")
    add("--quantum", default="0.001", metavar="CORES",
        help="shares are multiples of it; 'none' for any share (default: 0.001)")  # fmt: skip
    add("--quorum", type=int, default=1, metavar="N",
        help="clients to wait for before the first round (default: 1)")  # fmt: skip
    add("--lease", default="30", metavar="TIME",
        help="a client silent for so long loses its share (default: 30)")  # fmt: skip
    core = parser.add_argument_group("the reference core")
    add = core.add_argument
    add("--core", default="edge-core", metavar="DEVICE",
        help="what clients on other machines reckon with: a device of `dds frontier --help` "
        "(default: edge-core)")  # fmt: skip
    add("--core-slowdown", default="1", metavar="S",
        help="seconds on one sold core per second of CPU time here (default: 1)")  # fmt: skip
    runtime = parser.add_argument_group("the runtime")
    add = runtime.add_argument
    add("--threads", type=int, default=1, metavar="N",
        help="that one operator may use (default: 1)")  # fmt: skip
    add("--optimise", choices=tuple(OPTIMISATIONS), default="all",
        help="how far onnxruntime may fuse operators; with none, a split model equals the whole "
        "bit for bit (default: all, up to 1.8 times faster)")  # fmt: skip
    add("--profiles", metavar="DIR",
        help="keep what is measured for clients there (default: in memory only)")  # fmt: skip
    limits = parser.add_argument_group("limits")
    add = limits.add_argument
    add("--workers", type=int, metavar="N", help="threads that run kernels (default: one per CPU)")
    add("--max-model", default="1GiB", metavar="SIZE", help="one model (default: 1GiB)")
    add("--max-store", default="8GiB", metavar="SIZE", help="all models (default: 8GiB)")
    return parser


def read_config(args: argparse.Namespace) -> ServerConfig:
    """The configuration that the flags describe; raises InvalidInput naming a wrong one."""
    from dds.costs import DEVICES
    from dds.profile.runtime import platform_fingerprint
    from dds.session.messages import ReferenceCore, Terms
    from dds.session.timing import Timing

    device = DEVICES.get(args.core)
    if device is None:
        raise InvalidInput(f"--core {args.core!r} is unknown; known are {', '.join(DEVICES)}")
    capacity = _number(args.capacity, "--capacity")
    runtime = Runtime(args.threads, args.optimise)
    core = ReferenceCore(
        name=device.name,
        flops_per_s=device.flops_per_s,
        bytes_per_s=device.bytes_per_s,
        overhead=device.overhead,
        platform=platform_fingerprint(runtime),
        slowdown=_number(args.core_slowdown, "--core-slowdown"),
    )
    config = ServerConfig(
        terms=Terms(_tariff(args, capacity), capacity, core, _quantum(args.quantum)),
        listen=args.listen,
        upstream=args.upstream,
        quorum=args.quorum,
        timing=Timing(lease=parse_seconds(args.lease)),
        runtime=runtime,
        profiles=Path(args.profiles) if args.profiles else None,
        limits=Limits(
            model_bytes=int(parse_bytes(args.max_model)),
            store_bytes=int(parse_bytes(args.max_store)),
        ),
    )
    return config if args.workers is None else replace(config, workers=args.workers)


def _number(text: str, flag: str) -> float:
    try:
        return parse_number(text)
    except InvalidInput as error:
        raise InvalidInput(f"{flag}: {error}") from error


def _quantum(text: str) -> Fraction | None:
    if text == "none":
        return None
    try:
        return Fraction(text)
    except (ValueError, ZeroDivisionError) as error:
        raise InvalidInput(f"--quantum {text!r}: need cores such as 0.001, or none") from error


def _tariff(args: argparse.Namespace, capacity: float) -> Tariff:
    """The tariff that the flags name; raises InvalidInput for a missing or superfluous flag."""
    from dds.market.tariff_json import tariff_from_json

    needed = {
        "clearing": (),
        "flat": ("price",),
        "linear": ("base_price", "slope"),
        "power": ("base_price", "scale", "exponent"),
        "barrier": ("base_price",),
        "piecewise": ("points",),
    }
    document: dict[str, object] = {"kind": args.tariff, "capacity": capacity}
    for name in ("price", "base_price", "slope", "scale", "exponent", "points"):
        value = getattr(args, name)
        flag = "--" + name.replace("_", "-")
        if (name in needed[args.tariff]) is not (value is not None):
            problem = "needs" if value is None else "has no use for"
            raise InvalidInput(f"--tariff {args.tariff} {problem} {flag}")
        if name == "points" and value is not None:
            document["loads"], document["prices"] = _points(value)
        elif value is not None:
            document[name] = value if isinstance(value, int) else _number(value, flag)
    return tariff_from_json(document)


def _points(text: str) -> tuple[list[float], list[float]]:
    loads, prices = [], []
    for point in text.split(","):
        load, separator, price = point.partition(":")
        if not separator:
            raise InvalidInput(f"--points {point!r}: need LOAD:PRICE, such as 0:0.1,2:0.3")
        loads.append(_number(load, "--points"))
        prices.append(_number(price, "--points"))
    return loads, prices


def _say_listening(address: str, upstream: str | None, as_json: bool) -> None:
    event = {"event": "listening", "address": address, "upstream": upstream}
    line = f"mec-server listening on {address}" + (f", upstream {upstream}" if upstream else "")
    print(json.dumps(event) if as_json else line, flush=True)


async def _look_for(upstream: Upstream | None, address: str | None, as_json: bool) -> None:
    """Warn when there is an upstream that does not answer as one: it may still come."""
    wrong = "" if upstream is None else await upstream.missed(_CONNECT)
    if not wrong:
        return
    text = f"the upstream {address} {wrong}"
    if as_json:
        print(json.dumps({"event": "warning", "message": text}), flush=True)
    else:
        print(f"mec-server: warning: {text}", file=sys.stderr, flush=True)


async def _serve(config: ServerConfig, as_json: bool) -> None:
    """Serve until SIGINT or SIGTERM."""
    from dds import __version__
    from dds.wire.serving import stop_signal, until_stopped
    from mec_server.handlers import Handlers
    from mec_server.rpc import RpcServer
    from mec_server.upstream import Upstream

    async with contextlib.AsyncExitStack() as connections:
        upstream = None
        if config.upstream is not None:
            upstream = Upstream(config.upstream, config.limits.message_bytes)
            connections.push_async_callback(upstream.close)
        handlers = Handlers(config, upstream)
        server = RpcServer(handlers, upstream, version=__version__)
        stop = stop_signal()
        _say_listening(await server.start(), config.upstream, as_json)
        looking = _look_for(upstream, config.upstream, as_json)
        try:
            await until_stopped(stop, handlers.keep_time(), looking)
        finally:
            await server.stop(_GRACE)


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``mec-server`` and return its exit code: 0 stopped, 2 wrong input."""
    args = build_parser().parse_args(argv)
    try:
        asyncio.run(_serve(read_config(args), args.json))
    except DdsError as error:
        print(f"mec-server: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0
