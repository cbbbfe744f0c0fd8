"""Where the parts come from that a schedule's tasks read: who makes them, who sends them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from dds.errors import InvalidInput
from dds.model.graph import ModelGraph
from dds.parallel.rewrite import Source
from dds.parallel.schedule import Schedule, Task, Transfer
from dds.parallel.tiles import WHOLE, Region, holds, tile_inputs, tile_outputs

__all__ = ["GIVEN", "Lot", "Supply", "supply"]

#: Who made what the model is given.
GIVEN = -1
#: Of the latency: what rounding may make of times.
_TOLERANCE = 1e-9


class Lot(NamedTuple):
    """A region of a tensor that a worker has.

    maker: the task that made it, by position in the schedule, or GIVEN; made: what the maker
    returned of the tensor; sender: the worker that sent it, or the one that has it; departs,
    since: when it leaves there, and is here, s.
    """

    tensor: int
    region: Region
    maker: int
    made: Region
    sender: int
    departs: float
    since: float


#: Which lots hold what is needed of each tensor.
Reads = Mapping[int, tuple[Lot, ...]]


@dataclass(frozen=True)
class Supply:
    """What every task reads.

    reads: of each task, by position in the schedule; returns: of the outputs of the model on
    worker 0; order: of each task, its place in a common order of all of them, which every task
    has behind those that made what it reads; slack: what rounding may make of times, s.
    """

    reads: tuple[Reads, ...]
    returns: Reads
    order: tuple[int, ...]
    slack: float


def supply(source: Source, schedule: Schedule) -> Supply:
    """Who makes and sends what the tasks of a schedule read, and what the model returns.

    The common order is by start.  A task never stands before one whose results it reads, even
    where both take no time: it takes over their moment if that is later, and of equal moments the
    run that begins first goes first, since operators are in topological order.

    Raises InvalidInput for what is no part of the model, and for anything that a task reads and
    its worker does not have by then.
    """
    graph, tasks = source.graph, schedule.tasks
    _check(graph, schedule)
    stock = _Stock(source, schedule)
    reads: list[Reads] = [{} for _ in tasks]
    moments = [task.start for task in tasks]
    # Of what a task reads, the makers begin with earlier operators: they have been here.
    for i in sorted(range(len(tasks)), key=lambda i: tasks[i].tile.operators.start):
        reads[i] = stock.read(tasks[i])
        stock.make(i, tasks[i])
        makers = {lot.maker for lots in reads[i].values() for lot in lots} - {GIVEN}
        moments[i] = max([moments[i], *(moments[maker] for maker in makers)])
    returns = stock.take(dict.fromkeys(graph.outputs, WHOLE), 0, schedule.latency, "the end")
    first = sorted(range(len(tasks)), key=lambda i: (moments[i], tasks[i].tile.operators.start, i))
    order = [0] * len(tasks)
    for place, i in enumerate(first):
        order[i] = place
    return Supply(tuple(reads), returns, tuple(order), stock.slack)


class _Stock:
    """What workers have of each tensor, and what they are sent."""

    def __init__(self, source: Source, schedule: Schedule) -> None:
        self.source = source
        self.slack = _TOLERANCE * schedule.latency
        #: By tensor and worker.
        self.made: dict[tuple[int, int], list[Lot]] = defaultdict(list)
        for t in source.graph.inputs:
            self.made[t, 0].append(Lot(t, WHOLE, GIVEN, WHOLE, 0, 0.0, 0.0))
        self.sent: dict[tuple[int, int], list[Transfer]] = defaultdict(list)
        for transfer in schedule.transfers:
            self.sent[transfer.tensor, transfer.receiver].append(transfer)

    def make(self, i: int, task: Task) -> None:
        """Task i makes what its tile hands on."""
        tile = task.tile
        graph = self.source.graph
        made = tile_outputs(graph, tile.operators, tile.kind, tile.low, tile.high)
        for t, region in made.items():
            lot = Lot(t, region, i, region, task.worker, task.end, task.end)
            self.made[t, task.worker].append(lot)

    def read(self, task: Task) -> Reads:
        """The lots that hold what a task reads."""
        tile = task.tile
        graph = self.source.graph
        regions = tile_inputs(graph, tile.operators, tile.kind, tile.low, tile.high)
        return self.take(regions, task.worker, task.start, task)

    def take(
        self, regions: Mapping[int, Region], worker: int, moment: float, reader: object
    ) -> Reads:
        """The lots that hold regions on a worker at a moment, s.

        Raises InvalidInput, naming the reader, where it does not have them by then.
        """
        return {
            t: _cover(self.source.graph, t, region, self._held(t, worker, moment), reader)
            for t, region in regions.items()
        }

    def _held(self, t: int, worker: int, moment: float) -> list[Lot]:
        """What a worker has of a tensor by then: what it made first, then what comes soonest."""
        own = [lot for lot in self.made[t, worker] if lot.since <= moment + self.slack]
        come = [
            lot
            for transfer in self.sent[t, worker]
            if transfer.end <= moment + self.slack
            for lot in _carried(self.source, transfer, self.made[t, transfer.sender], self.slack)
        ]
        return own + sorted(come, key=lambda lot: lot.since)


def _check(graph: ModelGraph, schedule: Schedule) -> None:
    operators, tensors = len(graph.operators), len(graph.tensors)
    for task in schedule.tasks:
        run = task.tile.operators
        if not (0 <= run.start < run.stop <= operators and run.step == 1):
            raise InvalidInput(
                f"{task} is of a run that the model's {operators} operators have not; make the "
                "schedule from this model"
            )
    for transfer in schedule.transfers:
        t, region = transfer.tensor, transfer.region
        shape = graph.tensors[t].shape if 0 <= t < tensors else ()
        if not 0 <= t < tensors or region.axis >= len(shape):
            raise InvalidInput(
                f"{transfer} carries what is none of the model's {tensors} tensors; make the "
                "schedule from this model"
            )
        if region.axis >= 0 and not 0 <= region.low < region.high <= shape[region.axis]:
            raise InvalidInput(f"{transfer} carries nothing, or more than {shape[region.axis]}")


def _carried(
    source: Source, transfer: Transfer, made: Iterable[Lot], slack: float
) -> Iterator[Lot]:
    """What a transfer carries, in as many lots as its sender has made of it.

    Of lots along another axis than its own it takes all.
    """
    region = source.plain(transfer.tensor, transfer.region)
    for lot in made:
        if lot.since > transfer.start + slack:
            continue
        if holds(lot.region, region):
            part = region
        elif region.axis in (-1, lot.region.axis):
            low, high = max(region.low, lot.region.low), min(region.high, lot.region.high)
            part = lot.region if region.axis < 0 else Region(region.axis, low, high)
            if part.low >= part.high:
                continue
        else:
            part = lot.region
        yield lot._replace(region=part, departs=transfer.start, since=transfer.end)


def _cover(
    graph: ModelGraph, t: int, region: Region, lots: Sequence[Lot], reader: object
) -> tuple[Lot, ...]:
    """Lots that hold a region: one if one does, else the fewest along one axis.

    Raises InvalidInput, naming who reads, where they do not.
    """
    for lot in lots:
        if holds(lot.region, region):
            return (lot,)
    for axis in sorted({lot.region.axis for lot in lots}, key=lambda a: a != region.axis):
        at, end = 0, graph.tensors[t].shape[axis]
        if axis == region.axis:
            at, end = region.low, region.high
        chosen: list[Lot] = []
        while at < end:
            reach = [lot for lot in lots if lot.region.axis == axis and lot.region.low <= at]
            furthest = max(reach, key=lambda lot: lot.region.high, default=None)
            if furthest is None or furthest.region.high <= at:
                break
            chosen.append(furthest)
            at = furthest.region.high
        else:
            return tuple(chosen)
    what = "all" if region.axis < 0 else f"[{region.low}, {region.high}) on axis {region.axis}"
    raise InvalidInput(
        f"{reader} needs {what} of {graph.tensors[t].name!r}, and its worker does not have that "
        "by then; make the schedule from this model"
    )
