"""A client of the market: its frontier and what its time is worth."""

from __future__ import annotations

import math
from dataclasses import dataclass

from dds.cut.pieces import Frontier
from dds.errors import InvalidInput

__all__ = ["Client"]


@dataclass(frozen=True)
class Client:
    """A player of the allocation game; it minimises ``J = w T(f) + f pi(F)``.

    frontier: its pieces; value_of_time: w > 0, credits/s per s of latency;
    min_share, max_share: a client that offloads buys min_share <= f <= max_share
    cores, one that computes locally buys none; name: for people and tables; rate:
    lambda > 0, inferences/s, which only the pooled product (``dds.pool``) looks at.

    Raises InvalidInput naming the field that is out of range.
    """

    frontier: Frontier
    value_of_time: float
    min_share: float = 0.0
    max_share: float = math.inf
    name: str = ""
    rate: float = 1.0

    def __post_init__(self) -> None:
        if not isinstance(self.frontier, Frontier):
            raise InvalidInput(
                f"frontier is {type(self.frontier).__name__}; need a dds.Frontier, such as "
                "Frontier.from_points([(0.1, 1.0), (2.0, 0.0)])"
            )
        if not (math.isfinite(self.value_of_time) and self.value_of_time > 0.0):
            raise InvalidInput(f"value_of_time is {self.value_of_time!r}; need a finite number > 0")
        if not (math.isfinite(self.rate) and self.rate > 0.0):
            raise InvalidInput(f"rate is {self.rate!r}; need a finite number of inferences/s > 0")
        if not (math.isfinite(self.min_share) and self.min_share >= 0.0):
            raise InvalidInput(f"min_share is {self.min_share!r}; need a finite number >= 0")
        if math.isnan(self.max_share) or self.max_share <= 0.0:
            raise InvalidInput(f"max_share is {self.max_share!r}; need cores > 0")
        if self.max_share < self.min_share:
            raise InvalidInput(
                f"max_share {self.max_share!r} is below min_share {self.min_share!r}"
            )
