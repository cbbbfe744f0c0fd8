"""A predictor for a new platform from a few dozen measurements.

Platforms differ in their rates more than in what makes an operator slow.  So the trained
predictor stays, and only a shift of its logarithm is learned:

    log t' = log t + c . terms

where the terms are one for all operators, one per family, and the logarithms of FLOPs and bytes
(:func:`dds.predict.predictor.shift_terms`).  c is a ridge estimate: a term moves only as far as
the measurements ask it to, and the one for all operators moves freely.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from dds.errors import InvalidInput
from dds.predict.features import Features, features
from dds.predict.predictor import Predictor, shift_terms
from dds.predict.training import Sample

__all__ = ["ridge", "transfer"]

Floats = NDArray[np.float64]

_ROUNDS = 6
#: Penalty per squared coefficient, in measurements that one term must convince.
_RIDGE = 2.0
_KNEE = 0.1


def transfer(predictor: Predictor, samples: Sequence[Sample], platform: str) -> Predictor:
    """`predictor` shifted to the platform on which `samples` were measured.

    A few dozen operators are enough.  Robust: what was disturbed while it was measured weighs
    little.  Raises InvalidInput when there is no measurement at all.
    """
    if not any(len(sample.graph.operators) for sample in samples):
        raise InvalidInput("no measurements of the new platform; measure a few operators on it")
    plain = replace(predictor, shift=())
    seen = Features.joined([features(sample.graph) for sample in samples])
    seconds = np.concatenate([sample.seconds for sample in samples])
    target = np.log(seconds / plain.predict(seen).seconds)
    noise = np.concatenate([sample.noise for sample in samples])
    shift = ridge(shift_terms(seen), target, 1.0 / (1.0 + (noise / _KNEE) ** 2))
    return replace(plain, platform=platform, shift=tuple(shift.tolist()))


def ridge(terms: Floats, target: Floats, weights: Floats) -> Floats:
    """Coefficients of the least weighted absolute error plus the penalty; the first is free.

    terms: shape (rows, coefficients); target, weights: shape (rows,), weights >= 0.
    """
    penalty = np.full(terms.shape[1], _RIDGE)
    penalty[0] = 1e-6
    robust = np.ones(len(target))
    coefficients: Floats = np.zeros(terms.shape[1])
    for _ in range(_ROUNDS):
        # Scaled to a mean of one, so that the penalty is counted in measurements.
        each = weights * robust / max(float((weights * robust).mean()), 1e-12)
        gram = (terms * each[:, None]).T @ terms + np.diag(penalty)
        coefficients = np.asarray(np.linalg.solve(gram, (terms * each[:, None]).T @ target))
        robust = 1.0 / np.maximum(np.abs(terms @ coefficients - target), _KNEE)
    return np.asarray(coefficients, np.float64)
