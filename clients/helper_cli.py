"""The command ``mec-client --helper``: parse, help until told to stop."""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import sys
from collections.abc import Sequence
from pathlib import Path

from clients.flags import read_flag
from clients.helper_config import HelperConfig, HelperLimits
from dds.engines import ENGINES
from dds.errors import DdsError
from dds.profile.runtime import OPTIMISATIONS, Runtime
from dds.units import parse_bytes, parse_number, parse_seconds

__all__ = ["build_parser", "main", "read_config"]

#: Seconds that running calls get to finish after a signal.
_GRACE = 1.0

_EPILOG = """\
units: times in s, or with a unit (20ms); sizes in bytes, or with a unit (1GiB).

example: two helpers of different speed, and a device that uses them (docs/helpers.md)
  mec-client --helper --listen 0.0.0.0:50061 --engine openvino
  mec-client --helper --listen 0.0.0.0:50062 --device-slowdown 2
  mec-client --model zoo:vgg19 --strategy local-only --helpers 10.0.0.2:50061,10.0.0.3:50062
"""


def build_parser() -> argparse.ArgumentParser:
    """The parser of ``mec-client --helper``."""
    parser = argparse.ArgumentParser(
        prog="mec-client --helper",
        description="Run parts of other devices' DNNs, next to other helpers.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--listen", default="127.0.0.1:50061", metavar="HOST:PORT", help="port 0: any free one")
    add("--name", default=platform.node() or "helper", help="for reports (default: the host's)")
    add("--engine", choices=ENGINES, default="onnxruntime",
        help="runs everything here; what it gets wrong runs in onnxruntime "
        "(default: onnxruntime)")  # fmt: skip
    add("--device-slowdown", default="1", metavar="S",
        help="seconds the helper takes per second of CPU time here (default: 1)")  # fmt: skip
    add("--threads", type=int, default=1, metavar="N",
        help="that one operator may use (default: 1)")  # fmt: skip
    add("--optimise", choices=tuple(OPTIMISATIONS), default="all",
        help="how far onnxruntime may fuse operators (default: all)")  # fmt: skip
    add("--json", action="store_true", help="one JSON object per line on standard output")
    add("--profiles", metavar="DIR",
        help="keep what is measured for clients there (default: measure again)")  # fmt: skip
    limits = parser.add_argument_group("limits")
    add = limits.add_argument
    add("--clients", type=int, default=16, metavar="N", help="at a time (default: 16)")
    add("--lease", default="20", metavar="TIME",
        help="a client silent for so long is forgotten (default: 20)")  # fmt: skip
    add("--max-model", default="1GiB", metavar="SIZE", help="one model (default: 1GiB)")
    add("--max-store", default="8GiB", metavar="SIZE", help="all models (default: 8GiB)")
    return parser


def read_config(args: argparse.Namespace) -> HelperConfig:
    """The helper that the flags describe; raises InvalidInput naming a wrong one."""
    return HelperConfig(
        listen=args.listen,
        name=args.name,
        engine=args.engine,
        runtime=Runtime(args.threads, args.optimise),
        slowdown=read_flag(args, "--device-slowdown", parse_number),
        cache=Path(args.profiles) if args.profiles else None,
        limits=HelperLimits(
            clients=args.clients,
            lease=read_flag(args, "--lease", parse_seconds),
            model_bytes=int(read_flag(args, "--max-model", parse_bytes)),
            store_bytes=int(read_flag(args, "--max-store", parse_bytes)),
        ),
    )


async def _help(config: HelperConfig, as_json: bool) -> None:
    """Help until SIGINT or SIGTERM."""
    from clients.helper_handlers import HelperHandlers
    from clients.helper_rpc import HelperServer, Peers
    from dds.wire.serving import stop_signal, until_stopped

    peers = Peers()
    handlers = HelperHandlers(config, peers.post)
    server = HelperServer(handlers)
    stop = stop_signal()
    address = await server.start()
    event = {"event": "listening", "address": address, "engine": config.engine}
    line = f"mec-client helps at {address} with {config.engine}"
    print(json.dumps(event) if as_json else line, flush=True)
    try:
        await until_stopped(stop, handlers.keep_time())
    finally:
        await server.stop(_GRACE)
        await peers.close()


def main(argv: Sequence[str]) -> int:
    """Run ``mec-client --helper`` and return its exit code: 0 stopped, 2 wrong input."""
    args = build_parser().parse_args(argv)
    try:
        asyncio.run(_help(read_config(args), args.json))
    except DdsError as error:
        print(f"mec-client: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0
