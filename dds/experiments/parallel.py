"""Schedules over a device and its helpers against baselines: models x helpers x networks.

In each cell a model of the zoo, normalised, runs on a device and its helpers
(:func:`dds.schedule`).  The same workers, links and normalised model are given to the baselines of
:mod:`dds.parallel.baselines`, and to our own search without slices: what operators as they are can
do at best.  Each schedule of ours is looked at by :mod:`dds.parallel.checker`.

Workers are emulated: a device's FLOP/s and bytes/s times a speed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, median
from types import MappingProxyType

from dds.costs.device import Device
from dds.errors import InvalidInput
from dds.experiments.three_tier import SAME
from dds.model.graph import ModelGraph
from dds.model.importer import load_model
from dds.model.zoo import NAMES, build
from dds.parallel.baselines import BASELINES
from dds.parallel.checker import violations
from dds.parallel.normalise import normalise
from dds.parallel.schedule import Schedule, baselines, schedule
from dds.parallel.workers import Worker, WorkerLinks

__all__ = [
    "ALONE",
    "EMULATED",
    "HELPERS",
    "NETWORKS",
    "RIVALS",
    "Cell",
    "Setting",
    "Summary",
    "run",
    "summary",
]

#: What a schedule is compared with: the baselines, and our search without slices.
RIVALS = (*BASELINES, "operators")
#: The device without helpers, which is no rival: what one comes from.
ALONE = "device alone"
#: The device, at speed 1: a core of a small board, our choice.
EMULATED = Device("emulated", 8e9, 4e9, 0.0, "8 GFLOP/s and 4 GB/s, nothing to start an operator")
#: Speeds of 2, 3 and 4 helpers, the device's being 1.
HELPERS: tuple[tuple[float, ...], ...] = ((1.0, 2.0), (1.0, 2.0, 4.0), (0.5, 1.0, 2.0, 4.0))
#: Rates that applications see, and seconds a message; our choice.
NETWORKS: Mapping[str, WorkerLinks] = MappingProxyType(
    {
        "WiFi5": WorkerLinks(25e6, 2e-3, shared=True),
        "WiFi6": WorkerLinks(75e6, 1e-3, shared=True),
        "wired": WorkerLinks(125e6, 2e-4),
    }
)
#: Of a device at speed 1; far outside anything real.
_LEAST_SPEED, _MOST_SPEED = 1e-6, 1e6
_MOST_HELPERS = 7


@dataclass(frozen=True)
class Setting:
    """What is simulated.

    models: of the zoo; device: at speed 1; helpers: speeds of each group of helpers; networks: by
    name; overhead, thin: what slices cost beyond their share, as of :class:`dds.Worker`.

    Raises InvalidInput for no model or one twice, no helpers, too many, or a speed out of range.
    """

    models: Sequence[str] = NAMES
    device: Device = EMULATED
    helpers: Sequence[tuple[float, ...]] = HELPERS
    networks: Mapping[str, WorkerLinks] = field(default_factory=lambda: NETWORKS)
    overhead: float = 2e-5
    thin: float = 0.5

    def __post_init__(self) -> None:
        if not self.models or len(set(self.models)) < len(self.models):
            raise InvalidInput(f"models are {', '.join(self.models) or 'none'}; name each once")
        if not self.helpers or len(set(self.helpers)) < len(self.helpers):
            raise InvalidInput("helpers: none given, or a group twice; give each group once")
        for speeds in self.helpers:
            if not 1 <= len(speeds) <= _MOST_HELPERS:
                raise InvalidInput(
                    f"helpers: a group of {len(speeds)}; need 1 to {_MOST_HELPERS} helpers"
                )
            for speed in speeds:
                if not _LEAST_SPEED <= speed <= _MOST_SPEED:
                    raise InvalidInput(
                        f"helpers: a speed of {speed!r}; need {_LEAST_SPEED:g} to {_MOST_SPEED:g} "
                        "times the device's"
                    )
        self.team(self.helpers[0])  # refuses overhead and thin out of range

    def team(self, helpers: Sequence[float]) -> list[Worker]:
        """The device and its helpers."""
        device = self.device
        return [
            Worker(
                Device(device.name, device.flops_per_s * speed, device.bytes_per_s * speed,
                       device.overhead / speed),
                self.overhead, self.thin, name,
            )
            for name, speed in [
                ("device", 1.0), *((f"helper {k} ({s:g}x)", s) for k, s in enumerate(helpers, 1)),
            ]
        ]  # fmt: skip


@dataclass(frozen=True)
class Cell:
    """One model with one group of helpers on one network; latencies in s.

    helpers: their speeds; graph: the model, normalised; schedule: ours; rivals: latencies by name,
    of :data:`RIVALS`; alone: of the device without helpers; violations: what the checker finds
    wrong with our schedule.
    """

    network: str
    helpers: tuple[float, ...]
    model: str
    graph: ModelGraph = field(repr=False)
    schedule: Schedule = field(repr=False)
    rivals: Mapping[str, float]
    alone: float
    violations: tuple[str, ...] = ()

    @property
    def latency(self) -> float:
        """Of our schedule, s."""
        return self.schedule.latency

    @property
    def bound(self) -> float:
        """No plan takes less: the device's own time over all speeds added up, s."""
        return self.alone / (1.0 + sum(self.helpers))

    @property
    def best(self) -> str:
        """The fastest rival; of equals the first."""
        return min(self.rivals, key=lambda name: self.rivals[name])

    def saved(self, name: str) -> float:
        """By what part of a rival's latency, or of :data:`ALONE`, ours is lower; 0 for a tie."""
        than = self.alone if name == ALONE else self.rivals[name]
        return 0.0 if math.isclose(self.latency, than, rel_tol=SAME) else 1.0 - self.latency / than


def run(setting: Setting, on_cell: Callable[[int, int], None] | None = None) -> tuple[Cell, ...]:
    """All cells, by network, helpers and model; on_cell is told how many of how many are done.

    Raises InvalidInput for a model that the zoo has not.
    """
    # One after the other: with their weights, all at once would take gigabytes.
    graphs = {name: load_model(normalise(build(name))) for name in setting.models}
    total = len(setting.networks) * len(setting.helpers) * len(graphs)
    cells: list[Cell] = []
    for network in setting.networks:
        for helpers in setting.helpers:
            for model, graph in graphs.items():
                cells.append(_cell(setting, network, helpers, model, graph))
                if on_cell is not None:
                    on_cell(len(cells), total)
    return tuple(cells)


def _cell(
    setting: Setting, network: str, helpers: tuple[float, ...], model: str, graph: ModelGraph
) -> Cell:
    workers, links = setting.team(helpers), setting.networks[network]
    found = schedule(graph, workers, links)
    others = {name: plan.latency for name, plan in baselines(graph, workers, links).items()}
    others["operators"] = schedule(graph, workers, links, slices=False).latency
    return Cell(
        network=network,
        helpers=helpers,
        model=model,
        graph=graph,
        schedule=found,
        rivals={name: others[name] for name in RIVALS},
        alone=schedule(graph, workers[:1], links, tries=0).latency,
        violations=violations(graph, workers, links, found),
    )


@dataclass(frozen=True)
class Summary:
    """What cells say together.

    mean, median: of what our schedules save, per rival and against :data:`ALONE`, a part of its
    latency; ties: cells in which that is nothing; best: the same three, and the most, against the
    best rival of each cell; worse: cells in which a rival is faster; invalid: cells whose schedule
    the checker refuses.  Both would be defects.
    """

    cells: int
    mean: Mapping[str, float]
    median: Mapping[str, float]
    ties: Mapping[str, int]
    best_mean: float
    best_median: float
    best_most: float
    best_ties: int
    worse: int
    invalid: int


def summary(cells: Sequence[Cell]) -> Summary:
    """Means, medians and counts over at least one cell."""
    saved = {name: [cell.saved(name) for cell in cells] for name in (ALONE, *RIVALS)}
    best = [cell.saved(cell.best) for cell in cells]
    return Summary(
        cells=len(cells),
        mean={name: fmean(parts) for name, parts in saved.items()},
        median={name: median(parts) for name, parts in saved.items()},
        ties={name: parts.count(0.0) for name, parts in saved.items()},
        best_mean=fmean(best),
        best_median=median(best),
        best_most=max(best),
        best_ties=best.count(0.0),
        worse=sum(part < 0.0 for part in best),
        invalid=sum(bool(cell.violations) for cell in cells),
    )
