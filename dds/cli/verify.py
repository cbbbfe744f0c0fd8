"""``dds verify``: check a saved equilibrium or demo run with the independent checker."""

from __future__ import annotations

import argparse

__all__ = ["add", "run"]


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the sub-command."""
    parser = commands.add_parser(
        "verify",
        help="check a saved equilibrium or demo run",
        description="Check a saved equilibrium (dds-equilibrium/1, dds-pooled/1) or demo run "
        "(dds-run/1) in exact arithmetic, trusting no solver; the same as python -m proofs.check.",
        epilog="Example: dds verify out/run.json. Shares are in cores, prices in "
        "credits/s per core. Exit codes: 0 verified, 1 refused (with reasons), 2 unreadable.",
    )
    parser.add_argument("file", metavar="FILE.json", help="a saved equilibrium or demo run")
    parser.add_argument("--json", action="store_true", help="print the verdict as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Check the file; the exit code says whether it is verified."""
    from proofs.check import execute

    return execute(args.file, args.json, "dds verify")
