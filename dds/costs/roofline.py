"""Seconds per operator: estimated by a roofline, or checked when given."""

from __future__ import annotations

from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dds.costs.device import Device
from dds.costs.once import once_per_graph
from dds.errors import InvalidInput
from dds.model.graph import ModelGraph

__all__ = [
    "LEAST_SECONDS",
    "MOST_SECONDS",
    "TimesOperators",
    "Timing",
    "operator_times",
    "roofline",
    "server_times",
]

#: Bounds on times in seconds, far outside anything real; within them no sum overflows.
LEAST_SECONDS, MOST_SECONDS = 1e-150, 1e150


@runtime_checkable
class TimesOperators(Protocol):
    """Anything that knows how long each operator of a graph takes: a measured profile."""

    def operator_times(self, graph: ModelGraph) -> NDArray[np.float64]:
        """Seconds per operator of the graph."""
        ...


#: What a caller may give as the times of a graph's operators.
Timing: TypeAlias = Device | TimesOperators | ArrayLike


def roofline(graph: ModelGraph, device: Device) -> NDArray[np.float64]:
    """Estimated seconds per operator: ``overhead + max(flops / F, moved / B)``.

    where
      F      device.flops_per_s
      B      device.bytes_per_s
      moved  bytes of an operator's input and output tensors and its weights

    Source: Williams, Waterman and Patterson, Roofline (CACM 2009), per operator.
    """
    flops, moved = _work(graph)
    seconds = np.maximum(flops / device.flops_per_s, moved / device.bytes_per_s)
    return np.asarray(seconds + device.overhead, np.float64)


@once_per_graph
def _work(graph: ModelGraph) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(flops, bytes moved) per operator."""
    sizes = [tensor.bytes for tensor in graph.tensors]
    flops = [float(operator.flops) for operator in graph.operators]
    moved = [
        float(operator.weight_bytes + sum(sizes[t] for t in operator.inputs + operator.outputs))
        for operator in graph.operators
    ]
    return np.array(flops), np.array(moved)


def operator_times(graph: ModelGraph, timing: Timing) -> NDArray[np.float64]:
    """Seconds per operator from whatever the caller has.

    timing: a :class:`Device` (roofline estimate), an object with
    ``operator_times(graph)`` such as a measured profile, or one number per operator.
    Raises InvalidInput for a wrong count, a negative number, or a sum that is not
    finite (or above 1e150 s).
    """
    return _seconds(graph, timing, "operator times", 0.0)


def server_times(graph: ModelGraph, timing: Timing) -> NDArray[np.float64]:
    """:func:`operator_times` of the server's reference core, where every time must be > 0.

    So W = 0 says local-only and nothing else.  Raises InvalidInput for a time
    below 1e-150 s.
    """
    return _seconds(graph, timing, "server times", LEAST_SECONDS)


def _seconds(graph: ModelGraph, timing: Timing, what: str, least: float) -> NDArray[np.float64]:
    """The times, each checked to be at least least."""
    if isinstance(timing, np.ndarray):
        given: ArrayLike = timing
    elif isinstance(timing, Device):
        given = roofline(graph, timing)
    elif isinstance(timing, TimesOperators):
        given = timing.operator_times(graph)
    else:
        given = timing
    try:
        times = np.array(given, np.float64)
    except (TypeError, ValueError):
        raise InvalidInput(f"{what}: need a device, a profile or one number of seconds "
                           f"per operator, not {type(given).__name__}") from None  # fmt: skip
    if times.shape != (len(graph.operators),):
        raise InvalidInput(
            f"{what}: shape {times.shape}; need one number for each of the "
            f"{len(graph.operators)} operators"
        )
    # Two reductions, in an order that lets NaN fail, because this runs before every cut.
    if times.size and not (
        least <= np.minimum.reduce(times) and np.maximum.reduce(times) <= MOST_SECONDS
    ):
        v = int(np.flatnonzero(~((times >= least) & (times <= MOST_SECONDS)))[0])
        raise InvalidInput(
            f"{what}: operator {graph.operators[v].name!r} takes {float(times[v])!r} s; "
            f"need {least:g} <= seconds <= {MOST_SECONDS:g}"
        )
    return times
