"""Entry point of the ``dds`` command: parse, dispatch, turn errors into exit codes.

Exit codes: 0 done; 1 the answer is no (a check failed); 2 the input is wrong;
130 interrupted.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from types import FrameType

from dds.errors import DdsError

__all__ = ["build_parser", "main"]

#: Sub-commands in the order of ``dds --help``; each is a module called after its first word.
COMMANDS = (
    "frontier", "solve", "profile", "train-predictor", "predict", "convert", "demo", "experiment",
    "verify",
)  # fmt: skip


def build_parser() -> argparse.ArgumentParser:
    """The parser of ``dds`` with every sub-command."""
    parser = argparse.ArgumentParser(
        prog="dds",
        description="Decentralized DNN Surgery: cut DNNs between devices and a shared MEC server.",
        epilog="Exit codes: 0 done, 1 a check failed, 2 wrong input, 130 interrupted.",
    )
    from dds import __version__

    parser.add_argument("--version", action="version", version=f"dds {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name in COMMANDS:
        module = importlib.import_module(f"dds.cli.{name.partition('-')[0]}")
        module.add(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``dds`` with argv (default: the process's) and return its exit code."""
    args = build_parser().parse_args(argv)
    try:
        with _terminable():
            code = args.run(args)
            if sys.stdout is not None:  # as it is where standard output is closed
                sys.stdout.flush()
        return int(code)
    except DdsError as error:
        print(f"dds {args.command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"dds {args.command}: interrupted", file=sys.stderr)
        return 130
    except MemoryError as error:
        print(f"dds {args.command}: not enough memory: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # The reader (head, less) has what it wanted; do not complain at exit either.
        _silence()
        return 0
    except OSError as error:
        # A full or forbidden folder, or standard output on one: no defect of this program.
        print(f"dds {args.command}: {error}", file=sys.stderr)
        _silence()
        return 2


def _silence() -> None:
    """Send what is still buffered, and cannot be written, nowhere."""
    with contextlib.suppress(AttributeError, OSError):  # it is closed, or no file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM ends the body as Ctrl-C does, so that it leaves no process and no file behind."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(_: int, frame: FrameType | None) -> None:
    """Do what Ctrl-C does at this moment.

    While asyncio runs that is to cancel its main task; an exception here, where a process is being
    started, would leave nobody who knows of that process and ends it.
    """
    on_ctrl_c = signal.getsignal(signal.SIGINT)
    if not callable(on_ctrl_c):  # a job in the background ignores Ctrl-C
        raise KeyboardInterrupt
    on_ctrl_c(signal.SIGINT, frame)
