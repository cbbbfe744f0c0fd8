"""Whether a schedule could be carried out as it stands.

This shares no code with the search: it knows the graph, what a tile reads and which part of the
work it is (:mod:`dds.parallel.tiles`), and the definitions of
:class:`~dds.parallel.workers.Worker` and :class:`~dds.parallel.workers.WorkerLinks`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from dds.costs.roofline import operator_times
from dds.model.graph import ModelGraph
from dds.parallel.schedule import Schedule, Task, Transfer
from dds.parallel.tiles import (
    ALIGNMENT,
    WHOLE,
    Region,
    extent,
    tile_inputs,
    tile_outputs,
    tile_regions,
    tile_shares,
)
from dds.parallel.workers import Worker, WorkerLinks, check_question

__all__ = ["violations"]

#: Of the latency: what rounding may make of times.
_TOLERANCE = 1e-9
_AXES = {"channels": 1, "rows": 2}


class _Piece(NamedTuple):
    """A region of a tensor that a worker has from a moment on, s."""

    region: Region
    since: float


#: What each worker has of each tensor.
_Held = dict[tuple[int, int], list[_Piece]]


def violations(
    graph: ModelGraph, workers: Sequence[Worker], links: WorkerLinks, schedule: Schedule
) -> tuple[str, ...]:
    """What is wrong with a schedule, one line each; () if it is valid.

    Valid: every operator runs once, whole or in slices that make up its output; tasks and
    transfers take the time they are defined to take; a worker does one task at a time, the shared
    medium, or each way of a wire, one transfer; what a task reads is on its worker when it starts,
    what is sent was made by its sender before; the outputs are on worker 0 by the latency.

    Raises InvalidInput for what is no graph, worker or link.
    """
    check_question(graph, workers, links)
    slack = _TOLERANCE * max(schedule.latency, 1e-300)
    made: _Held = defaultdict(list)
    for t in graph.inputs:
        made[t, 0].append(_Piece(WHOLE, 0.0))
    for task in schedule.tasks:
        tile = task.tile
        for t, region in tile_outputs(
            graph, tile.operators, tile.kind, tile.low, tile.high
        ).items():
            made[t, task.worker].append(_Piece(region, task.end))
    held: _Held = defaultdict(list, {place: [*pieces] for place, pieces in made.items()})
    for sent in schedule.transfers:
        held[sent.tensor, sent.receiver].append(_Piece(sent.region, sent.end))
    return (
        *_coverage(graph, schedule.tasks),
        *_lasts(graph, workers, links, schedule, slack),
        *_collisions(links, schedule, slack),
        *_data(graph, schedule, made, held, slack),
    )


def _coverage(graph: ModelGraph, tasks: Sequence[Task]) -> Iterator[str]:
    """Every operator runs once."""
    tiles: dict[range, list[Task]] = defaultdict(list)
    for task in tasks:
        tiles[task.tile.operators].append(task)
    times = [0] * len(graph.operators)
    for run, some in tiles.items():
        where = f"the run of operators {run.start} to {run.stop - 1}"
        for v in run:
            times[v] += 1
        kinds = {task.tile.kind for task in some}
        if len(kinds) != 1:
            yield f"{where} is in {len(kinds)} kinds of tiles; need one"
            continue
        kind = kinds.pop()
        if kind == "whole":
            if len(some) != 1:
                yield f"{where} runs whole {len(some)} times; need once"
            continue
        ends = sorted((task.tile.low, task.tile.high) for task in some)
        size = extent(graph, run, kind)
        meets = all(a[1] == b[0] for a, b in pairwise(ends))
        if not (meets and ends[0][0] == 0 and ends[-1][1] == size):
            yield f"{where}: slices {ends} are not the {size} {kind}"
    for v, number in enumerate(times):
        if number != 1:
            yield f"{graph.operators[v].name!r} is in {number} runs; need one"


def _lasts(
    graph: ModelGraph, workers: Sequence[Worker], links: WorkerLinks, schedule: Schedule,
    slack: float,
) -> Iterator[str]:  # fmt: skip
    """Everything takes its time."""
    seconds = [operator_times(graph, worker.timing) for worker in workers]
    rates = links.bandwidth if isinstance(links.bandwidth, tuple) else None
    for task in schedule.tasks:
        worker, tile = workers[task.worker], task.tile
        whole = [float(seconds[task.worker][v]) for v in tile.operators]
        last = sum(whole)
        if tile.kind != "whole":
            shares = tile_shares(graph, tile.operators, tile.kind, tile.low, tile.high)
            regions = tile_regions(graph, tile)
            last = 0.0
            for v, each in zip(tile.operators, whole, strict=True):
                (t,) = graph.operators[v].outputs
                if shares[v] > 0.0:
                    last += each * shares[v]
                    if regions[t].axis >= 0:
                        height = graph.tensors[t].shape[regions[t].axis]
                        last += each * worker.thin * ALIGNMENT[tile.kind] / height
            last += worker.overhead * (last > 0.0)
        if task.start < -slack or abs(task.end - task.start - last) > slack:
            yield f"{task} takes from {task.start} s to {task.end} s; need {last} s from 0 on"
        if task.end > schedule.latency + slack:
            yield f"{task} ends after the latency of {schedule.latency} s"
    for sent in schedule.transfers:
        tensor, region = graph.tensors[sent.tensor], sent.region
        part = (region.high - region.low) / tensor.shape[region.axis] if region.axis >= 0 else 1.0
        rate = min(rates[sent.sender], rates[sent.receiver]) if rates else links.bandwidth
        assert isinstance(rate, (int, float))  # noqa: S101 -- a tuple has been indexed
        last = links.message + tensor.bytes * part / rate
        if sent.start < -slack or abs(sent.end - sent.start - last) > slack:
            yield f"{sent} takes from {sent.start} s to {sent.end} s; need {last} s from 0 on"
        if sent.sender == sent.receiver:
            yield f"{sent} leads nowhere"


def _collisions(links: WorkerLinks, schedule: Schedule, slack: float) -> Iterator[str]:
    """One thing at a time."""
    users: dict[tuple[str, int], list[Task | Transfer]] = defaultdict(list)
    for task in schedule.tasks:
        users["worker", task.worker].append(task)
    for sent in schedule.transfers:
        if links.shared:
            users["medium", 0].append(sent)
        else:
            users["way out of worker", sent.sender].append(sent)
            users["way into worker", sent.receiver].append(sent)
    for (what, number), uses in users.items():
        for first, then in pairwise(sorted(uses, key=lambda use: (use.start, use.end))):
            if then.start < first.end - slack:
                yield f"{what} {number}: {then} starts before {first} ends"


def _data(
    graph: ModelGraph, schedule: Schedule, made: _Held, held: _Held, slack: float
) -> Iterator[str]:
    """What is read or sent is there."""
    for task in schedule.tasks:
        tile = task.tile
        reads = tile_inputs(graph, tile.operators, tile.kind, tile.low, tile.high)
        for t, region in reads.items():
            if not _there(graph, t, held[t, task.worker], region, task.start + slack):
                yield f"{task} reads {region} of {graph.tensors[t].name!r} before it is there"
    for sent in schedule.transfers:
        if not _there(
            graph, sent.tensor, made[sent.tensor, sent.sender], sent.region, sent.start + slack
        ):
            yield f"{sent}: its sender has not made that by then"
    for t in graph.outputs:
        if not _there(graph, t, held[t, 0], WHOLE, schedule.latency + slack):
            yield f"output {graph.tensors[t].name!r} is not on worker 0 by {schedule.latency} s"


def _there(
    graph: ModelGraph, t: int, pieces: Sequence[_Piece], region: Region, moment: float
) -> bool:
    """Whether pieces that are there by then cover a region, along one axis."""
    had = [piece.region for piece in pieces if piece.since <= moment]
    if any(piece.axis < 0 for piece in had):
        return True
    for axis in {piece.axis for piece in had}:
        size = graph.tensors[t].shape[axis]
        at, end = (region.low, region.high) if region.axis == axis else (0, size)
        for low, high in sorted((piece.low, piece.high) for piece in had if piece.axis == axis):
            if low <= at < high:
                at = high
        if at >= end:
            return True
    return False
