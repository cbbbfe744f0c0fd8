"""Measuring the sweep on this machine: what a predictor of its platform learns from.

Every profile goes into the cache as soon as it is measured, so a sweep that was interrupted goes
on where it stopped, and another training run only reads.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from dds.errors import InvalidInput
from dds.model.importer import load_model
from dds.predict.generator import sweep_model
from dds.predict.training import MODELS, Sample
from dds.profile.cache import measured_profile
from dds.profile.measure import Report
from dds.profile.platform import Platform

__all__ = ["REPEATS", "measured_sample", "measured_sweep"]

#: Most runs per model of the sweep, of either kind: a small model runs for half a second, because
#: in a few milliseconds the machine may happen to be slow throughout.
REPEATS = 60
#: Runs of either kind that even a large model gets, and the speed that says how long they take.
_FEWEST, _FLOPS_PER_S = 8, 30e9


def measured_sample(
    model: bytes,
    *,
    platform: Platform,
    cache: Path | None,
    repeats: int = REPEATS,
    budget: float = math.inf,
) -> Sample:
    """The profile of one model on `platform`, from `cache` or measured, as a sample.

    Its graph is the fused one: what the platform's runtime runs as one is one operator.
    """
    graph = load_model(model)
    profile, _ = measured_profile(
        model, graph, cache=cache, platform=platform, repeats=repeats, budget=budget
    )
    fused = profile.fusion.fused(graph)
    return Sample(fused, profile.operator_times(fused), np.array(profile.noise))


def measured_sweep(
    platform: Platform,
    *,
    cache: Path | None,
    models: int = MODELS,
    seed: int = 0,
    repeats: int = REPEATS,
    budget: float = 1.0,
    report: Report | None = None,
) -> list[Sample]:
    """Samples of the sweep's models on `platform`: about five minutes, less what is cached.

    budget: seconds of runs per model, as of :func:`dds.profile.measure.measure`, but never less
    than about eight runs of either kind take; report: told how many of how many models are done.

    Raises InvalidInput for fewer than two models.
    """
    if models < 2:
        raise InvalidInput(f"models is {models}; need at least 2 to train on")
    samples = []
    for number in range(models):
        model = sweep_model(number, seed=seed)
        least = 2 * _FEWEST * load_model(model).flops / _FLOPS_PER_S
        samples.append(
            measured_sample(
                model, platform=platform, cache=cache, repeats=repeats, budget=max(budget, least)
            )
        )
        if report:
            report(number + 1, models)
    return samples
