"""A market whose clients have helpers: what they do at the price of before, and what it becomes.

Every model has the same number of clients, all on one link to one server; each has a device and
helpers of its own.  First all play alone (:func:`dds.frontier`), and the price clears the server.
Then a single client is given its helpers, at that price (:func:`dds.parallel_frontier`); then all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from dds.costs.device import DEVICES, Device
from dds.costs.link import Link
from dds.cut.pieces import Frontier
from dds.errors import InvalidInput
from dds.experiments.parallel import Setting
from dds.experiments.three_tier import SAME
from dds.market.client import Client
from dds.market.equilibrium import Equilibrium, competitive
from dds.market.response import best_response
from dds.market.tariff import Clearing, Flat
from dds.model.importer import load_model
from dds.model.zoo import build
from dds.parallel.frontier import ParallelFrontier, parallel_frontier
from dds.parallel.normalise import normalise

__all__ = ["Bought", "HelpedMarket", "Row", "Server", "document", "lines", "play", "rows"]

#: Every client's w, credits/s per s.  The scale is free where the price clears the market.
_VALUE_OF_TIME = 1.0
#: Per model: each of them is an object.
_MOST_CLIENTS = 100_000
#: Cuts scheduled beyond those of the frontier without helpers.
_MOST = 16


@dataclass(frozen=True)
class Server:
    """Who sells: core, one of its cores; capacity and max_share, cores; clients per model.

    Raises InvalidInput for counts and cores out of range.
    """

    core: Device = DEVICES["edge-core"]
    capacity: float = 36.0
    max_share: float = 4.0
    clients: int = 10

    def __post_init__(self) -> None:
        if not 1 <= self.clients <= _MOST_CLIENTS:
            raise InvalidInput(f"clients is {self.clients}; need 1 to {_MOST_CLIENTS} per model")
        if not 0.0 < self.max_share <= self.capacity:
            raise InvalidInput(f"max_share is {self.max_share!r}; need cores > 0 up to capacity")

    def client(self, frontier: Frontier, name: str) -> Client:
        """One that can use as many cores as an inference can."""
        return Client(frontier, _VALUE_OF_TIME, max_share=self.max_share, name=name)


@dataclass(frozen=True)
class Bought:
    """What a client does at a price: its share, cores; latency, s; cost w T + p f, credits/s."""

    share: float
    latency: float
    cost: float


@dataclass(frozen=True)
class Row:
    """The clients of one model.

    alone: without helpers, at the price that clears the server if nobody has any; helped: the first
    to have them, at the same price; all_helped: any of them at the price if all have them; offer:
    the frontier with helpers.
    """

    model: str
    alone: Bought
    helped: Bought
    all_helped: Bought
    offer: ParallelFrontier

    @property
    def saved(self) -> float:
        """By what part the cost is lower with helpers at the same price; 0 for a tie."""
        ours, alone = self.helped.cost, self.alone.cost
        return 0.0 if _same(ours, alone) else 1.0 - ours / alone


@dataclass(frozen=True)
class HelpedMarket:
    """The market with and without helpers: price, credits/s per core, and cores sold of each."""

    helpers: tuple[float, ...]
    network: str
    link: str
    price: float
    sold: float
    helped_price: float
    helped_sold: float
    rows: tuple[Row, ...]


def play(
    setting: Setting,
    link: tuple[str, Link],
    server: Server,
    on_row: Callable[[int, int], None] | None = None,
) -> tuple[HelpedMarket, ...]:
    """A market for each network and group of helpers; on_row counts the frontiers found.

    link: of every client to the server, with its name.  Raises InvalidInput for a model that the
    zoo has not.
    """
    graphs = {name: load_model(normalise(build(name))) for name in setting.models}
    total = len(setting.networks) * len(setting.helpers) * len(graphs)
    done = 0
    markets = []
    for network, links in setting.networks.items():
        for helpers in setting.helpers:
            offers = {}
            for name, graph in graphs.items():
                team = setting.team(helpers)
                offers[name] = parallel_frontier(
                    graph, team, links, server.core, link[1], most=_MOST
                )
                done += 1
                if on_row is not None:
                    on_row(done, total)
            markets.append(_market(server, helpers, network, link[0], offers))
    return tuple(markets)


def _market(
    server: Server,
    helpers: tuple[float, ...],
    network: str,
    link: str,
    offers: Mapping[str, ParallelFrontier],
) -> HelpedMarket:
    alone = {name: offer.alone for name, offer in offers.items()}
    helped = {name: offer.frontier for name, offer in offers.items()}
    before, after = _cleared(server, alone), _cleared(server, helped)
    return HelpedMarket(
        helpers, network, link, before.price, before.total, after.price, after.total,
        tuple(
            Row(
                name,
                _bought(server, alone[name], before.price),
                _bought(server, helped[name], before.price),
                _bought(server, helped[name], after.price),
                offer,
            )
            for name, offer in offers.items()
        ),
    )  # fmt: skip


def _cleared(server: Server, frontiers: Mapping[str, Frontier]) -> Equilibrium:
    clients = [
        server.client(frontier, f"{name}-{k}")
        for name, frontier in frontiers.items()
        for k in range(server.clients)
    ]
    return competitive(clients, Clearing(server.capacity))


def _bought(server: Server, frontier: Frontier, price: float) -> Bought:
    bid = best_response(server.client(frontier, ""), Flat(price), 0.0)
    return Bought(bid.share, frontier.latency(bid.share), bid.cost)


def rows(market: HelpedMarket) -> list[tuple[str, ...]]:
    """A head and a row per model; shares in cores, latencies in ms."""
    head = ("model", "alone: cores", "ms", "helped: cores", "ms", "cost lower by",
            "all helped: cores", "ms", "pieces", "cuts tried", "above bound")  # fmt: skip
    return [
        head,
        *(
            (
                row.model,
                *_shown(row.alone),
                *_shown(row.helped),
                f"{100.0 * row.saved:.1f} %" if row.saved else "tie",
                *_shown(row.all_helped),
                str(len(row.offer.plans)),
                f"{row.offer.scheduled}" + ("" if row.offer.complete else "+"),
                f"{100.0 * row.offer.gap:.0f} %",
            )
            for row in market.rows
        ),
    ]


def _shown(bought: Bought) -> tuple[str, str]:
    return f"{bought.share:.3f}", f"{1e3 * bought.latency:.1f}"


def lines(market: HelpedMarket) -> list[str]:
    """What the market is, and what helpers did to it."""
    speeds = "+".join(f"{speed:g}" for speed in market.helpers)
    less, more = _moved((row.alone.share, row.helped.share) for row in market.rows)
    sooner, later = _moved((row.alone.latency, row.helped.latency) for row in market.rows)
    where = f"helpers {speeds} by {market.network}, server by {market.link}"
    models = "1 model" if len(market.rows) == 1 else f"{len(market.rows)} models"
    same = f"with helpers at that price, of {models} {less} buy less, {more} more"
    alone = f"{market.sold:.1f} cores are sold at {market.price:.3g} credits/s each"
    helped = f"{market.helped_sold:.1f} cores at {market.helped_price:.3g}"
    return [
        f"{where}: alone, {alone if market.price else _given(market.sold)}",
        f"{same}; {sooner} wait less, {later} longer",
        f"if all have helpers, {helped if market.helped_price else _given(market.helped_sold)}",
    ]


def _given(cores: float) -> str:
    """What becomes of cores at price 0: no more are wanted than there are."""
    if not cores:
        return "nobody wants any core, even at price 0"
    return f"{cores:.1f} cores are taken at price 0, nobody wants more"


def _moved(pairs: Iterable[tuple[float, float]]) -> tuple[int, int]:
    """How many fell and how many rose."""
    apart = [(before, after) for before, after in pairs if not _same(before, after)]
    fell = sum(after < before for before, after in apart)
    return fell, len(apart) - fell


def _same(one: float, other: float) -> bool:
    """Whether two numbers differ by rounding only."""
    return math.isclose(one, other, rel_tol=SAME)


def document(markets: tuple[HelpedMarket, ...], server: Server) -> dict[str, Any]:
    """Everything as the JSON document "dds-helped/1": seconds, cores, credits/s."""
    return {
        "format": "dds-helped/1",
        "server": {
            "core": server.core.name,
            "capacity": server.capacity,
            "max_share": server.max_share,
            "clients_per_model": server.clients,
        },
        "markets": [
            {
                "helpers": list(market.helpers),
                "network": market.network,
                "link": market.link,
                "price": market.price,
                "sold": market.sold,
                "helped_price": market.helped_price,
                "helped_sold": market.helped_sold,
                "models": [
                    {
                        "model": row.model,
                        **{
                            name: {"share": b.share, "latency_s": b.latency, "cost": b.cost}
                            for name, b in (
                                ("alone", row.alone),
                                ("helped", row.helped),
                                ("all_helped", row.all_helped),
                            )
                        },
                        "pieces": len(row.offer.plans),
                        "scheduled": row.offer.scheduled,
                        "complete": row.offer.complete,
                        "gap": row.offer.gap,
                    }
                    for row in market.rows
                ],
            }
            for market in markets
        ],
    }
