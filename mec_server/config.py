"""What an operator sets, checked once at the start."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from dds.errors import InvalidInput
from dds.profile.runtime import Runtime
from dds.session.limits import HostLimits
from dds.session.messages import Terms
from dds.session.timing import Timing
from dds.units import parse_address

__all__ = ["Limits", "ServerConfig"]

#: Names of this machine for itself, and for all of its addresses at once.
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})
_ANY = frozenset({"0.0.0.0", "[::]"})  # noqa: S104 -- compared, not bound


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits(HostLimits):
    """Bounds on what clients may ask of the machine; all > 0.

    run_seconds: one inference, unpaced; queue: calls waiting or running per lease; profile_runs: of
    measuring one model for a client; profiles: measurements kept in memory.
    """

    queue: int = 16
    profile_runs: int = 40
    profiles: int = 256


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """One ``mec-server``.

    terms: what is for sale, on which reference core; listen: ``HOST:PORT``, port 0 for a free
    one; upstream: ``HOST:PORT`` of the server that calls are passed to, None for none;
    quorum: clients that must be ready before the first round; timing: of the protocol;
    workers: threads that run kernels, by default one per CPU; runtime: how onnxruntime is set;
    profiles: folder of measurements, kept over restarts, None for none; limits: on clients.

    Raises InvalidInput naming what is out of range.
    """

    terms: Terms
    listen: str = "127.0.0.1:50051"
    upstream: str | None = None
    quorum: int = 1
    timing: Timing = field(default_factory=Timing)
    workers: int = field(default_factory=lambda: os.cpu_count() or 1)
    runtime: Runtime = field(default_factory=Runtime)
    profiles: Path | None = None
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        _check_address("listen", self.listen, least_port=0)
        if self.upstream is not None:
            _check_address("upstream", self.upstream, least_port=1)
            if _reaches_itself(self.listen, self.upstream):
                raise InvalidInput(
                    f"upstream is {self.upstream!r}, where this server listens itself; name the "
                    "one behind it"
                )
        for name in ("quorum", "workers"):
            if getattr(self, name) < 1:
                raise InvalidInput(f"{name} is {getattr(self, name)!r}; need at least 1")


def _reaches_itself(listen: str, upstream: str) -> bool:
    """Whether an upstream is the server that listens there, by a host's own names for itself."""
    (here, port), (there, upstream_port) = parse_address(listen), parse_address(upstream)
    return port == upstream_port and (
        here == there or {here, there} <= _LOOPBACK or (here in _ANY and there in _ANY | _LOOPBACK)
    )


def _check_address(where: str, address: str, *, least_port: int) -> None:
    try:
        _, port = parse_address(address)
    except InvalidInput as error:
        raise InvalidInput(f"{where} is {error}") from error
    if port < least_port:
        raise InvalidInput(f"{where} is {address!r}; need a port from {least_port} on")
