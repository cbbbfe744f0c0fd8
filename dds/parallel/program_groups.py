"""Which tasks of a worker become one model, and what the workers send each other."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

from dds.parallel.program_parts import GIVEN, Lot, Reads, Supply
from dds.parallel.rewrite_compute import Job
from dds.parallel.schedule import Schedule
from dds.parallel.tiles import Tile

__all__ = ["Group", "Item", "Parcel", "groups_of", "parcels_of"]


class Item(NamedTuple):
    """A task; or the end, which follows all tasks: worker 0 joins what the model returns.

    task: its position in the schedule, one past the last for the end; tile: None for the end;
    place: in the common order; start, end: s; reads: as in
    :class:`~dds.parallel.program_parts.Supply`.
    """

    task: int
    tile: Tile | None
    place: int
    start: float
    end: float
    reads: Reads

    def job(self) -> Job:
        """What there is to do: the end joins what lies in several lots."""
        return Job(
            self.tile,
            {
                t: [lot.region for lot in lots]
                for t, lots in self.reads.items()
                if self.tile or len(lots) > 1
            },
        )


@dataclass(frozen=True)
class Group:
    """Consecutive items of a worker that become one model."""

    items: tuple[Item, ...]

    @property
    def place(self) -> int:
        """Of its first item."""
        return self.items[0].place

    @property
    def start(self) -> float:
        """When its first item starts, s."""
        return self.items[0].start

    @property
    def end(self) -> float:
        """When its last item ends, s."""
        return self.items[-1].end

    def lots(self) -> Iterator[Lot]:
        """All that its items read."""
        return chain.from_iterable(_flat(item.reads) for item in self.items)


class Parcel(NamedTuple):
    """A lot that is sent; before: the place of the model that reads it first."""

    lot: Lot
    receiver: int
    before: int


def groups_of(schedule: Schedule, supply: Supply, workers: int) -> tuple[tuple[Group, ...], ...]:
    """Of every worker its items in groups, in order, by the rule that ``programs`` states."""
    count, latency = len(schedule.tasks), schedule.latency
    end = Item(count, None, count, latency, latency, supply.returns)
    leaves = _leaves(schedule, [*supply.reads, supply.returns])
    groups: list[list[Group]] = [[] for _ in range(workers)]
    for i in sorted(range(count), key=supply.order.__getitem__):
        task = schedule.tasks[i]
        item = Item(i, task.tile, supply.order[i], task.start, task.end, supply.reads[i])
        own = groups[task.worker]
        if own and _joins(supply, leaves, task.worker, own[-1], item):
            own[-1] = Group((*own[-1].items, item))
        else:
            own.append(Group((item,)))
    groups[0].append(Group((end,)))
    return tuple(map(tuple, groups))


def parcels_of(groups: Sequence[Sequence[Group]]) -> tuple[Parcel, ...]:
    """All that is sent: each lot once to each worker that reads it, in order of departure."""
    parcels: dict[tuple[object, ...], Parcel] = {}
    for worker, own in enumerate(groups):
        for group in own:
            for lot in group.lots():
                if lot.sender != worker:
                    key = (lot.tensor, lot.region, lot.sender, worker)
                    parcels.setdefault(key, Parcel(lot, worker, group.place))
    return tuple(sorted(parcels.values(), key=lambda parcel: parcel.lot.departs))


def _leaves(schedule: Schedule, reads: Sequence[Reads]) -> Mapping[int, float]:
    """When the first of what each task made leaves its worker, s."""
    receivers = [*(task.worker for task in schedule.tasks), 0]
    leaves: dict[int, float] = {}
    for receiver, lots in zip(receivers, map(_flat, reads), strict=True):
        for lot in lots:
            if lot.sender != receiver:
                leaves[lot.maker] = min(leaves.get(lot.maker, math.inf), lot.departs)
    return leaves


def _joins(
    supply: Supply, leaves: Mapping[int, float], worker: int, group: Group, item: Item
) -> bool:
    """Whether an item may become part of the model before it."""
    there = all(
        lot.since <= group.start + supply.slack
        and (lot.maker == GIVEN or supply.order[lot.maker] < group.place)
        for lot in _flat(item.reads)
        if lot.sender != worker
    )
    first = min(leaves.get(before.task, math.inf) for before in group.items)
    return there and item.end <= first + supply.slack


def _flat(reads: Reads) -> Iterator[Lot]:
    return chain.from_iterable(reads.values())
