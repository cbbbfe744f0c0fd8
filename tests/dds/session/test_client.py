"""The client's state machine, message by message."""

from dataclasses import replace

import pytest

from dds.cut.pieces import Frontier
from dds.errors import InvalidInput
from dds.market.client import Client
from dds.market.tariff import Clearing, Linear
from dds.session.answers import answer, settle
from dds.session.client import ClientSession
from dds.session.messages import (
    Accept,
    Allocation,
    Bid,
    Code,
    Join,
    Post,
    Quotation,
    ReferenceCore,
    Refusal,
    Release,
    Released,
    Renew,
    Renewed,
    Terms,
    Welcome,
)
from dds.session.states import ClientState
from dds.session.timing import Timing

CORE = ReferenceCore("edge-core", 2e10, 1e10, 5e-6)
TERMS = Terms(Clearing(2.0), 2.0, CORE)
TIMING = Timing(retry=1.0, longest_retry=4.0)
CLIENT = Client(Frontier.from_points([(0.1, 0.9), (9.0, 0.0)]), 1.0, max_share=4.0)
JOIN = Join("a", "n")
WELCOME = Welcome("n", "L", 9.0, TERMS)


def session() -> ClientSession:
    return ClientSession("a", "n", timing=TIMING)


def playing() -> ClientSession:
    """Admitted and ready, at time 0; revision 1 is known to the server."""
    agent = session()
    agent.start(0.0)
    agent.receive(WELCOME, 0.0)
    agent.update(CLIENT, 0.0)
    agent.receive(Renewed("L", 0, 1), 0.0)
    return agent


def quote(epoch: int, round_: int, price: float, revision: int = 1) -> Post:
    return Post("L", epoch, round_, Quotation(2.0, price, 0.0), revision)


def allocation(epoch: int, revision: int = 1) -> Allocation:
    """What CLIENT wants at price 0.9, everything else right."""
    return Allocation("L", epoch, 1.0, 0.9, 2.0, 1.0, 0.9, 20, revision=revision)


# ---- joining -------------------------------------------------------------------------------


def test_it_joins_until_it_is_welcome() -> None:
    agent = session()
    assert agent.next_timeout() is None
    assert agent.start(0.0) == [JOIN]
    assert agent.next_timeout() == 1.0
    assert agent.tick(0.5) == []
    assert agent.tick(1.0) == [JOIN]
    assert agent.next_timeout() == 3.0
    assert agent.receive(replace(WELCOME, nonce="other"), 2.0) == []
    assert agent.state is ClientState.JOINING
    assert agent.receive(WELCOME, 2.0) == []
    assert (agent.state, agent.lease, agent.terms) == (ClientState.ADMITTED, "L", TERMS)
    assert agent.receive(WELCOME, 2.5) == []


def test_costs_may_be_known_before_the_welcome_or_after() -> None:
    early = session()
    assert early.update(CLIENT, 0.0) == []
    early.start(0.0)
    assert early.receive(WELCOME, 1.0) == [Renew("L", 1)]
    assert early.state is ClientState.WAITING
    late = session()
    late.start(0.0)
    late.receive(WELCOME, 1.0)
    assert late.update(CLIENT, 2.0) == [Renew("L", 1)]
    assert late.state is ClientState.WAITING


def test_a_revision_is_repeated_until_it_is_known() -> None:
    agent = session()
    agent.start(0.0)
    agent.receive(WELCOME, 0.0)
    agent.update(CLIENT, 0.0)
    assert agent.tick(1.0) == [Renew("L", 1)]
    agent.receive(Renewed("L", 0, 0), 1.5)
    assert agent.tick(3.0) == [Renew("L", 1)]
    agent.receive(Renewed("L", 0, 1), 3.5)
    assert agent.next_timeout() == 6.0  # the lease is renewed three times in 9 s
    assert agent.tick(6.0) == [Renew("L", 1)]


def test_a_session_starts_once_and_other_versions_are_refused() -> None:
    agent = session()
    agent.start(0.0)
    with pytest.raises(InvalidInput, match="start cannot happen in state joining"):
        agent.start(0.0)
    assert agent.receive(replace(WELCOME, version=2), 0.0) == [Release("L")]
    assert agent.state is ClientState.REFUSED
    assert agent.refusal is not None
    assert agent.refusal.code is Code.VERSION


# ---- playing -------------------------------------------------------------------------------


def test_it_answers_each_post_as_often_as_it_comes_and_forgets_the_late_ones() -> None:
    agent = playing()
    (first,) = agent.receive(quote(1, 1, 0.9), 1.0)
    assert first == Bid("L", 1, 1, answer(CLIENT, Quotation(2.0, 0.9, 0.0), TERMS))
    assert agent.receive(quote(1, 1, 0.9), 1.1) == [first]
    (second,) = agent.receive(quote(1, 2, 3.6), 1.2)
    assert (second.round, second.share) == (2, pytest.approx(first.share / 2))
    assert agent.receive(quote(1, 1, 0.9), 1.3) == []
    assert agent.receive(replace(quote(1, 3, 0.9), lease="M"), 1.3) == []
    assert agent.place == (1, 2)
    assert agent.state is ClientState.PLAYING


def test_it_accepts_its_allocation_every_time_and_knows_what_it_means() -> None:
    agent = playing()
    agent.receive(quote(1, 1, 0.9), 1.0)
    assert agent.receive(allocation(1), 2.0) == [Accept("L", 1)]
    assert agent.receive(allocation(1), 2.1) == [Accept("L", 1)]
    assert agent.state is ClientState.HOLDING
    held = agent.settlement
    assert held is not None
    assert (held.piece, held.latency, held.objections) == (0, 1.0, ())
    assert held.cost == pytest.approx(1.9)
    assert held.regret <= 1e-12
    assert agent.receive(quote(1, 9, 0.9), 3.0) == []  # of the epoch that is over
    assert agent.state is ClientState.HOLDING


def test_new_costs_count_from_the_next_epoch_on() -> None:
    agent = playing()
    (before,) = agent.receive(quote(1, 1, 0.9), 1.0)
    richer = replace(CLIENT, value_of_time=4.0)
    assert agent.update(richer, 1.1) == [Renew("L", 2)]
    (again,) = agent.receive(quote(1, 2, 0.9), 1.2)
    assert again.share == before.share
    (after,) = agent.receive(quote(2, 1, 0.9, revision=2), 1.3)
    assert after.share == pytest.approx(2 * before.share)
    assert agent.receive(allocation(1), 1.4) == [Accept("L", 1)]  # late, but it was in force
    assert agent.state is ClientState.PLAYING
    assert agent.settlement is not None
    assert agent.settlement.allocation.epoch == 1
    agent.receive(allocation(2, revision=2), 1.5)
    assert agent.state is ClientState.HOLDING
    assert agent.receive(allocation(1), 1.6) == []
    assert agent.settlement.allocation.epoch == 2


def test_costs_it_never_had_are_an_error() -> None:
    agent = playing()
    with pytest.raises(InvalidInput, match="plays revision 5 of the costs of 'a'"):
        agent.receive(quote(1, 1, 0.9, revision=5), 1.0)
    with pytest.raises(InvalidInput, match="its newest is 1"):
        agent.receive(allocation(1, revision=2), 1.0)
    assert agent.state is ClientState.WAITING


# ---- leaving -------------------------------------------------------------------------------


def test_it_releases_until_it_is_released() -> None:
    agent = playing()
    assert agent.release(1.0) == [Release("L")]
    assert agent.state is ClientState.LEAVING
    assert agent.receive(quote(1, 1, 0.9), 1.5) == []
    assert agent.tick(2.0) == [Release("L")]
    agent.receive(Released("L"), 2.5)
    assert agent.state is ClientState.LEFT
    assert agent.next_timeout() is None
    with pytest.raises(InvalidInput, match="update cannot happen in state left"):
        agent.update(CLIENT, 3.0)


def test_leaving_before_the_welcome_gives_the_lease_back_when_it_comes() -> None:
    agent = session()
    agent.start(0.0)
    assert agent.release(0.5) == []
    assert agent.state is ClientState.LEFT
    assert agent.receive(WELCOME, 1.0) == [Release("L")]
    assert agent.receive(Released("L"), 1.1) == []


@pytest.mark.parametrize("farewell", [Refusal(Code.UNKNOWN_LEASE, "?", "L"), Released("L")])
def test_leaving_ends_with_any_farewell(farewell: Refusal | Released) -> None:
    agent = playing()
    agent.release(1.0)
    agent.receive(farewell, 2.0)
    assert agent.state is ClientState.LEFT


@pytest.mark.parametrize(
    ("farewell", "code"),
    [
        (Refusal(Code.EXPIRED, "silent", "L"), Code.EXPIRED),
        (Refusal(Code.NAME_TAKEN, "taken", "n"), Code.NAME_TAKEN),
        (Released("L"), Code.UNKNOWN_LEASE),
    ],
)
def test_a_refusal_ends_the_session(farewell: Refusal | Released, code: Code) -> None:
    agent = playing()
    assert agent.receive(Refusal(Code.EXPIRED, "somebody else's", "M"), 1.0) == []
    assert agent.state is ClientState.WAITING
    agent.receive(farewell, 1.0)
    assert agent.state is ClientState.REFUSED
    assert agent.refusal is not None
    assert agent.refusal.code is code
    assert agent.receive(quote(1, 1, 0.9), 2.0) == []
    assert agent.tick(99.0) == []
    assert agent.next_timeout() is None


def test_a_silent_server_is_given_up_after_the_lease_time() -> None:
    agent = playing()
    assert agent.tick(3.0) == [Renew("L", 1)]
    agent.receive(Renewed("L", 0, 1), 4.0)
    agent.tick(6.0)
    agent.tick(12.9)
    assert agent.state is ClientState.WAITING
    agent.tick(13.0)
    assert agent.state is ClientState.LOST
    leaving = playing()
    leaving.release(1.0)
    leaving.tick(9.0)
    assert leaving.state is ClientState.LEFT


def test_a_new_stream_claims_the_same_lease() -> None:
    agent = session()
    assert agent.reconnected(0.0) == []
    agent.start(0.0)
    assert agent.reconnected(0.9) == [JOIN]
    assert agent.next_timeout() == 1.9
    agent = playing()
    assert agent.reconnected(1.0) == [JOIN]
    assert agent.receive(WELCOME, 1.1) == []
    agent.release(2.0)
    assert agent.reconnected(2.5) == [JOIN, Release("L")]


# ---- checking an allocation ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"payment": 0.5}, "payment 0.5 is not share times price"),
        ({"others": 0.5}, "total 2 is not own share plus the others'"),
        ({"others": 2.0, "total": 3.0}, "total 3 is more than 2 cores may be sold"),
        ({"share": 0.5, "others": 1.5, "payment": 0.45}, "share 0.5: 1 would save"),
        ({"price": 0.1, "payment": 0.1}, "share 1: 3 would save"),
    ],
)
def test_a_wrong_allocation_is_objected_to(changes: dict[str, float], text: str) -> None:
    objections = settle(CLIENT, replace(allocation(1), **changes), TERMS).objections
    assert len(objections) == 1
    assert objections[0].startswith(text)


def test_a_price_that_is_not_the_tariffs_is_objected_to() -> None:
    linear = replace(TERMS, tariff=Linear(0.1, 0.5, 2.0))
    (objection,) = settle(CLIENT, allocation(1), linear).objections
    assert objection == "price 0.9 is not the tariff's at 2 cores"


def test_a_share_nothing_runs_on_is_an_error() -> None:
    local = replace(CLIENT, frontier=Frontier.from_points([(2.0, 0.0)]))
    with pytest.raises(InvalidInput, match="no piece to run there"):
        settle(local, allocation(1), TERMS)
