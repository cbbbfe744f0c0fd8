"""How far learned predictors are off on models that they never saw.

Per platform, emulated on this machine: the sweep of generated models is measured, every predictor
learns from it, and all tell the operators of the nine models of the zoo, fused as the platform's
runtime fuses them.  The error of an operator is |predicted / measured - 1|; of a model, that of
the sums.
Measurements are kept in --cache, so a second run only trains.  Nothing else should run meanwhile.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from latency_baselines import BASELINES, REQUIRED, Floats, Rows
from measuring import arguments, machine, machine_line, progress, text_table, write_json
from models import residual, transformer

from dds.model import ModelGraph
from dds.model.zoo import NAMES, build
from dds.predict.features import FAMILIES
from dds.predict.predictor import Predictor
from dds.predict.sweep import measured_sample, measured_sweep
from dds.predict.training import MODELS, Sample, judge, train
from dds.predict.transfer import transfer
from dds.profile.platform import Platform
from dds.profile.runtime import Runtime

EXAMPLES = """\
  python benchmarks/predictor.py --cache cache --plots plots --json predictor.json
  python benchmarks/predictor.py --quick          does it work? half a minute
"""

PLATFORMS = (
    Platform(Runtime(1, "all")),
    Platform(Runtime(1, "none")),
    Platform(Runtime(2, "all")),
    Platform(Runtime(1, "extended"), duty=0.25),
)
OURS = "ours"
#: Runs of a model of the zoo, which is the truth, and seconds they may take.
_REPEATS, _BUDGET = 30, 12.0
#: Operators measured on a new platform for the transfer, and of how many draws the median is told.
_FEW, _DRAWS = 48, 5


@dataclass(frozen=True)
class Errors:
    """Of one predictor.

    operators: mean over all; per_model: mean over models of their means; median; whole: mean
    over whole models; worst_whole: the largest of those.
    """

    operators: float
    per_model: float
    median: float
    whole: float
    worst_whole: float


@dataclass(frozen=True)
class Result:
    """One platform's numbers; `bar`: 1 - ours / mean of the required baselines."""

    platform: str
    sweep_operators: int
    zoo_operators: int
    training_s: float
    coverage: float
    bar: float
    errors: dict[str, Errors]
    families: dict[str, float]
    models: dict[str, dict[str, float]]


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, train, judge, print."""
    parser = arguments(__doc__, EXAMPLES)
    parser.add_argument("--cache", type=Path, help="folder of measurements (default: a new one)")
    parser.add_argument("--plots", type=Path, help="folder for predicted against measured, PNG")
    parser.add_argument("--models", type=int, default=MODELS, help="of the sweep")
    parser.add_argument("--platforms", type=int, nargs="+", choices=range(1, len(PLATFORMS) + 1),
                        default=range(1, len(PLATFORMS) + 1), metavar="K",
                        help="; ".join(f"{k}: {p.name}" for k, p in enumerate(PLATFORMS, 1))
                        .replace("%", "%%") + " (all)")  # fmt: skip
    args = parser.parse_args(argv)
    names, platforms = NAMES, tuple(PLATFORMS[k - 1] for k in args.platforms)
    if args.quick:
        args.models, names, platforms = 12, ("alexnet", "squeezenet", "shufflenet"), PLATFORMS[:2]
    with tempfile.TemporaryDirectory() as scratch:
        cache = args.cache or Path(scratch)
        results, predictors, tests = [], [], []
        for platform in platforms:
            progress(f"{platform.name}: measuring {args.models} models and the zoo")
            sweep, zoo = _measure(platform, cache, args, names)
            progress(f"{platform.name}: training")
            result, predictor = _platform(platform, sweep, zoo, args)
            results.append(result)
            predictors.append(predictor)
            tests.append((sweep, zoo))
            print(_table(result), flush=True)
    moved = _transfers(platforms, predictors, tests, args.seed)
    print(text_table(["transfer with 48 operators", "as it was", "moved", "trained there"], moved))
    speed = _speed(predictors[0])
    print("\n".join(f"{what}: {seconds * 1e3:.1f} ms" for what, seconds in speed.items()))
    found = machine("onnxruntime", "scikit-learn")
    print(machine_line(found))
    if args.json:
        write_json(
            args.json,
            {
                "machine": found,
                "platforms": [asdict(result) for result in results],
                "transfer": moved,
                "speed_s": speed,
            },
        )
    return 0


def _measure(
    platform: Platform, cache: Path, args: argparse.Namespace, names: Sequence[str]
) -> tuple[list[Sample], list[Sample]]:
    started = time.monotonic()

    def report(done: int, total: int) -> None:
        if done % 40 == 0:
            progress(f"  {done} of {total} models, {time.monotonic() - started:.0f} s")

    sweep = measured_sweep(platform, cache=cache, models=args.models, seed=args.seed, report=report)
    repeats, budget = (5, 2.0) if args.quick else (_REPEATS, _BUDGET)
    zoo = [
        measured_sample(
            build(name), platform=platform, cache=cache, repeats=repeats,
            budget=budget / platform.duty,
        )
        for name in names
    ]  # fmt: skip
    progress(f"  measured or read in {time.monotonic() - started:.0f} s")
    return sweep, zoo


def _platform(
    platform: Platform, sweep: list[Sample], zoo: list[Sample], args: argparse.Namespace
) -> tuple[Result, Predictor]:
    started = time.perf_counter()
    trained = train(sweep, platform.fingerprint, runtime=platform.runtime, seed=args.seed)
    training = time.perf_counter() - started
    known, asked = Rows.of(sweep), Rows.of(zoo)
    told = {OURS: np.concatenate([trained.predictor.operator_times(s.graph) for s in zoo])}
    told |= {name: fit(known)(asked) for name, fit in BASELINES.items()}
    model = np.repeat(np.arange(len(zoo)), [len(sample.seconds) for sample in zoo])
    errors = {name: _errors(seconds, asked.seconds, model) for name, seconds in told.items()}
    if args.plots:
        args.plots.mkdir(parents=True, exist_ok=True)
        name = platform.name.replace(", ", "-").replace(" ", "_").replace("%", "")
        _plot(args.plots / f"{name}.png", platform.name, told, asked, errors)
    mean = float(np.mean([errors[name].operators for name in REQUIRED]))
    ours = np.abs(told[OURS] / asked.seconds - 1.0)
    *families, total = judge(trained.predictor, zoo)
    result = Result(
        platform=platform.name,
        sweep_operators=len(known),
        zoo_operators=len(asked),
        training_s=training,
        coverage=total.coverage,
        bar=1.0 - errors[OURS].operators / mean,
        errors=errors,
        families={each.family: each.mape for each in families},
        models={
            sample.graph.name: {
                "operators": float(ours[model == k].mean()),
                "whole": float(told[OURS][model == k].sum() / sample.seconds.sum() - 1.0),
            }
            for k, sample in enumerate(zoo)
        },
    )
    return result, trained.predictor


def _errors(told: Floats, measured: Floats, model: Floats) -> Errors:
    error = np.abs(told / measured - 1.0)
    count = int(model.max()) + 1
    own = [model == k for k in range(count)]
    whole = [abs(float(told[k].sum() / measured[k].sum()) - 1.0) for k in own]
    return Errors(
        float(error.mean()), float(np.mean([error[k].mean() for k in own])),
        float(np.median(error)), float(np.mean(whole)), max(whole),
    )  # fmt: skip


def _transfers(
    platforms: Sequence[Platform],
    predictors: Sequence[Predictor],
    tests: Sequence[tuple[list[Sample], list[Sample]]],
    seed: int,
) -> list[list[str]]:
    """The first platform's predictor on the others: as it is, moved, and one trained there."""
    rows = []
    for platform, own, (sweep, zoo) in zip(platforms[1:], predictors[1:], tests[1:], strict=True):
        rng = np.random.default_rng(seed)
        after = []
        for _ in range(_DRAWS):
            few: list[Sample] = []
            for k in rng.permutation(len(sweep)):
                if sum(len(sample.seconds) for sample in few) < _FEW:
                    few.append(sweep[k])
            moved = transfer(predictors[0], few, platform.fingerprint)
            after.append(judge(moved, zoo)[-1].mape)
        before, there = (judge(predictor, zoo)[-1].mape for predictor in (predictors[0], own))
        rows.append([platform.name, f"{before:.1%}", f"{np.median(after):.1%}", f"{there:.1%}"])
    return rows


def _speed(predictor: Predictor) -> dict[str, float]:
    """Seconds for a graph of 3 000 operators, the first time and when it is known."""
    predictor.operator_times(transformer(100))
    found = {}
    for what, make in (("residual", residual), ("transformer", transformer)):
        cold, warm = [], []
        for _ in range(7):
            graph: ModelGraph = make(3000)
            _ = graph.producer, graph.predecessors
            for times in (cold, warm):
                started = time.perf_counter()
                predictor.operator_times(graph)
                times.append(time.perf_counter() - started)
        found[f"{what}, 3 000 operators, first time"] = float(np.median(cold))
        found[f"{what}, 3 000 operators, again"] = float(np.median(warm))
    return found


def _plot(
    path: Path, title: str, told: dict[str, Floats], asked: Rows, errors: dict[str, Errors]
) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(11, 5.2), sharex=True, sharey=True)
    for axis, name in zip(axes, (OURS, "random forest"), strict=True):
        for family in np.unique(asked.family):
            own = asked.family == family
            axis.scatter(
                asked.seconds[own] * 1e3, told[name][own] * 1e3, s=9, alpha=0.6,
                label=FAMILIES[family],
            )  # fmt: skip
        ends = [asked.seconds.min() * 700, asked.seconds.max() * 1400]
        axis.plot(ends, ends, color="black", linewidth=0.8)
        axis.set(xscale="log", yscale="log", xlabel="measured, ms")
        axis.set_title(f"{name}: mean error {errors[name].operators:.1%}")
    axes[0].set_ylabel("predicted, ms")
    axes[0].legend(fontsize=7)
    figure.suptitle(f"operators of the nine models of the zoo: {title}")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _table(result: Result) -> str:
    head = [result.platform, "operators", "per model", "median", "whole model", "worst whole"]
    rows = [
        [name, *(f"{x:.1%}" for x in (e.operators, e.per_model, e.median, e.whole, e.worst_whole))]
        for name, e in result.errors.items()
    ]
    best = all(
        result.errors[OURS].operators < e.operators
        for name, e in result.errors.items() if name != OURS
    )  # fmt: skip
    verdict = (
        f"ours is {result.bar:.1%} below the mean of {', '.join(REQUIRED)}; "
        f"{'below' if best else 'NOT below'} each; {result.coverage:.0%} within the uncertainty; "
        f"trained in {result.training_s:.1f} s on {result.sweep_operators} operators"
    )
    families = ", ".join(f"{name} {error:.0%}" for name, error in result.families.items())
    models = ", ".join(f"{name} {each['whole']:+.1%}" for name, each in result.models.items())
    lines = [text_table(head, rows), verdict, f"families: {families}", f"whole: {models}", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
