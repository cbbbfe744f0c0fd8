"""The fake link does what it says to messages, and nothing else."""

import itertools

import numpy as np
import pytest

from dds.errors import InvalidInput
from dds.market.tariff import Clearing
from dds.session.client import ClientSession
from dds.session.messages import ReferenceCore, Terms
from dds.session.server import MarketServer
from dds.session.states import ClientState
from dds.session.timing import Timing
from dds.testing.fake_link import FakeMarket, Fates, Weather, perfect, scripted

TIMING = Timing(lease=9.0, retry=1.0, longest_retry=4.0)


def market(fates: Fates = perfect) -> FakeMarket:
    terms = Terms(Clearing(1.0), 1.0, ReferenceCore("core", 1e9, 1e9, 0.0))
    leases = (f"L{i}" for i in itertools.count())
    return FakeMarket(MarketServer(terms, leases=leases, timing=TIMING), fates)


def test_weather_is_seeded_and_has_the_odds_it_claims() -> None:
    def draw(seed: int) -> list[tuple[float, ...]]:
        weather = Weather(
            np.random.default_rng(seed), loss=0.3, repeat=0.5, shortest=0.1, longest=0.2
        )
        return [tuple(weather()) for _ in range(4000)]

    fates = draw(1)
    assert fates == draw(1) != draw(2)
    lost = sum(not fate for fate in fates)
    twice = sum(len(fate) == 2 for fate in fates)
    assert lost / 4000 == pytest.approx(0.3, abs=0.03)
    assert twice / (4000 - lost) == pytest.approx(0.5, abs=0.03)
    assert all(0.1 <= delay <= 0.2 for fate in fates for delay in fate)
    with pytest.raises(InvalidInput, match=r"weather\.loss is 1\.0"):
        Weather(np.random.default_rng(0), loss=1.0)


def test_scripts_come_in_order_and_then_the_link_is_whole() -> None:
    fates = scripted([(), (1.0, 2.0)])
    assert [tuple(fates()) for _ in range(4)] == [(), (1.0, 2.0), (0.001,), (0.001,)]


def test_lost_repeated_and_late_messages_are_counted_and_timed() -> None:
    # The Join is lost; its repetition at 1 s arrives at 2 s and again at 2.5 s.
    fake = market(scripted([(), (1.0, 1.5), (0.25,)]))
    agent = ClientSession("a", "n", timing=TIMING)
    fake.add(agent)
    fake.run(lambda: agent.state is ClientState.ADMITTED)
    assert fake.now == 2.25
    assert (fake.up, fake.down, fake.lost) == (2, 1, 1)
    fake.run_for(0.5)
    assert fake.now == 2.75
    assert fake.down == 2  # the second copy was answered, too


def test_streams_break_and_clients_vanish() -> None:
    fake = market()
    agent = ClientSession("a", "n", timing=TIMING)
    fake.add(agent)
    fake.run(lambda: agent.state is ClientState.ADMITTED)
    fake.disconnect("a")
    fake.release("a")  # says so to nobody
    fake.run_for(1.0)
    assert fake.server.knows("L0")
    fake.reconnect("a")
    fake.run(lambda: agent.state is ClientState.LEFT)
    assert not fake.server.knows("L0")
    fake.crash("a")
    assert fake.sessions == {}
    with pytest.raises(InvalidInput, match="does not hold by"):
        fake.run(lambda: False, limit=100.0)
