import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dds.costs import Link
from dds.cut import make_cut, score
from dds.cut.network import network
from dds.errors import InvalidInput
from dds.model.graph import ModelGraph, Operator, Tensor
from dds.testing import assert_cut, closed_sets, graphs, operator_times


def chain(count):
    tensors = tuple(Tensor(f"t{t}", (1,), "float32", 10 * (t + 1)) for t in range(count + 1))
    operators = tuple(Operator(f"o{v}", "T", (v,), (v + 1,)) for v in range(count))
    return ModelGraph(operators, tensors, (0,), (count,))


@settings(deadline=None, max_examples=60)
@given(graphs(max_operators=7), st.data())
def test_every_closed_set_makes_a_valid_cut(graph, data):
    times = data.draw(operator_times(graph))
    for chosen in closed_sets(graph):
        assert_cut(graph, times, make_cut(graph, sorted(chosen, reverse=True), times))


@settings(deadline=None, max_examples=60)
@given(graphs(min_operators=2, max_operators=6), st.data())
def test_every_other_set_is_refused(graph, data):
    times = data.draw(operator_times(graph))
    chosen = data.draw(st.sets(st.integers(0, len(graph.operators) - 1)))
    if frozenset(chosen) in set(closed_sets(graph)):
        assert make_cut(graph, chosen, times).on_device == tuple(sorted(chosen))
    else:
        with pytest.raises(InvalidInput, match="would be on the server"):
            make_cut(graph, chosen, times)


@pytest.mark.parametrize("v", [-1, 3])
def test_unknown_operators_are_refused(v):
    with pytest.raises(InvalidInput, match=f"operator {v} is not one of the 3"):
        make_cut(chain(3), [v], np.ones(3))


def test_score_of_a_known_cut():
    cut = make_cut(chain(3), [0], np.array([1.0, 2.0, 4.0]))
    piece = score(cut, np.array([0.1, 0.25, 0.5]), Link(uplink=5.0, downlink=20.0, rtt=0.5))
    assert piece.base_latency == 1.0 + 20 / 5 + 40 / 20 + 0.5
    assert piece.server_work == 0.75
    assert piece.cut is cut


def test_score_of_local_only_has_no_round_trip():
    cut = make_cut(chain(2), [0, 1], np.array([1.0, 2.0]))
    piece = score(cut, np.ones(2), Link(1.0, 1.0, rtt=9.0))
    assert (piece.base_latency, piece.server_work) == (3.0, 0.0)


def test_a_network_is_built_once_per_graph():
    graph = chain(4)
    assert network(graph) is network(graph)
    assert network(chain(4)) is not network(graph)


def test_tables_hold_the_columns():
    net = network(chain(4))
    for table, columns in zip(net.arrays, (net.graph, net.sizes), strict=True):
        assert table.flags.c_contiguous
        for row, column in zip(table.tolist(), columns, strict=True):
            assert row[: len(column)] == column
