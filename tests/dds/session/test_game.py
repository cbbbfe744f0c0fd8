"""Both sides together on a fake link: whatever it does, the outcome is the library's."""

import itertools
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dds
from dds.cut.pieces import Frontier
from dds.market.client import Client
from dds.market.tariff import Barrier, Clearing, Flat, Linear, Power
from dds.market.tariff_base import Tariff
from dds.session.client import ClientSession
from dds.session.messages import Code
from dds.session.states import ClientState, MarketState
from dds.session.timing import Timing
from dds.testing.fake_link import FakeMarket, Weather, scripted

MILLICORE = Fraction(1, 1000)
TARIFFS = {
    "clearing": Clearing(2.0),
    "flat": Flat(0.3, 2.0),
    "linear": Linear(0.05, 0.3, 4.0),
    "power": Power(0.05, 0.1, 3, 4.0),
    "barrier": Barrier(0.2, 2.0),
}
STORMS = {
    "perfect": lambda: Weather(np.random.default_rng(0)),
    "lossy": lambda: Weather(np.random.default_rng(1), loss=0.4),
    "stormy": lambda: Weather(np.random.default_rng(2), loss=0.3, repeat=0.5, longest=3.0),
}
PATIENT = Timing(lease=600.0)


def shares(market: FakeMarket) -> list[float]:
    """What each client holds, in order of name, as it knows itself."""
    held = [market.sessions[name].settlement for name in sorted(market.sessions)]
    return [s.allocation.share for s in held if s is not None]


@pytest.mark.parametrize("storm", STORMS)
@pytest.mark.parametrize("quantum", [None, MILLICORE])
@pytest.mark.parametrize("kind", TARIFFS)
def test_the_outcome_is_the_librarys_whatever_the_link_does(
    some_clients, play, kind: str, quantum: Fraction | None, storm: str
) -> None:
    clients, tariff = some_clients(6), TARIFFS[kind]
    expected = dds.nash(clients, tariff, quantum=quantum)
    market = play(clients, tariff, STORMS[storm](), quantum=quantum, timing=PATIENT)
    assert shares(market) == list(expected.shares)
    outcome = market.settled[-1].outcome
    assert (outcome.price, outcome.rounds) == (expected.price, expected.rounds)
    assert outcome.total <= tariff.capacity
    for client, cut, latency in zip(clients, expected.pieces, expected.latencies, strict=True):
        held = market.sessions[client.name].settlement
        assert held.objections == ()
        assert held.regret <= (0.0 if quantum else 1e-6 * held.cost)
        assert (held.piece, held.latency) == (cut, latency)
    assert [s.epoch for s in market.settled] == [1]


@settings(deadline=None, max_examples=20)
@given(st.lists(st.lists(st.floats(0.0, 5.0), max_size=3), max_size=80), st.integers(0, 10**6))
def test_no_choice_of_fates_changes_the_outcome(some_clients, play, fates, seed: int) -> None:
    clients, tariff = some_clients(3, seed), Clearing(0.5)
    market = play(clients, tariff, scripted(fates), timing=PATIENT)
    assert shares(market) == list(dds.nash(clients, tariff).shares)
    assert len(market.settled) == 1


def scaled(kind: str, count: int) -> Tariff:
    """The same market for more clients: capacity and tariff grow with their number."""
    s = count / 8
    return {
        "clearing": Clearing(2.0 * s),
        "flat": Flat(0.3, 2.0 * s),
        "linear": Linear(0.05, 0.3 / s, 4.0 * s),
        "power": Power(0.05, 0.1 / s**3, 3, 4.0 * s),
        "barrier": Barrier(0.2, 2.0 * s),
    }[kind]


@pytest.mark.parametrize("kind", TARIFFS)
def test_rounds_do_not_depend_on_the_number_of_clients(play, kind: str) -> None:
    rng = np.random.default_rng(3)
    rounds = []
    for count in (2, 8, 64):
        clients = [
            Client(
                Frontier.from_points([(0.1, 0.3 + rng.random())]),
                value_of_time=0.5 + rng.random(),
                max_share=4.0,
                name=f"client-{i:03d}",
            )
            for i in range(count)
        ]
        market = play(clients, scaled(kind, count))
        market.run_for(1.0)  # the last messages arrive
        rounds.append(market.settled[-1].outcome.rounds)
        members = market.server.status().members
        # One bid and one post a round; joining, getting ready and accepting besides.
        assert {m.received for m in members} == {rounds[-1] + 3}
        assert {m.sent for m in members} == {rounds[-1] + 3}
    assert max(rounds) <= 55  # bisection down to neighbouring doubles would take this many
    assert max(rounds) - min(rounds) <= 8


def test_jumping_demand_costs_rounds_but_not_per_client(some_clients) -> None:
    rounds = [dds.nash(some_clients(n), scaled("clearing", n)).rounds for n in (8, 64, 512)]
    assert max(rounds) <= 90


# ---- coming and going ----------------------------------------------------------------------


def test_a_join_between_epochs_and_during_one_lead_to_the_same_outcome(some_clients, play) -> None:
    clients, tariff = some_clients(4), Clearing(1.0)
    between = play(clients[:3], tariff)
    between.add(ClientSession(clients[3].name, "n"), clients[3])
    between.run(lambda: len(between.settled) == 2 and between.is_settled())
    during = play(clients[:2], tariff)
    during.add(ClientSession(clients[2].name, "n2"), clients[2])
    during.run(lambda: during.server.state is MarketState.PLAYING)
    during.add(ClientSession(clients[3].name, "n3"), clients[3])
    during.run(lambda: len(during.settled) == 3 and during.is_settled())
    expected = list(dds.nash(clients, tariff).shares)
    assert shares(between) == shares(during) == expected
    assert [len(s.allocations) for s in during.settled] == [2, 3, 4]


def test_an_open_epoch_finishes_however_fast_clients_join(some_clients, play) -> None:
    clients, tariff = some_clients(20), Linear(0.05, 0.3, 4.0)
    market = play(clients[:2], tariff)
    for client in clients[2:]:
        market.add(ClientSession(client.name, f"n {client.name}"), client)
        market.run_for(0.01)
    market.run(market.is_settled)
    assert [d.reason for d in market.departed] == []
    assert shares(market) == list(dds.nash(clients, tariff).shares)
    sizes = [len(s.allocations) for s in market.settled]
    assert sizes == sorted(sizes)
    assert len(sizes) > 2  # some epochs finished while clients kept coming


@pytest.mark.parametrize("when", ["settled", "playing"])
def test_a_leave_frees_the_share_at_once_and_the_others_play_on(some_clients, play, when) -> None:
    clients, tariff = some_clients(5), Clearing(1.0)
    market = play(clients, tariff)
    if when == "playing":
        market.update(clients[0].name, clients[0])
        market.run(lambda: market.server.state is MarketState.PLAYING)
    leaving = market.sessions[clients[2].name]
    market.release(leaving.name)
    market.run(lambda: leaving.state is ClientState.LEFT)
    assert market.server.holds(leaving.lease) == 0.0
    market.crash(leaving.name)
    market.run(market.is_settled)
    rest = [c for c in clients if c.name != leaving.name]
    assert shares(market) == list(dds.nash(rest, tariff).shares)


def test_changed_costs_reopen_the_market(some_clients, play) -> None:
    clients, others = some_clients(3), some_clients(3, seed=9)
    market = play(clients, Clearing(1.0))
    market.update(clients[1].name, others[1])
    market.run(lambda: len(market.settled) == 2 and market.is_settled())
    changed = [clients[0], others[1], clients[2]]
    assert shares(market) == list(dds.nash(changed, Clearing(1.0)).shares)


def test_a_crashed_client_is_dropped_and_the_epoch_reopens(some_clients, play) -> None:
    clients, tariff = some_clients(4), Barrier(0.2, 1.0)
    timing = Timing(lease=5.0)
    market = play(clients, tariff, timing=timing)
    market.update(clients[0].name, clients[0])
    market.run(lambda: market.server.state is MarketState.PLAYING)
    began = market.now
    market.crash(clients[3].name)
    market.run(market.is_settled)
    assert market.now <= began + timing.lease + 1.0
    assert [(d.name, d.reason) for d in market.departed] == [(clients[3].name, Code.EXPIRED)]
    assert shares(market) == list(dds.nash(clients[:3], tariff).shares)


def test_a_broken_stream_resumes_within_its_grace(some_clients, play) -> None:
    clients = some_clients(3)
    market = play(clients, Clearing(1.0))
    lease = market.sessions[clients[1].name].lease
    market.update(clients[0].name, clients[0])
    market.run(lambda: market.server.state is MarketState.PLAYING)
    market.disconnect(clients[1].name)
    market.run_for(1.0)
    assert market.server.state is MarketState.PLAYING
    market.reconnect(clients[1].name)
    market.run(market.is_settled)
    assert market.sessions[clients[1].name].lease == lease
    assert market.departed == []
    assert [s.epoch for s in market.settled] == [1, 2]
    market.disconnect(clients[1].name)
    market.run_for(3.0)
    assert [d.reason for d in market.departed] == [Code.EXPIRED]


def test_leases_outlive_a_lossy_link_as_long_as_renewals_get_through(some_clients, play) -> None:
    weather = Weather(np.random.default_rng(5), loss=0.3, repeat=0.2, longest=0.5)
    market = play(some_clients(4), Clearing(1.0), weather, timing=Timing(lease=60.0))
    market.run_for(600.0)
    assert market.departed == []
    assert all(s.state is ClientState.HOLDING for s in market.sessions.values())
    assert market.lost > 0


# ---- liars ---------------------------------------------------------------------------------


class Contrary(ClientSession):
    """Asks for more as the posted value rises."""

    def receive(self, message, now):
        out = super().receive(message, now)
        question = getattr(message, "question", None)
        price = getattr(question, "price", None)
        return [
            bid
            if price is None or not hasattr(bid, "share")
            else type(bid)(bid.lease, bid.epoch, bid.round, min(0.1 * price, 0.5))
            for bid in out
        ]


def test_a_contrary_client_is_removed_and_the_honest_ones_get_their_equilibrium(
    some_clients, some_server
) -> None:
    clients, tariff = some_clients(4), Clearing(1.0)
    market = FakeMarket(some_server(tariff, quorum=4))
    for client in clients:
        kind = Contrary if client is clients[1] else ClientSession
        market.add(kind(client.name, f"n {client.name}"), client)
    market.run(lambda: market.sessions[clients[1].name].state is ClientState.REFUSED)
    assert market.sessions[clients[1].name].refusal.code is Code.NOT_MONOTONE
    market.crash(clients[1].name)
    market.run(market.is_settled)
    honest = [c for c in clients if c is not clients[1]]
    assert shares(market) == list(dds.nash(honest, tariff).shares)
    assert [d.reason for d in market.departed] == [Code.NOT_MONOTONE]


# ---- long runs -----------------------------------------------------------------------------


@settings(deadline=None, max_examples=6)
@given(st.integers(0, 2**32 - 1))
def test_a_busy_day_ends_in_the_equilibrium_of_who_is_left(some_clients, some_server, seed) -> None:
    rng = np.random.default_rng(seed)
    tariff, clients = Linear(0.05, 0.3, 4.0), some_clients(6, seed % 1000)
    weather = Weather(rng, loss=0.2, repeat=0.2, longest=0.3)
    market = FakeMarket(some_server(tariff, timing=Timing(lease=60.0)), weather)
    nonces = (f"n{i}" for i in itertools.count())
    left: Counter[str] = Counter()
    for _ in range(12):
        client = clients[rng.integers(len(clients))]
        agent = market.sessions.get(client.name)
        if agent is None:
            market.add(ClientSession(client.name, next(nonces)), client)
        elif rng.random() < 0.5:
            market.update(client.name, client)
        elif agent.state in (ClientState.WAITING, ClientState.PLAYING, ClientState.HOLDING):
            market.release(client.name)
            market.run(lambda agent=agent: agent.state is ClientState.LEFT)
            market.crash(client.name)
            left[client.name] += 1
        market.run_for(float(rng.exponential(0.5)))
    if not market.sessions:
        market.add(ClientSession(clients[0].name, next(nonces)), clients[0])
    market.run(market.is_settled)
    present = sorted(market.sessions)
    expected = dds.nash([c for c in clients if c.name in present], tariff)
    assert shares(market) == list(expected.shares)
    assert sum(left.values()) == len(market.departed)
