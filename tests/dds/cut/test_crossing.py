import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dds.cut import frontier
from dds.cut.crossing import best_of, describe
from dds.cut.layout import SPLITS, new_state
from dds.cut.network import network
from dds.cut.parametric import price
from dds.testing import chains, links, operator_times


@settings(deadline=None, max_examples=60)
@given(chains(), st.data())
def test_of_all_prefixes_of_a_chain_the_frontier_is_left(graph, data):
    local = data.draw(operator_times(graph)).tolist()
    work = data.draw(operator_times(graph, positive=True)).tolist()
    link = data.draw(links())
    net = network(graph)
    state = new_state(net.graph)
    price(state, net.sizes, local, work, link.uplink, link.downlink, link.rtt)
    every = len(local) + 1
    state.ints[SPLITS][:every] = range(every)
    listing, values = describe(state, net.sizes, every, link.uplink, link.downlink, link.rtt)
    pieces = frontier(graph, local, work, link, engine="python").pieces
    found = zip(*values, strict=True)
    assert [[p.base_latency, p.server_work] for p in pieces] == [
        pytest.approx([base, behind], rel=1e-9) for _, base, behind, *_ in found
    ]
    assert listing[3 * len(pieces)] == len(listing)


@pytest.mark.parametrize(
    ("base", "work", "left"),
    [
        ([1.0, 2.0, 4.0], [9.0, 4.0, 0.0], [0, 1, 2]),
        ([1.0, 2.0, 3.0], [2.0, 1.0, 0.0], [0, 2]),  # on the line between its neighbours
        ([1.0, 3.0, 2.0], [2.0, 1.0, 0.0], [0, 2]),  # dearer and busier than the next
        ([1.0, 1.0, 1.0], [2.0, 1.0, 0.0], [2]),
        ([1.0, 2.0, 3.0], [2.0, 2.0, 0.0], [0, 2]),  # the same work at a dearer base
        ([5.0, 1.0, 2.0], [9.0, 8.0, 0.0], [1, 2]),
        ([0.0], [0.0], [0]),
    ],
)
def test_what_is_nowhere_strictly_best_goes(base, work, left):
    splits = list(range(len(base)))
    count = best_of(splits, len(base), base, work)
    assert splits[:count] == left
