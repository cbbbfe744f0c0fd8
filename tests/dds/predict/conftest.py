"""Graphs and times for the predictor's tests: a platform whose law is known."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from dds.model import ModelGraph, load_model
from dds.predict.features import COLUMNS, features
from dds.predict.generator import sweep_model
from dds.predict.network import Recipe
from dds.predict.training import Sample, Trained, train

#: Enough to learn the law below in about a second.
QUICK = Recipe(members=3, hidden=16, steps=250, batch=128)


@pytest.fixture(scope="session")
def graphs() -> list[ModelGraph]:
    return [load_model(sweep_model(number)) for number in range(24)]


def lawful(graph: ModelGraph, slowdown: float = 1.0) -> NDArray[np.float64]:
    """Seconds on a machine with a roofline, which likes some numbers of channels less."""
    seen = features(graph)
    flops, moved, weights, _ = seen.work.T
    odd = seen.values[:, COLUMNS.index("odd_channels_out")]
    return np.asarray(
        slowdown * (2e-6 + flops / 5e10 + (moved + weights) / 1e10) * (1.0 + 0.5 * odd)
    )


def sample(graph: ModelGraph, slowdown: float = 1.0) -> Sample:
    return Sample(graph, lawful(graph, slowdown), np.zeros(len(graph.operators)))


@pytest.fixture(scope="session")
def trained(graphs: list[ModelGraph]) -> Trained:
    return train([sample(graph) for graph in graphs[:20]], "lawful machine", recipe=QUICK)
