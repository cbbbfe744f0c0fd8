"""``dds train-predictor``: learn on this machine how long operators take."""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dds.cli.arguments import (
    add_cache_flags,
    add_platform_flags,
    cache_from,
    platform_from,
    quantity,
)
from dds.cli.progress import bar_for_terminal
from dds.cli.tables import aligned
from dds.errors import InvalidInput
from dds.units import parse_seconds

if TYPE_CHECKING:
    from dds.predict.training import Trained

__all__ = ["add", "run"]

_DESCRIPTION = """\
Measure generated models with onnxruntime, about five minutes for 240 of them, and train a
predictor on them: small neural networks per operator family, which then tell how long operators of
models take that were never run here. Interrupted, it goes on where it stopped: measurements are
kept. Prints how far it is off on generated models that it was not trained on.
Needs the extra dds[server].
"""

_EPILOG = """\
examples: this machine as it is, and as a device of one thread that runs a quarter of the time
  dds train-predictor --out predictors/here
  dds train-predictor --threads 1 --duty 25% --out predictors/slow
then
  dds predict zoo:resnet50 --predictor predictors/here
"""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command to the parser of ``dds``."""
    from dds.predict.training import MODELS

    parser = commands.add_parser(
        "train-predictor",
        help="learn how long operators take on this machine",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    more = parser.add_argument
    more("--out", metavar="DIR", default="predictor", help="where it goes (default: predictor)")
    add_platform_flags(parser)
    more("--models", type=int, default=MODELS, metavar="N",
         help=f"generated models to measure (default: {MODELS})")  # fmt: skip
    more("--seed", type=int, default=0, metavar="N", help="of models and networks (default: 0)")
    more("--budget", type=quantity(parse_seconds), default="1", metavar="TIME",
         help="of runs per model at most (default: 1 s)")  # fmt: skip
    more("--json", action="store_true", help="print the table of errors as JSON")
    add_cache_flags(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure what is not known yet, train, save, and print the errors."""
    from dds.predict.sweep import measured_sweep
    from dds.predict.training import train

    platform = platform_from(args)
    _check_writable(args.out)
    with bar_for_terminal("measuring") as bar:
        samples = measured_sweep(
            platform,
            cache=cache_from(args),
            models=args.models,
            seed=args.seed,
            budget=args.budget,
            report=bar,
        )
    with bar_for_terminal("training") as bar:
        trained = train(
            samples, platform.fingerprint, runtime=platform.runtime, seed=args.seed, report=bar
        )
    trained.predictor.save(args.out)
    print(json.dumps(_document(trained, args), indent=2) if args.json else _table(trained, args))
    return 0


def _check_writable(out: str) -> None:
    """Raises InvalidInput for a folder that nothing can be written into: now, not in the end."""
    try:
        Path(out).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise InvalidInput(f"--out {out}: {error.strerror}; name a folder to write to") from error


def _document(trained: Trained, args: argparse.Namespace) -> dict[str, Any]:
    return {
        "platform": trained.predictor.platform,
        "out": str(args.out),
        "models": args.models,
        "held_out_models": trained.held_out,
        "seed": args.seed,
        "held_out": [asdict(each) for each in trained.judgements],
        "rows": {name: expert.rows for name, expert in trained.predictor.experts.items()},
    }


def _table(trained: Trained, args: argparse.Namespace) -> str:
    rows = [["operators", "held out", "error", "median", "covered"]]
    rows += [
        [each.family, str(each.rows), f"{each.mape:.1%}", f"{each.median:.1%}",
         f"{each.coverage:.0%}"]
        for each in trained.judgements
    ]  # fmt: skip
    models = args.models - trained.held_out
    lines = [
        *aligned(rows),
        "",
        f"trained on {models} models, judged on {trained.held_out} others:",
        "error is the mean of |predicted / measured - 1|,",
        "covered the part of operators within the stated uncertainty (aim: 90%)",
        f"saved in {args.out} for {trained.predictor.platform}",
    ]
    return "\n".join(lines)
