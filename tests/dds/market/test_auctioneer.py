"""The coordinator sees nothing but shares: truthful answers end well, others are named."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings

from dds.cut.pieces import Frontier
from dds.errors import Infeasible, InvalidInput
from dds.market.auctioneer import Auctioneer, NotMonotone, Outcome, Probe, Quote
from dds.market.client import Client
from dds.market.document import Instance, solve
from dds.market.response import reconsider, respond
from dds.market.tariff import Barrier, Clearing, Flat, Linear
from dds.market.tariff_base import Tariff
from dds.testing import markets

CLIENTS = tuple(
    Client(Frontier.from_points([(0.1, w), (1.0, 0.0)]), 1.0, name=f"c{w}") for w in (0.2, 0.4, 0.6)
)


def play(market: Instance) -> Outcome:
    """Play an auction with clients that each answer alone."""
    auctioneer = Auctioneer(
        market.tariff, len(market.clients), concept=market.concept, quantum=market.quantum
    )
    unit = market.quantum
    while not isinstance(post := auctioneer.post, Outcome):
        if isinstance(post, Quote):
            shares = [
                respond(client, post.for_client(i), quantum=unit).share
                for i, client in enumerate(market.clients)
            ]
        else:
            shares = [
                reconsider(
                    market.clients[i],
                    market.tariff,
                    float(post.shares[i]),
                    others,
                    quantum=unit,
                ).share
                for i, others in zip(post.asked.tolist(), post.others.tolist(), strict=True)
            ]
        auctioneer.answer(np.array(shares))
    return post


@settings(deadline=None, derandomize=True, max_examples=30)
@given(markets())
def test_clients_that_answer_one_by_one_end_where_the_solver_does(market: Instance) -> None:
    outcome, found = play(market), solve(market)
    np.testing.assert_allclose(outcome.shares, found.shares, rtol=1e-9, atol=1e-300)
    assert math.isclose(outcome.price, found.price, rel_tol=1e-9)
    assert outcome.rounds == found.rounds


@pytest.mark.parametrize("tariff", [Barrier(0.1, 1.0), Linear(0.1, 0.5, 0.5), Clearing(0.7)])
def test_rounds_are_logarithmic(tariff: Tariff) -> None:
    """As many as a number has digits, not one per client or quantum."""
    outcome = play(Instance("nash", tariff, Fraction(1, 1000), CLIENTS * 5))
    assert outcome.rounds < 60
    sold = sum(round(1000 * share) for share in outcome.shares.tolist())
    assert tariff.admits(Fraction(sold, 1000))


def first_post(**options) -> Auctioneer:
    return Auctioneer(Linear(0.1, 0.2, 3.0), 2, **options)


@pytest.mark.parametrize(
    ("answers", "place"),
    [
        ([0.1, -0.1], r"^clients\[1\]: answered -0.1"),
        ([math.nan, 0.1], r"^clients\[0\]: answered nan"),
        ([0.1, math.inf], r"^clients\[1\]: answered inf"),
        ([0.1], r"^answers have shape \(1,\)"),
        ([[0.1, 0.2]], r"^answers have shape \(1, 2\)"),
    ],
)
def test_what_is_no_share_is_named_and_may_be_corrected(answers, place: str) -> None:
    auctioneer = first_post()
    before = auctioneer.post
    with pytest.raises(InvalidInput, match=place):
        auctioneer.answer(np.array(answers))
    assert auctioneer.post is before
    auctioneer.answer(np.array([0.5, 0.5]))
    assert auctioneer.post is not before


def test_a_share_off_the_grid_is_named() -> None:
    with pytest.raises(InvalidInput, match=r"clients\[1\]: answered 0.15; .*multiple of 1/10"):
        first_post(quantum=Fraction(1, 10)).answer(np.array([0.1, 0.15]))


def drive(auctioneer: Auctioneer, reply: Callable[[Quote | Probe], list[float]]) -> Outcome:
    """Answer every question by ``reply``."""
    while not isinstance(post := auctioneer.post, Outcome):
        auctioneer.answer(np.array(reply(post)))
    return post


def test_who_asks_for_more_at_a_higher_load_is_named() -> None:
    def rising(post: Quote | Probe) -> list[float]:
        assert isinstance(post, Quote)
        return [0.5, 0.5 + post.price]

    with pytest.raises(NotMonotone, match="demand must not rise") as caught:
        drive(first_post(), rising)
    assert caught.value.index == 1
    assert str(caught.value).startswith("clients[1]: ")


def test_an_auction_that_is_over_takes_no_answers() -> None:
    auctioneer = Auctioneer(Flat(1.0), 1)
    while not isinstance(auctioneer.post, Outcome):
        auctioneer.answer(np.array([0.0]))
    with pytest.raises(InvalidInput, match="over"):
        auctioneer.answer(np.array([0.0]))


def test_a_probe_that_is_answered_with_more_than_is_left_is_refused() -> None:
    def greedy(post: Quote | Probe) -> list[float]:
        if isinstance(post, Probe):
            return [9.0] * len(post.asked)
        return [1.0 / (1.0 + post.price + post.slope)] * 2

    with pytest.raises(InvalidInput, match=r"clients\[0\]: asked for more than the others leave"):
        drive(first_post(), greedy)


def test_what_no_auction_can_be_is_refused() -> None:
    tariff = Linear(0.1, 0.2, 1e6)
    with pytest.raises(InvalidInput, match="0 clients"):
        Auctioneer(tariff, 0)
    with pytest.raises(InvalidInput, match="concept is 'social'"):
        Auctioneer(tariff, 1, concept="social")
    with pytest.raises(InvalidInput, match="too fine"):
        Auctioneer(tariff, 1, quantum=Fraction(1, 10**12))


def test_clients_that_never_yield_cannot_be_served() -> None:
    with pytest.raises(Infeasible, match="must offload ask for 4 cores at any price, and 3"):
        drive(first_post(), lambda _: [2.0, 2.0])
