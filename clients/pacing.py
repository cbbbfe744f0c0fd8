"""An engine held back to the speed of a slower device, and one whose answers are compared.

A run that costs t seconds takes ``slowdown * t``: compute, then wait.  One run at a time: a worker
is one device.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from dds.engines import Engine, Executable, checked
from dds.engines.engine import Wrapped
from dds.engines.on_onnxruntime import OnnxRuntime
from dds.profile.runtime import Clock, Runtime, clock_of

__all__ = ["CheckedEngine", "Pace", "PacedEngine", "pace_of"]

Array = NDArray[Any]


@dataclass
class Pace:
    """How slow the device is now; shared by all that is loaded on it.

    slowdown: seconds per second that a run costs, 0: as fast as it goes; cost: the clock that
    says what a run costs; spent: what all runs cost so far; clock, sleep: for tests; seconds.
    """

    slowdown: float = 0.0
    cost: Clock = time.thread_time
    spent: float = 0.0
    clock: Clock = time.monotonic
    sleep: Callable[[float], object] = time.sleep
    turn: threading.Lock = field(default_factory=threading.Lock)

    def run(self, executable: Executable, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """One run, not faster than `slowdown` times its cost."""
        with self.turn:
            started, cost = self.clock(), self.cost()
            outputs = executable.run(feeds)
            cost = self.cost() - cost
            self.spent += cost
            rest = started + self.slowdown * cost - self.clock()
            if self.slowdown and rest > 0.0:
                self.sleep(rest)
            return outputs


def pace_of(engine: str, runtime: Runtime, slowdown: float = 0.0) -> Pace:
    """The pace of an engine: onnxruntime with one thread is timed by that thread's CPU clock."""
    own = engine == "onnxruntime"
    return Pace(slowdown, clock_of(runtime.threads) if own else time.perf_counter)


@dataclass(frozen=True)
class PacedEngine:
    """An engine whose runs keep a pace.

    loaded: all that was, in order.
    """

    engine: Engine
    pace: Pace
    loaded: list[Executable] = field(default_factory=list)

    @property
    def name(self) -> str:
        """That of the engine."""
        return self.engine.name

    def load(self, model: bytes) -> Executable:
        """See :class:`dds.engines.Engine`."""
        self.loaded.append(_Paced(self.engine.load(model), self.pace))
        return self.loaded[-1]


@dataclass(frozen=True)
class _Paced(Wrapped):
    """A loaded model that keeps a pace."""

    pace: Pace

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """See :class:`dds.engines.Executable`."""
        return self.pace.run(self.executable, feeds)


@dataclass(frozen=True)
class CheckedEngine:
    """An engine that is believed where its outputs equal onnxruntime's, which runs the rest.

    remarks: one line for each model that it does not run, and why.
    """

    engine: Engine
    runtime: Runtime
    remarks: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """That of the engine."""
        return self.engine.name

    def load(self, model: bytes) -> Executable:
        """See :func:`dds.engines.checked`; raises InvalidInput where onnxruntime cannot either."""
        found = checked(self.engine, model, reference=OnnxRuntime(self.runtime))
        if found.why:
            self.remarks.append(found.why)
        return found.executable
