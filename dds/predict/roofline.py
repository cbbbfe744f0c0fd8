"""A roofline fitted to measurements: the part of a time that work and bytes explain.

    t = a + flops / F + moved / B + weights / B_w + reordered / B_r

where a is what starting an operator costs, s; F a rate, FLOP/s; and the Bs rates, bytes/s, of
activations, of weights and of tensors that change their layout.  It extrapolates as physics does,
which a network alone would not; the network then learns the ratio of the time to it.

Source: Williams, Waterman and Patterson, Roofline (CACM 2009), as a sum instead of a maximum.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

__all__ = ["evaluate", "fit"]

Floats = NDArray[np.float64]

#: Shortest time a roofline states, s.
_LEAST = 1e-7
_ROUNDS = 8


def evaluate(coefficients: Floats, work: Floats) -> Floats:
    """Seconds per row of `work`, shape (rows, columns); coefficients: shape (columns + 1,)."""
    return np.asarray(np.maximum(coefficients[0] + work @ coefficients[1:], _LEAST))


def fit(work: Floats, seconds: Floats, weights: Floats) -> Floats:
    """Coefficients >= 0, the constant first, of the least weighted relative error.

    Solves min sum_i w_i |t_i / s_i - 1|, where s are the `seconds`, by least squares whose
    weights follow the errors, over every subset of coefficients that may be positive: exact for
    so few columns.  With no rows, all are zero.
    """
    columns = np.column_stack((np.ones(len(work)), work))
    # Columns in units of their own, so that the equations are well conditioned.
    scale = np.maximum(np.abs(columns / seconds[:, None]).max(axis=0, initial=0.0), 1e-300)
    relative = columns / seconds[:, None] / scale
    robust = np.ones(len(work))
    best = np.zeros(columns.shape[1])
    for _ in range(_ROUNDS if len(work) else 0):
        best = _least_squares(relative, weights * robust)
        error = np.abs(relative @ best - 1.0)
        robust = 1.0 / np.maximum(error, 0.05)
    return np.asarray(best / scale)


def _least_squares(columns: Floats, weights: Floats) -> Floats:
    """The x >= 0 that minimises sum_i w_i (columns_i x - 1)^2."""
    gram = (columns * weights[:, None]).T @ columns
    right = (columns * weights[:, None]).sum(axis=0)
    count = columns.shape[1]
    best, least = np.zeros(count), 0.0
    for size in range(1, count + 1):
        for subset in map(list, combinations(range(count), size)):
            x, *_ = np.linalg.lstsq(gram[np.ix_(subset, subset)], right[subset], rcond=1e-12)
            value = float(x @ gram[np.ix_(subset, subset)] @ x - 2.0 * right[subset] @ x)
            if (x >= 0.0).all() and value < least:
                best = np.zeros(count)
                best[subset], least = x, value
    return best
