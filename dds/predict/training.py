"""Training a predictor from measurements, and judging it on models that were held out.

Rows are operators; a row counts the less, the noisier its measurement was.  Every family with
enough rows gets a fitted roofline and an ensemble of its own, all rows together get the pooled
ones.  Models held out whole say how far to trust each: operators of one model are too much alike
to judge by.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dds.errors import InvalidInput
from dds.model.graph import ModelGraph
from dds.predict import network, roofline
from dds.predict.features import FAMILIES, Features, features
from dds.predict.network import Ensemble, Recipe
from dds.predict.predictor import POOLED, Expert, Predictor
from dds.profile.runtime import DEFAULT_RUNTIME, Runtime

__all__ = ["MODELS", "Judgement", "Sample", "Trained", "calibrated", "judge", "train"]

Floats = NDArray[np.float64]

#: Generated models to measure unless the caller says otherwise: five minutes on one core.
MODELS = 240

_RECIPE = Recipe()
#: A family of fewer rows is left to the pooled expert.
_FEWEST_ROWS = 24
#: Relative error that does not count yet.  Were it smaller, the shortest operators, whose noise is
#: largest, would be told by the longest of their family.
_FLOOR = 0.2
_COVERAGE = 0.9
#: A family of fewer rows than this gets more weight decay, up to so many times as much.
_MANY_ROWS, _STRICTEST = 1000, 10.0
#: What is assumed of an expert that nothing was held out for.
_UNKNOWN = Expert(roofline=(0.0,) * 5, spread=0.3, widen=2.0, rows=0)


@dataclass(frozen=True)
class Sample:
    """One measured model: its graph, seconds per operator, and their relative standard errors.

    Raises InvalidInput when there is not one number > 0 (noise: >= 0) per operator.
    """

    graph: ModelGraph
    seconds: Floats
    noise: Floats

    def __post_init__(self) -> None:
        shape = (len(self.graph.operators),)
        if np.shape(self.seconds) != shape or np.shape(self.noise) != shape:
            raise InvalidInput(f"sample {self.graph.name!r}: need {shape[0]} seconds and noises")
        if not (np.isfinite(self.seconds).all() and (np.asarray(self.seconds) > 0.0).all()):
            raise InvalidInput(f"sample {self.graph.name!r}: seconds must be finite and > 0")
        if not (np.isfinite(self.noise).all() and (np.asarray(self.noise) >= 0.0).all()):
            raise InvalidInput(f"sample {self.graph.name!r}: noise must be finite and >= 0")


@dataclass(frozen=True)
class Judgement:
    """How a predictor did on the operators of one family, and on all.

    rows: operators; mape: mean |predicted / measured - 1|; median: of the same;
    coverage: part of the measured times within the stated uncertainty.
    """

    family: str
    rows: int
    mape: float
    median: float
    coverage: float


@dataclass(frozen=True)
class Trained:
    """A predictor and what it did on models that were held out of its training."""

    predictor: Predictor
    judgements: tuple[Judgement, ...]
    held_out: int


def train(
    samples: Sequence[Sample],
    platform: str,
    *,
    runtime: Runtime = DEFAULT_RUNTIME,
    seed: int = 0,
    held_out: float = 0.15,
    recipe: Recipe = _RECIPE,
    report: Callable[[int, int], None] | None = None,
) -> Trained:
    """Train on measured models; equal arguments give equal predictors.

    platform, runtime: where they were measured; held_out: part of the models, chosen by `seed`,
    that is kept from training and used to say how sure the predictor is; report: told how many
    of how many ensembles are done.

    Raises InvalidInput for fewer than two models or a part outside (0, 1).
    """
    if len(samples) < 2:
        raise InvalidInput(f"{len(samples)} measured models; need at least 2 to train on")
    if not 0.0 < held_out < 1.0:
        raise InvalidInput(f"held_out is {held_out!r}; need a part in (0, 1), such as 0.15")
    rng = np.random.Generator(np.random.SFC64(seed))
    order = rng.permutation(len(samples))
    kept_out = max(1, round(held_out * len(samples)))
    judges = [samples[k] for k in order[:kept_out]]
    table = _Table.of([samples[k] for k in np.sort(order[kept_out:])])
    experts: dict[str, Expert] = {}
    ensembles: dict[str, Ensemble] = {}
    wanted = [
        (name, np.flatnonzero(table.seen.family == index))
        for index, name in enumerate(FAMILIES)
        if (table.seen.family == index).sum() >= _FEWEST_ROWS
    ]
    wanted.append((POOLED, np.arange(len(table.seconds))))
    for done, (name, rows) in enumerate(wanted):
        experts[name], ensembles[name] = _expert(table, rows, rng, recipe)
        if report:
            report(done + 1, len(wanted))
    predictor = calibrated(Predictor(platform, experts, ensembles, runtime), judges)
    return Trained(predictor, judge(predictor, judges), len(judges))


def judge(predictor: Predictor, samples: Sequence[Sample]) -> tuple[Judgement, ...]:
    """Errors per family that occurs in the samples, then of ``"all"``."""
    table = _Table.of(samples)
    said = predictor.predict(table.seen)
    error = np.abs(said.seconds / table.seconds - 1.0)
    inside = np.abs(np.log(said.seconds / table.seconds)) <= said.uncertainty
    groups = [(FAMILIES[f], table.seen.family == f) for f in np.unique(table.seen.family)]
    groups.append(("all", np.ones(len(error), bool)))
    return tuple(
        Judgement(
            name, int(rows.sum()), float(error[rows].mean()), float(np.median(error[rows])),
            float(inside[rows].mean()),
        )
        for name, rows in groups if rows.any()
    )  # fmt: skip


def calibrated(predictor: Predictor, samples: Sequence[Sample]) -> Predictor:
    """The predictor with its experts' spread and widening as the samples show them.

    The samples must be models that it was not trained on.  A family that occurs too rarely in
    them takes the numbers of all families together.
    """
    table = _Table.of(samples)
    bare = {name: replace(each, spread=0.0, widen=1.0) for name, each in predictor.experts.items()}
    said = replace(predictor, experts=bare).predict(table.seen)
    log_error = np.log(table.seconds / said.seconds)
    # With a spread of nothing, the stated uncertainty is the members' disagreement alone.
    every = _spread(log_error, said.uncertainty)
    experts = {}
    for name, expert in predictor.experts.items():
        own = np.ones(len(log_error), bool)
        if name != POOLED:
            own = table.seen.family == FAMILIES.index(name)
        numbers = every if own.sum() < 10 else _spread(log_error[own], said.uncertainty[own])
        experts[name] = replace(expert, spread=numbers[0], widen=numbers[1])
    return replace(predictor, experts=experts)


def _spread(log_error: Floats, apart: Floats) -> tuple[float, float]:
    """(spread, widening) such that widening hypot(apart, spread) bounds 90 % of the errors."""
    if not len(log_error):
        return _UNKNOWN.spread, _UNKNOWN.widen
    # 1.48 times the median of |error| is the standard deviation, if it were normal.
    spread = max(1.48 * float(np.median(np.abs(log_error))), 0.01)
    return spread, float(np.quantile(np.abs(log_error) / np.hypot(apart, spread), _COVERAGE))


@dataclass(frozen=True)
class _Table:
    """All operators of some samples, one behind another."""

    seen: Features
    seconds: Floats
    weights: Floats

    @classmethod
    def of(cls, samples: Sequence[Sample]) -> _Table:
        seen = Features.joined([features(sample.graph) for sample in samples])
        seconds = np.concatenate([sample.seconds for sample in samples])
        noise = np.concatenate([sample.noise for sample in samples])
        return cls(seen, seconds, _FLOOR**2 / (noise**2 + _FLOOR**2))


def _expert(
    table: _Table, rows: NDArray[np.int64], rng: np.random.Generator, recipe: Recipe
) -> tuple[Expert, Ensemble]:
    """The roofline and the networks of the operators in `rows`."""
    work, seconds, weights = table.seen.work[rows], table.seconds[rows], table.weights[rows]
    coefficients = roofline.fit(work, seconds, weights)
    ratio = np.log(seconds / roofline.evaluate(coefficients, work))
    # Of few rows, networks learn by heart: they are held closer to the roofline.
    stricter = min(_STRICTEST, max(1.0, _MANY_ROWS / len(rows)))
    recipe = replace(recipe, decay=stricter * recipe.decay)
    ensemble = network.train(table.seen.values[rows], ratio, weights, rng, recipe)
    expert = replace(_UNKNOWN, roofline=tuple(coefficients.tolist()), rows=len(rows))
    return expert, ensemble
