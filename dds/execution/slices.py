"""What slices of a model take on the cores of this machine, measured by playing them.

A profile says what whole operators take.  A slice takes more than its share: few rows keep vector
units less busy, and every model that a worker runs must be started, and its inputs and outputs be
copied out of and into the runtime's own layout.  :func:`measure_slices` makes programs of a few
slices of the model, one after the other in its order, and plays them on all cores at once.  So
between two runs of a slice all the others run, caches hold what they hold in a real inference, and
cores disturb each other as they do there.  In a loop of its own a slice is much faster.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from dds.errors import InvalidInput
from dds.execution.processes import PinnedWorkers
from dds.model.graph import ModelGraph, Tensor
from dds.parallel.granularity import fused_runs
from dds.parallel.program import Compute, Part, Program, Receive, Send, Step
from dds.parallel.rewrite import Source, TileModel
from dds.parallel.schedule import Schedule
from dds.parallel.tiles import (
    ALIGNMENT,
    WHOLE,
    Kind,
    Region,
    Tile,
    bounds,
    extent,
    region_bytes,
    region_shape,
    sliceable,
    tile_regions,
    tile_shares,
)
from dds.parallel.workers import WorkerLinks
from dds.profile.profile import Profile
from dds.profile.runtime import DEFAULT_RUNTIME, Runtime, random_inputs

__all__ = ["SliceCosts", "measure_links", "measure_slices", "seconds_per_operator"]

#: Slices are measured of the runs of operators that take most, until these make up so much of all.
_MOST_OF = 0.9
#: Messages there and back, and bytes of a short and of a long one.
_TURNS, _SHORT, _LONG = 32, 1 << 10, 1 << 20


@dataclass(frozen=True, eq=False)
class SliceCosts:
    """What a core takes to run a model of one or more tiles.

        start + handling (bytes in + bytes out) + sum over tiles, v of s_v (x_v + thin a / R_v)

    where
      s_v      timing[v]: seconds of operator v in the whole model
      x_v      the share of it that the tile computes, overlap included
      a / R_v  a row, or a pack of 16 channels, of all that v makes; 0 where v is not sliced

    start: s; handling: s/B; thin: rows or packs; error: mean relative deviation of this from the
    slices that were measured.
    """

    timing: NDArray[np.float64]
    start: float
    handling: float
    thin: float
    error: float = 0.0

    def seconds(self, graph: ModelGraph, schedule: Schedule, step: Compute) -> float:
        """What a step of a program of this schedule takes, s."""
        found = self.start + self.handling * _moved(graph, step)
        for task in step.tasks:
            share, thinner = _work(graph, self.timing, schedule.tasks[task].tile)
            found += share + self.thin * thinner
        return found


def seconds_per_operator(graph: ModelGraph, profile: Profile) -> NDArray[np.float64]:
    """Seconds of each operator of a model whose groups were measured.

    What runs as one is counted for the member with most work, the others take nothing: a
    convolution with what follows it.
    """
    seconds = np.zeros(len(graph.operators))
    for group, taken in zip(profile.groups, profile.seconds, strict=True):
        main = max(group, key=lambda v: (graph.operators[v].macs, graph.operators[v].flops))
        seconds[main] = taken
    return seconds


def measure_slices(
    source: Source,
    timing: NDArray[np.float64],
    cores: Sequence[int],
    *,
    runtime: Runtime = DEFAULT_RUNTIME,
    plays: int = 7,
) -> SliceCosts:
    """Fit :class:`SliceCosts` to halves of a model's longest runs, by rows and by channels.

    timing: seconds per operator; cores: the processors, all of them at work; plays: rounds, of
    which the first is thrown away, and the first quartile of the others counts.

    Least squares of relative deviations, no coefficient below 0.  Raises InvalidInput for what
    :class:`~dds.execution.processes.PinnedWorkers` refuses, and for fewer than two plays.
    """
    if plays < 2:
        raise InvalidInput(f"plays is {plays}; need at least 2")
    graph = source.graph
    tiles = _samples(graph, timing)
    if not tiles:
        return SliceCosts(timing, 0.0, 0.0, 0.0)
    models = [source.tile(tile) for tile in tiles]
    stand, steps = _side_by_side(graph, models)
    inputs = tuple(Part(stand.tensors[t].name, WHOLE) for t in stand.inputs)
    programs = [Program(k, inputs, tuple(steps), ()) for k in range(len(cores))]
    values = random_inputs(stand, np.random.default_rng(0))
    with PinnedWorkers(programs, stand, cores, runtime=runtime) as workers:
        rounds = [taken for _ in range(plays) for taken in workers.run(values).steps]
    # Something else on a core makes single numbers too long, and none too short.
    measured = np.quantile(rounds[len(cores) :], 0.25, axis=0)
    work = np.array([_work(graph, timing, tile) for tile in tiles])
    moved = np.array([_bytes(graph, {**model.inputs, **model.outputs}) for model in models])
    found = non_negative(
        np.column_stack([np.ones(len(tiles)), moved, work[:, 1]]) / measured[:, None],
        1.0 - work[:, 0] / measured,
    )
    start, handling, thin = found.tolist()
    model = start + handling * moved + work[:, 0] + thin * work[:, 1]
    error = float(np.mean(np.abs(model / measured - 1.0)))
    return SliceCosts(timing, start, handling, thin, error)


def measure_links(cores: Sequence[int], *, plays: int = 5) -> tuple[WorkerLinks, float]:
    """The mailboxes between two workers as links, and seconds a play takes beyond its steps.

    A message takes half of what one of 1 KB takes there and back, first quartile of `plays`;
    bytes/s are what 1 MB takes longer.  With one core only the second is measured.

    Raises InvalidInput for what :class:`~dds.execution.processes.PinnedWorkers` refuses.
    """
    graph, programs = _ping_pong()
    team = programs if len(cores) > 1 else (Program(0, programs[0].inputs, (), ()),)
    feeds = {t.name: np.zeros(t.shape, np.uint8) for t in graph.tensors}
    with PinnedWorkers(team, graph, cores[:2]) as workers:
        rounds = [workers.run(feeds) for _ in range(plays + 1)][1:]
    beyond = [played.seconds - float(played.steps[0].sum()) for played in rounds]
    wake = float(np.quantile(beyond, 0.25))
    if len(cores) < 2:
        return WorkerLinks(np.inf), wake
    taken = np.quantile([played.steps[0] for played in rounds], 0.25, axis=0)
    short, long = float(taken[:-2].sum()) / (2 * _TURNS), float(taken[-2:].sum()) / 2
    rate = (_LONG - _SHORT) / max(long - short, 1e-9)
    # Feeding the long message took its time too.
    return WorkerLinks(rate, short), max(wake - _LONG / rate, 0.0)


def non_negative(columns: NDArray[np.float64], wanted: NDArray[np.float64]) -> NDArray[np.float64]:
    """The x >= 0 that minimises ``|columns x - wanted|``, of few columns: every subset is tried."""
    count = columns.shape[1]
    best, least = np.zeros(count), float(np.linalg.norm(wanted))
    for size in range(1, count + 1):
        for chosen in combinations(range(count), size):
            x = np.linalg.lstsq(columns[:, chosen], wanted)[0]
            rest = float(np.linalg.norm(columns[:, chosen] @ x - wanted))
            if x.min() >= 0.0 and rest < least:
                best, least = np.zeros(count), rest
                best[list(chosen)] = x
    return best


def _samples(graph: ModelGraph, timing: NDArray[np.float64]) -> list[Tile]:
    """Halves of the longest runs, in the order of the model."""
    runs = fused_runs(graph)
    seconds = [float(timing[run.start : run.stop].sum()) for run in runs]
    order = sorted(range(len(runs)), key=lambda k: -seconds[k])
    before = np.cumsum([0.0, *(seconds[k] for k in order)])
    longest = [k for k, sum_before in zip(order, before, strict=False)
               if sum_before < _MOST_OF * before[-1]]  # fmt: skip
    kinds: tuple[Kind, ...] = ("rows", "channels")
    return [
        Tile(runs[k], kind, *borders[:2])
        for k in sorted(longest)
        for kind in kinds
        if sliceable(graph, runs[k], kind)
        and 0 < (borders := bounds(extent(graph, runs[k], kind), (1.0, 1.0), kind))[1] < borders[2]
    ]


def _side_by_side(
    graph: ModelGraph, models: Sequence[TileModel]
) -> tuple[ModelGraph, list[Compute]]:
    """A graph whose inputs are those of all tiles, by names of their own; a step for each."""
    named = {tensor.name: tensor for tensor in graph.tensors}
    tensors: list[Tensor] = []
    steps = []
    for k, model in enumerate(models):
        inputs, outputs = {}, {}
        for name, region in model.inputs.items():
            tensor = named[name]
            shape = region_shape(tensor.shape, region)
            tensors.append(Tensor(f"{k} {name}", shape, tensor.dtype, 0))
            inputs[name] = Part(tensors[-1].name, WHOLE)
        for name in model.outputs:
            outputs[name] = Part(f"{k} {name} made", WHOLE)
        steps.append(Compute(model.model, inputs, outputs))
    return ModelGraph((), tuple(tensors), tuple(range(len(tensors))), ()), steps


def _ping_pong() -> tuple[ModelGraph, tuple[Program, Program]]:
    """Rows of ``x``, short messages, go to worker 1 and back, then the long ``y``."""
    x, y = Part("x", WHOLE), Part("y", WHOLE)
    rows = [Part("x", Region(0, k, k + 1)) for k in range(_TURNS)]
    there: list[Step] = []
    back: list[Step] = []
    for part, held in [*((row, x) for row in rows), (y, y)]:
        there += (Send(part, 1, held), Receive(part, 1))
        back += (Receive(part, 0), Send(part, 0, part))
    tensors = (
        Tensor("x", (_TURNS, _SHORT), "uint8", _TURNS * _SHORT),
        Tensor("y", (_LONG,), "uint8", _LONG),
    )
    graph = ModelGraph((), tensors, (0, 1), ())
    return graph, (Program(0, (x, y), tuple(there), ()), Program(1, (), tuple(back), ()))


def _bytes(graph: ModelGraph, regions: Mapping[str, Region]) -> int:
    numbers = {tensor.name: t for t, tensor in enumerate(graph.tensors)}
    return sum(region_bytes(graph, numbers[name], region) for name, region in regions.items())


def _moved(graph: ModelGraph, step: Compute) -> int:
    """Bytes that a step reads and makes."""
    parts = (*step.inputs.values(), *step.outputs.values())
    return sum(_bytes(graph, {part.tensor: part.region}) for part in parts)


def _work(graph: ModelGraph, timing: NDArray[np.float64], tile: Tile) -> tuple[float, float]:
    """(a tile's share of its operators' seconds, those of a row or pack of what it slices)."""
    seconds = timing.tolist()
    if tile.kind == "whole":
        return float(sum(seconds[v] for v in tile.operators)), 0.0
    shares = tile_shares(graph, tile.operators, tile.kind, tile.low, tile.high)
    regions = tile_regions(graph, tile)
    share, thinner = 0.0, 0.0
    for v, part in shares.items():
        share += seconds[v] * part
        for t in graph.operators[v].outputs:
            if part > 0.0 and regions[t].axis >= 0:
                height = graph.tensors[t].shape[regions[t].axis]
                thinner += seconds[v] * ALIGNMENT[tile.kind] / height
    return share, thinner
