"""The ``mec-client`` command: parse, prepare, play."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import sys
import threading
from collections.abc import Sequence
from contextlib import AsyncExitStack, closing
from typing import TYPE_CHECKING

from clients.errors import Gone
from clients.flags import build_parser, read_config
from clients.report import Report
from dds.errors import DdsError, InvalidInput

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
            edge = await stack.enter_async_context(Channel(address, connect=config.connect))
            servers = Servers(edge)
            if config.cloud is not None:
                past = None
                if direct:
                    past = await stack.enter_async_context(Channel(direct, connect=config.connect))
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


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``mec-client``.

    Exit code: 0 done, 1 a server went away, 2 wrong input or refused, 130 interrupted.
    """
    given = sys.argv[1:] if argv is None else list(argv)
    if "--helper" in given:
        from clients.helper_cli import main as help_others

        return help_others([flag for flag in given if flag != "--helper"])
    args = build_parser().parse_args(given)
    try:
        config = read_config(args)
        with closing(Report(args.json)) as report:
            asyncio.run(_play(config, args.server, args.cloud, report, args.step))
    except DdsError as error:
        print(f"mec-client: {error}", file=sys.stderr)
        return 1 if isinstance(error, Gone) else 2
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("mec-client: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader (head, less) has what it wanted; do not complain at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0
