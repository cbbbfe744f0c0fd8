"""One epoch on its own: questions out, bids in, and what no honest player would bid."""

from fractions import Fraction

import pytest

from dds.errors import Infeasible, InternalError, InvalidInput
from dds.market.tariff import Clearing, Linear
from dds.session.epoch import Epoch
from dds.session.messages import Holding, Quotation, ReferenceCore, Terms

CORE = ReferenceCore("core", 1e9, 1e9, 0.0)
LINEAR = Terms(Linear(0.1, 1.0, 2.0), 2.0, CORE)


def to_the_probe(epoch: Epoch) -> None:
    """Everybody answers quotes with 0.2 / (1 + price) until a probe comes."""
    while isinstance(dict(epoch.questions())[epoch.players[0]], Quotation):
        for lease, question in epoch.questions():
            epoch.bid(lease, 0.2 / (1.0 + question.price))
        epoch.advance()


def test_a_round_is_put_to_everybody_and_needs_every_bid() -> None:
    epoch = Epoch(7, LINEAR, ["L1", "L0"])
    assert [lease for lease, _ in epoch.questions()] == ["L1", "L0"]
    assert "L0" in epoch
    assert "L2" not in epoch
    epoch.bid("L0", 0.1)
    assert not epoch.complete
    with pytest.raises(InternalError, match="bids are missing"):
        epoch.advance()
    epoch.bid("L1", 0.0)
    assert epoch.complete
    assert epoch.bidders() == ["L0"]
    assert epoch.round == 1
    epoch.advance()
    assert epoch.round == 2
    assert not epoch.complete
    with pytest.raises(InternalError, match="no outcome yet"):
        epoch.allocation("L0", 1)


def test_a_probe_asks_each_about_its_own_share_and_the_others_sum() -> None:
    epoch = Epoch(1, LINEAR, ["L0", "L1"])
    to_the_probe(epoch)
    questions = dict(epoch.questions())
    assert all(isinstance(q, Holding) for q in questions.values())
    assert questions["L0"].others == questions["L1"].share
    for lease, question in questions.items():
        epoch.bid(lease, question.share)
    epoch.advance()
    assert epoch.outcome is not None
    allocation = epoch.allocation("L1", 5)
    assert (allocation.epoch, allocation.revision) == (1, 5)
    assert allocation.share == questions["L1"].share
    assert allocation.share + allocation.others == allocation.total
    assert allocation.rounds == epoch.outcome.rounds == epoch.round
    assert allocation.below is None


def test_both_sides_of_a_tie_are_told() -> None:
    # Demand jumps from 1 to 0 at price 0.5 for both: one core cannot serve the two.
    epoch = Epoch(1, Terms(Clearing(1.5), 1.5, CORE), ["L0", "L1"])
    while epoch.outcome is None:
        for lease, question in epoch.questions():
            wanted = question.price < 0.5 or question.at_least > 0.0  # held above its jump
            epoch.bid(lease, 1.0 if wanted else 0.0)
        epoch.advance()
    first, second = epoch.allocation("L0", 1), epoch.allocation("L1", 1)
    assert (first.share, second.share) == (1.0, 0.0)
    assert first.below is not None
    assert second.below is not None
    assert first.below.share == second.below.share == 1.0
    assert first.below.price < 0.5 <= first.price


@pytest.mark.parametrize("share", [0.0015, 1e-13, 0.00100000001])
def test_bids_off_the_grid_are_refused(share: float) -> None:
    terms = Terms(LINEAR.tariff, 2.0, CORE, Fraction(1, 1000))
    epoch = Epoch(1, terms, ["L0"])
    with pytest.raises(InvalidInput, match="is not a multiple of 1/1000 cores"):
        epoch.bid("L0", share)
    epoch.bid("L0", 3 * 0.001)
    assert epoch.complete


def test_shares_no_server_has_are_refused() -> None:
    epoch = Epoch(1, LINEAR, ["L0", "L1"])
    with pytest.raises(InvalidInput, match="more than any server has"):
        epoch.bid("L0", 1e200)
    to_the_probe(epoch)
    with pytest.raises(InvalidInput, match="more than the others leave"):
        epoch.bid("L0", 1.99)


def test_a_player_that_never_rests_is_refused() -> None:
    epoch = Epoch(1, LINEAR, ["L0"])
    to_the_probe(epoch)
    for move in range(99):
        epoch.bid("L0", 0.1 + 0.01 * (move % 2))
        epoch.advance()
    with pytest.raises(InvalidInput, match="moved 99 times in one epoch"):
        epoch.bid("L0", 0.2)
    assert epoch.outcome is None


def test_players_that_cannot_be_served_together_end_the_epoch() -> None:
    epoch = Epoch(1, Terms(Clearing(1.0), 1.0, CORE), ["L0", "L1", "L2"])

    def insist() -> None:
        while True:
            for (lease, _), share in zip(epoch.questions(), (0.8, 0.0, 0.7), strict=True):
                epoch.bid(lease, share)
            epoch.advance()

    with pytest.raises(Infeasible, match="at any price"):
        insist()
    assert epoch.bidders() == ["L0", "L2"]
