"""Best replies in quanta by galloping, against looking at every number of quanta."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from dds.market.exact import ExactClient, exact_client, tariff_payment
from dds.market.table import ClientTable
from dds.market.tariff import Barrier, Linear, Power
from dds.testing import costs_in_quanta, small_markets

quick = settings(deadline=None, derandomize=True, max_examples=60)

UNIT = Fraction(1, 10)
TARIFFS = st.sampled_from([Linear(0.1, 0.2), Power(0.0, 0.5, 3), Barrier(0.1, 10.0)])
works = st.sampled_from([Fraction(1, 100), Fraction(1), Fraction(7), Fraction(1000)]) | (
    st.fractions(Fraction(1, 997), 1000, max_denominator=997)
)


@quick
@given(TARIFFS, works, st.integers(0, 30), st.integers(1, 5), st.integers(0, 50), st.integers())
def test_best_is_the_first_of_the_cheapest_whatever_the_guess(
    tariff, work: Fraction, held: int, low: int, more: int, guess: int
) -> None:
    high = low + more
    payment = tariff_payment(tariff.on_grid(UNIT), held * UNIT, UNIT)
    client = ExactClient((), None, low, high, UNIT)
    cheapest = min(range(low, high + 1), key=lambda n: (work / (n * UNIT) + payment(n), n))
    assert client.best(work, payment, guess) == cheapest


@quick
@given(works, st.integers(0, 10**6))
def test_without_a_bound_best_stops_where_the_next_is_no_cheaper(
    work: Fraction, guess: int
) -> None:
    payment = tariff_payment(Linear(0.1, 0.2).on_grid(UNIT), Fraction(1), UNIT)
    best = ExactClient((), None, 1, None, UNIT).best(work, payment, guess)

    def cost(n: int) -> Fraction:
        return work / (n * UNIT) + payment(n)

    assert cost(best) <= cost(best + 1)
    assert best == 1 or cost(best) < cost(best - 1)


@quick
@given(small_markets(max_clients=1), st.sampled_from([Fraction(0), Fraction(1, 3), Fraction(4)]))
def test_reply_is_the_cheapest_of_all_quanta(market, price: Fraction) -> None:
    (one,), unit = market.clients, market.quantum
    table = ClientTable.of([one])
    low, high = table.bounds(unit)
    client = exact_client(table, 0, float(low[0]), float(high[0]), unit)
    waits = costs_in_quanta(one, unit)
    cost, count = min((wait + n * unit * price, n) for n, wait in waits.items())
    found = client.reply(lambda n: n * unit * price, lambda _: 1)
    assert found[:2] == (cost, count)
    assert client.waiting(count)[0] == waits[count]


def test_a_pole_costs_more_than_anything() -> None:
    payment = tariff_payment(Barrier(1.0, 1.0).on_grid(UNIT), Fraction(5, 10), UNIT)
    assert payment(4) == Fraction(4, 10) * 10
    assert payment(5) > 10**300
