"""The device: real kernels on this machine, held back to the speed of a slower one.

A run that costs t seconds of CPU time takes ``slowdown * t`` seconds: compute, then wait.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray

from dds.profile.runtime import Runtime, open_session, run

__all__ = ["DeviceRun", "DeviceRunner", "Open", "Runner"]


@dataclass(frozen=True, slots=True)
class DeviceRun:
    """One finished run: outputs by name; cpu: its CPU time, s; wall: how long it took, s.

    aside: what was done before it and is no part of it took so long, s.
    """

    outputs: dict[str, NDArray[Any]]
    cpu: float
    wall: float
    aside: float = 0.0


class Runner(Protocol):
    """Runs a model, or a part of one, on the device and whoever helps it."""

    async def run(self, inputs: Mapping[str, NDArray[Any]], slowdown: float = 0.0) -> DeviceRun:
        """One inference; the device takes `slowdown` times its CPU time, 0: as it goes."""
        ...

    def close(self) -> None:
        """Free the model; may be called on any thread."""
        ...


#: Makes a runner of ONNX bytes.
Open = Callable[[bytes], Awaitable[Runner]]


class DeviceRunner:
    """An emulated device that holds one model, or the device part of one.

    runtime: of onnxruntime; clock, sleep: for tests; seconds.
    """

    def __init__(
        self,
        model: bytes,
        runtime: Runtime,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._session = open_session(model, runtime)
        self._clock = clock
        self._sleep = sleep
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="device")

    async def run(self, inputs: Mapping[str, NDArray[Any]], slowdown: float = 0.0) -> DeviceRun:
        """One inference, not faster than `slowdown` times its CPU time; 0: as fast as it goes."""
        started = self._clock()
        outputs, cpu = await asyncio.get_running_loop().run_in_executor(
            self._thread, run, self._session, inputs
        )
        rest = started + slowdown * cpu - self._clock()
        if slowdown and rest > 0.0:
            await self._sleep(rest)
        return DeviceRun(outputs, cpu, self._clock() - started)

    def close(self) -> None:
        """Free the model and end the thread."""
        self._thread.shutdown(wait=True)
        self._session = None
