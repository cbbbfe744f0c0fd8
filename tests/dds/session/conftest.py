"""Small markets for the protocol's tests."""

import itertools
from collections.abc import Callable, Sequence
from fractions import Fraction

import numpy as np
import pytest

from dds.cut.pieces import Frontier
from dds.market.client import Client
from dds.market.tariff_base import Tariff
from dds.session.client import ClientSession
from dds.session.messages import ReferenceCore, Terms
from dds.session.server import MarketServer
from dds.session.timing import Timing
from dds.testing.fake_link import FakeMarket, Fates, perfect

CORE = ReferenceCore("edge-core", 2e10, 1e10, 5e-6)


def some_clients(count: int, seed: int = 0) -> list[Client]:
    """Clients by name, each with a local-only piece and two ways to offload."""
    rng = np.random.default_rng(seed)
    return [
        Client(
            Frontier.from_points(
                [
                    (0.1 + 0.2 * rng.random(), 0.5 + rng.random()),
                    (0.5 + 0.2 * rng.random(), 0.2),
                    (2.0 + 2.0 * rng.random(), 0.0),
                ]
            ),
            value_of_time=0.5 + rng.random(),
            max_share=4.0,
            name=f"client-{i:03d}",
        )
        for i in range(count)
    ]


def some_server(
    tariff: Tariff,
    *,
    quorum: int = 1,
    quantum: Fraction | None = None,
    timing: Timing | None = None,
) -> MarketServer:
    """A server that sells all the tariff allows; leases are L0, L1, ..."""
    terms = Terms(tariff, tariff.capacity, CORE, quantum)
    leases = (f"L{i}" for i in itertools.count())
    return MarketServer(terms, leases=leases, quorum=quorum, timing=timing)


def play(
    clients: Sequence[Client],
    tariff: Tariff,
    fates: Fates = perfect,
    *,
    quantum: Fraction | None = None,
    timing: Timing | None = None,
) -> FakeMarket:
    """One market played until everybody holds its allocation."""
    server = some_server(tariff, quorum=len(clients), quantum=quantum, timing=timing)
    market = FakeMarket(server, fates)
    for client in clients:
        market.add(ClientSession(client.name, f"nonce of {client.name}"), client)
    market.run(market.is_settled)
    return market


@pytest.fixture(scope="session", name="some_clients")
def _some_clients() -> Callable[..., list[Client]]:
    return some_clients


@pytest.fixture(scope="session", name="some_server")
def _some_server() -> Callable[..., MarketServer]:
    return some_server


@pytest.fixture(scope="session", name="play")
def _play() -> Callable[..., FakeMarket]:
    return play
