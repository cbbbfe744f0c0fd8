from dataclasses import replace

import numpy as np
import pytest

from dds.costs import Link
from dds.cut import Frontier, frontier, make_cut, score
from dds.model.graph import ModelGraph, Operator, Tensor
from dds.testing import assert_cut, assert_frontier

TENSORS = tuple(Tensor(f"t{t}", (1,), "float32", size) for t, size in enumerate([90, 30, 30, 8, 1]))
GRAPH = ModelGraph(
    operators=(
        Operator("a", "T", (0,), (1,)),
        Operator("b", "T", (1,), (2,)),
        Operator("c", "T", (1, 2), (3,)),
        Operator("d", "T", (3,), (4,)),
    ),
    tensors=TENSORS,
    inputs=(0,),
    outputs=(4,),
)
LOCAL = np.array([2.0, 3.0, 4.0, 30.0])
WORK = np.array([1.0, 1.0, 5.0, 3.0])
LINK = Link(10.0, 10.0, 0.1)
FOUND = frontier(GRAPH, LOCAL, WORK, LINK)
PIECES = FOUND.pieces


def test_the_true_frontier_passes():
    assert len(PIECES) == 3
    assert_frontier(GRAPH, LOCAL, WORK, LINK, FOUND)


def with_piece(k, **changes):
    return Frontier((*PIECES[:k], replace(PIECES[k], **changes), *PIECES[k + 1 :]))


def with_cut(k, **changes):
    return with_piece(k, cut=replace(PIECES[k].cut, **changes))


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (lambda: Frontier(PIECES[1:]), "the best cut takes"),
        (lambda: Frontier((PIECES[0], *PIECES[2:])), "the best cut takes"),
        (lambda: Frontier(PIECES[:-1]), "local-only"),
        (lambda: Frontier(PIECES[::-1]), "does not rise"),
        (lambda: with_piece(1, base_latency=PIECES[1].base_latency * 1.001), "piece 1: A"),
        (lambda: with_piece(1, server_work=PIECES[1].server_work * 0.999), "piece 1: W"),
        (lambda: with_piece(1, cut=None), "has no cut"),
        (lambda: with_cut(1, uploads=(0, 1)), "uploads"),
        (lambda: with_cut(0, downloads=()), "downloads"),
        (lambda: with_cut(1, on_device=(1,)), "flows back"),
    ],
)
def test_a_wrong_frontier_is_refused(wrong, why):
    with pytest.raises(AssertionError, match=why):
        assert_frontier(GRAPH, LOCAL, WORK, LINK, wrong())


def test_a_piece_that_is_nowhere_best_is_refused():
    useless = score(make_cut(GRAPH, [0, 1], LOCAL), WORK, LINK)
    pieces = sorted((*PIECES, useless), key=lambda piece: piece.base_latency)
    assert len({piece.base_latency for piece in pieces}) == 4
    with pytest.raises(AssertionError):
        assert_frontier(GRAPH, LOCAL, WORK, LINK, Frontier(tuple(pieces)))


@pytest.mark.parametrize("field", ["uplink_bytes", "downlink_bytes", "local_time"])
def test_a_wrong_number_in_a_cut_is_refused(field):
    cut = PIECES[0].cut
    assert_cut(GRAPH, LOCAL, cut)
    with pytest.raises(AssertionError):
        assert_cut(GRAPH, LOCAL, replace(cut, **{field: getattr(cut, field) + 1}))
