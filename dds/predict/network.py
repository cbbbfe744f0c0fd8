"""Small neural networks, several at once: trained here, run by onnxruntime.

An :class:`Ensemble` holds `members` networks of the same form in one stack of matrices; they
start from different random weights and learn from different resamples of the rows, so where they
disagree there was little to learn from.  Two hidden layers of SiLU units, trained by Adam
(Kingma and Ba, ICLR 2015) with decoupled weight decay (Loshchilov and Hutter, ICLR 2019).
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Ensemble", "Recipe", "train"]

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]


@dataclass(frozen=True)
class Recipe:
    """How networks are trained.

    members: of the ensemble; hidden: units per hidden layer; steps: of Adam; batch: rows per
    step; rate: the first learning rate, which falls to zero along a cosine; decay: weight decay
    per unit of learning rate; knee: relative error at which the loss turns from square to straight.
    """

    members: int = 5
    hidden: int = 48
    steps: int = 700
    batch: int = 256
    rate: float = 8e-3
    decay: float = 1.0
    knee: float = 0.05


@dataclass(frozen=True)
class Ensemble:
    """Networks with a shared standardisation ``(x - mean) * scale`` of their inputs.

    weights: one array per layer, shapes (members, inputs, outputs); biases: shapes
    (members, 1, outputs).
    """

    mean: Singles
    scale: Singles
    weights: tuple[Singles, ...]
    biases: tuple[Singles, ...]

    def __call__(self, values: Floats) -> Floats:
        """What each member says of each row: shape (members, rows)."""
        x = ((values - self.mean) * self.scale).astype(np.float32)[None]
        return np.asarray(_forward(self.weights, self.biases, x)[-1][..., 0], np.float64)


def train(
    values: Floats,
    targets: Floats,
    weights: Floats,
    rng: np.random.Generator,
    recipe: Recipe,
) -> Ensemble:
    """Networks that give `targets`, shape (rows,), from `values`, shape (rows, columns).

    weights: how much each row counts, >= 0.  The loss is Huber's of the relative error
    exp(said - target) - 1, so that what was disturbed while it was measured does not lead
    astray.  Equal arguments give equal networks.
    """
    mean, spread = values.mean(axis=0), values.std(axis=0)
    # A column that never varies says nothing, and must not speak up when it does later.
    scale = np.where(spread > 1e-9, 1.0 / np.maximum(spread, 1e-9), 0.0)
    x = ((values - mean) * scale).astype(np.float32)
    y = targets.astype(np.float32)
    rows, columns = x.shape
    sizes = (columns, recipe.hidden, recipe.hidden, 1)
    parameters = _initial(sizes, recipe.members, rng)
    chance = weights / weights.sum()
    # Each member learns from its own resample, drawn by weight.
    mine = rng.choice(rows, (recipe.members, rows), p=chance)
    batch = min(recipe.batch, rows)
    first = [np.zeros_like(p) for p in parameters]
    second = [np.zeros_like(p) for p in parameters]
    for step in range(1, recipe.steps + 1):
        rate = recipe.rate * 0.5 * (1.0 + math.cos(math.pi * (step - 1) / recipe.steps))
        rate *= min(1.0, step / 30)
        chosen = np.take_along_axis(mine, rng.integers(0, rows, (recipe.members, batch)), axis=1)
        gradients = _gradients(parameters, x[chosen], y[chosen], recipe.knee)
        for p, g, m, v in zip(parameters, gradients, first, second, strict=True):
            m += np.float32(0.1) * (g - m)
            v += np.float32(0.005) * (g * g - v)
            size = np.float32(rate / (1.0 - 0.9**step)) * m
            size /= np.sqrt(v / np.float32(1.0 - 0.995**step)) + np.float32(1e-8)
            if p.shape[1] > 1:
                p *= np.float32(1.0 - rate * recipe.decay)
            p -= size
    return Ensemble(
        mean.astype(np.float32), scale.astype(np.float32),
        tuple(parameters[::2]), tuple(parameters[1::2]),
    )  # fmt: skip


def _initial(sizes: tuple[int, ...], members: int, rng: np.random.Generator) -> list[Singles]:
    """Weights and biases, layer by layer; the last layer starts at zero."""
    parameters: list[Singles] = []
    for layer, (wide, out) in enumerate(itertools.pairwise(sizes)):
        size = 0.0 if layer == len(sizes) - 2 else math.sqrt(1.0 / wide)
        draw = rng.standard_normal((members, wide, out), dtype=np.float32)
        parameters += [draw * np.float32(size), np.zeros((members, 1, out), np.float32)]
    return parameters


def _forward(
    weights: tuple[Singles, ...], biases: tuple[Singles, ...], x: Singles
) -> list[Singles]:
    """The sums of every layer, the last of which is the answer."""
    sums: list[Singles] = []
    for layer, (w, b) in enumerate(zip(weights, biases, strict=True)):
        x = x if layer == 0 else _silu(sums[-1])
        sums.append(x @ w + b)
    return sums


def _gradients(parameters: list[Singles], x: Singles, y: Singles, knee: float) -> list[Singles]:
    """Of each member's mean Huber loss of the relative error, in the order of the parameters."""
    weights, biases = tuple(parameters[::2]), tuple(parameters[1::2])
    sums = _forward(weights, biases, x)
    # Relative error r = e^(said - y) - 1, whose slope is 1 + r; far off, it is kept in bounds.
    ratio = np.exp(np.clip(sums[-1][..., 0] - y, -3.0, 1.0))
    slope = np.clip((ratio - 1.0) / np.float32(knee), -1.0, 1.0) * ratio
    delta = slope[..., None] / np.float32(y.shape[1])
    gradients: list[Singles] = []
    for layer in reversed(range(len(weights))):
        below = x if layer == 0 else _silu(sums[layer - 1])
        gradients[:0] = [below.transpose(0, 2, 1) @ delta, delta.sum(axis=1, keepdims=True)]
        if layer:
            delta = (delta @ weights[layer].transpose(0, 2, 1)) * _silu_slope(sums[layer - 1])
    return gradients


def _silu(x: Singles) -> Singles:
    return np.asarray(x * _sigmoid(x))


def _silu_slope(x: Singles) -> Singles:
    s = _sigmoid(x)
    return np.asarray(s * (1.0 + x * (1.0 - s)))


def _sigmoid(x: Singles) -> Singles:
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * x)), np.float32)
