"""A long sum in one loop, for numba: what ``numbers.exact_sum`` does with ``math.fsum``."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dds.compiled import njit

__all__ = ["exact_sum"]

Floats = NDArray[np.float64]


@njit
def exact_sum(values: Floats) -> tuple[float, float]:
    """(sum, what rounding left over): together correct to about 2^-100 of the sum."""
    total, rest = 0.0, 0.0
    for i in range(len(values)):
        new = total + values[i]
        part = new - total
        rest += (total - (new - part)) + (values[i] - part)
        total = new
    high = total + rest
    part = high - total
    return high, (total - (high - part)) + (rest - part)
