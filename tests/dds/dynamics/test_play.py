"""Rules of play: they end where no solver's client would move, or never, and say which."""

from __future__ import annotations

import csv
import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dds.cut.pieces import Frontier
from dds.dynamics import cycling_market, damped, sequential, simultaneous
from dds.errors import Infeasible, InvalidInput
from dds.market.client import Client
from dds.market.document import Instance
from dds.market.equilibrium import nash
from dds.market.numbers import exact_share, snapped
from dds.market.response import best_response, reconsider
from dds.market.table import ClientTable
from dds.market.tariff import Barrier, Clearing, Flat, Linear
from dds.testing import cheapest, markets, pure_equilibria, small_markets

quick = settings(deadline=None, derandomize=True, max_examples=50)

JUMPY = Client(Frontier.from_points([(1.0, 0.0), (0.0, 1.0)]), 1.0, name="jumpy")
ONE = Fraction(1)


def playable(market: Instance) -> bool:
    return not isinstance(market.tariff, Clearing)


def local(market: Instance) -> bool:
    return all(any(not p.server_work for p in c.frontier.pieces) for c in market.clients)


# --- one at a time ------------------------------------------------------------------------------


@quick
@given(small_markets(concept="nash").filter(playable).filter(local))
def test_in_quanta_play_ends_in_one_of_the_equilibria_of_the_enumeration(market: Instance) -> None:
    """Best responses one at a time, compared exactly, end on a grid (Kukushkin, 2004)."""
    assert market.quantum is not None
    found = sequential(market.clients, market.tariff, quantum=market.quantum)
    assert found.converged
    assert found.cycle is None
    assert found.regrets[-1] == 0.0
    counted = tuple(round(Fraction(s) / market.quantum) for s in found.shares.tolist())
    assert counted in pure_equilibria(market.clients, market.tariff, market.quantum)


@quick
@given(markets(concept="nash", quantum=False).filter(playable).filter(local))
def test_continuous_play_ends_where_nobody_gains_much(market: Instance) -> None:
    """Theorem B: with "move if you gain more than eps" play ends; checked by a ternary search."""
    found = sequential(market.clients, market.tariff)
    assert found.converged
    total = sum(map(Fraction, found.shares.tolist()))
    for client, share in zip(market.clients, found.shares.tolist(), strict=True):
        others = total - Fraction(share)
        room = None if math.isinf(market.tariff.capacity) else market.tariff.room()
        if room is not None:
            room = max(room - others, Fraction(0)) * (1 - Fraction(market.tariff.strict, 2**40))
        best, _ = cheapest(client, lambda f, x=others: market.tariff.exact_price(x + f), room, None)
        waits = [
            Fraction(p.base_latency) + (Fraction(p.server_work) / Fraction(share) if share else 0)
            for p in client.frontier.pieces
            if (p.server_work > 0.0) == (share > 0.0)
        ]
        own = Fraction(client.value_of_time) * min(waits)
        own += Fraction(share) * market.tariff.exact_price(total)
        assert best >= own * (1 - Fraction(1, 10**7))


def test_the_solver_s_equilibrium_does_not_move() -> None:
    clients = [replace(JUMPY, name=f"{i}", value_of_time=1.0 + i) for i in range(8)]
    for tariff in (Linear(0.05, 0.05), Barrier(0.1, 6.0), Linear(0.0, 0.01, 5.0)):
        found = nash(clients, tariff, quantum=Fraction(1, 100))
        for rule in (sequential, simultaneous):
            seen = rule(clients, tariff, quantum=Fraction(1, 100), start=found.shares)
            assert (seen.converged, seen.rounds) == (True, 0)
            np.testing.assert_array_equal(seen.shares, found.shares)
            assert seen.prices[0] == pytest.approx(found.price, rel=1e-12)


def test_one_round_by_hand() -> None:
    """pi = F/8 in whole cores: the first buys 2 of (0, 1, 2), and then one more is worth less."""
    clients = [replace(JUMPY, name=name, max_share=2.0) for name in "ab"]
    seen = sequential(clients, Linear(0.0, 0.1), quantum=ONE, keep=True)
    assert seen.history is not None
    assert seen.history.tolist() == [[0.0, 0.0], [2.0, 0.0]]
    assert seen.movers.tolist() == [0, 1]
    assert seen.totals.tolist() == [0.0, 2.0]
    np.testing.assert_allclose(seen.prices, [0.0, 0.2])
    np.testing.assert_allclose(seen.regrets, [0.1, 0.0])  # 1 - (1/2 + 2 x 0.2)


def test_a_single_piece_and_a_linear_tariff_end_in_the_unique_equilibrium() -> None:
    twin = Client(Frontier.from_points([(0.5, 1.0)]), 1.0)
    clients = [replace(twin, name=f"{i}") for i in range(6)]
    start = [1.0] * 6
    for seen in (
        sequential(clients, Linear(0.0, 1.0), start=start),
        damped(clients, Linear(0.0, 1.0), weight=0.2, start=start),
    ):
        assert seen.converged
        np.testing.assert_allclose(seen.shares, 7.0 ** (-1.0 / 3.0), rtol=1e-3)


# --- all at once --------------------------------------------------------------------------------


def test_all_at_once_the_cycling_market_cycles_for_ever() -> None:
    seen = simultaneous(*cycling_market(), keep=True)
    assert (seen.converged, seen.cycle) == (False, 2)
    assert seen.history is not None
    np.testing.assert_array_equal(seen.history[1], seen.history[3])
    assert seen.totals[1] == pytest.approx(7.8, abs=0.05)
    assert seen.totals[2] == 0.0
    # Worked by hand: f = C / (1 + sqrt(p0 C^2 / (w W))) with C = 1, beside nobody.
    assert seen.shares[0] == pytest.approx(1.0 / (1.0 + math.sqrt(0.145 / 0.5)))
    assert math.isinf(seen.prices[1])
    assert math.isinf(seen.regrets[1])
    assert seen.excess[1] == pytest.approx(seen.totals[1] - 1.0)


@pytest.mark.parametrize("weight", [0.5, 0.3, 0.1])
def test_half_of_the_way_cycles_too(weight: float) -> None:
    seen = damped(*cycling_market(), weight=weight, keep=True)
    assert not seen.converged
    assert seen.cycle is not None
    assert seen.cycle > 1
    assert seen.history is not None
    period = seen.cycle
    np.testing.assert_array_equal(seen.history[-1], seen.history[-1 - period])
    assert all((seen.history[-1] != seen.history[-1 - k]).any() for k in range(1, period))


def test_who_goes_home_by_halves_arrives() -> None:
    """At a price of 1 local-only is better; 2 cores shrink to a crumb, and then to nothing."""
    stays = Client(Frontier.from_points([(0.0, 1.0)]), 1.0, name="stays")
    seen = damped([JUMPY, stays], Flat(1.0), start=[2.0, 1.0])
    assert seen.converged
    assert seen.shares.tolist() == [0.0, 1.0]
    assert 20 <= seen.rounds <= 22


def test_in_quanta_it_cycles_too_and_one_at_a_time_it_ends() -> None:
    market = cycling_market()
    assert simultaneous(*market, quantum=0.001).cycle == 2
    ended = sequential(*market, quantum=0.001)
    assert ended.converged
    assert ended.regrets[-1] == 0.0


def test_the_whole_way_at_once_is_simultaneous() -> None:
    clients = [replace(JUMPY, name=f"{i}", value_of_time=1.0 + i) for i in range(3)]
    one = damped(clients, Linear(0.1, 0.1), weight=1.0, rounds=5)
    other = simultaneous(clients, Linear(0.1, 0.1), rounds=5)
    np.testing.assert_allclose(one.totals, other.totals)


@quick
@given(markets(concept="nash").filter(playable), st.integers(0, 12))
def test_whatever_it_says_it_is_right_about(market: Instance, rounds: int) -> None:
    seen = simultaneous(market.clients, market.tariff, quantum=market.quantum, rounds=rounds)
    assert seen.rounds <= rounds
    assert len(seen.rows) == seen.rounds + 1
    assert not (seen.converged and seen.cycle)
    assert np.all(seen.regrets >= 0.0)
    if seen.converged:
        again = sequential(market.clients, market.tariff, quantum=market.quantum, start=seen.shares)
        assert again.rounds == 0
    total = sum(exact_share(s, market.quantum) for s in seen.shares.tolist())
    assert float(total) == pytest.approx(seen.totals[-1], rel=1e-12)
    if seen.excess[-1] > 0.0:
        assert total > snapped(market.tariff.capacity, market.quantum) * (1 - Fraction(1, 10**9))


# --- edges --------------------------------------------------------------------------------------


def test_a_client_that_nothing_is_left_for_regrets_it_for_ever() -> None:
    """Both must have all of the only core."""
    stuck = [Client(Frontier.from_points([(0.0, 1.0)]), 1.0, 1.0, 1.0, name) for name in ("a", "b")]
    seen = sequential(stuck, Linear(0.0, 1.0, 1.0))
    assert not seen.converged
    assert seen.cycle == 1
    assert math.isinf(seen.regrets[-1])
    assert seen.excess[-1] == 1.0


def test_a_table_is_as_good_as_a_list() -> None:
    clients, tariff = cycling_market()
    one, other = sequential(clients, tariff), sequential(ClientTable.of(clients), tariff)
    np.testing.assert_array_equal(one.shares, other.shares)
    assert not one.prices.flags.writeable


def test_rows_are_a_table_that_others_read() -> None:
    seen = simultaneous(*cycling_market())
    read = list(csv.DictReader(seen.to_csv().splitlines()))
    assert [float(row["total"]) for row in read] == seen.totals.tolist()
    assert [float(row["regret"]) for row in read] == seen.regrets.tolist()
    assert [int(row["round"]) for row in read] == [0, 1, 2, 3]


def test_no_rounds_is_a_look_at_the_start() -> None:
    seen = sequential(*cycling_market(), rounds=0)
    assert (seen.rounds, seen.converged, seen.totals.tolist()) == (0, False, [0.0])
    assert seen.regrets[0] > 0.9


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tariff": 1.0}, "tariff is 1.0"),
        ({"tariff": Clearing(1.0)}, "use tatonnement"),
        ({"start": [1.0]}, "for each of 12"),
        ({"start": [math.nan] * 12}, "start: need"),
        ({"start": [1e300] * 12}, "start: need"),
        ({"start": "abc"}, "start: need"),
        ({"rounds": -1}, "rounds is -1"),
        ({"rounds": 2.5}, "rounds is 2.5"),
        ({"tolerance": -1.0}, "tolerance is"),
        ({"clients": []}, "at least one"),
        ({"clients": ["a"]}, "need a Client"),
        ({"quantum": 0.0}, "quantum is"),
    ],
)
def test_wrong_arguments_are_one_line(arguments: dict[str, object], message: str) -> None:
    clients, tariff = cycling_market()
    given_: dict[str, object] = {"clients": clients, "tariff": tariff, **arguments}
    with pytest.raises(InvalidInput, match=message) as caught:
        sequential(**given_)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("weight", [0.0, 1.5, True, "1"])
def test_a_weight_is_a_part_of_the_way(weight: float) -> None:
    with pytest.raises(InvalidInput, match="weight is"):
        damped(*cycling_market(), weight=weight)


def test_a_free_server_without_limit_is_refused() -> None:
    with pytest.raises(Infeasible, match="give a max_share"):
        sequential([JUMPY], Flat(0.0))


def test_asking_several_at_once_is_asking_one_after_the_other() -> None:
    """A round of 40 clients against 40 single best responses."""
    rng = np.random.default_rng(5)
    clients = [
        replace(JUMPY, name=f"{i}", value_of_time=float(v))
        for i, v in enumerate(rng.lognormal(0.0, 1.0, 40))
    ]
    tariff, shares = Linear(0.05, 0.02), np.zeros(40)
    seen = sequential(clients, tariff, keep=True)
    assert seen.history is not None
    for row in seen.history[1:]:
        for i, client in enumerate(clients):
            others = math.fsum(shares.tolist()) - shares[i]
            bid = best_response(client, tariff, max(others, 0.0))
            now = reconsider(client, tariff, float(shares[i]), max(others, 0.0))
            shares[i] = now.share if now.cost <= bid.cost else bid.share
        np.testing.assert_allclose(row, shares, rtol=1e-6, atol=1e-9)
