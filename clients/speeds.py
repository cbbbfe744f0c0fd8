"""Seconds of every operator on a device and on its helpers."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clients.config import Emit
from clients.errors import CallFailed
from clients.prepare import Prepared
from clients.team import Member
from dds.costs import DEVICES, operator_times
from dds.errors import InvalidInput
from dds.model.graph import ModelGraph
from dds.parallel.workers import Worker
from dds.profile.profile import Profile
from dds.session.profiling import ProfileRequest

__all__ = ["Speeds", "measure_speeds", "spread"]

Seconds = NDArray[np.float64]

#: What a slice costs beyond its share: to start a run of a small model, s; and rows that it seems
#: to have more, since few of them keep caches and vector units less busy.
SLICE_OVERHEAD, SLICE_THIN = 1e-4, 0.5
#: Times to ask a helper that is busy measuring, and the longest pause between two, s.
_ATTEMPTS, _LONGEST_PAUSE = 5, 5.0


@dataclass(frozen=True)
class Speeds:
    """Seconds of every operator of one model, at full speed and as told of each worker.

    device: by the name of the operator's first output; helpers: the same, by their addresses.
    Parts of the model have the same tensors, so they need no measurement of their own.
    """

    device: Mapping[str, float]
    helpers: Mapping[str, Mapping[str, float]]

    def workers(
        self, graph: ModelGraph, slowdown: float, members: Sequence[Member]
    ) -> list[Worker]:
        """The device, `slowdown` times slower, and these helpers, as workers of a schedule."""
        return [
            _worker(graph, self.device, slowdown, "device"),
            *(
                _worker(
                    graph,
                    self.helpers[member.address],
                    member.description.slowdown,
                    member.description.name,
                )
                for member in members
            ),
        ]


def _worker(graph: ModelGraph, seconds: Mapping[str, float], slowdown: float, name: str) -> Worker:
    own = [slowdown * seconds.get(_key(graph, v), 0.0) for v in range(len(graph.operators))]
    return Worker(np.array(own), slowdown * SLICE_OVERHEAD, SLICE_THIN, name)


def spread(graph: ModelGraph, profile: Profile) -> Seconds:
    """Seconds per operator; a fused group's are shared out as the roofline would.

    A slice of a group takes its part of each operator's, so none of them may look free.
    """
    alone = operator_times(graph, DEVICES["edge-core"])
    fusion = profile.fusion
    seconds = np.zeros(len(graph.operators))
    for group, took in zip(fusion.groups, profile.operator_times(fusion.fused(graph)), strict=True):
        own = alone[list(group)]
        total = own.sum()
        seconds[list(group)] = took * (own / total if total > 0.0 else 1.0 / len(group))
    return seconds


async def measure_speeds(prepared: Prepared, members: Sequence[Member], emit: Emit) -> Speeds:
    """What device and helpers take; a helper of another platform measures the model itself."""
    graph, own = prepared.graph, prepared.profile
    device = _named(graph, spread(graph, own))
    helpers: dict[str, Mapping[str, float]] = {}
    for member in members:
        helpers[member.address] = device
        if member.description.platform != own.platform:
            try:
                measured = await _measured_there(prepared, member)
                helpers[member.address] = _named(graph, spread(graph, measured))
            except (CallFailed, InvalidInput) as error:
                emit({"event": "not measured there", "because": str(error)})
                continue
            emit({"event": "measured there", "known": False, "cpu_s": measured.whole,
                  "platform": measured.platform})  # fmt: skip
    return Speeds(device, helpers)


async def _measured_there(prepared: Prepared, member: Member) -> Profile:
    """What a helper measures of the model, once it has time to."""
    digest = prepared.graph.digest
    await member.channel.put_model(member.lease, digest, prepared.model)
    for _ in range(_ATTEMPTS - 1):
        try:
            return await member.channel.profile_model(ProfileRequest(member.lease, digest))
        except CallFailed as error:
            if error.retry_after is None:
                raise
            await asyncio.sleep(min(error.retry_after, _LONGEST_PAUSE))
    return await member.channel.profile_model(ProfileRequest(member.lease, digest))


def _named(graph: ModelGraph, seconds: Seconds) -> dict[str, float]:
    return {_key(graph, v): float(value) for v, value in enumerate(seconds)}


def _key(graph: ModelGraph, v: int) -> str:
    """An operator by what it makes, which a part of the model calls the same."""
    outputs = graph.operators[v].outputs
    return graph.tensors[outputs[0]].name if outputs else graph.operators[v].name
