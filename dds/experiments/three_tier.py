"""Exact plans over three tiers against six baselines: models x networks x markets.

In each market every model has the same number of clients, all on one kind of network.  Each plans
over device, edge and cloud and buys its share of the edge (:func:`dds.tier_frontier`,
:func:`dds.competitive` under :class:`dds.Clearing`); the cloud is free of charge and has room for
everybody.  Then, for each model, the exact plan meets the baselines of
:mod:`dds.tiers.baselines` and chain two-point search, **all at one share of the edge**:

    f = min(max_share, sqrt(w We(V) / p))

what edge-only buys at the posted price p (its best response).  No plan has more edge work, so
nobody would buy more: no baseline gets less of the edge than it could have.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from types import MappingProxyType

from dds.costs.device import DEVICES, Device
from dds.costs.link import Link
from dds.costs.roofline import server_times
from dds.errors import InvalidInput
from dds.market.client import Client
from dds.market.equilibrium import Equilibrium, competitive
from dds.market.tariff import Clearing
from dds.model.graph import ModelGraph
from dds.model.importer import load_model
from dds.model.zoo import NAMES, topology
from dds.tiers.baselines import BASELINES, tier_baselines, two_point
from dds.tiers.links import Offer, TierLinks
from dds.tiers.solver import three_tier, tier_frontier

__all__ = ["MARKETS", "NETWORKS", "REPORTED", "Cell", "Setting", "Summary", "run", "summary"]

#: For scale: what the end-edge-cloud plans of FGCS 140:422-435 (2023) are reported to save over six
#: baselines of their own, on models and networks of their own.
REPORTED = 0.2081
#: Relative difference below which two latencies are the same but for rounding.
SAME = 1e-9
#: Cores; as for markets.
_LEAST = 1e-100
#: Per model: each of them is an object.
_MOST_CLIENTS = 100_000
#: Every client's w, credits/s per s.  The scale is free where the price clears the market.
VALUE_OF_TIME = 1.0


def _link(uplink: float, downlink: float, rtt: float) -> Link:
    """From Mbit/s and s."""
    return Link(uplink * 1e6 / 8.0, downlink * 1e6 / 8.0, rtt)


#: Device to edge. Uplinks: DADS (Hu et al., INFOCOM 2019). Round trip: Scission (2020), whatever
#: the network. Downlinks are our choice, as in the demo.
NETWORKS: Mapping[str, Link] = MappingProxyType(
    {
        "3G": _link(1.1, 4.0, 0.0667),
        "4G": _link(5.85, 20.0, 0.0667),
        "WiFi": _link(18.88, 50.0, 0.0667),
    }
)
#: Scission again.
EDGE_CLOUD = _link(50.0, 50.0, 0.02)
#: Clients per model.
MARKETS: Mapping[str, int] = MappingProxyType({"light": 1, "heavy": 40})


@dataclass(frozen=True)
class Setting:
    """What is simulated.

    models: of the zoo; device, edge, cloud: a device, and one core of each server; cloud_share:
    cores of the cloud that a client has; capacity: C of the edge, cores; max_share: the most cores
    that one inference can use there; markets: clients per model, by name; networks: device to edge,
    by name; edge_cloud: the second hop; direct_rtt: round trip of the direct path, s, which has the
    bandwidth of the client's network.

    Raises InvalidInput for no model or one twice, and for counts and cores out of range.
    """

    models: Sequence[str] = NAMES
    device: Device = DEVICES["raspberry-pi-3b"]
    edge: Device = DEVICES["edge-core"]
    cloud: Device = DEVICES["cloud-gpu"]
    cloud_share: float = 1.0
    capacity: float = 36.0
    max_share: float = 4.0
    markets: Mapping[str, int] = field(default_factory=lambda: MARKETS)
    networks: Mapping[str, Link] = field(default_factory=lambda: NETWORKS)
    edge_cloud: Link = EDGE_CLOUD
    direct_rtt: float = 0.1

    def __post_init__(self) -> None:
        if not self.models or len(set(self.models)) < len(self.models):
            raise InvalidInput(f"models are {', '.join(self.models) or 'none'}; name each once")
        for name in ("cloud_share", "capacity", "max_share"):
            cores = getattr(self, name)
            if not _LEAST <= cores <= 1.0 / _LEAST:
                raise InvalidInput(f"{name} is {cores!r}; need cores from 1e-100 to 1e+100")
        if self.max_share > self.capacity:
            raise InvalidInput(
                f"max_share {self.max_share:g} is above the capacity of {self.capacity:g} cores"
            )
        for name, count in self.markets.items():
            if not 1 <= count <= _MOST_CLIENTS:
                raise InvalidInput(
                    f"markets: {name} has {count} clients per model; need 1 to {_MOST_CLIENTS}"
                )

    def links(self, network: str) -> TierLinks:
        """All links of a client on that network."""
        near = self.networks[network]
        direct = Link(near.uplink, near.downlink, self.direct_rtt)
        return TierLinks(near, self.edge_cloud, direct)


@dataclass(frozen=True)
class Cell:
    """One model on one network in one market; latencies in s.

    price: credits/s per core of the edge; bought: mean share of the model's clients at the
    equilibrium, cores; share: f at which all are compared, cores; operators: of the exact plan, on
    device, edge and cloud; direct: whether that passes by the edge; exact: its latency; baselines:
    theirs, by name; two_point: that of chain two-point search.
    """

    network: str
    market: str
    model: str
    price: float
    bought: float
    share: float
    operators: tuple[int, int, int]
    direct: bool
    exact: float
    baselines: Mapping[str, float]
    two_point: float

    @property
    def best(self) -> float:
        """The least latency of the baselines, s."""
        return min(self.baselines.values())

    def saved(self, than: float) -> float:
        """By what part of a latency the exact plan is faster; 0 for a tie."""
        return 0.0 if _same(self.exact, than) else 1.0 - self.exact / than


def _same(one: float, other: float) -> bool:
    """Whether two latencies differ by rounding only."""
    return math.isclose(one, other, rel_tol=SAME)


def run(setting: Setting, on_cell: Callable[[int, int], None] | None = None) -> tuple[Cell, ...]:
    """All cells, by network, market and model; on_cell is told how many of how many are done.

    Raises InvalidInput for a model that the zoo has not.
    """
    graphs = {name: load_model(topology(name)) for name in setting.models}
    total = len(setting.networks) * len(setting.markets) * len(graphs)
    cells: list[Cell] = []
    for network in setting.networks:
        equilibria = _equilibria(setting, graphs, setting.links(network))
        for (market, count), equilibrium in zip(setting.markets.items(), equilibria, strict=True):
            bought = equilibrium.shares.reshape(len(graphs), count).mean(axis=1)
            for (name, graph), own in zip(graphs.items(), bought.tolist(), strict=True):
                where = network, market, name
                cells.append(_cell(setting, where, graph, equilibrium.price, own))
                if on_cell is not None:
                    on_cell(len(cells), total)
    return tuple(cells)


def _equilibria(
    setting: Setting, graphs: Mapping[str, ModelGraph], links: TierLinks
) -> list[Equilibrium]:
    """The equilibrium of each market on one network; clients stand by model."""
    tiers, cloud = (setting.device, setting.edge, setting.cloud), Offer(setting.cloud_share)
    found = [
        (name, tier_frontier(graph, *tiers, links, cloud_offer=cloud, value_of_time=VALUE_OF_TIME))
        for name, graph in graphs.items()
    ]
    return [
        competitive(
            [
                Client(
                    choice.frontier,
                    VALUE_OF_TIME,
                    max_share=setting.max_share,
                    name=f"{name}-{k}",
                )
                for name, choice in found
                for k in range(count)
            ],
            Clearing(setting.capacity),
        )
        for count in setting.markets.values()
    ]


def _cell(
    setting: Setting,
    where: tuple[str, str, str],
    graph: ModelGraph,
    price: float,
    bought: float,
) -> Cell:
    network, market, model = where
    tiers, links = (setting.device, setting.edge, setting.cloud), setting.links(network)
    share = setting.max_share
    if price > 0.0:
        work = float(server_times(graph, setting.edge).sum())
        share = min(share, math.sqrt(VALUE_OF_TIME * work / price))
    # No price: whatever the plan, the share is there, and what is compared is latency.
    edge, cloud = Offer(share), Offer(setting.cloud_share)
    exact = three_tier(graph, *tiers, links, edge_offer=edge, cloud_offer=cloud)
    others = tier_baselines(graph, *tiers, links, edge_offer=edge, cloud_offer=cloud)
    chain = two_point(graph, *tiers, links, edge_offer=edge, cloud_offer=cloud)
    return Cell(
        network=network,
        market=market,
        model=model,
        price=price,
        bought=bought,
        share=share,
        operators=(len(exact.on_device), len(exact.on_edge), len(exact.on_cloud(graph))),
        direct=exact.direct,
        exact=exact.latency(share),
        baselines={name: plan.latency(share) for name, plan in others.items()},
        two_point=chain.latency(share),
    )


@dataclass(frozen=True)
class Summary:
    """What the cells say together.

    saved: mean of what the exact plan saves, per baseline, a part of the baseline's latency; ties:
    cells in which it saves nothing; overall: the mean over all baselines and cells; best: the mean
    against the best of the baselines in each cell; best_ties; two_point_ties: cells in which chain
    two-point search finds as good a plan; three_tiers: cells in which the exact plan uses all
    three; worse: cells in which anything is faster than the exact plan, which would be a defect.
    """

    cells: int
    saved: Mapping[str, float]
    ties: Mapping[str, int]
    overall: float
    best: float
    best_ties: int
    two_point_ties: int
    three_tiers: int
    worse: int


def summary(cells: Sequence[Cell]) -> Summary:
    """Means and counts over at least one cell."""
    saved = {name: fmean(c.saved(c.baselines[name]) for c in cells) for name in BASELINES}
    return Summary(
        cells=len(cells),
        saved=saved,
        ties={name: sum(_same(c.exact, c.baselines[name]) for c in cells) for name in BASELINES},
        overall=fmean(saved.values()),
        best=fmean(c.saved(c.best) for c in cells),
        best_ties=sum(_same(c.exact, c.best) for c in cells),
        two_point_ties=sum(_same(c.exact, c.two_point) for c in cells),
        three_tiers=sum(all(c.operators) for c in cells),
        worse=sum(c.saved(min(c.best, c.two_point)) < 0.0 for c in cells),
    )
