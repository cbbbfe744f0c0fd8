"""One split model at work: device part here, link in between, server part there."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Self

from numpy.typing import NDArray

from clients.link import ShapedLink
from clients.runner import DeviceRunner
from clients.server import Server
from dds.cut.pieces import Cut
from dds.errors import InternalError
from dds.model.graph import ModelGraph
from dds.model.split import SplitModel, split
from dds.profile.runtime import Runtime

__all__ = ["Inference", "Offload", "Upload"]

Tensors = Mapping[str, NDArray[Any]]
#: A call may take this many times the predicted latency, and a while more, before it is given up.
_PATIENCE, _LEAST_PATIENCE = 20.0, 60.0


@dataclass(frozen=True, slots=True)
class Upload:
    """The server part is on the server; bytes: its size, 0 if there is none; known: it was."""

    bytes: int
    known: bool


@dataclass(frozen=True, slots=True)
class Inference:
    """One inference; all times in s.

    latency: from the input to the last output; device, network, server: its parts, as paced and
    shaped; device_cpu, server_cpu: CPU time of their kernels; network_overhead: what the real
    network took within `network`.
    """

    outputs: dict[str, NDArray[Any]]
    latency: float
    device: float = 0.0
    network: float = 0.0
    server: float = 0.0
    device_cpu: float = 0.0
    server_cpu: float = 0.0
    network_overhead: float = 0.0


@dataclass(frozen=True)
class _Placed:
    """A cut that is ready to run; parts without their bytes, which are where they belong."""

    cut: Cut
    parts: SplitModel
    runner: DeviceRunner | None
    digest: str | None


class Offload:
    """Runs a model at one cut at a time; use it as a context manager.

    model, graph: what is split; link: to the server; runtime: of the device.
    """

    def __init__(
        self,
        model: bytes,
        graph: ModelGraph,
        server: Server,
        link: ShapedLink,
        runtime: Runtime,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._model = model
        self._graph = graph
        self._server = server
        self._link = link
        self._runtime = runtime
        self._clock = clock
        self._placed: _Placed | None = None

    def __enter__(self) -> Self:
        """Nothing is loaded yet."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Free the device part."""
        if self._placed and self._placed.runner:
            self._placed.runner.close()
        self._placed = None

    def holds(self, cut: Cut) -> bool:
        """Whether this cut is the one that is prepared."""
        return self._placed is not None and self._placed.cut.on_device == cut.on_device

    async def prepare(self, cut: Cut, lease: str, inputs: Tensors) -> Upload:
        """Split the model, load the device part here and bring the server part there.

        The device part is run once on the inputs, unpaced: the first run of a session costs more
        than those that a device at work makes.
        """
        self.__exit__(None, None, None)
        parts = await asyncio.to_thread(split, self._model, self._graph, cut)
        runner = None
        if parts.device is not None:
            runner = await asyncio.to_thread(DeviceRunner, parts.device, self._runtime)
            await runner.run(parts.device_feeds(inputs))
        upload, digest = Upload(0, known=False), None
        if parts.server is not None:
            digest = hashlib.sha256(parts.server).hexdigest()
            receipt = await self._server.put_model(lease, digest, parts.server)
            upload = Upload(len(parts.server), receipt.known)
        # Both parts are loaded where they run; their bytes are not needed any more.
        self._placed = _Placed(cut, replace(parts, device=None, server=None), runner, digest)
        return upload

    async def infer(
        self, inputs: Tensors, lease: str, slowdown: float, expected: float
    ) -> Inference:
        """One inference at the cut that was prepared.

        slowdown: of the device now; expected: the predicted latency, s.
        """
        placed = self._placed
        if placed is None:
            raise InternalError("offload.infer: prepare a cut first")
        started = self._clock()
        here: Mapping[str, NDArray[Any]] = {}
        there: Mapping[str, NDArray[Any]] = {}
        parts: dict[str, float] = {}
        if placed.runner is not None:
            ran = await placed.runner.run(placed.parts.device_feeds(inputs), slowdown)
            here = ran.outputs
            parts |= {"device": ran.wall, "device_cpu": ran.cpu}
        if placed.digest is not None:
            digest, feeds = placed.digest, placed.parts.server_feeds(inputs, here)
            timeout = _LEAST_PATIENCE + _PATIENCE * expected
            call = await self._link.call(
                lambda: self._server.infer(lease, digest, feeds, timeout=timeout),
                placed.cut.uplink_bytes,
                placed.cut.downlink_bytes,
                lambda reply: reply.wall,
            )
            there = call.reply.outputs
            parts |= {"network": call.network, "network_overhead": call.overhead,
                      "server": call.server, "server_cpu": call.reply.cpu}  # fmt: skip
        outputs = placed.parts.join(inputs, here, there)
        return Inference(outputs, self._clock() - started, **parts)
