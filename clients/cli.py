"""The ``mec-client`` command: parse, prepare, play, report."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

from clients.flags import build_parser, read_config
from dds.errors import DdsError, InvalidInput
from dds.units import format_bytes, format_seconds

if TYPE_CHECKING:
    from clients.config import AgentConfig

__all__ = ["main"]


async def _play(
    config: AgentConfig, address: str | None, direct: str | None, report: Report, step: bool
) -> None:
    """address: of the server, if there is one; direct: where the cloud is reached without it."""
    from clients.agent import Agent
    from clients.channel import Channel
    from clients.offload import Servers
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
    async with AsyncExitStack() as stack:
        servers = None
        if address is not None:
            edge = await stack.enter_async_context(Channel(address))
            servers = Servers(edge)
            if config.cloud is not None:
                past = await stack.enter_async_context(Channel(direct)) if direct else None
                servers = Servers(edge, edge.upstream(), past)
        crew = None
        if config.helpers is not None:
            from clients.parallel import joined

            crew = await stack.enter_async_context(joined(config, prepared, report.emit))
        done = await Agent(config, prepared, servers, report.emit, pause, crew).run()
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
            return (
                f"{event['strategy']}: {event['share']:g} cores at {event['price']:.4g} credits/s "
                f"each, found in {event['rounds']} rounds, regret {event['regret']:.3g}\n"
                f"  {_cut_in_words(event['cut'])}; "
                f"predicted {format_seconds(event['predicted_latency_s'])}"
            )
        case "cloud":
            return f"cloud: {event['share']:g} cores at {event['price']:.4g} credits/s each"
        case "recut":
            return (
                f"  from inference {event['index'] + 1} on, as the {event['because']} has changed: "
                f"{_cut_in_words(event['after'])}"
            )
        case "not recut":
            return f"  the cut stays as it is: {event['because']}"
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
        case "helpers":
            found = (
                f"{each['name']} at {each['address']} ({each['engine']})"
                for each in event["helpers"]
            )
            return f"helpers: {', '.join(found) or 'none'}"
        case "helper lost":
            return f"  going on without the helper at {event['address']}: {event['because']}"
        case "planned":
            shares = (
                f"{each['name']} {format_seconds(each['busy_s'])}" for each in event["workers"]
            )
            took = format_seconds(event["predicted_latency_s"])
            return f"  planned: {took}; of that computing: {', '.join(shares)}"
        case "done":
            return "\n".join(
                f"{strategy}: predicted {format_seconds(result['predicted_latency_s'])}, measured "
                f"{', '.join(format_seconds(x) for x in result['measured_latency_s'])}; largest "
                f"difference from the whole model {result['max_abs_difference']:.3g}"
                for strategy, result in event["strategies"].items()
            )
    return ""


def _cut_in_words(cut: Mapping[str, Any]) -> str:
    up, down = (format_bytes(cut[f"{way}link_bytes"]) for way in ("up", "down"))
    if "operators_on_cloud" in cut:
        there = f"{cut['operators_on_edge']} on the edge, {cut['operators_on_cloud']} in the cloud"
        there += " directly" if cut["direct"] else ""
    else:
        there = f"{cut['operators_on_server']} on the server"
    return f"{cut['operators_on_device']} operators on the device, {there}, {up} up, {down} down"


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``mec-client``: exit code 0 done, 2 wrong input or refused, 130 interrupted."""
    given = sys.argv[1:] if argv is None else list(argv)
    if "--helper" in given:
        from clients.helper_cli import main as help_others

        return help_others([flag for flag in given if flag != "--helper"])
    args = build_parser().parse_args(given)
    try:
        config, report = read_config(args), Report(args.json)
        asyncio.run(_play(config, args.server, args.cloud, report, args.step))
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
