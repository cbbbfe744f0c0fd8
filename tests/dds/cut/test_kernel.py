import contextlib

import networkx
from hypothesis import given, settings
from hypothesis import strategies as st

from dds.cut.kernel import INFINITE, push_relabel


@st.composite
def networks(draw):
    """(excess per node, arcs (tail, head, capacity)); capacity INFINITE occurs."""
    size = draw(st.integers(1, 8))
    excess = draw(st.lists(st.integers(-9, 9), min_size=size, max_size=size))
    node = st.integers(0, size - 1)
    arc = st.tuples(node, node, st.sampled_from([INFINITE, 0, 1]) | st.integers(0, 12))
    arcs = draw(st.lists(arc.filter(lambda a: a[0] != a[1]), max_size=24))
    return excess, arcs


def run(excess, arcs):
    """Left-over excess and the largest source side, by the kernel."""
    size = len(excess)
    ends = [end for tail, head, _ in arcs for end in ((tail, head), (head, tail))]
    order = sorted(range(len(ends)), key=lambda a: ends[a][0])
    place = {a: i for i, a in enumerate(order)}
    start = [sum(tail < u for tail, _ in ends) for u in range(size + 1)]
    residual = [0] * len(ends)
    for i, (_, _, capacity) in enumerate(arcs):
        residual[place[2 * i]] = capacity
    label = [0] * size
    left = push_relabel(
        size, list(range(size)), start, [ends[a][1] for a in order],
        [place[a ^ 1] for a in order], residual, list(excess), label,
        [0] * size, [0] * size, [0] * (size + 1),
    )  # fmt: skip
    return left, {u for u in range(size) if label[u] == size}


def network(excess, arcs):
    flow = networkx.DiGraph()
    flow.add_nodes_from(["s", "t", *range(len(excess))])
    for u, amount in enumerate(excess):
        flow.add_edge(*(("s", u) if amount > 0 else (u, "t")), capacity=abs(amount))
    for tail, head, capacity in arcs:
        if capacity == INFINITE:
            flow.add_edge(tail, head)  # no capacity attribute: infinite
            flow[tail][head].pop("capacity", None)
        elif not flow.has_edge(tail, head):
            flow.add_edge(tail, head, capacity=capacity)
        elif "capacity" in flow[tail][head]:
            flow[tail][head]["capacity"] += capacity
    return flow


@settings(deadline=None, max_examples=240)
@given(networks())
def test_push_relabel_finds_the_largest_minimum_cut(drawn):
    excess, arcs = drawn
    flow = network(excess, arcs)
    least = networkx.minimum_cut_value(flow, "s", "t")
    left, source_side = run(excess, arcs)
    assert sum(e for e in excess if e > 0) - left == least
    # The source side is a minimum cut ...
    value = sum(-e for u, e in enumerate(excess) if e < 0 and u in source_side)
    value += sum(e for u, e in enumerate(excess) if e > 0 and u not in source_side)
    for tail, head, capacity in arcs:
        if tail in source_side and head not in source_side:
            assert capacity != INFINITE
            value += capacity
    assert value == least
    # ... and no minimum cut has a node more: forcing one more to it costs more.
    for u in set(range(len(excess))) - source_side:
        forced = flow.copy()
        forced.add_edge("s", u)
        forced["s"][u].pop("capacity", None)
        with contextlib.suppress(networkx.NetworkXUnbounded):  # infinitely more
            assert networkx.minimum_cut_value(forced, "s", "t") > least


def test_an_infinite_arc_carries_any_amount():
    amount = 2**60
    left, source_side = run([amount, 0, -amount], [(0, 1, INFINITE), (1, 2, INFINITE)])
    assert left == 0
    assert source_side == {0, 1, 2}
