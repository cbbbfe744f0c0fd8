"""Schedules worth trying where they will run, and everybody's programs of them.

A schedule counts a start for every run that it slices, while programs run several as one model and
pay for the bytes that go in and out.  So nobody knows beforehand what a start should count: a few
schedules are made for starts that cost more or less, and the fastest in trials is the best.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from dds.parallel.program import Program, programs
from dds.parallel.rewrite import Source
from dds.parallel.schedule import Schedule, baselines, schedule
from dds.parallel.workers import Worker, WorkerLinks

__all__ = ["Candidate", "candidates", "single_worker"]


@dataclass(frozen=True, eq=False)
class Candidate:
    """A schedule, and the program of every worker."""

    schedule: Schedule
    programs: tuple[Program, ...]

    @classmethod
    def of(cls, source: Source, found: Schedule, workers: int) -> Candidate:
        """A schedule over so many workers; raises what :func:`programs` raises."""
        return cls(found, programs(source, found, workers))


def candidates(
    source: Source, workers: Sequence[Worker], links: WorkerLinks, factors: Iterable[float]
) -> Iterator[Candidate]:
    """Schedules over the same workers, none twice, each searched when it is asked for.

    One for each factor, in their order, if what a slice takes beyond its share were so many times
    ``worker.overhead``; then everything on the best worker, and everything on workers[0].  Two are
    the same where the same workers compute the same tiles.

    Raises InvalidInput, when asked for one, for what :func:`schedule` and :func:`programs` refuse.
    """
    placed: set[object] = set()
    for found in _schedules(source, workers, links, factors):
        places = tuple((task.worker, task.tile) for task in found.tasks)
        if places not in placed:
            placed.add(places)
            yield Candidate.of(source, found, len(workers))


def _schedules(
    source: Source, workers: Sequence[Worker], links: WorkerLinks, factors: Iterable[float]
) -> Iterator[Schedule]:
    graph = source.graph
    for factor in factors:
        team = [replace(worker, overhead=factor * worker.overhead) for worker in workers]
        yield schedule(graph, team, links)
    yield _single(source, workers, links)
    yield schedule(graph, workers[:1], WorkerLinks(math.inf))


def single_worker(source: Source, workers: Sequence[Worker], links: WorkerLinks) -> Candidate:
    """Everything on one worker, the best by the seconds it takes and what must be sent.

    Raises InvalidInput for what :func:`schedule` and :func:`programs` refuse.
    """
    return Candidate.of(source, _single(source, workers, links), len(workers))


def _single(source: Source, workers: Sequence[Worker], links: WorkerLinks) -> Schedule:
    return baselines(source.graph, workers, links)["single"]
