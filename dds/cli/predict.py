"""``dds predict``: how long a model's operators would take where a predictor was trained."""

from __future__ import annotations

import argparse
import json
import math
from typing import TYPE_CHECKING, Any

from dds.cli.arguments import add_model_argument, model_shapes
from dds.cli.tables import aligned, short_kind
from dds.units import format_seconds

if TYPE_CHECKING:
    from dds.model.graph import ModelGraph
    from dds.predict.predictor import Prediction, Predictor

__all__ = ["add", "run"]

_DESCRIPTION = """\
Tell how long every operator of a model takes on the platform that a predictor was trained for,
without running the model. Operators that the platform's runtime fuses are one operator, as in
dds profile. Needs the extra dds[server].
"""

_EPILOG = """\
example: what dds train-predictor learned about ResNet-50
  dds predict zoo:resnet50 --predictor predictors/here --top 5
"""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command to the parser of ``dds``."""
    parser = commands.add_parser(
        "predict",
        help="tell how long a model's operators take, without running it",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_model_argument(parser)
    more = parser.add_argument
    more("--predictor", required=True, metavar="DIR", help="what dds train-predictor wrote")
    more("--top", type=int, default=10, metavar="N", help="operators in the table (default: 10)")
    more("--json", action="store_true", help="print every operator as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Predict and print."""
    from dds.model import load_model, zoo
    from dds.predict.features import features
    from dds.predict.predictor import Predictor
    from dds.profile.kernels import runtime_fusion

    predictor = Predictor.load(args.predictor)
    model = zoo.read(args.model)
    graph = load_model(model, shapes=model_shapes(args))
    graph = runtime_fusion(model, graph, predictor.runtime).fused(graph)
    prediction = predictor.predict(features(graph))
    if args.json:
        print(json.dumps(_document(predictor, prediction, graph), indent=2))
    else:
        print(_table(predictor, prediction, graph, args.top))
    return 0


def _document(predictor: Predictor, prediction: Prediction, graph: ModelGraph) -> dict[str, Any]:
    rows = zip(
        graph.operators, prediction.seconds.tolist(), prediction.uncertainty.tolist(),
        prediction.families, prediction.pooled.tolist(), strict=True,
    )  # fmt: skip
    return {
        "model": graph.name,
        "digest": graph.digest,
        "platform": predictor.platform,
        "total_s": float(prediction.seconds.sum()),
        "operators": [
            {
                "name": operator.name, "kind": operator.kind, "seconds": seconds,
                "uncertainty": uncertainty, "family": family, "pooled": pooled,
            }
            for operator, seconds, uncertainty, family, pooled in rows
        ],
    }  # fmt: skip


def _table(predictor: Predictor, prediction: Prediction, graph: ModelGraph, top: int) -> str:
    seconds, total = prediction.seconds, float(prediction.seconds.sum())
    order = sorted(range(len(seconds)), key=lambda v: -float(seconds[v]))[: max(0, top)]
    rows = [["operator", "runs as", "time", "share", "factor"]]
    rows += [
        [graph.operators[v].name, short_kind(graph.operators[v].kind),
         format_seconds(float(seconds[v])), f"{seconds[v] / total:.1%}",
         f"{math.exp(prediction.uncertainty[v]):.2f}"]
        for v in order
    ]  # fmt: skip
    lines = aligned(rows, left=(0, 1))
    if len(seconds) > len(order):
        lines.append(f"... and {len(seconds) - len(order)} more")
    lines += [
        "",
        f"{len(seconds)} operators, {format_seconds(total)} on {predictor.platform}",
        "of ten operators, nine should take within this factor of their time",
    ]
    strange = sorted({f for f, p in zip(prediction.families, prediction.pooled, strict=True) if p})
    if strange:
        lines.append(f"rarely seen in training, so told from all others: {', '.join(strange)}")
    return "\n".join(lines)
