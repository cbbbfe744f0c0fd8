"""The ``mec-client`` command: parse, prepare, play, report."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import stat
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from dds.errors import DdsError, InvalidInput
from dds.profile.runtime import OPTIMISATIONS, Runtime
from dds.units import (
    format_bytes,
    format_seconds,
    parse_bandwidth,
    parse_number,
    parse_seconds,
)

if TYPE_CHECKING:
    from clients.config import AgentConfig

__all__ = ["build_parser", "main", "read_config"]

T = TypeVar("T")

_EPILOG = """\
units: bandwidths in Mbit/s or with a unit (731kB/s); times in s or with a unit (20ms); shares in
cores; the value of time in credits/s per second of latency.

example: a camera 6 times slower than this machine, behind a 4G link
  mec-client --server 127.0.0.1:50051 --name cam-1 --model zoo:resnet50 --device-slowdown 6 \\
    --uplink 5.85 --downlink 20 --rtt 30ms --value-of-time 1 --strategy dds,local-only
"""


def build_parser() -> argparse.ArgumentParser:
    """The parser of ``mec-client``."""
    parser = argparse.ArgumentParser(
        prog="mec-client",
        description="Run a DNN across this device and a MEC server, at a share bought there.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--server", required=True, metavar="HOST:PORT", help="where mec-server listens")
    add("--name", default="client", help="unique among the clients of the market")
    add("--model", required=True, metavar="MODEL", help="zoo:NAME, or the path of an .onnx file")
    add("--device-slowdown", default="1", metavar="S",
        help="seconds the device takes per second of CPU time here (default: 1); 6,12@20 is a "
        "device that takes 12 from the 20th inference on")  # fmt: skip
    add("--optimise", choices=tuple(OPTIMISATIONS), default="all",
        help="how far onnxruntime may fuse operators; with none on both sides, a split model "
        "equals the whole bit for bit (default: all, up to 1.8 times faster)")  # fmt: skip
    add("--uplink", required=True, metavar="RATE", help="bandwidth to the server")
    add("--downlink", required=True, metavar="RATE", help="bandwidth from the server")
    add("--rtt", default="0", metavar="TIME", help="round trip of the link (default: 0)")
    add("--value-of-time", default="1", metavar="W", help="default: 1")
    add("--min-share", default="0", metavar="CORES", help="least to buy when offloading")
    add("--max-share", metavar="CORES", help="most that one inference can use (default: any)")
    add("--inferences", type=int, default=3, metavar="N", help="per strategy (default: 3)")
    add("--strategy", default="dds", metavar="NAME,...",
        help="of dds, local-only, edge-only, in order (default: dds)")  # fmt: skip
    add("--one-game", action="store_true",
        help="learn from what inferences take, but never ask for another game")  # fmt: skip
    add("--seed", type=int, default=0, help="of zoo weights and inputs (default: 0)")
    add("--json", action="store_true", help="one JSON event per line on standard output")
    add("--step", action="store_true",
        help="wait for a line on standard input before joining again, inferring and leaving, so "
        "that several clients can do so together")  # fmt: skip
    add("--cache", metavar="DIR", help="of profiles (default: $XDG_CACHE_HOME/dds, ~/.cache/dds)")
    add("--no-cache", action="store_true", help="measure the model again")
    add("--measure-cuts", default="2", metavar="TIME",
        help="spend so long on measuring the best few cuts directly, where the server's core is "
        "of this platform; 0: never (default: 2)")  # fmt: skip
    add("--measure-there", default="60", metavar="TIME",
        help="have a server of another platform measure the whole model, if bringing it there "
        "takes no longer; 0: never (default: 60)")  # fmt: skip
    return parser


def read_config(args: argparse.Namespace) -> AgentConfig:
    """The agent that the flags describe; raises InvalidInput naming a wrong one."""
    from clients.config import AgentConfig
    from clients.slowdown import Slowdown
    from dds.costs import Link
    from dds.profile.cache import cache_directory

    def read(flag: str, parse: Callable[[str], T]) -> T:
        text = getattr(args, flag.lstrip("-").replace("-", "_"))
        try:
            return parse(text)
        except InvalidInput as error:
            raise InvalidInput(f"{flag}: {error}") from error

    folder = Path(args.cache) if args.cache else cache_directory()
    link = Link(
        read("--uplink", parse_bandwidth),
        read("--downlink", parse_bandwidth),
        read("--rtt", parse_seconds),
    )
    return AgentConfig(
        name=args.name,
        model=args.model,
        slowdown=read("--device-slowdown", Slowdown.parse),
        link=link,
        value_of_time=read("--value-of-time", parse_number),
        min_share=read("--min-share", parse_number),
        max_share=read("--max-share", parse_number) if args.max_share else float("inf"),
        inferences=args.inferences,
        strategies=tuple(args.strategy.split(",")),
        one_game=args.one_game,
        runtime=Runtime(optimisation=args.optimise),
        seed=args.seed,
        measure_cuts=read("--measure-cuts", parse_seconds),
        measure_there=read("--measure-there", parse_seconds),
        cache=None if args.no_cache else folder,
    )


async def _play(config: AgentConfig, address: str, report: Report, step: bool) -> None:
    from clients.agent import Agent
    from clients.channel import Channel
    from clients.prepare import prepare

    lines = await _standard_input() if step else None

    async def pause(strategy: str, before: str) -> None:
        if lines is not None:
            report.emit({"event": "waiting", "strategy": strategy, "before": before})
            await lines.readline()

    # SIGTERM, like Ctrl-C, leaves the market on the way out.
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 -- this is a coroutine that runs
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    stop = threading.Event()
    try:
        prepared = await asyncio.to_thread(prepare, config, report.emit, stop)
    finally:
        stop.set()  # the end of the process waits for the thread
    async with Channel(address) as channel:
        done = await Agent(config, prepared, channel, report.emit, pause).run()
    report.emit(done)


async def _standard_input() -> asyncio.StreamReader:
    """Standard input, readable without a thread that would hold up the end of the process."""
    # asyncio waits for neither a file nor the null device, and says so in a traceback.
    mode = os.fstat(sys.stdin.fileno()).st_mode if sys.stdin else 0
    if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or (sys.stdin and sys.stdin.isatty())):
        raise InvalidInput("--step: standard input is no pipe and no terminal; give it one")
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


class Report:
    """Prints events: as JSON, one per line, or for people."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json

    def emit(self, event: Mapping[str, Any]) -> None:
        """Print one event; not every one is worth a person's while."""
        if self._as_json:
            print(json.dumps(event, allow_nan=False), flush=True)
            return
        if text := _in_words(event):
            print(text, flush=True)


def _in_words(event: Mapping[str, Any]) -> str:
    """An event for people; "" for one not worth their while."""
    match event["event"]:
        case "loaded":
            size = format_bytes(event["bytes"])
            return f"{event['model']}: {event['operators']} operators, {size}"
        case "profiled":
            return f"on the device alone: {format_seconds(event['local_latency_s'])}"
        case "allocated":
            cut = event["cut"]
            up, down = (format_bytes(cut[f"{way}link_bytes"]) for way in ("up", "down"))
            return (
                f"{event['strategy']}: {event['share']:g} cores at {event['price']:.4g} credits/s "
                f"each, found in {event['rounds']} rounds, regret {event['regret']:.3g}\n"
                f"  {cut['operators_on_device']} operators on the device, "
                f"{cut['operators_on_server']} on the server, {up} up, {down} down; "
                f"predicted {format_seconds(event['predicted_latency_s'])}"
            )
        case "inference":
            took, before, after = (
                format_seconds(event[f"{which}latency_s"])
                for which in ("", "uncorrected_", "corrected_")
            )
            told = f"predicted {before}" + (f", corrected {after}" if after != before else "")
            return f"{event['strategy']}: inference {event['index'] + 1} took {took} ({told})"
        case "changed":
            return (
                f"  the {event['segment']} now takes {event['after']:.2f} times what its costs "
                f"say ({event['before']:.2f} before)"
            )
        case "reconsidered":
            saved = f"  new costs would save {100.0 * event['saving']:.0f} %"
            return f"{saved}: playing again" if event["again"] else f"{saved}: not worth a game"
        case "done":
            return "\n".join(
                f"{strategy}: predicted {format_seconds(result['predicted_latency_s'])}, measured "
                f"{', '.join(format_seconds(x) for x in result['measured_latency_s'])}; largest "
                f"difference from the whole model {result['max_abs_difference']:.3g}"
                for strategy, result in event["strategies"].items()
            )
    return ""


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``mec-client``: exit code 0 done, 2 wrong input or refused, 130 interrupted."""
    args = build_parser().parse_args(argv)
    try:
        asyncio.run(_play(read_config(args), args.server, Report(args.json), args.step))
    except DdsError as error:
        print(f"mec-client: {error}", file=sys.stderr)
        return 2
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("mec-client: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader (head, less) has what it wanted; do not complain at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0
