"""The server's state machine, message by message."""

from fractions import Fraction

import pytest

from dds.errors import InternalError, InvalidInput
from dds.market.tariff import Clearing, Linear
from dds.session.effects import Departed, Send, Settled
from dds.session.messages import (
    Accept,
    Allocation,
    Bid,
    Code,
    Holding,
    Join,
    Post,
    Quotation,
    Refusal,
    Release,
    Released,
    Renew,
    Renewed,
    Welcome,
)
from dds.session.server import MarketServer
from dds.session.states import MarketState
from dds.session.timing import Timing

TIMING = Timing(lease=10.0, retry=1.0, longest_retry=4.0, batch=0.5, grace=2.0)


def said(effects, peer=None):
    """The messages sent (to one peer)."""
    return [e.message for e in effects if isinstance(e, Send) and peer in (None, e.peer)]


def admit(server: MarketServer, *names: str, now: float = 0.0) -> dict[str, str]:
    """Join and get ready, each on a stream named after it; the leases by name."""
    leases = {}
    for name in names:
        (welcome,) = said(server.receive(name, Join(name, f"nonce {name}"), now))
        leases[name] = welcome.lease
        server.receive(name, Renew(welcome.lease, 1), now)
    return leases


def open_epoch(server: MarketServer, now: float = 0.5) -> dict[str, Post]:
    """Tick until the epoch opens; the posts by peer."""
    effects = server.tick(now)
    assert server.state is MarketState.PLAYING
    return {e.peer: e.message for e in effects if isinstance(e, Send)}


def bid(post: Post, share: float) -> Bid:
    return Bid(post.lease, post.epoch, post.round, share)


def finish(server: MarketServer, posts: dict[str, Post], now: float = 1.0) -> list:
    """Everybody answers with 1 / (price + 0.1) or what it has, until the epoch ends."""
    effects: list = []
    while posts:
        batch, posts = posts, {}
        for peer, post in batch.items():
            question = post.question
            if isinstance(question, Holding):
                share = question.share
            else:
                share = min(question.load, max(1.0 / (question.price + 0.1), question.at_least))
                share = min(share, question.at_most)
            effects = server.receive(peer, bid(post, share), now)
            posts |= {
                e.peer: e.message
                for e in effects
                if isinstance(e, Send) and isinstance(e.message, Post)
            }
    assert server.state is MarketState.SETTLED
    return effects


# ---- joining -------------------------------------------------------------------------------


def test_a_join_is_answered_with_the_terms_and_a_repeated_one_with_the_same(some_server) -> None:
    server = some_server(Clearing(2.0), timing=TIMING)
    (first,) = said(server.receive("s", Join("a", "n"), 0.0))
    (again,) = said(server.receive("s", Join("a", "n"), 0.1))
    assert first == again == Welcome("n", "L0", 10.0, server.terms)
    assert [m.name for m in server.status().members] == ["a"]
    assert server.knows("L0")
    assert not server.knows("L1")


def test_a_name_is_held_once_and_versions_must_match(some_server) -> None:
    server = some_server(Clearing(2.0), timing=TIMING)
    admit(server, "a")
    (taken,) = said(server.receive("s", Join("a", "other"), 0.0))
    assert (taken.code, taken.subject) == (Code.NAME_TAKEN, "other")
    (version,) = said(server.receive("s", Join("b", "n", version=2), 0.0))
    assert version.code is Code.VERSION
    assert "this server speaks 1" in version.message


def test_a_lease_counts_only_on_the_stream_it_was_joined_on(some_server) -> None:
    server = some_server(Clearing(2.0), timing=TIMING)
    leases = admit(server, "a")
    for message in (Renew(leases["a"], 9), Release(leases["a"]), Accept(leases["a"], 1)):
        (reply,) = said(server.receive("thief", message, 0.0), "thief")
        assert (reply.code, reply.subject) == (Code.UNKNOWN_LEASE, leases["a"])
    assert server.knows(leases["a"])
    (unknown,) = said(server.receive("x", Renew("nobody"), 0.0))
    assert unknown.code is Code.UNKNOWN_LEASE


def test_bad_set_ups_are_refused(some_server) -> None:
    with pytest.raises(InvalidInput, match="quorum is 0"):
        some_server(Clearing(2.0), quorum=0)
    terms = some_server(Clearing(2.0)).terms
    server = MarketServer(terms, leases=iter(["L", "L"]))
    server.receive("a", Join("a", "1"), 0.0)
    with pytest.raises(InternalError, match="the same text came twice"):
        server.receive("b", Join("b", "2"), 0.0)


# ---- epochs --------------------------------------------------------------------------------


def test_the_first_epoch_waits_for_the_quorum_of_ready_clients(some_server) -> None:
    server = some_server(Clearing(2.0), quorum=2, timing=TIMING)
    admit(server, "a")
    (welcome,) = said(server.receive("b", Join("b", "n"), 0.0))
    assert server.next_timeout() == 0.5
    server.tick(0.5)
    assert server.state is MarketState.GATHERING  # b has a lease, but no costs yet
    (renewed,) = said(server.receive("b", Renew(welcome.lease, 1), 1.0))
    assert renewed == Renewed(welcome.lease, 0, 1)
    posts = open_epoch(server, 1.5)
    assert {(p.epoch, p.round, p.revision) for p in posts.values()} == {(1, 1, 1)}
    assert set(posts) == {"a", "b"}
    assert len({p.question for p in posts.values()}) == 1


def test_a_round_ends_with_its_last_bid_and_an_epoch_with_allocations(some_server) -> None:
    server = some_server(Clearing(2.0), quorum=2, timing=TIMING)
    leases = admit(server, "a", "b")
    posts = open_epoch(server)
    assert server.receive("a", bid(posts["a"], 10.0), 1.0) == []
    effects = server.receive("b", bid(posts["b"], 10.0), 1.0)
    following = {e.peer: e.message for e in effects}
    assert {p.round for p in following.values()} == {2}
    effects = finish(server, following)
    settled = server.settled
    assert isinstance(settled, Settled)
    assert settled in effects
    assert list(settled.allocations) == [leases["a"], leases["b"]]
    assert settled.names == {leases["a"]: "a", leases["b"]: "b"}
    assert settled.outcome.total <= 2.0
    status = server.status()
    assert (status.price, status.total) == (settled.outcome.price, settled.outcome.total)
    for name, lease in leases.items():
        allocation = settled.allocations[lease]
        assert allocation in said(effects, name)
        assert server.holds(lease) == allocation.share
        assert allocation.payment == allocation.share * allocation.price
        assert allocation.rounds == settled.outcome.rounds
    assert server.holds("nobody") == 0.0


def test_what_is_owed_is_repeated_until_it_is_answered(some_server) -> None:
    server = some_server(Clearing(2.0), timing=TIMING)
    leases = admit(server, "a")
    posts = open_epoch(server, 0.5)
    assert server.next_timeout() == 1.5
    assert said(server.tick(1.4)) == []
    assert said(server.tick(1.5)) == [posts["a"]]
    assert said(server.tick(3.4)) == []
    assert said(server.tick(3.5)) == [posts["a"]]
    effects = finish(server, posts, now=4.0)
    allocation = server.settled.allocations[leases["a"]]
    assert allocation in said(effects)
    assert said(server.tick(5.0)) == [allocation]
    server.receive("a", Accept(leases["a"], 1), 5.5)
    server.receive("a", Accept(leases["a"], 1), 5.6)
    assert said(server.tick(9.0)) == []


def test_repeated_stale_and_unasked_bids_change_nothing(some_server) -> None:
    server = some_server(Clearing(2.0), timing=TIMING, quorum=2)
    admit(server, "a", "b")
    posts = open_epoch(server)
    server.receive("a", bid(posts["a"], 10.0), 1.0)
    assert server.receive("a", bid(posts["a"], 0.1), 1.0) == []  # the first one counts
    effects = server.receive("b", bid(posts["b"], 10.0), 1.0)
    following = {e.peer: e.message for e in effects}
    assert server.receive("a", bid(posts["a"], 0.7), 1.0) == []  # of the round before
    finish(server, following)
    assert server.receive("a", bid(posts["a"], 0.7), 1.0) == []  # of the epoch before
    assert server.state is MarketState.SETTLED


@pytest.mark.parametrize(("epoch", "round_"), [(1, 2), (2, 1), (7, 7)])
def test_a_bid_from_the_future_ends_the_lease(some_server, epoch: int, round_: int) -> None:
    server = some_server(Clearing(2.0), timing=TIMING)
    leases = admit(server, "a")
    open_epoch(server)
    effects = server.receive("a", Bid(leases["a"], epoch, round_, 1.0), 1.0)
    (refusal,) = said(effects)
    assert refusal.code is Code.INVALID_BID
    assert "no such post yet" in refusal.message
    assert Departed(leases["a"], "a", Code.INVALID_BID) in effects


def test_a_bid_off_the_grid_ends_the_lease(some_server) -> None:
    server = some_server(Clearing(2.0), timing=TIMING, quantum=Fraction(1, 100))
    leases = admit(server, "a")
    posts = open_epoch(server)
    (refusal,) = said(server.receive("a", bid(posts["a"], 0.015), 1.0))
    assert refusal.code is Code.INVALID_BID
    assert refusal.message == "bid.share 0.015 is not a multiple of 1/100 cores"
    assert not server.knows(leases["a"])


def test_a_client_that_contradicts_itself_is_named_and_the_others_go_on(some_server) -> None:
    server = some_server(Linear(0.1, 1.0, 2.0), quorum=3, timing=TIMING)
    leases = admit(server, "a", "liar", "z")
    posts = open_epoch(server)
    departed: list[Departed] = []
    rounds = 0
    while not departed:
        following: dict[str, Post] = {}
        rounds += 1
        for peer, post in posts.items():
            question = post.question
            assert isinstance(question, Quotation)
            # Honest demand falls with the posted price; the liar's rises.
            share = 0.2 / (1.0 + question.price) if peer != "liar" else 0.1 * question.price
            effects = server.receive(peer, bid(post, share), 1.0)
            departed += [e for e in effects if isinstance(e, Departed)]
            following |= {e.peer: e.message for e in effects if isinstance(e, Send)}
        posts = following
        assert rounds < 100
    assert departed == [Departed(leases["liar"], "liar", Code.NOT_MONOTONE)]
    (refusal,) = [m for m in said(effects, "liar") if isinstance(m, Refusal)]
    assert (refusal.code, refusal.subject) == (Code.NOT_MONOTONE, leases["liar"])
    assert server.state is MarketState.GATHERING
    posts = open_epoch(server, 1.5)
    assert {peer: (p.epoch, p.round) for peer, p in posts.items()} == {"a": (2, 1), "z": (2, 1)}


def test_joins_and_new_costs_wait_for_the_next_epoch_and_share_it(some_server) -> None:
    server = some_server(Clearing(2.0), timing=TIMING)
    leases = admit(server, "a")
    posts = open_epoch(server)
    leases |= admit(server, "b", "c", now=1.0)
    server.receive("a", Renew(leases["a"], 2), 1.0)
    assert server.state is MarketState.PLAYING
    effects = finish(server, posts, now=1.0)
    assert server.settled.allocations[leases["a"]].revision == 1
    assert leases["b"] not in server.settled.allocations
    assert [type(m) for m in said(effects)] == [Allocation]
    posts = open_epoch(server, 1.5)
    assert {p: (m.epoch, m.revision) for p, m in posts.items()} == {
        "a": (2, 2),
        "b": (2, 1),
        "c": (2, 1),
    }


def test_a_leave_ends_the_open_epoch_and_keeps_earlier_shares_in_force(some_server) -> None:
    server = some_server(Clearing(2.0), quorum=2, timing=TIMING)
    leases = admit(server, "a", "b")
    finish(server, open_epoch(server))
    held = server.holds(leases["a"])
    assert held > 0.0
    server.receive("a", Renew(leases["a"], 2), 2.0)
    posts = open_epoch(server, 2.5)
    effects = server.receive("b", Release(leases["b"]), 3.0)
    assert effects == [Send("b", Released(leases["b"])), Departed(leases["b"], "b", None)]
    assert server.state is MarketState.GATHERING
    assert (server.holds(leases["a"]), server.holds(leases["b"])) == (held, 0.0)
    assert server.receive("a", bid(posts["a"], 10.0), 3.0) == []
    posts = open_epoch(server, 3.5)
    assert {p: m.epoch for p, m in posts.items()} == {"a": 3}
    finish(server, posts, 4.0)
    effects = server.receive("a", Release(leases["a"]), 5.0)
    server.tick(5.5)
    assert server.state is MarketState.GATHERING
    assert server.status().members == ()


# ---- leaving -------------------------------------------------------------------------------


def test_a_release_is_idempotent_and_leaves_no_ghost(some_server) -> None:
    server = some_server(Clearing(2.0), timing=TIMING)
    leases = admit(server, "a")
    assert said(server.receive("a", Release(leases["a"]), 1.0)) == [Released(leases["a"])]
    assert said(server.receive("a", Release(leases["a"]), 1.0)) == [Released(leases["a"])]
    assert said(server.receive("a", Join("a", "nonce a"), 2.0)) == [Released(leases["a"])]
    assert said(server.receive("a", Renew(leases["a"], 1), 2.0)) == [Released(leases["a"])]
    assert server.status().members == ()
    server.tick(11.0)  # the farewell is forgotten after one lease time
    (reply,) = said(server.receive("a", Join("a", "nonce a"), 11.0))
    assert isinstance(reply, Welcome)


def test_a_silent_client_is_dropped_and_told_so_when_it_speaks(some_server) -> None:
    server = some_server(Clearing(2.0), quorum=2, timing=TIMING)
    leases = admit(server, "a", "b")
    posts = open_epoch(server, 0.5)
    server.receive("a", bid(posts["a"], 10.0), 9.0)
    effects = server.tick(10.0)
    assert Departed(leases["b"], "b", Code.EXPIRED) in effects
    assert server.state is MarketState.GATHERING
    (refusal,) = said(server.receive("b", Renew(leases["b"], 1), 11.0))
    assert (refusal.code, refusal.subject) == (Code.EXPIRED, leases["b"])
    assert set(open_epoch(server, 11.0)) == {"a"}


def test_a_broken_stream_has_a_grace_and_the_same_lease_afterwards(some_server) -> None:
    server = some_server(Clearing(2.0), timing=TIMING)
    leases = admit(server, "a")
    posts = open_epoch(server, 0.5)
    assert server.disconnected("a", 1.0) == []
    assert said(server.tick(1.5)) == []  # nobody to repeat the post to
    assert server.next_timeout() == 3.0
    welcome, post = said(server.receive("a2", Join("a", "nonce a"), 2.0), "a2")
    assert (welcome.lease, post) == (leases["a"], posts["a"])
    server.tick(3.0)
    assert server.knows(leases["a"])
    server.disconnected("a2", 4.0)
    assert server.tick(6.0) == [Departed(leases["a"], "a", Code.EXPIRED)]


def test_closing_refuses_everybody_now_and_later(some_server) -> None:
    server = some_server(Clearing(2.0), quorum=2, timing=TIMING)
    leases = admit(server, "a", "b")
    open_epoch(server)
    effects = server.close(1.0)
    assert {m.subject for m in said(effects)} == set(leases.values())
    assert {m.code for m in said(effects)} == {Code.CLOSING}
    assert server.state is MarketState.CLOSED
    assert server.close(2.0) == []
    for message, subject in ((Join("c", "n"), "n"), (Renew("L9"), "L9")):
        (refusal,) = said(server.receive("c", message, 3.0))
        assert (refusal.code, refusal.subject) == (Code.CLOSING, subject)
    server.tick(100.0)
    assert server.next_timeout() is None


def test_messages_are_counted_per_client(some_server) -> None:
    server = some_server(Clearing(2.0), timing=TIMING)
    leases = admit(server, "a")
    finish(server, open_epoch(server))
    server.receive("a", Accept(leases["a"], 1), 1.0)
    rounds = server.settled.outcome.rounds
    (member,) = server.status().members
    # Join, Renew, one bid a round, Accept; Welcome, Renewed, one post a round, Allocation.
    assert (member.received, member.sent) == (rounds + 3, rounds + 3)
    assert member.payment == member.share * server.status().price


def test_no_timer_runs_before_anybody_came(some_server) -> None:
    server = some_server(Clearing(2.0))
    assert server.next_timeout() is None
    assert server.tick(1e9) == []


def test_the_last_of_those_that_cannot_be_served_together_has_to_go(some_server) -> None:
    server = some_server(Clearing(1.0), quorum=3, timing=TIMING)
    leases = admit(server, "z", "a", "local")  # z came first
    posts = open_epoch(server)
    departed: list[Departed] = []
    while not departed:
        batch, posts = posts, {}
        for peer, post in batch.items():
            effects = server.receive(peer, bid(post, 0.0 if peer == "local" else 0.8), 1.0)
            departed += [e for e in effects if isinstance(e, Departed)]
            posts |= {e.peer: e.message for e in effects if isinstance(e, Send)}
    assert departed == [Departed(leases["a"], "a", Code.INFEASIBLE)]
    assert "at any price" in posts["a"].message
    assert set(open_epoch(server, 1.5)) == {"z", "local"}


def test_a_market_rests_when_nothing_is_open_or_due(some_server) -> None:
    server = some_server(Clearing(2.0), timing=TIMING)
    leases = admit(server, "a")
    assert not server.resting
    finish(server, open_epoch(server))
    assert server.resting
    server.receive("a", Renew(leases["a"], 2), 2.0)
    assert not server.resting
