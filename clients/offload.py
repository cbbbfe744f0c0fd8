"""One split model at work: device part here, link in between, the other parts on servers."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Self

from numpy.typing import NDArray

from clients.config import CloudConfig
from clients.link import ShapedLink
from clients.planning import Placement
from clients.runner import DeviceRunner, Open, Runner
from clients.server import Server, ServerRun, Then
from dds.errors import InternalError
from dds.model.graph import ModelGraph
from dds.model.split import Part, SplitTiers, split_tiers
from dds.profile.runtime import Runtime

__all__ = ["Inference", "Leases", "Offload", "Servers", "Upload"]

Tensors = Mapping[str, NDArray[Any]]
#: A call may take this many times the predicted latency, and a while more, before it is given up.
_PATIENCE, _LEAST_PATIENCE = 20.0, 60.0


@dataclass(frozen=True, slots=True)
class Servers:
    """Who answers: the edge; the cloud through it, and directly, where there are such ways."""

    edge: Server
    cloud: Server | None = None
    direct: Server | None = None


@dataclass(frozen=True, slots=True)
class Leases:
    """Who pays: at the edge, and in the cloud."""

    edge: str
    cloud: str = ""


@dataclass(frozen=True, slots=True)
class Upload:
    """The other parts are on their servers; bytes: their size, 0 without any; known: they were."""

    bytes: int
    known: bool


@dataclass(frozen=True, slots=True)
class Inference:
    """One inference; all times in s.

    latency: from the input to the last output; device, network, server, hop, cloud: its parts, as
    paced and shaped: the hop is the network between edge and cloud; device_cpu, server_cpu,
    cloud_cpu: CPU time of their kernels; network_overhead: what the real network took within
    `network`.
    """

    outputs: dict[str, NDArray[Any]]
    latency: float
    device: float = 0.0
    network: float = 0.0
    server: float = 0.0
    device_cpu: float = 0.0
    server_cpu: float = 0.0
    network_overhead: float = 0.0
    hop: float = 0.0
    cloud: float = 0.0
    cloud_cpu: float = 0.0


@dataclass(frozen=True)
class _Placed:
    """A placement that is ready to run; parts without bytes, which are where they belong."""

    placement: Placement
    parts: SplitTiers
    runner: Runner | None
    edge: str
    cloud: str
    upload: Upload

    async def close(self) -> None:
        """Free the device part."""
        if self.runner:
            await asyncio.to_thread(self.runner.close)


@dataclass(frozen=True, slots=True)
class _Answer:
    """What the servers returned, and how long the call was theirs: both servers and the hop, s."""

    run: ServerRun
    hop: float = 0.0

    @property
    def busy(self) -> float:
        """What of the call was not the network between device and server, s."""
        return self.run.wall + self.hop + (self.run.then.wall if self.run.then else 0.0)


class Offload:
    """Runs a model at one placement at a time; use it as an async context manager.

    model, graph: what is split; link: to the edge, and past it; cloud: what lies behind; runtime:
    of the device; open_runner: makes what runs the device part, by default this device alone.
    The next placement is prepared while the one in force keeps serving.
    """

    def __init__(
        self,
        model: bytes,
        graph: ModelGraph,
        servers: Servers,
        link: ShapedLink,
        runtime: Runtime,
        cloud: CloudConfig | None = None,
        *,
        open_runner: Open | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._open_runner = open_runner
        self._model = model
        self._graph = graph
        self._servers = servers
        self._link = link
        self._runtime = runtime
        self._cloud = cloud
        self._clock = clock
        self._sleep = sleep
        self._placed: _Placed | None = None
        self._next: _Placed | None = None

    async def __aenter__(self) -> Self:
        """Nothing is loaded yet."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Free the device parts."""
        for placed in (self._placed, self._next):
            if placed:
                await placed.close()
        self._placed = self._next = None

    @property
    def placement(self) -> Placement | None:
        """What is in force."""
        return self._placed.placement if self._placed else None

    async def prepare(self, placement: Placement, leases: Leases, inputs: Tensors) -> Upload:
        """Split the model, load the device part here and bring the others where they run.

        The device part is run once on the inputs, unpaced: the first run of a session costs more
        than those that a device at work makes.  What is in force stays so until :meth:`switch`.
        """
        cuts = placement.first.on_device, placement.second.on_device
        parts = await asyncio.to_thread(split_tiers, self._model, self._graph, *cuts)
        runner: Runner | None = None
        try:
            if parts.device.model is not None:
                runner = await self._open(parts.device.model)
                await runner.run(parts.device_feeds(inputs))
            edge = await _bring(self._servers.edge, leases.edge, parts.edge)
            beyond = self._servers.direct if placement.direct else self._servers.cloud
            cloud = await _bring(beyond, leases.cloud, parts.cloud)
        except BaseException:
            if runner:
                await asyncio.to_thread(runner.close)
            raise
        size = sum(len(part.model or b"") for part in (parts.edge, parts.cloud))
        known = [bring.known for bring in (edge, cloud) if bring.digest]
        upload = Upload(size, bool(known) and all(known))
        if self._next:
            await self._next.close()
        self._next = _Placed(
            placement, _without_bytes(parts), runner, edge.digest, cloud.digest, upload
        )
        return upload

    async def switch(self) -> None:
        """What was prepared last comes into force."""
        before, self._placed, self._next = self._placed, self._next, None
        if before:
            await before.close()

    async def infer(
        self, inputs: Tensors, leases: Leases, slowdown: float, expected: float
    ) -> Inference:
        """One inference at the placement in force.

        slowdown: of the device now; expected: the predicted latency, s.
        """
        placed = self._placed
        if placed is None:
            raise InternalError("offload.infer: prepare a placement and switch to it first")
        started = self._clock()
        here: Tensors = {}
        there: Tensors = {}
        took: dict[str, float] = {}
        if placed.runner is not None:
            ran = await placed.runner.run(placed.parts.device_feeds(inputs), slowdown)
            here = ran.outputs
            started += ran.aside
            took |= {"device": ran.wall, "device_cpu": ran.cpu}
        if placed.edge or placed.cloud:
            placement = placed.placement
            sent = placed.parts.uploaded(inputs, here)
            timeout = _LEAST_PATIENCE + _PATIENCE * expected
            call = await self._link.call(
                lambda: self._ask(placed, leases, sent, timeout),
                placement.first.uplink_bytes,
                placement.first.downlink_bytes,
                lambda answer: answer.busy,
                rtt=self._cloud.direct_rtt if placement.direct and self._cloud else None,
            )
            there = call.reply.run.outputs
            took |= {"network": call.network, "network_overhead": call.overhead}
            took |= _served(placed, call.reply, call.server)
        outputs = placed.parts.join(inputs, here, there)
        return Inference(outputs, self._clock() - started, **took)

    async def _open(self, model: bytes) -> Runner:
        if self._open_runner:
            return await self._open_runner(model)
        return await asyncio.to_thread(DeviceRunner, model, self._runtime)

    async def _ask(self, placed: _Placed, leases: Leases, sent: Tensors, timeout: float) -> _Answer:
        """The call to whoever comes first behind the device, and the second hop, shaped."""
        servers, placement, wanted = self._servers, placed.placement, placed.parts.downloads
        if not placed.cloud:
            return _Answer(
                await servers.edge.infer(leases.edge, placed.edge, sent, timeout=timeout)
            )
        if placed.edge:
            run = await servers.edge.infer(
                *(leases.edge, placed.edge, sent, wanted),
                timeout=timeout,
                then=Then(placed.cloud, leases.cloud),
            )
        else:
            beyond = servers.direct if placement.direct else servers.cloud
            assert beyond is not None  # noqa: S101 -- a part was brought there
            run = await beyond.infer(leases.cloud, placed.cloud, sent, timeout=timeout)
        if placement.direct or self._cloud is None:
            return _Answer(run)
        second, passed = placement.second, run.then.network if run.then else 0.0
        wait = self._cloud.link.transfer_time(second.uplink_bytes, second.downlink_bytes) - passed
        before = self._clock()
        if wait > 0.0:
            await self._sleep(wait)
        return _Answer(run, passed + self._clock() - before)


@dataclass(frozen=True, slots=True)
class _Brought:
    """A part on its server; digest: "" where there is nothing to run."""

    digest: str = ""
    known: bool = False


async def _bring(server: Server | None, lease: str, part: Part) -> _Brought:
    if part.model is None:
        return _Brought()
    if server is None:
        raise InternalError("offload.prepare: no way to the cloud; plan without it")
    digest = hashlib.sha256(part.model).hexdigest()
    receipt = await server.put_model(lease, digest, part.model)
    return _Brought(digest, receipt.known)


def _without_bytes(parts: SplitTiers) -> SplitTiers:
    device, edge, cloud = (
        replace(part, model=None) for part in (parts.device, parts.edge, parts.cloud)
    )
    return replace(parts, device=device, edge=edge, cloud=cloud)


def _served(placed: _Placed, answer: _Answer, busy: float) -> dict[str, float]:
    """The parts of a call that were not the first hop; together at most `busy` s."""
    run, then = answer.run, answer.run.then
    hop = min(answer.hop, busy)
    if not placed.edge:
        return {"hop": hop, "cloud": busy - hop, "cloud_cpu": run.cpu}
    cloud = min(then.wall, busy - hop) if then else 0.0
    return {"hop": hop, "cloud": cloud, "cloud_cpu": then.cpu if then else 0.0,
            "server": busy - hop - cloud, "server_cpu": run.cpu}  # fmt: skip
