import copy
import math
import pickle

import pytest

from dds.cut import Cut, Frontier, Piece

FIELDS = ((0, 1), (3,), (5,), 40, 8, 0.25)


def late_cut(asked):
    """A cut that is worked out when asked for, and notes each time that it is."""

    def recipe(*of):
        asked.append(of)
        return FIELDS

    return Cut.later(recipe, "graph", 7)


def test_a_late_cut_is_worked_out_once_and_only_if_asked_for():
    asked = []
    cut = late_cut(asked)
    piece = Piece(1.0, 2.0, cut)
    assert piece.latency(4.0) == 1.5
    assert asked == []
    assert piece.cut.uplink_bytes == 40
    assert piece.cut.crossing_bytes == 48
    assert asked == [("graph", 7)]


@pytest.mark.parametrize(
    "use", [hash, repr, copy.copy, copy.deepcopy, lambda cut: pickle.loads(pickle.dumps(cut))]
)
def test_a_late_cut_is_like_any_other(use):
    cut = Cut(*FIELDS)
    assert late_cut([]) == cut
    assert use(late_cut([])) == use(cut)


def test_a_cut_has_no_other_fields():
    for cut in (Cut(*FIELDS), late_cut([])):
        with pytest.raises(AttributeError, match="no 'colour'"):
            cut.colour  # noqa: B018
        with pytest.raises(AttributeError):
            cut.uploads = ()


def test_found_pieces_are_a_frontier_like_any_other():
    pieces = (Piece(1.0, 2.0), Piece(3.0, 0.0))
    assert Frontier.found(pieces) == Frontier(pieces)
    assert Frontier.found(pieces).latency(math.inf) == 1.0
