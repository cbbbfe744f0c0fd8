"""Who computes and what joins them: workers, and the links between them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dds.costs.roofline import Timing, operator_times
from dds.errors import InvalidInput
from dds.model.graph import ModelGraph

__all__ = [
    "Worker",
    "WorkerLinks",
    "check_graph",
    "check_question",
    "check_worker",
    "seconds_of",
]


@dataclass(frozen=True, eq=False)
class Worker:
    """A device that runs operators, whole or slices of them, one at a time.

    timing: seconds per operator there, as :func:`dds.costs.operator_times` takes them; overhead:
    seconds that a slice takes beyond its share of the work; thin: how many more rows (or packs of
    16 channels) a slice seems to have, since few rows keep vector units and caches less busy;
    name: for people.

    A run of operators takes the sum of their seconds s_v.  A slice of it takes::

        sum over v of s_v (x_v + thin a / R_v) + overhead

    x_v: the share of operator v that the slice computes, what others compute too included; R_v:
    rows or channels of v's output; a: 1 row or 16 channels.  An operator of which it computes
    nothing, or all of it because its readers need all, adds no thin a / R_v; a slice whose
    operators take no time adds no overhead.

    Raises InvalidInput naming the field that is out of range.
    """

    timing: Timing
    overhead: float = 0.0
    thin: float = 0.0
    name: str = ""

    def __post_init__(self) -> None:
        for field, unit in (("overhead", "seconds"), ("thin", "rows")):
            value = getattr(self, field)
            if not (math.isfinite(value) and value >= 0.0):
                raise InvalidInput(f"worker.{field} is {value!r}; need {unit} >= 0")


@dataclass(frozen=True)
class WorkerLinks:
    """What joins the workers: one medium for all of them, or full-duplex wires to a switch.

    bandwidth: bytes/s (> 0, ``inf`` allowed) of every worker's link, or one number for each, of
    which a list or an array becomes a tuple; message: seconds >= 0 that a transfer takes beyond
    its bytes; shared: one transfer at a time among all workers (WiFi), else every worker sends one
    and receives one at a time (wired).

    A transfer of D bytes from i to j takes ``message + D / min(b_i, b_j)``, and keeps the medium,
    or i's way out and j's way in, for so long.

    Raises InvalidInput naming the field that is out of range.
    """

    bandwidth: float | tuple[float, ...]
    message: float = 0.0
    shared: bool = False

    def __post_init__(self) -> None:
        try:
            given = np.array(self.bandwidth, np.float64)
        except (TypeError, ValueError):
            given = np.array(np.nan)
        if given.ndim > 1 or not (given >= 1e-100).all():  # NaN fails too
            shown = " ".join(repr(self.bandwidth).split())
            raise InvalidInput(
                f"links.bandwidth is {shown}; need bytes/s >= 1e-100, one number or one for each "
                "worker"
            )
        if given.ndim:
            object.__setattr__(self, "bandwidth", tuple(given.tolist()))
        if not (math.isfinite(self.message) and self.message >= 0.0):
            raise InvalidInput(f"links.message is {self.message!r}; need seconds >= 0")

    def rates(self, count: int) -> NDArray[np.float64]:
        """Bytes/s between any two of `count` workers: a symmetric matrix.

        Raises InvalidInput where the bandwidths are not one, nor one for each worker.
        """
        given = self.bandwidth if isinstance(self.bandwidth, tuple) else (self.bandwidth,) * count
        if len(given) != count:
            raise InvalidInput(
                f"links.bandwidth has {len(given)} numbers for {count} workers; give one for each"
            )
        own = np.array(given, np.float64)
        return np.asarray(np.minimum(own[:, None], own[None, :]))


def check_question(graph: ModelGraph, workers: Sequence[Worker], links: WorkerLinks) -> None:
    """Raises InvalidInput where one of them is something else, saying what to make of it."""
    check_graph(graph)
    if not isinstance(workers, Sequence):
        raise InvalidInput(f"workers: {_a(workers)}; need a list of dds.Worker")
    for k, worker in enumerate(workers):
        check_worker(f"workers[{k}]", worker)
    if not isinstance(links, WorkerLinks):
        raise InvalidInput(f"links: {_a(links)}; need dds.WorkerLinks(bytes per second)")


def check_graph(graph: ModelGraph) -> None:
    """Raises InvalidInput for what is no graph, saying what to make of it."""
    if not isinstance(graph, ModelGraph):
        raise InvalidInput(f"graph is {_a(graph)}; load one: dds.load_model(path or bytes)")


def check_worker(where: str, worker: Worker) -> None:
    """Raises InvalidInput for what is no worker, naming the place and what to make of it."""
    if not isinstance(worker, Worker):
        raise InvalidInput(f"{where} is {_a(worker)}; make a worker of it: dds.Worker(it)")


def _a(value: object) -> str:
    return f"of type {type(value).__name__}"


def seconds_of(graph: ModelGraph, workers: Sequence[Worker]) -> NDArray[np.float64]:
    """Seconds of each operator on each worker: operators x workers.

    Raises InvalidInput without workers, and for what :func:`dds.costs.operator_times` refuses.
    """
    if not workers:
        raise InvalidInput("workers: none given; need at least the one that has the input")
    return np.stack([operator_times(graph, worker.timing) for worker in workers], axis=1)
