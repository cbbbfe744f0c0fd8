"""Who takes part in the demo: models, emulated devices, links, and one server.

Kernels are real; speeds are emulated.  A device of slowdown s needs s times the CPU time
that this machine's core needs; links are shaped to the uplinks of DADS (Hu et al., INFOCOM
2019): 3G 1.1, 4G 5.85 and WiFi 18.88 Mbit/s.
"""

from __future__ import annotations

from dataclasses import dataclass

from dds.costs.link import Link

__all__ = ["DEMO", "LINKS", "Participant", "Scenario"]


def _mbit(uplink: float, downlink: float, rtt: float) -> Link:
    return Link(uplink * 1e6 / 8, downlink * 1e6 / 8, rtt)


#: Uplinks of DADS; downlinks and round trips are usual figures for each kind of network.
LINKS = {
    "3G": _mbit(1.1, 4.0, 0.060),
    "4G": _mbit(5.85, 20.0, 0.030),
    "WiFi": _mbit(18.88, 50.0, 0.008),
}


@dataclass(frozen=True, slots=True)
class Participant:
    """One ``mec-client``.

    model: name in the zoo; slowdown: of the emulated device, in CPU time of this machine's
    core; link: key of LINKS; value_of_time: w, credits/s per s of latency.
    """

    name: str
    model: str
    slowdown: float
    link: str
    value_of_time: float


@dataclass(frozen=True, slots=True)
class Scenario:
    """A run of the demo.

    capacity: C, in reference cores; core_slowdown: a reference core is this machine's core,
    slowed by that factor (so the whole server needs capacity / core_slowdown real cores);
    max_share: most cores one inference can use; quantum: the tradable unit, as a decimal;
    base_price: of the barrier tariff, credits/s per core;
    inferences: how many each client runs per strategy.
    """

    participants: tuple[Participant, ...]
    capacity: float
    core_slowdown: float
    max_share: float
    quantum: str
    base_price: float
    inferences: int


#: Eight clients on eight of the zoo's topologies; together they want more than is for sale.
DEMO = Scenario(
    participants=(
        Participant("camera-1", "vgg19", 6.0, "WiFi", 2.0),
        Participant("camera-2", "resnet50", 26.0, "4G", 1.0),
        Participant("drone-1", "densenet121", 24.0, "WiFi", 1.0),
        Participant("drone-2", "inception_v2", 36.0, "4G", 1.0),
        Participant("phone-1", "alexnet", 60.0, "4G", 1.0),
        Participant("phone-2", "inception_v1", 24.0, "WiFi", 1.0),
        Participant("robot-1", "squeezenet", 160.0, "3G", 1.0),
        Participant("robot-2", "shufflenet", 40.0, "4G", 1.0),
    ),
    capacity=5.0,
    core_slowdown=4.0,
    max_share=4.0,
    quantum="0.001",
    base_price=0.1,
    inferences=4,
)
