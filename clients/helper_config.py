"""What one ``mec-client --helper`` is told, checked once at the start."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from dds.engines import ENGINES
from dds.errors import InvalidInput
from dds.profile.runtime import Runtime
from dds.session.helping import LEAST_LEASE, check_slowdown
from dds.session.limits import HostLimits
from dds.units import parse_address

__all__ = ["HelperConfig", "HelperLimits"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HelperLimits(HostLimits):
    """Bounds on what clients may ask of a helper; all > 0.

    clients: at a time; lease: seconds of silence after which a client is forgotten, 1 or more;
    models: at a time; programs: of one client; computes: steps of one program that run a model;
    calls: gRPC calls at a time; run_seconds: one run of a program, however long its client would
    wait.  tensor_bytes and flops hold for such a run, too.
    """

    clients: int = 16
    lease: float = 20.0
    models: int = 4096
    programs: int = 8
    computes: int = 1024
    calls: int = 256
    run_seconds: float = 600.0

    def __post_init__(self) -> None:
        HostLimits.__post_init__(self)
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
