"""Another game is asked for when it pays, and not again at once."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clients.adapting import LEAST_SAVING, Watch, saving
from dds.cut.pieces import Frontier
from dds.market.client import Client
from dds.market.equilibrium import nash
from dds.market.tariff import Barrier, Clearing
from dds.predict.correction import Times
from dds.session.messages import Allocation, ReferenceCore, Terms

CORE = ReferenceCore("core", 1e10, 1e10, 0.0)
PREDICTED = Times(0.1, 0.05, 0.2)


def watched(ratios: list[float], watch: Watch | None = None) -> tuple[Watch, list[int]]:
    """The watch after inferences whose device takes so many times longer, and when it was due."""
    watch, due = watch or Watch(), []
    for index, ratio in enumerate(ratios):
        watch = watch.observe(Times(0.1 * ratio, 0.05, 0.2), PREDICTED)
        if watch.due:
            due.append(index)
            watch = watch.looked(again=True)
    return watch, due


def test_a_sustained_slow_down_is_looked_at_once() -> None:
    _, due = watched([1.0] * 10 + [2.0] * 30)
    assert due == [13]


def test_a_device_that_flickers_does_not_flap() -> None:
    _, due = watched(([1.0] * 6 + [2.0] * 6) * 10)
    assert due
    assert all(b - a >= 8 for a, b in pairwise(due))


def test_a_change_during_the_rest_is_looked_at_afterwards() -> None:
    # Slower at the 11th, and again at the 17th: it is noticed before the rest is over.
    _, due = watched([1.0] * 10 + [2.0] * 6 + [4.0] * 20)
    assert due == [13, 21]


@settings(deadline=None, max_examples=60)
@given(st.lists(st.floats(0.97, 1.03), max_size=60))
def test_noise_asks_for_nothing(ratios: list[float]) -> None:
    assert watched(ratios)[1] == []


def client(name: str, a: float, w: float) -> Client:
    return Client(Frontier.from_points([(a, w), (2.0, 0.0)]), 1.0, 0.0, 2.0, name)


@pytest.mark.parametrize("tariff", [Clearing(2.0), Barrier(0.1, 2.0)], ids=["clearing", "barrier"])
def test_in_equilibrium_nothing_is_saved_and_after_a_change_something_is(tariff) -> None:
    clients = [client("anna", 0.05, 0.2), client("ben", 0.1, 0.3)]
    found = nash(clients, tariff, quantum=0.001)
    shares = [float(share) for share in found.shares]
    terms = Terms(tariff, 2.0, CORE)
    held = Allocation("l", 1, shares[0], found.price, sum(shares), shares[1],
                      shares[0] * found.price, 1)  # fmt: skip
    piece = clients[0].frontier.pieces[0]
    assert saving(clients[0], piece.latency(shares[0]), held, terms) < 0.01
    # The way to the server has become as long as computing here takes.
    worse = client("anna", 3.0, 0.2)
    gained = saving(worse, 3.0 + 0.2 / shares[0], held, terms)
    assert LEAST_SAVING < gained < 1.0


def test_where_the_price_is_0_only_the_cut_counts() -> None:
    free = Allocation("l", 1, 1.0, 0.0, 1.0, 0.0, 0.0, 1)
    terms = Terms(Clearing(8.0), 8.0, CORE)
    greedy = Client(Frontier.from_points([(0.1, 0.2), (2.0, 0.0)]), 1.0)
    assert saving(greedy, 0.3, free, terms) == 0.0
    assert saving(greedy, 0.6, free, terms) == pytest.approx(0.5)
