"""``dds demo``: the main job, end to end, with real processes on this machine."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from dds.demo.run import Run
from dds.errors import InvalidInput
from dds.files import write_whole

__all__ = ["add", "run"]

_NEEDS = ("grpc", "grpc_health", "grpc_reflection", "onnxruntime", "rich", "matplotlib")


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare ``dds demo`` and its flags."""
    parser = commands.add_parser(
        "demo",
        help="play the game with eight clients and one server, then run real inferences",
        description=(
            "Start one mec-server and eight mec-client processes with mixed models, emulated "
            "device speeds and shaped links; play the allocation game to a Nash equilibrium over "
            "gRPC; run real split inferences, and local-only and edge-only ones to compare with."
        ),
        epilog="Example: dds demo --tariff barrier --output out/barrier. Takes about 75 s on "
        "two cores. Exit code 1 when the certificate is refused, an output differs from the "
        "whole model's (rtol 1e-4, atol 1e-5) or more than the capacity is sold.",
    )
    parser.add_argument(
        "--tariff",
        choices=("clearing", "barrier"),
        default="clearing",
        help="clearing: the flat price that clears capacity, buyers take it as given (default); "
        "barrier: base price / (1 - F/C), buyers anticipate their own effect on it",
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("out"),
        metavar="DIR",
        help="directory for run.json and run.png (default: out)",
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="seed of weights and inputs, >= 0 (default: 0)"
    )
    parser.add_argument(
        "--json", action="store_true", help="print the run as JSON instead of the table"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Play, write run.json and run.png, print the table; 1 when the run must not be trusted."""
    _require_extras()
    if args.seed < 0:
        raise InvalidInput(f"--seed {args.seed}: need a whole number >= 0")
    from dds import __version__
    from dds.demo.chart import draw
    from dds.demo.run import run_document

    output = _directory(args.output)
    finished = _play(args.tariff, args.seed)
    document = run_document(finished, __version__)
    text = json.dumps(document, indent=1, allow_nan=False) + "\n"
    write_whole(output / "run.json", text.encode())
    draw(finished, output / "run.png")
    if args.json:
        print(json.dumps(document, allow_nan=False))
    else:
        _print(finished, output)
    return 1 if finished.failures else 0


def _play(tariff: str, seed: int) -> Run:
    from dds import __version__
    from dds.demo.fleet import play
    from dds.demo.progress import Progress
    from dds.demo.run import assemble, run_document
    from dds.demo.scenario import DEMO
    from proofs.check import check
    from proofs.document import parse

    started = time.monotonic()
    progress = Progress(DEMO)
    with progress.live():
        done = asyncio.run(play(DEMO, tariff=tariff, seed=seed, on_event=progress.on_event))
    finished = assemble(DEMO, tariff, done, time.monotonic() - started)
    # The verdict is the independent checker's, on exactly what will be written.
    verdict = check(parse(json.dumps(run_document(finished, __version__)).encode()))
    return replace(finished, refusals=verdict.reasons)


def _print(finished: Run, output: Path) -> None:
    from rich.console import Console

    from dds.demo.report import summary_lines, table

    console = Console()
    # A pipe has no width of its own: give the table what it needs rather than cut it.
    if not console.is_terminal:
        console = Console(width=180)
    console.print(table(finished))
    for line in summary_lines(finished):
        console.print(
            line, style="bold red" if line.startswith("FAILED") else None, highlight=False
        )
    console.print(f"run: {output / 'run.json'}, chart: {output / 'run.png'}", highlight=False)
    if sys.stdout.isatty():
        console.print(f"check it yourself: python -m proofs.check {output / 'run.json'}")


def _require_extras() -> None:
    missing = [name for name in _NEEDS if find_spec(name) is None]
    if missing:
        raise InvalidInput(
            f"the demo needs {', '.join(missing)}; install them: pip install 'dds[server,plot]'"
        )


def _directory(path: Path) -> Path:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidInput(
            f"--output {path}: {error.strerror}; name a writable directory"
        ) from None
    return path
