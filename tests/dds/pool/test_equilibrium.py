"""The pooled equilibrium against every profile, in rationals."""

import itertools
from dataclasses import replace
from fractions import Fraction
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dds.cut.pieces import Frontier
from dds.errors import Infeasible, InvalidInput
from dds.market.client import Client
from dds.market.table import ClientTable
from dds.pool import Measured, Pool, ProcessorSharing, pooled
from dds.pool.game import Game, descend

SETTINGS = settings(deadline=None, max_examples=90, derandomize=True)


def cameras(count: int, **fields: float) -> list[Client]:
    pieces = Frontier.from_points([(0.1, 0.05), (0.4, 0.0)])
    return [Client(pieces, **({"value_of_time": 5.0, "rate": 5.0} | fields)) for _ in range(count)]


@SETTINGS
@given(st.data())
def test_nobody_gains_by_moving_exactly(games: ModuleType, data: st.DataObject) -> None:
    instance = data.draw(games.pools())
    try:
        found = pooled(instance.clients, instance.server)
    except Infeasible:
        assert all(games.total(instance, p) is None for p in games.profiles(instance))
        return
    profile = tuple(found.pieces.tolist())
    cost = games.total(instance, profile)
    assert cost is not None
    assert found.cost == pytest.approx(float(cost), rel=1e-12)
    for i, other in games.deviations(instance, profile):
        after = games.own_cost(instance, other, i)
        assert after is None or after >= games.own_cost(instance, profile, i)
    assert not found.regret.any()


@SETTINGS
@given(st.data())
def test_the_sum_of_w_t_is_an_exact_potential(games: ModuleType, data: st.DataObject) -> None:
    """J_i = w_i T_i + V_-i (x - x_-i), term by term, moves as the total cost does."""
    instance = data.draw(games.pools())
    server = instance.server

    def cost(profile: tuple[int, ...], i: int) -> Fraction | None:
        chosen = [c.frontier.pieces[k] for c, k in zip(instance.clients, profile, strict=True)]
        loads = [
            Fraction(c.rate) * Fraction(p.server_work) / Fraction(server.capacity)
            for c, p in zip(instance.clients, chosen, strict=True)
        ]
        weights = [
            Fraction(c.value_of_time) * Fraction(p.server_work)
            for c, p in zip(instance.clients, chosen, strict=True)
        ]
        x = games.slowdown(server, sum(loads))
        before = games.slowdown(server, sum(loads) - loads[i])
        if x is None or before is None:
            return None
        own = Fraction(instance.clients[i].value_of_time) * Fraction(chosen[i].base_latency)
        return own + weights[i] * x + (sum(weights) - weights[i]) * (x - before)

    for profile in itertools.islice(games.profiles(instance), 12):
        whole = games.total(instance, profile)
        for i, other in games.deviations(instance, profile):
            after = games.total(instance, other)
            if whole is not None and after is not None:
                one, two = cost(profile, i), cost(other, i)
                assert one is not None
                assert two is not None
                assert two - one == after - whole


@SETTINGS
@given(st.data())
def test_a_social_minimum_is_an_equilibrium_and_stays(
    games: ModuleType, data: st.DataObject
) -> None:
    """So the price of stability is 1; and the solver's own moves leave the minimum alone."""
    instance = data.draw(games.pools())
    costs = {p: c for p in games.profiles(instance) if (c := games.total(instance, p)) is not None}
    if not costs:
        return
    best = min(costs, key=lambda p: costs[p])
    for i, other in games.deviations(instance, best):
        after = games.own_cost(instance, other, i)
        assert after is None or after >= games.own_cost(instance, best, i)
    table = ClientTable.of(instance.clients)
    game = Game.of(table, instance.server)
    rows = np.where(np.array(best) == table.local_piece, table.depth, best)
    end, passes = descend(game, rows)
    np.testing.assert_array_equal(end, rows)
    assert passes == 1


def test_the_equilibrium_is_nearly_always_the_social_minimum() -> None:
    """Pairs of moves are searched; what needs three clients to move may be missed, not by much.

    200 seeded pools of 2..6 clients with convex frontiers, every profile enumerated.
    """
    rng = np.random.default_rng(1)
    losses = []
    for _ in range(200):
        count, lanes = int(rng.integers(2, 7)), int(rng.integers(1, 3))
        step, slope = rng.uniform(0.01, 0.2, (3, count)), rng.uniform(0.05, 5.0, (3, count))
        work = np.vstack((np.cumsum(step[::-1], axis=0)[::-1], np.zeros(count)))
        base = np.vstack((np.zeros(count), np.cumsum(np.sort(slope, axis=0) * step, axis=0)))
        base += rng.uniform(0.01, 0.1, count)
        rate = np.exp(rng.uniform(np.log(0.1), np.log(20.0), count))
        value = rate * np.exp(rng.normal(size=count))
        found = pooled(ClientTable.from_arrays(base, work, value, rate=rate), Pool(lanes))
        every = np.array(list(itertools.product(range(4), repeat=count)))
        picked = np.arange(count)
        rho = (rate * work[every, picked]).sum(axis=1) / lanes
        borne = rho < 1.0
        x = 1.0 / (1.0 - rho[borne] ** lanes)
        waits = base[every, picked][borne] + work[every, picked][borne] * x[:, None]
        costs = (value * waits).sum(axis=1)
        losses.append(found.cost / costs.min() - 1.0)
    assert min(losses) >= -1e-12
    assert np.mean(np.array(losses) > 1e-9) <= 0.02
    assert max(losses) <= 0.05


@SETTINGS
@given(st.data())
def test_payments_are_what_others_lose_and_at_most_the_toll(
    games: ModuleType, data: st.DataObject
) -> None:
    instance = data.draw(games.pools())
    try:
        found = pooled(instance.clients, instance.server)
    except Infeasible:
        return
    clients, x = instance.clients, found.slowdown
    works = [c.frontier.pieces[k].server_work for c, k in zip(clients, found.pieces, strict=True)]
    for i, client in enumerate(clients):
        others = sum(
            c.value_of_time * w
            for j, (c, w) in enumerate(zip(clients, works, strict=True))
            if j != i
        )
        share = found.load - client.rate * works[i] / instance.server.capacity
        before = float(instance.server.slowdown(max(share, 0.0)))
        assert found.payments[i] == pytest.approx(
            others * (x - before), rel=1e-6, abs=1e-9 * found.cost
        )
        if isinstance(instance.server.slowdown, ProcessorSharing):
            assert found.payments[i] <= found.toll * client.rate * works[i] * (1 + 1e-6) + 1e-9


def test_charging_the_marginal_toll_itself_is_no_potential() -> None:
    """One client alone: its own delay is already its own, the toll charges it once more."""
    client = Client(Frontier.from_points([(0.0, 0.5), (0.8, 0.0)]), 1.0, rate=0.8)
    found = pooled([client], Pool(1))
    x = 1 / (1 - 0.4)
    assert found.pieces.tolist() == [1]  # 0.5 x = 0.833 > 0.8: alone it would compute locally
    quick = replace(client, frontier=Frontier.from_points([(0.0, 0.5), (0.9, 0.0)]))
    found = pooled([quick], Pool(1))
    assert found.pieces.tolist() == [0]
    assert found.payments.tolist() == [0.0]
    toll = x**2 * 0.5
    assert 0.5 * x + toll * 0.8 * 0.5 > 0.9  # with the toll it would not offload, at a loss


def test_the_first_of_several_starts_need_not_end_best() -> None:
    """One descent alone ends at 5.4725, in an equilibrium that no pair of clients improves."""
    offers = (
        ([(0.5, 0.0), (0.05, 0.05)], 1.0, 2.0),
        ([(0.2, 0.0), (0.12, 0.02), (0.1, 0.05)], 8.0, 5.0),
        ([(0.3, 0.0), (0.18, 0.08), (0.05, 0.2)], 2.0, 3.0),
        ([(0.9, 0.0), (0.1, 0.2)], 4.0, 3.0),
    )
    clients = [Client(Frontier.from_points(p), value_of_time=v, rate=r) for p, v, r in offers]
    assert pooled(clients, Pool(1)).cost == pytest.approx(5.1)


def test_load_follows_the_cores() -> None:
    loads = [pooled(cameras(40), Pool(cores)) for cores in (1, 2, 4, 8, 16)]
    served = [int((found.pieces == 0).sum()) for found in loads]
    assert served == sorted(served)
    assert served[0] < served[-1] == 40
    assert all(found.load < 1.0 for found in loads)
    assert [f.mean_latency for f in loads] == sorted((f.mean_latency for f in loads), reverse=True)


def test_twins_are_split_exactly() -> None:
    """Everybody is alike: the number that offloads is the best of all numbers."""
    clients = cameras(3000)
    found = pooled(clients, Pool(10))
    served = int((found.pieces == 0).sum())
    x = ProcessorSharing(10)

    def cost(n: int) -> float:
        return 5.0 * (n * (0.1 + 0.05 * float(x(n * 0.25 / 10))) + (3000 - n) * 0.4)

    assert cost(served) <= min(cost(n) for n in range(40)) * (1 + 1e-12)


@pytest.mark.parametrize("order", [[2, 0, 1], [1, 2, 0]])
def test_order_of_clients_does_not_matter_to_the_cost(order: list[int]) -> None:
    rng = np.random.default_rng(5)
    base = np.vstack((rng.uniform(0.01, 0.1, (2, 90)), rng.uniform(0.3, 2.0, 90)))
    work = np.vstack((rng.uniform(0.1, 0.4, (2, 90)), np.zeros(90)))
    value, rate = rng.uniform(0.1, 3.0, 90), rng.uniform(0.1, 2.0, 90)
    table = ClientTable.from_arrays(base, work, value, rate=rate)
    rows = np.array(order)[np.arange(90) % 3] + 3 * (np.arange(90) // 3)
    server = Pool(4)
    one, two = pooled(table, server), pooled(table.take(rows), server)
    assert two.cost == pytest.approx(one.cost, rel=2e-3)


def test_scaling_credits_or_seconds_changes_nothing() -> None:
    clients = cameras(30, value_of_time=1.0)
    one = pooled(clients, Pool(2))
    rich = pooled([replace(c, value_of_time=1024.0) for c in clients], Pool(2))
    np.testing.assert_array_equal(one.pieces, rich.pieces)
    np.testing.assert_array_equal(1024.0 * one.payments, rich.payments)
    slow = [
        replace(
            c,
            frontier=Frontier.from_points([(0.2, 0.1), (0.8, 0.0)]),
            rate=c.rate / 2,
        )
        for c in clients
    ]
    np.testing.assert_array_equal(2.0 * one.latencies, pooled(slow, Pool(2)).latencies)


def test_many_clients_are_represented_by_some_of_them() -> None:
    rng = np.random.default_rng(1)
    count = 20_000
    base = np.vstack((rng.uniform(0.01, 0.1, count), rng.uniform(0.3, 2.0, count)))
    work = np.vstack((rng.uniform(0.05, 0.4, count), np.zeros(count)))
    table = ClientTable.from_arrays(base, work, rng.uniform(0.1, 3.0, count), rate=0.5)
    loads = tuple(np.linspace(0.0, 0.99, 100).tolist())
    server = Pool(700, Measured(loads, tuple(1 / (1 - rho) for rho in loads)))
    found = pooled(table, server)
    assert 0.3 < found.load < 0.99
    game = Game.of(table, server)
    rows = np.where(found.pieces == table.local_piece, table.depth, found.pieces)
    assert descend(game, rows)[1] == 1


def test_gaps_in_a_table_and_no_offloading_piece() -> None:
    table = ClientTable.from_arrays([[np.inf, 0.1], [0.2, 0.4]], [[1.0, 0.1], [0.0, 0.0]], 1.0)
    found = pooled(table, Pool(1))
    assert found.pieces.tolist() == [1, 0]
    assert pooled([Client(Frontier.from_points([(0.3, 0.0)]), 1.0)], Pool(1)).load == 0.0


def test_who_must_offload_fits_or_is_refused() -> None:
    forced = Client(Frontier.from_points([(0.1, 0.5), (0.3, 0.25)]), 1.0, rate=1.0)
    many = [replace(forced, name=str(i)) for i in range(3)]
    assert pooled(many, Pool(1)).load == 0.75
    with pytest.raises(Infeasible, match=r"load of 1 at least, and the server bears 1"):
        pooled([*many, replace(forced, name="3")], Pool(1))


@pytest.mark.parametrize(
    ("clients", "server", "said"),
    [
        ([], Pool(1), "at least one"),
        (cameras(1), 4.0, "server is 4.0"),
        ([1.0], Pool(1), r"clients\[0\] is float"),
        ([replace(c, name="a") for c in cameras(2)], Pool(1), r"clients\[1\].name repeats 'a'"),
    ],
)
def test_wrong_arguments(clients, server, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        pooled(clients, server)
