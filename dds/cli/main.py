"""Entry point of the ``dds`` command: parse, dispatch, turn errors into exit codes.

Exit codes: 0 done; 1 the answer is no (a check failed); 2 the input is wrong;
130 interrupted.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from dds.errors import DdsError

__all__ = ["build_parser", "main"]

#: Sub-commands in the order of ``dds --help``; each is a module called after its first word.
COMMANDS = ("frontier", "solve", "profile", "train-predictor", "predict", "demo", "verify")


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
        code = args.run(args)
        sys.stdout.flush()
        return int(code)
    except DdsError as error:
        print(f"dds {args.command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"dds {args.command}: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader (head, less) has what it wanted; do not complain at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
