"""What a fused group costs where it is taken apart.

A runtime that runs three operators as one kernel reads and writes memory once.  A cut between
them makes it run them one by one, on one side or the other.  What that takes more is measured
with the same model on the same platform without optimisation.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dds.errors import InvalidInput
from dds.profile.profile import Profile

__all__ = ["cost_apart"]


def cost_apart(fused: Profile, plain: Profile) -> NDArray[np.float64]:
    """Seconds that the members of each group of `fused` take more by themselves.

    cost_g = sum over v in g of p_v - s_g, where p_v: seconds of operator v in `plain`, s_g: of
    group g in `fused`, in the order of its groups.  Groups of one operator are 0: no cut takes them
    apart, though they too may run faster in another layout.  A number below 0 says that
    fusing does not pay there.

    Raises InvalidInput when these are profiles of two models, or operators of `plain` are fused.
    """
    count = fused.fusion.size
    if fused.digest != plain.digest or len(plain.operators) != count:
        raise InvalidInput(
            f"a profile of model {plain.digest[:12]} with {len(plain.operators)} groups cannot say "
            f"what the {count} operators of model {fused.digest[:12]} take by themselves; "
            "measure that model with optimisation none"
        )
    alone = np.empty(count)
    for (v,), seconds in zip(plain.groups, plain.seconds, strict=True):
        alone[v] = seconds
    return np.array(
        [
            alone[list(group)].sum() - seconds if len(group) > 1 else 0.0
            for group, seconds in zip(fused.groups, fused.seconds, strict=True)
        ]
    )
