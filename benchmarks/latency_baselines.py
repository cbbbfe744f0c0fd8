"""What else tells the time of an operator: the baselines of the predictor's benchmarks.

Each is fitted to the same rows and returns a function from rows to seconds.  All but the first
two see the very features that our networks see and are fitted to the logarithm of the time,
which suits relative errors; the linear regression is that of Neurosurgeon (Kang et al., ASPLOS
2017), per operator type and of seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dds.predict.features import Features, features
from dds.predict.training import Sample

__all__ = ["BASELINES", "REQUIRED", "Rows"]

Floats = NDArray[np.float64]
Told = Callable[["Rows"], Floats]

_LEAST = 1e-7


@dataclass(frozen=True)
class Rows:
    """Operators: features, families, (FLOPs, bytes, ...) of each, seconds."""

    values: Floats
    family: NDArray[np.int64]
    work: Floats
    seconds: Floats

    @classmethod
    def of(cls, samples: Sequence[Sample]) -> Rows:
        """All operators of some measured models."""
        seen = Features.joined([features(sample.graph) for sample in samples])
        seconds = np.concatenate([sample.seconds for sample in samples])
        return cls(seen.values, seen.family, seen.work, seconds)

    def only(self, chosen: NDArray[np.bool_]) -> Rows:
        """The rows chosen."""
        return Rows(
            self.values[chosen], self.family[chosen], self.work[chosen], self.seconds[chosen]
        )

    def __len__(self) -> int:
        return len(self.seconds)


def proportional(rows: Rows) -> Told:
    """One rate for all: seconds per FLOP of everything together."""
    rate = rows.seconds.sum() / rows.work[:, 0].sum()
    return lambda asked: rate * asked.work[:, 0]


def linear(rows: Rows) -> Told:
    """Seconds of each family linear in FLOPs and bytes, by ordinary least squares."""
    return _linear(rows, np.ones(len(rows)))


def relative_linear(rows: Rows) -> Told:
    """The same with rows weighted by 1 / seconds, which suits relative errors."""
    return _linear(rows, 1.0 / rows.seconds)


def _linear(rows: Rows, weights: Floats) -> Told:
    def design(of: Rows) -> Floats:
        return np.column_stack((np.ones(len(of)), of.work / 1e6))

    fitted = {}
    for family in np.unique(rows.family):
        own = rows.only(rows.family == family)
        w = weights[rows.family == family]
        fitted[family] = np.linalg.lstsq(design(own) * w[:, None], own.seconds * w, rcond=None)[0]

    def told(asked: Rows) -> Floats:
        seconds = np.full(len(asked), float(np.median(rows.seconds)))
        for family, coefficients in fitted.items():
            own = asked.family == family
            seconds[own] = design(asked.only(own)) @ coefficients
        return np.maximum(seconds, _LEAST)

    return told


def forest(rows: Rows) -> Told:
    """A random forest of 200 trees."""
    from sklearn.ensemble import RandomForestRegressor

    model = RandomForestRegressor(200, max_features=0.5, random_state=0, n_jobs=-1)
    return _by_logarithm(model, rows)


def boosting(rows: Rows) -> Told:
    """Gradient boosted trees, 400 of depth 5."""
    from sklearn.ensemble import GradientBoostingRegressor

    model = GradientBoostingRegressor(
        n_estimators=400, max_depth=5, learning_rate=0.05, subsample=0.7, max_features=0.5,
        random_state=0,
    )  # fmt: skip
    return _by_logarithm(model, rows)


def _by_logarithm(model: object, rows: Rows) -> Told:
    def inputs(of: Rows) -> Floats:
        return np.column_stack((of.values, of.family))

    model.fit(inputs(rows), np.log(rows.seconds))  # type: ignore[attr-defined]
    return lambda asked: np.exp(model.predict(inputs(asked)))  # type: ignore[attr-defined]


def lookup(rows: Rows) -> Told:
    """The time of the most similar measured operator of the family, else of any."""
    mean, spread = rows.values.mean(axis=0), rows.values.std(axis=0)
    scale = np.where(spread > 0.0, 1.0 / np.where(spread > 0.0, spread, 1.0), 0.0)
    known = (rows.values - mean) * scale

    def told(asked: Rows) -> Floats:
        seconds = np.zeros(len(asked))
        for k, (values, family) in enumerate(zip(asked.values, asked.family, strict=True)):
            distance = ((known - (values - mean) * scale) ** 2).sum(axis=1)
            distance[rows.family != family] += 1e6
            seconds[k] = rows.seconds[int(distance.argmin())]
        return seconds

    return told


#: By name; the issue's bar is about the mean of the REQUIRED ones.
BASELINES: dict[str, Callable[[Rows], Told]] = {
    "FLOP-proportional": proportional,
    "linear per family": linear,
    "random forest": forest,
    "lookup table": lookup,
    "gradient boosting": boosting,
    "linear, relative": relative_linear,
}
REQUIRED = ("FLOP-proportional", "linear per family", "random forest", "lookup table")
