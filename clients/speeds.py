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
from dds.errors import InvalidInput
from dds.execution.processes import available_cores
from dds.execution.slices import measure_slices, seconds_per_operator
from dds.model.graph import ModelGraph
from dds.parallel.rewrite import Source
from dds.parallel.workers import Worker
from dds.profile.profile import Profile
from dds.session.profiling import ProfileRequest

__all__ = ["SliceOverhead", "Speeds", "measure_speeds"]

Seconds = NDArray[np.float64]

#: Times to ask a helper that is busy measuring, and the longest pause between two, s.
_ATTEMPTS, _LONGEST_PAUSE = 5, 5.0


@dataclass(frozen=True, slots=True)
class SliceOverhead:
    """What a slice costs beyond its share, at full speed.

    start: to run a model of it, s; thin: rows, or packs of channels, that it seems to have more.
    """

    start: float = 1e-4
    thin: float = 0.5


@dataclass(frozen=True)
class Speeds:
    """Seconds of every operator of one model, at full speed and as told of each worker.

    device: by the name of the operator's first output; helpers: the same, by their addresses;
    slices: what they cost everywhere, times the slowdown.  Parts of the model have the same
    tensors, so they need no measurement of their own.
    """

    device: Mapping[str, float]
    helpers: Mapping[str, Mapping[str, float]]
    slices: SliceOverhead = SliceOverhead()

    def workers(
        self, graph: ModelGraph, slowdown: float, members: Sequence[Member]
    ) -> list[Worker]:
        """The device, `slowdown` times slower, and these helpers, as workers of a schedule.

        Helpers of one name are called by their addresses.
        """
        team = [("device", self.device, slowdown)]
        taken = ["device", *(member.description.name for member in members)]
        for member in members:
            helper = member.description
            # By default helpers are called like their host, and one host may have several.
            name = helper.name if taken.count(helper.name) == 1 else member.address
            team.append((name, self.helpers[member.address], helper.slowdown))
        return [
            Worker(
                np.array([slower * seconds.get(_key(graph, v), 0.0) for v in range(count)]),
                slower * self.slices.start,
                self.slices.thin,
                name,
            )
            for count in (len(graph.operators),)
            for name, seconds, slower in team
        ]


async def measure_speeds(
    prepared: Prepared, members: Sequence[Member], emit: Emit, *, slices: bool
) -> Speeds:
    """What device and helpers take; a helper of another platform measures the model itself.

    slices: measure some of the model's on the device, for a few seconds.
    """
    graph, own = prepared.graph, prepared.profile
    timing = seconds_per_operator(graph, own)
    device = _named(graph, timing)
    cost = SliceOverhead()
    if slices and members:
        emit({"event": "preparing", "what": "measuring slices of the model on this device"})
        cost = await asyncio.to_thread(_slice_overhead, prepared, timing)
        emit({"event": "slices measured", "start_s": cost.start, "thin": cost.thin})
    helpers: dict[str, Mapping[str, float]] = {}
    for member in members:
        helpers[member.address] = device
        if member.description.platform != own.platform:
            told = f"the helper at {member.address} measures the model"
            emit({"event": "preparing", "what": told})
            try:
                measured = await _measured_there(prepared, member)
                helpers[member.address] = _named(graph, seconds_per_operator(graph, measured))
            except (CallFailed, InvalidInput) as error:
                emit({"event": "not measured there", "because": str(error)})
                continue
            emit({"event": "measured there", "known": False, "cpu_s": measured.whole,
                  "platform": measured.platform})  # fmt: skip
    return Speeds(device, helpers, cost)


def _slice_overhead(prepared: Prepared, timing: Seconds) -> SliceOverhead:
    """Measured on one core of the device; what is usual, where no process can be pinned to one."""
    source = Source.read(prepared.model, prepared.graph)
    try:
        core = min(available_cores())
        found = measure_slices(source, timing, [core], runtime=prepared.profile.runtime)
    except InvalidInput:
        return SliceOverhead()
    return SliceOverhead(found.start, found.thin)


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
