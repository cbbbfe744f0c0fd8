"""The server of the pooled product: its cores, and how it slows down under load."""

from __future__ import annotations

from dataclasses import dataclass, field

from dds.errors import InvalidInput
from dds.market.arguments import read_capacity
from dds.pool.slowdown import ProcessorSharing, Slowdown

__all__ = ["Pool"]


@dataclass(frozen=True)
class Pool:
    """A work-conserving server that everybody shares.

    capacity: C, cores, so that the load is ``rho = sum of rate W / C``; slowdown: x(rho), by
    default ``ProcessorSharing(cores=C)``: a request uses one core.

    Raises InvalidInput for a capacity that is not a number > 0, or not that of the slowdown.

    >>> Pool(4).slowdown
    ProcessorSharing(cores=4, width=1)
    """

    capacity: float
    slowdown: Slowdown = field(default=None)  # type: ignore[assignment]

    def __post_init__(self) -> None:
        cores = read_capacity(self.capacity)
        object.__setattr__(self, "capacity", cores)
        if self.slowdown is None:
            if cores != int(cores):
                raise InvalidInput(
                    f"capacity is {cores!r}; processor sharing needs whole cores, else give "
                    "a slowdown"
                )
            object.__setattr__(self, "slowdown", ProcessorSharing(cores=int(cores)))
        curve = self.slowdown
        if not isinstance(curve, Slowdown):
            raise InvalidInput(f"slowdown is {curve!r}; need one such as ProcessorSharing(4)")
        if isinstance(curve, ProcessorSharing) and curve.cores != cores:
            raise InvalidInput(
                f"slowdown is of {curve.cores} cores and capacity {cores!r}; need the same"
            )
