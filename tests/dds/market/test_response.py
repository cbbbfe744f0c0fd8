"""One client's answers against search and enumeration, and the theorems about them."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dds.cut.pieces import Frontier
from dds.errors import Infeasible, InvalidInput
from dds.market.client import Client
from dds.market.numbers import snapped
from dds.market.replies import Quote
from dds.market.response import Bid, best_response, piece_at, reconsider, respond
from dds.market.tariff import Barrier, Clearing, Flat, Linear, PiecewiseLinear, Power, Tariff
from dds.testing import cheapest, clients, costs_in_quanta, posted, small_markets, tariffs

quick = settings(deadline=None, derandomize=True, max_examples=70)

#: Local-only takes 1 s, offloading one core second.
JUMPY = Client(Frontier.from_points([(1.0, 0.0), (0.0, 1.0)]), 1.0, name="jumpy")
#: A tariff of every kind that has a slope, and one that has none.
KINDS = (
    Flat(0.5, 3.0),
    Linear(0.125, 0.25),
    Linear(0.0, 0.5, 2.0),
    Power(0.125, 0.0625, 3),
    Barrier(0.25, 4.0),
    PiecewiseLinear((0.0, 1.0, 2.0), (0.125, 0.25, 2.0), 3.5),
)
kinds = st.sampled_from(KINDS)
flexible = clients(max_min_share=0.25).map(lambda c: replace(c, max_share=min(c.max_share, 8.0)))


def cost_of(client: Client, share: Fraction, price: Fraction) -> Fraction:
    """``w T(f) + f price`` from the definition."""
    waits = [
        Fraction(p.base_latency) + (Fraction(p.server_work) / share if share else 0)
        for p in client.frontier.pieces
        if (p.server_work == 0.0) == (share == 0)
    ]
    return Fraction(client.value_of_time) * min(waits) + share * price


@st.composite
def held_by_others(draw: st.DrawFn, tariff: Tariff) -> float:
    """X, of which enough is left for any client here to be served."""
    most = tariff.capacity - 1.0 if math.isfinite(tariff.capacity) else 20.0
    return draw(st.sampled_from([0.0, most / 2.0]) | st.floats(0.0, most))


# --- against search -----------------------------------------------------------------------------


@quick
@given(flexible, kinds, st.data())
def test_best_response_costs_no_more_than_any_share(
    client: Client, tariff: Tariff, data: st.DataObject
) -> None:
    others = data.draw(held_by_others(tariff))
    bid = best_response(client, tariff, others)
    exact = Fraction(others)
    room = None if math.isinf(tariff.capacity) else Fraction(tariff.capacity) - exact
    if tariff.strict and room is not None:
        room -= room / 2**40
    least, _ = cheapest(client, lambda f: tariff.exact_price(exact + f), room)
    share = Fraction(bid.share)
    own = cost_of(client, share, tariff.exact_price(exact + share))
    assert own <= least * (1 + Fraction(1, 10**9))
    assert math.isclose(bid.cost, float(own), rel_tol=1e-12)
    if client.frontier.pieces[bid.piece].server_work:
        assert client.min_share <= bid.share <= client.max_share
    else:
        assert bid.share == 0.0


@settings(deadline=None, derandomize=True, max_examples=70)
@given(small_markets(max_clients=1), st.integers(0, 6))
def test_best_response_in_quanta_is_the_best_of_all_multiples(market, held: int) -> None:
    """Exactly, with ties to the smaller share and then to the smaller piece."""
    (client,), tariff, quantum = market.clients, market.tariff, market.quantum
    sells = posted(tariff, quantum)
    waits = costs_in_quanta(client, quantum)
    units = {n: sells((held + n) * quantum) if n else Fraction(0) for n in waits}
    options = [(waits[n] + n * quantum * unit, n) for n, unit in units.items() if unit is not None]
    if not options:
        with pytest.raises(Infeasible, match="leaves too little"):
            best_response(client, tariff, float(held * quantum), quantum=quantum)
        return
    bid = best_response(client, tariff, float(held * quantum), quantum=quantum)
    cost, count = min(options)
    assert Fraction(bid.share) / quantum == pytest.approx(count)
    assert bid.cost == pytest.approx(float(cost), rel=1e-12)
    assert bid.piece == fastest(client, count * quantum)


def fastest(client: Client, share: Fraction) -> int:
    """The fastest piece at a share, the first of equals."""
    return min(
        (Fraction(p.base_latency) + (Fraction(p.server_work) / share if share else 0), k)
        for k, p in enumerate(client.frontier.pieces)
        if (p.server_work == 0.0) == (share == 0)
    )[1]


@quick
@given(
    flexible,
    st.floats(1e-3, 1e3),
    st.just(0.0) | st.floats(1e-3, 1e3),
    st.just(math.inf) | st.floats(1.0, 4.0),
)
def test_respond_costs_no_more_than_any_share(
    client: Client, price: float, slope: float, load: float
) -> None:
    bid = respond(client, Quote(load, price, slope))
    p, d = Fraction(price), Fraction(slope)
    room = None if math.isinf(load) else Fraction(load)
    least, _ = cheapest(client, lambda f: p + d * f / 2, room)
    share = Fraction(bid.share)
    own = cost_of(client, share, p + d * share / 2)
    assert own <= least * (1 + Fraction(1, 10**9))
    assert math.isclose(bid.cost, float(own), rel_tol=1e-12)


@settings(deadline=None, derandomize=True, max_examples=70)
@given(small_markets(max_clients=1), st.sampled_from([0.0, 0.1, 1.0, 8.0]), st.data())
def test_respond_in_quanta_is_the_best_of_all_multiples(
    market, price: float, data: st.DataObject
) -> None:
    (client,), quantum = market.clients, market.quantum
    slope = data.draw(st.sampled_from([0.0, 0.5, 3.0]))
    load = data.draw(st.integers(1, 7))
    p, d = Fraction(price) * quantum, Fraction(slope) * quantum * quantum / 2
    waits = costs_in_quanta(client, quantum)
    options = [(wait + n * p + n * n * d, n) for n, wait in waits.items() if n <= load]
    bid = respond(client, Quote(float(load * quantum), price, slope), quantum=quantum)
    if not options:
        assert bid.cost == math.inf
        assert bid.share == float(min(waits) * quantum)
        return
    cost, count = min(options)
    assert Fraction(bid.share) / quantum == pytest.approx(count)
    assert bid.cost == pytest.approx(float(cost), rel=1e-12)


@quick
@given(flexible, kinds, st.data())
def test_who_is_probed_moves_only_for_a_gain(
    client: Client, tariff: Tariff, data: st.DataObject
) -> None:
    others = data.draw(held_by_others(tariff))
    best = best_response(client, tariff, others)
    assert reconsider(client, tariff, best.share, others) == replace_cost(best, best.cost)
    if best.share > client.min_share:
        off = best.share * data.draw(st.sampled_from([0.5, 1.0 - 1e-3, 1.0 - 1e-7]))
        off = max(off, client.min_share)
        moved = reconsider(client, tariff, off, others)
        assert moved.share in (off, best.share)
        assert moved.cost <= best.cost * (1.0 + 2e-9)
        assert moved.share == best.share or moved.cost >= best.cost


def replace_cost(bid: Bid, cost: float) -> Bid:
    return Bid(bid.share, bid.piece, pytest.approx(cost, rel=1e-12))  # type: ignore[arg-type]


@quick
@given(small_markets(max_clients=1), st.data())
def test_who_is_probed_in_quanta_moves_only_for_a_gain(market, data: st.DataObject) -> None:
    (client,), tariff, quantum = market.clients, market.tariff, market.quantum
    waits, sells = costs_in_quanta(client, quantum), posted(tariff, quantum)
    costs = {
        n: wait + n * quantum * unit
        for n, wait in waits.items()
        if (unit := sells(n * quantum)) is not None
    }
    here = data.draw(st.sampled_from(sorted(costs)))
    bid = reconsider(client, tariff, float(here * quantum), 0.0, quantum=quantum)
    least = min(costs.values())
    expected = here if costs[here] == least else min(n for n in costs if costs[n] == least)
    assert Fraction(bid.share) / quantum == pytest.approx(expected)


# --- the theorems -------------------------------------------------------------------------------


@quick
@given(flexible, kinds, st.data())
def test_lemma_a_a_best_response_never_rises_with_what_others_buy(
    client: Client, tariff: Tariff, data: st.DataObject
) -> None:
    less, more = sorted(data.draw(held_by_others(tariff)) for _ in range(2))
    assume(more - less > 1e-6)
    before, after = (best_response(client, tariff, x).share for x in (less, more))
    assert after <= before * (1.0 + 1e-9)


@quick
@given(small_markets(max_clients=1), st.integers(0, 6), st.integers(0, 6))
def test_lemma_a_in_quanta(market, one: int, other: int) -> None:
    (client,), tariff, quantum = market.clients, market.tariff, market.quantum
    if any(map(math.isinf, (client.max_share,))) or all(
        p.server_work for p in client.frontier.pieces
    ):
        client = replace(  # without local-only it might not fit
            client, frontier=Frontier((*client.frontier.pieces, JUMPY.frontier.pieces[0]))
        )
    less, more = sorted((one, other))
    room = tariff.room_quanta(quantum)
    assume(more <= room)
    before, after = (
        best_response(client, tariff, float(n * quantum), quantum=quantum).share
        for n in (less, more)
    )
    assert after <= before


@quick
@given(flexible, st.floats(1e-3, 10.0), st.floats(1.0, 10.0), st.floats(0.0, 1.0))
def test_answers_to_a_quote_never_rise_with_price_or_slope(
    client: Client, price: float, factor: float, slope: float
) -> None:
    low = respond(client, Quote(8.0, price, slope)).share
    assert respond(client, Quote(8.0, price * factor, slope)).share <= low * (1.0 + 1e-12)
    assert respond(client, Quote(8.0, price, slope * factor)).share <= low * (1.0 + 1e-12)


@quick
@given(flexible, kinds, st.floats(0.25, 3.0), st.booleans())
def test_theorem_c_an_answer_within_the_load_is_a_best_response(
    client: Client, tariff: Tariff, load: float, left: bool
) -> None:
    """f in argmin w T + pi(F) f + d f^2/2, f <= F, is best against X = F - f; any subgradient."""
    exact = Fraction(load)
    assume(tariff.admits(exact))
    slope = tariff.exact_left_slope(exact) if left else tariff.exact_slope(exact)
    bid = respond(client, Quote(tariff.capacity, float(tariff.exact_price(exact)), float(slope)))
    assume(math.isfinite(bid.cost) and bid.share <= load)
    best = best_response(client, tariff, load - bid.share)
    share = Fraction(bid.share)
    own = cost_of(client, share, tariff.exact_price(exact))
    assert float(own) <= best.cost * (1.0 + 1e-9)


@quick
@given(flexible, kinds, st.floats(0.25, 2.5), st.floats(0.7, 1.4))
def test_theorem_c_prime_bounds_the_regret_of_a_missed_load(
    client: Client, tariff: Tariff, load: float, miss: float
) -> None:
    """F posted, F' played: regret <= D^2 / (4 pi'(F') - 2 pi'(F)), where that is positive."""
    f0, f1 = Fraction(load), Fraction(load * miss)
    assume(tariff.admits(f0) and tariff.admits(f1))
    d0, d1 = tariff.exact_slope(f0), tariff.exact_slope(f1)
    assume(4 * d1 - 2 * d0 > 0)
    bid = respond(client, Quote(tariff.capacity, float(tariff.exact_price(f0)), float(d0)))
    share = Fraction(bid.share)
    assume(math.isfinite(bid.cost) and share <= f1)
    price = tariff.exact_price(f1)
    apart = price - tariff.exact_price(f0) + share * (d1 - d0)
    own = cost_of(client, share, price)
    best = best_response(client, tariff, float(f1 - share))
    bound = apart * apart / (4 * d1 - 2 * d0)
    assert float(own) - best.cost <= float(bound) + 1e-9 * float(own)


@quick
@given(st.lists(flexible, min_size=2, max_size=3), st.data())
def test_an_affine_tariff_has_an_exact_potential(players, data: st.DataObject) -> None:
    """P = sum w T + p0 F + s (F^2 + sum f^2)/2 changes by what the mover gains."""
    base, slope = Fraction(1, 8), Fraction(1, 4)
    tariff = Linear(float(base), float(slope))
    shares = [Fraction(best_response(c, tariff, 0.0).share) for c in players]
    mover = data.draw(st.integers(0, len(players) - 1))
    others = sum(shares) - shares[mover]
    target = Fraction(best_response(players[mover], tariff, float(others)).share)

    def waits(profile: list[Fraction]) -> Fraction:
        return sum(
            (cost_of(c, f, Fraction(0)) for c, f in zip(players, profile, strict=True)),
            Fraction(0),
        )

    def potential(profile: list[Fraction]) -> Fraction:
        total = sum(profile)
        squares = sum(f * f for f in profile)
        return waits(profile) + base * total + slope * (total * total + squares) / 2

    moved = [*shares[:mover], target, *shares[mover + 1 :]]
    gain = cost_of(
        players[mover], shares[mover], tariff.exact_price(others + shares[mover])
    ) - cost_of(players[mover], target, tariff.exact_price(others + target))
    assert potential(shares) - potential(moved) == gain


# --- ties, bounds, refusals ---------------------------------------------------------------------


def test_demand_jumps_from_2_to_0_at_price_a_quarter() -> None:
    """2 sqrt(p) = 1 at p = 1/4, where f = sqrt(1/p) = 2."""
    assert respond(JUMPY, Quote(math.inf, 0.25 * (1 - 1e-9), 0.0)).share == pytest.approx(2.0)
    assert respond(JUMPY, Quote(math.inf, 0.25 * (1 + 1e-9), 0.0)).share == 0.0
    tie = respond(JUMPY, Quote(math.inf, 0.25, 0.0))
    assert tie == Bid(0.0, 0, 1.0), "on a tie the smaller share"


def test_on_a_tie_the_smaller_piece_index_runs() -> None:
    twins = Client(Frontier.from_points([(9.0, 0.0), (0.5, 1.0), (0.5, 1.0), (1.0, 0.5)]), 1.0)
    assert best_response(twins, Flat(0.25), 0.0).piece == 1
    assert piece_at(twins, 1.0) == 1, "(0.5, 1) and (1, 0.5) are equal at one core"
    assert piece_at(twins, 1.001) == 1
    assert piece_at(twins, 0.999) == 3
    assert piece_at(twins, 0.0) == 0


def test_where_no_piece_can_run_is_refused() -> None:
    robot = Client(Frontier.from_points([(0.5, 1.0)]), 1.0)
    with pytest.raises(InvalidInput, match="no piece to run there"):
        piece_at(robot, 0.0)
    local = Client(Frontier.from_points([(0.5, 0.0)]), 1.0)
    with pytest.raises(InvalidInput, match="no piece to run there"):
        piece_at(local, 0.5)


@pytest.mark.parametrize(("low", "high", "share"), [(0.0, 0.5, 0.5), (3.0, 9.0, 3.0)])
def test_a_share_is_clamped_to_the_clients_bounds(low: float, high: float, share: float) -> None:
    bounded = Client(Frontier.from_points([(0.0, 1.0)]), 1.0, low, high)
    assert best_response(bounded, Flat(1.0), 0.0).share == share
    assert respond(bounded, Quote(10.0, 1.0, 0.0)).share == share


def test_a_quotes_bounds_hold_a_client_on_its_side() -> None:
    free = Quote(4.0, 0.2, 0.0)
    assert respond(JUMPY, free).share == pytest.approx(math.sqrt(5.0))
    assert respond(JUMPY, replace(free, at_most=1.0)).share == 0.0, "1 core is not worth it"
    dear = Quote(4.0, 1.0, 0.0)
    assert respond(JUMPY, dear).share == 0.0
    assert respond(JUMPY, replace(dear, at_least=1.5)) == Bid(1.5, 1, 1.0 / 1.5 + 1.5)


@pytest.mark.parametrize("others", [-1.0, math.nan, math.inf])
def test_what_others_buy_must_be_cores(others: float) -> None:
    with pytest.raises(InvalidInput, match="others is"):
        best_response(JUMPY, Flat(1.0), others)
    with pytest.raises(InvalidInput, match="others is"):
        reconsider(JUMPY, Flat(1.0), 0.0, others)


def test_who_must_offload_and_finds_no_room_is_told_why() -> None:
    robot = Client(Frontier.from_points([(0.5, 1.0)]), 1.0, 0.5)
    with pytest.raises(Infeasible, match=r"1.75 of 2 cores.*min_share 0.5"):
        best_response(robot, Flat(1.0, 2.0), 1.75)
    assert respond(robot, Quote(0.25, 1.0, 0.0)) == Bid(0.5, -1, math.inf)


def test_at_price_0_without_a_limit_no_share_is_best() -> None:
    with pytest.raises(Infeasible, match="price is 0"):
        best_response(JUMPY, Flat(0.0), 0.0)
    assert best_response(JUMPY, Clearing(3.0), 1.0).share == 2.0
    assert best_response(replace(JUMPY, max_share=7.0), Flat(0.0), 0.0).share == 7.0


@quick
@given(tariffs(capacity=2.0), st.sampled_from([0.0, 0.5, 1.5]))
def test_a_barrier_or_capacity_is_never_exceeded(tariff: Tariff, others: float) -> None:
    """C is never oversold, and a pole never reached, however much a client wants."""
    greedy = Client(Frontier.from_points([(9.0, 0.0), (0.0, 1.0)]), 1e9)
    share = best_response(greedy, tariff, others).share
    load = Fraction(others) + Fraction(share)
    assert tariff.admits(load)
    assert load > Fraction(19, 10)
    in_quanta = best_response(greedy, tariff, others, quantum=Fraction(1, 4)).share
    assert others + in_quanta == (1.75 if tariff.strict else 2.0)


def test_bounds_mean_the_multiple_they_are_next_to() -> None:
    """0.3 is three tenths, although the double is a little less."""
    bounded = Client(Frontier.from_points([(0.0, 1.0)]), 1.0, 0.0, 0.3)
    assert snapped(0.3, Fraction(1, 10)) == Fraction(3, 10)
    assert best_response(bounded, Flat(1e-3), 0.0, quantum=0.1).share == 0.3
