"""The ordered index of all clients' demand: four sorted runs, never changed once made.

A join adds its events to the smallest run; a run that has grown too large is merged into
the next larger one.  So an update copies a few thousand events and a larger merge is
rare; readers keep whichever four runs they took.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from dds.market.crossing import JUMP
from dds.market.numbers import Floats, Ints
from dds.online.engine import run_kernels
from dds.online.rows import OPEN
from dds.online.runs import EMPTY, Run, merge, renumbered

__all__ = ["NOTHING", "Crossing", "Index", "Rationed"]

#: Blocks that the smallest run may hold, and the next one.
SMALL, MIDDLE = 96, 4096
#: The second largest run may hold this part of the largest, if that is more.
PART = 16


class Crossing(NamedTuple):
    """Where demand comes down to what is for sale, as ``s = sqrt(p)``.

    below: the last event after which it does not fit, -1 for none; above: the first after
    which it does, inf for none; s: where it fits in between, inf where it jumps at ``above``.
    """

    below: float
    above: float
    s: float


class Rationed(NamedTuple):
    """Who got what where demand jumps.

    s: where; rows, shares: the tied clients' (cores), rows ascending; served: how many of them
    got the larger demand; total: everybody's, cores.
    """

    s: float
    rows: Ints
    shares: Floats
    served: int
    total: float


@dataclass(frozen=True, slots=True, eq=False)
class Index:
    """Aggregate demand ``F = G / s + H`` as step functions G and H of ``s = sqrt(p)``.

    runs: large to small.
    """

    runs: tuple[Run, Run, Run, Run]

    @property
    def blocks(self) -> int:
        """How many blocks of eight events it holds."""
        return sum(len(run) for run in self.runs)

    def with_run(self, run: Run) -> Index:
        """The index with the events of one more run."""
        largest, large, middle, small = self.runs
        limits = (max(MIDDLE, len(largest) // PART), MIDDLE, SMALL)
        if len(run) > limits[0]:
            return Index((merge(largest, run), large, middle, small))
        small = merge(small, run)
        if len(small) > limits[2]:
            middle, small = merge(middle, small), EMPTY
        if len(middle) > limits[1]:
            large, middle = merge(large, middle), EMPTY
        if len(large) > limits[0]:
            largest, large = merge(largest, large), EMPTY
        return Index((largest, large, middle, small))

    def compacted(self, places: Ints) -> Index:
        """One run of all events, row i called ``places[i]``."""
        whole = EMPTY
        for run in reversed(self.runs):
            whole = merge(run, whole)
        return Index((renumbered(whole, places), EMPTY, EMPTY, EMPTY))

    def demand(self, s: float) -> float:
        """F at price s^2, cores; inf at 0 where somebody's largest share is."""
        free, held = run_kernels().state(self.runs, s)
        if free <= 0.0:
            return max(float(held), 0.0)
        return float(free / s + held) if s > 0.0 else math.inf

    def crossing(self, capacity: float) -> Crossing:
        """Where demand comes down to ``capacity`` cores."""
        return Crossing(*run_kernels().crossing(self.runs, capacity))

    def ration(self, low: float, high: float, ids: Ints, until: Ints, supply: float) -> Rationed:
        """Serve those whose demand jumps from ``low`` to ``high``, in order of id, while they fit.

        ids, until: by row.  O(tied) and a sort of them.
        """
        return Rationed(*run_kernels().ration(self.runs, low, high, ids, until, OPEN, supply, JUMP))


#: The index of no clients.
NOTHING = Index((EMPTY, EMPTY, EMPTY, EMPTY))
