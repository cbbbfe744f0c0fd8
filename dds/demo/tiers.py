"""The three-tier experiment, measured: a cloud, an edge and one client after another, all real.

Kernels are real and speeds emulated.  In the simulation, squeezenet takes the device 60 times as
long as the cloud, and a core of the edge 12 times; so it does here.  The cloud's core is this
machine's, which is about 9 times slower than the cloud that is simulated; so the links are that
much slower, too, and what is measured is the simulated setting in slow motion.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from statistics import median
from types import MappingProxyType
from typing import Any

from dds.costs.link import Link
from dds.demo.processes import Event, Talker, finish, started
from dds.errors import InvalidInput
from dds.experiments.three_tier import Setting

__all__ = ["MODELS", "NETWORK", "WAYS", "Emulation", "MeasuredCell", "Measurement", "measure"]

#: What the client calls its strategies, and what they are called here.
WAYS: Mapping[str, str] = MappingProxyType(
    {
        "dds": "exact",
        "local-only": "device-only",
        "edge-only": "edge-only",
        "cloud-only": "cloud-only",
    }
)
#: Those for which the exact plan differs.
MODELS, NETWORK = ("squeezenet", "alexnet", "resnet50"), "WiFi"


@dataclass(frozen=True, slots=True)
class Emulation:
    """How the tiers are made of this machine.

    device, edge, cloud: seconds on the device, and on one core of either server, per second of CPU
    time here; stretch: by what factor bandwidths are lower and round trips longer than named.

    Raises InvalidInput for a factor that is not from 1e-3 to 1e6.
    """

    device: float = 60.0
    edge: float = 12.0
    cloud: float = 1.0
    stretch: float = 9.0

    def __post_init__(self) -> None:
        for name in self.__slots__:
            factor = getattr(self, name)
            if not 1e-3 <= factor <= 1e6:
                raise InvalidInput(f"emulation.{name} is {factor!r}; need a factor of 1e-3 to 1e6")

    def stretched(self, link: Link) -> Link:
        """The link in slow motion."""
        return Link(
            link.uplink / self.stretch, link.downlink / self.stretch, link.rtt * self.stretch
        )


@dataclass(frozen=True)
class Measurement:
    """What is measured: the models and networks of `setting`, one client alone in the market.

    setting: its devices and markets are not used; inferences: per cell and way; seed: of weights
    and inputs.  The edge asks the price that clears it, which is 0 for one client; so does the
    cloud.

    Raises InvalidInput for less than one inference, and for shares that this machine cannot
    give: one inference runs on one core.
    """

    setting: Setting
    emulation: Emulation = field(default_factory=Emulation)
    inferences: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        if self.inferences < 1:
            raise InvalidInput(f"inferences is {self.inferences}; need at least 1")
        if self.seed < 0:
            raise InvalidInput(f"seed is {self.seed}; need a whole number >= 0")
        for name, share, slowdown in (
            ("max_share", self.setting.max_share, self.emulation.edge),
            ("cloud_share", self.setting.cloud_share, self.emulation.cloud),
        ):
            if share > slowdown:
                raise InvalidInput(
                    f"{name} is {share:g}; a core that is emulated {slowdown:g} times slower than "
                    f"this machine's can be had {slowdown:g} times at most"
                )

    @property
    def total(self) -> int:
        """Inferences of all cells together."""
        cells = len(self.setting.models) * len(self.setting.networks)
        return cells * len(WAYS) * self.inferences


@dataclass(frozen=True)
class MeasuredCell:
    """One model on one network; latencies in s, by the values of :data:`WAYS`.

    operators: of the exact plan, on device, edge and cloud; direct: whether it passes by the edge;
    share: what it bought there, cores; price: of one; predicted: before anything was measured but
    the model on this machine; measured: every inference; difference: the largest of any output from
    the whole model's; outputs_match: whether all are close enough to be called the same.
    """

    network: str
    model: str
    operators: tuple[int, int, int]
    direct: bool
    share: float
    price: float
    predicted: Mapping[str, float]
    measured: Mapping[str, tuple[float, ...]]
    difference: float
    outputs_match: bool

    def latency(self, way: str) -> float:
        """The median of what was measured, s."""
        return median(self.measured[way])

    @property
    def best(self) -> str:
        """The baseline with the least latency."""
        return min((way for way in self.measured if way != "exact"), key=self.latency)

    @property
    def same(self) -> str:
        """The baseline whose plan the exact one is; "" where it is another."""
        alone = [tier for tier, count in zip(_TIERS, self.operators, strict=True) if count]
        return f"{alone[0]}-only" if len(alone) == 1 else ""


_TIERS = ("device", "edge", "cloud")


async def measure(
    wanted: Measurement, on_event: Callable[[str, Event], None]
) -> tuple[MeasuredCell, ...]:
    """All cells, by network and model.

    on_event(who, event) sees every event of the processes, who being "cloud", "edge" or
    "MODEL on NETWORK".  Raises InternalError with the last words of a process that failed.
    """
    cells: list[MeasuredCell] = []
    async with AsyncExitStack() as stack:

        async def begin(name: str, *flags: str) -> tuple[Talker, str]:
            command = [sys.executable, "-m", "mec_server", "--json", "--listen", "127.0.0.1:0"]
            server = await stack.enter_async_context(started(name, [*command, *flags]))
            listening = await anext(server.events())
            on_event(name, listening)
            return server, listening["address"]

        setting, emulation = wanted.setting, wanted.emulation
        cloud, far = await begin("cloud", *_for_sale(setting.cloud_share, emulation.cloud))
        edge, near = await begin(
            "edge", *_for_sale(setting.capacity, emulation.edge), "--upstream", far
        )
        for network in setting.networks:
            for model in setting.models:
                command = client_command(wanted, network, model, near, far)
                async with started(f"{model} on {network}", command) as client:
                    (done,) = await finish([client], [cloud, edge], on_event)
                cells.append(_cell(network, model, done["strategies"]))
    return tuple(cells)


def _for_sale(capacity: float, slowdown: float) -> tuple[str, ...]:
    return ("--tariff", "clearing", "--capacity", repr(capacity), "--quantum", "none",
            "--core-slowdown", repr(slowdown))  # fmt: skip


def client_command(
    wanted: Measurement, network: str, model: str, edge: str, cloud: str
) -> list[str]:
    """The command line of a cell's ``mec-client``; edge, cloud: addresses."""
    setting, emulation = wanted.setting, wanted.emulation
    links = setting.links(network)
    assert links.device_cloud is not None  # noqa: S101 -- a setting always has one
    near, second, direct = map(
        emulation.stretched, (links.device_edge, links.edge_cloud, links.device_cloud)
    )
    return [
        *(sys.executable, "-m", "clients", "--json", "--server", edge, "--cloud", cloud),
        *("--name", "client", "--model", f"zoo:{model}", "--seed", str(wanted.seed)),
        *("--device-slowdown", repr(emulation.device), "--max-share", repr(setting.max_share)),
        *("--uplink", f"{near.uplink!r}B/s", "--downlink", f"{near.downlink!r}B/s"),
        *("--rtt", repr(near.rtt), "--cloud-rtt", repr(direct.rtt)),
        *("--tiers", "--cloud-share", repr(setting.cloud_share)),
        *("--edge-cloud-uplink", f"{second.uplink!r}B/s"),
        *("--edge-cloud-downlink", f"{second.downlink!r}B/s"),
        *("--edge-cloud-rtt", repr(second.rtt)),
        *("--strategy", ",".join(WAYS), "--inferences", str(wanted.inferences), "--one-game"),
    ]


def _cell(network: str, model: str, results: Mapping[str, Mapping[str, Any]]) -> MeasuredCell:
    """From what the client reported of each strategy."""
    exact = results["dds"]
    cut = exact["cut"]
    device, edge, cloud = (cut[f"operators_on_{tier}"] for tier in _TIERS)
    return MeasuredCell(
        network=network,
        model=model,
        operators=(device, edge, cloud),
        direct=cut["direct"],
        share=exact["share"],
        price=exact["price"],
        predicted={way: results[name]["uncorrected_latency_s"][0] for name, way in WAYS.items()},
        measured={way: tuple(results[name]["measured_latency_s"]) for name, way in WAYS.items()},
        difference=max(result["max_abs_difference"] for result in results.values()),
        outputs_match=all(result["outputs_match"] for result in results.values()),
    )
