import math

import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from dds.testing import chains, closed_sets, graphs, links, operator_times

# Finding is the point; the smallest example is not.
SEARCH = settings(max_examples=1800, deadline=None, database=None, phases=[Phase.generate])

REACHABLE = {
    "empty": lambda g: not g.operators,
    "diamond": lambda g: any(len(readers) > 1 for readers in g.consumers),
    "several inputs": lambda g: len(g.inputs) > 1 and len(g.operators) > 1,
    "several outputs": lambda g: len(g.outputs) > 1,
    "no output": lambda g: g.operators and not g.outputs,
    "skip connection": lambda g: any(
        p in g.predecessors[q] for before in g.predecessors for p in before for q in before
    ),
    "operator with two outputs": lambda g: any(len(o.outputs) > 1 for o in g.operators),
    "nothing crosses": lambda g: g.operators and all(t.bytes == 0 for t in g.tensors),
    "input returned": lambda g: set(g.inputs) & set(g.outputs),
    "operator that reads nothing": lambda g: any(not o.inputs for o in g.operators),
    "tie": lambda g: len(g.tensors) > 3 and len({t.bytes for t in g.tensors if t.bytes > 9}) == 1,
}


@pytest.mark.parametrize("corner", REACHABLE)
def test_corners_are_reachable(corner):
    found = find(graphs(max_operators=6), lambda g: bool(REACHABLE[corner](g)), settings=SEARCH)
    assert REACHABLE[corner](found)


@pytest.mark.parametrize(
    "wanted",
    [lambda k: math.isinf(k.uplink), lambda k: k.downlink < 1e-6, lambda k: k.rtt == 0.0,
     lambda k: k.rtt > 0.5],
)  # fmt: skip
def test_link_corners_are_reachable(wanted):
    assert wanted(find(links(), wanted, settings=SEARCH))


@settings(deadline=None, max_examples=50)
@given(chains(), st.data())
def test_a_chain_has_as_many_closed_sets_as_positions(graph, data):
    assert list(closed_sets(graph)) == [
        frozenset(range(p)) for p in range(len(graph.operators) + 1)
    ]
    assert (data.draw(operator_times(graph, positive=True)) > 0.0).all()


@settings(deadline=None, max_examples=50)
@given(graphs(min_operators=1, max_operators=7))
def test_closed_sets_are_all_and_only_the_closed_ones(graph):
    n = len(graph.operators)
    every = {
        frozenset(v for v in range(n) if bits >> v & 1)
        for bits in range(2**n)
        if all(bits >> p & 1 for v in range(n) if bits >> v & 1 for p in graph.predecessors[v])
    }
    found = list(closed_sets(graph))
    assert set(found) == every
    assert len(found) == len(every)
    assert found[0] == frozenset()
