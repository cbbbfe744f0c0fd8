"""Training models: a seeded sweep over realistic hyper-parameters.

A learned predictor must be judged on models that it never saw, so it learns from none that
exists: :func:`sweep_model` puts random :mod:`~dds.predict.blocks` together at random sizes.
Operators are measured *in context*, a few dozen to a model: fused with their neighbours, on
tensors that the operator before has just written, with weights that other operators have
displaced from the caches.
"""

from __future__ import annotations

import math

import numpy as np

from dds.errors import InvalidInput
from dds.predict.blocks import BLOCKS, head, shrunk
from dds.predict.sketch import Sketch

__all__ = ["sweep_model"]

#: Sides of the pictures that blocks of classifiers work on, and channels at side 56.
_SIDES = (
    224, 160, 128, 112, 112, 96, 64, 56, 56, 56, 48, 40, 32, 28, 28, 28, 20, 14, 14, 14, 10, 7, 7,
)  # fmt: skip
_MOST_ELEMENTS = 3_300_000
#: A model is done when it has so many operators, or as many multiply-adds as were drawn for it.
_MOST_NODES = 70
_FEWEST_MACS, _MOST_MACS = 3e6, 2.5e9
_MOST_FC_WEIGHTS = 105_000_000


def sweep_model(number: int, *, seed: int = 0) -> bytes:
    """The ONNX bytes of the sweep's model `number`; equal for equal number and seed.

    Blocks are put one behind another until the model has as many multiply-adds as were drawn
    for it, log-uniformly between 3 million and 2.5 thousand million, then perhaps a head of
    fully connected layers; half of the models begin with a picture of three channels.

    Raises InvalidInput for a negative number or seed.
    """
    if number < 0 or seed < 0:
        raise InvalidInput(f"model {number} of seed {seed}: both must be whole numbers >= 0")
    rng = np.random.Generator(np.random.SFC64([seed, number]))
    s = Sketch(rng)
    x = _entrance(s)
    wanted = _log_uniform(rng, _FEWEST_MACS, _MOST_MACS)
    weights = np.array([weight for _, weight in BLOCKS])
    while s.macs < wanted and len(s.nodes) < _MOST_NODES:
        block, _ = BLOCKS[int(rng.choice(len(BLOCKS), p=weights / weights.sum()))]
        x = block(s, x)
        if math.prod(s.shapes[x]) > _MOST_ELEMENTS or rng.random() < 0.4:
            x = shrunk(s, x)
    if rng.random() < 0.5:
        x = head(s, x, int(_log_uniform(rng, 1e4, _MOST_FC_WEIGHTS)))
    return s.model(x, f"sweep{seed}-{number}")


def _entrance(s: Sketch) -> str:
    """The input and, behind a picture of three channels, a first convolution."""
    rng = s.rng
    side = int(rng.choice(_SIDES))
    if rng.random() < 0.3:
        side = max(6, side + int(rng.integers(-3, 4)))
    if side >= 96 and rng.random() < 0.6:
        x = s.given((1, 3, side, side))
        kernel, stride = ((3, 1), (3, 2), (5, 2), (7, 2), (11, 4))[int(rng.integers(5))]
        return s.each("Relu", s.conv(x, 8 * int(rng.integers(2, 13)), kernel, stride))
    channels = 64 * (56 / side) ** rng.uniform(0.5, 1.5) * 2 ** rng.uniform(-1.5, 1.5)
    return s.given((1, 8 * max(1, min(128, round(channels / 8))), side, side))


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(low * (high / low) ** rng.random())
