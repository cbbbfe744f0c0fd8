"""What the benchmark says of cuts is what the library says of them."""

import pytest
from cuts import LINKS, RTT, SLOW, SLOWDOWN, Subject, judge_choices

from dds import Link
from dds.cut import make_cut, score


@pytest.fixture(scope="module")
def subject() -> Subject:
    return Subject.of("squeezenet", 1)


def test_predictions_are_scores_of_cuts(subject: Subject) -> None:
    link = Link(2e6, 3e6, RTT)
    for kept in subject.prefixes():
        cut = make_cut(subject.fused, kept, SLOWDOWN * subject.seconds)
        expected = score(cut, subject.seconds, link).latency(1.0)
        assert subject.predicted(kept, link) == pytest.approx(expected, rel=1e-9)


def test_measured_cuts_are_on_the_profile_s_scale(subject: Subject) -> None:
    everything = tuple(range(len(subject.fused.operators)))
    found = subject.measured([(), everything], 0.0)
    assert SLOW.frequency * SLOWDOWN == 1.0
    whole = subject.profile.whole
    assert found[()].server_work == pytest.approx(whole)
    assert found[everything].local_time == pytest.approx(SLOWDOWN * whole)


def test_a_chosen_cut_is_judged_at_every_link_where_a_cut_inside_comes_near(
    subject: Subject,
) -> None:
    choices = judge_choices("squeezenet", subject, every=False, budget=0.0)
    speeds = [choice.mbps for choice in choices]
    assert speeds == [mbps for mbps in LINKS if mbps in speeds] != []
    for choice in choices:
        assert choice.of == len(subject.fused.operators)
        assert choice.excess != 0.0 or choice.kept == choice.best
