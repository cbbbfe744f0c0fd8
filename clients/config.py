"""What one ``mec-client`` is told, checked once at the start."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clients.slowdown import Slowdown
from clients.team_config import TeamConfig
from dds.costs import Link
from dds.costs.trace import LinkTrace
from dds.errors import InvalidInput
from dds.profile.runtime import Runtime

__all__ = [
    "IN_CLOUD",
    "STRATEGIES",
    "AgentConfig",
    "CloudConfig",
    "Emit",
    "Pause",
    "check_strategies",
]

STRATEGIES = ("dds", "local-only", "edge-only", "cloud-only")
#: Those that rent a share of the cloud, where there is one.
IN_CLOUD = ("dds", "cloud-only")

#: Told of everything that happens, as one JSON object each.
Emit = Callable[[Mapping[str, Any]], None]
#: Waits until whoever runs several agents lets this one go on; told where it stands.
Pause = Callable[[str, str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class CloudConfig:
    """The tier behind the server.

    link: between edge and cloud; share: cores to rent there; direct_rtt: of a path past the edge,
    which has the bandwidth of the device's link, s, None without one.

    Raises InvalidInput for numbers out of range.
    """

    link: Link
    share: float = 1.0
    direct_rtt: float | None = None

    def __post_init__(self) -> None:
        if not 0.0 < self.share < float("inf"):
            raise InvalidInput(f"cloud.share is {self.share!r}; need a finite number of cores > 0")


@dataclass(frozen=True, slots=True)
class AgentConfig:
    """One ``mec-client``.

    model: ``zoo:NAME`` or a path; shapes: of its inputs that leave them open; slowdown: seconds the
    device takes per second of CPU time here; value_of_time: w, credits/s per s; min_share,
    max_share: cores; inferences: per strategy; one_game: learn from inferences, but never ask for
    another game; runtime: of the device; seed: of weights and inputs; connect: seconds within which
    a server has to be reachable at first; repeats, budget (s): of the profile; measure_cuts:
    seconds for measuring the best few cuts directly, 0 for none; measure_there: longest that
    bringing the whole model to a server of another platform may take, s, so that it can be measured
    there, 0 for never; cache: folder of measurements; trace: how the link changes from the first
    inference of a strategy on (`link` is how it is before), None if it does not; cloud: behind the
    server, None where the client uses none; helpers: other devices that run parts of what runs on
    this one, None for none.

    Raises InvalidInput for an unknown or repeated strategy, cloud-only without a cloud, and for
    numbers out of range.
    """

    name: str
    model: str
    slowdown: Slowdown
    link: Link
    value_of_time: float
    min_share: float = 0.0
    max_share: float = float("inf")
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    inferences: int = 3
    strategies: tuple[str, ...] = ("dds",)
    one_game: bool = False
    runtime: Runtime = field(default_factory=Runtime)
    seed: int = 0
    connect: float = 10.0
    repeats: int = 40
    budget: float = 0.8
    measure_cuts: float = 2.0
    measure_there: float = 60.0
    cache: Path | None = None
    trace: LinkTrace | None = None
    cloud: CloudConfig | None = None
    helpers: TeamConfig | None = None

    def __post_init__(self) -> None:
        check_strategies(self.strategies)
        if "cloud-only" in self.strategies and self.cloud is None:
            raise InvalidInput("strategy cloud-only: only with --tiers")
        if self.helpers is not None and self.cloud is not None:
            raise InvalidInput("helpers: not together with a cloud behind the server")
        if self.inferences < 1:
            raise InvalidInput(f"inferences is {self.inferences}; need at least 1")
        if self.seed < 0:
            raise InvalidInput(f"seed is {self.seed}; need a whole number >= 0")
        for name in ("connect", "measure_cuts", "measure_there"):
            if not 0.0 <= getattr(self, name) < float("inf"):
                raise InvalidInput(f"{name} is {getattr(self, name)!r}; need seconds >= 0")


def check_strategies(strategies: Sequence[str]) -> None:
    """Raises InvalidInput for an unknown or repeated one, and for none."""
    for strategy in strategies:
        if strategy not in STRATEGIES:
            raise InvalidInput(f"strategy {strategy!r} is not one of {', '.join(STRATEGIES)}")
    if not strategies or len(set(strategies)) < len(strategies):
        raise InvalidInput("strategies: need at least one, and none twice")
