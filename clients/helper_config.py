"""What one ``mec-client --helper`` is told, checked once at the start."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

from dds.engines import ENGINES
from dds.errors import InvalidInput
from dds.profile.runtime import Runtime
from dds.session.helping import LEAST_LEASE, check_slowdown
from dds.units import parse_address

__all__ = ["HelperConfig", "HelperLimits"]


@dataclass(frozen=True, slots=True)
class HelperLimits:
    """Bounds on what clients may ask of a helper; all > 0.

    clients: at a time; lease: seconds of silence after which a client is forgotten, 1 or more;
    model_bytes:
    one model; store_bytes, models: all models together; tensor_bytes, flops: of one model's
    inference, and of one run of a program; programs: of one client; computes: steps of one program
    that run a model; message_bytes: one gRPC message; calls: gRPC calls at a time;
    profile_seconds: of measuring one model; run_seconds: of one run of a program, however long its
    client would wait.
    """

    clients: int = 16
    lease: float = 20.0
    model_bytes: int = 2**30
    store_bytes: int = 8 * 2**30
    models: int = 4096
    tensor_bytes: int = 2**31
    flops: float = 1e12
    programs: int = 8
    computes: int = 1024
    message_bytes: int = 2**28
    calls: int = 256
    profile_seconds: float = 10.0
    run_seconds: float = 600.0

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise InvalidInput(f"limits.{name} is {value!r}; need a finite number > 0")
        if self.lease < LEAST_LEASE:
            raise InvalidInput(f"limits.lease is {self.lease!r}; need at least {LEAST_LEASE} s")


@dataclass(frozen=True, slots=True)
class HelperConfig:
    """One helper.

    listen: ``HOST:PORT``, port 0 for a free one; engine: of :data:`dds.engines.ENGINES`, runs
    everything here; runtime: how it is set; slowdown: seconds it takes per second of CPU time
    here; cache: folder of measurements, None for none.

    Raises InvalidInput naming what is out of range.
    """

    listen: str = "127.0.0.1:50061"
    name: str = "helper"
    engine: str = "onnxruntime"
    runtime: Runtime = field(default_factory=Runtime)
    slowdown: float = 1.0
    cache: Path | None = None
    limits: HelperLimits = field(default_factory=HelperLimits)

    def __post_init__(self) -> None:
        try:
            parse_address(self.listen)
        except InvalidInput as error:
            raise InvalidInput(f"listen is {error}") from error
        if self.engine not in ENGINES:
            raise InvalidInput(f"engine {self.engine!r} is none of {', '.join(ENGINES)}")
        check_slowdown("device slowdown", self.slowdown)
