from hypothesis import given, settings

from dds.cut.structure import blocks, open_bytes, prefixes, reduction, through_bytes
from dds.testing import graphs


def ancestors(graph):
    found = []
    for before in graph.predecessors:
        found.append(set(before).union(*(found[p] for p in before)))
    return found


def comparable_with_all(graph, v, above):
    return all(u == v or u in above[v] or v in above[u] for u in range(len(above)))


@settings(deadline=None, max_examples=80)
@given(graphs(max_operators=14))
def test_a_block_is_an_articulation_or_what_lies_between_two(graph):
    above = ancestors(graph)
    single = [comparable_with_all(graph, v, above) for v in range(len(above))]
    found = blocks(graph)
    expected, number = [], 0
    for v in range(len(above)):
        number += v > 0 and (single[v] or single[v - 1])
        expected.append(number)
    assert found == expected


@settings(deadline=None, max_examples=80)
@given(graphs(max_operators=14))
def test_prefixes_end_before_and_behind_articulations(graph):
    above = ancestors(graph)
    single = [v for v in range(len(above)) if comparable_with_all(graph, v, above)]
    expected = {0, len(above), *single, *(v + 1 for v in single)}
    assert prefixes(graph) == sorted(expected)


@settings(deadline=None, max_examples=80)
@given(graphs(max_operators=14))
def test_reduction_keeps_exactly_what_is_not_implied(graph):
    above = ancestors(graph)
    block = blocks(graph)
    needs, readers = reduction(graph, block)
    for v, before in enumerate(graph.predecessors):
        kept = {p for p in before if not any(p in above[q] for q in before)}
        assert needs[v] == {p for p in kept if block[p] == block[v]}
    for t, consumers in enumerate(graph.consumers):
        assert readers[t] == [c for c in consumers if not any(c in above[d] for d in consumers)]
        assert len({block[c] for c in readers[t]}) <= 1


@settings(deadline=None, max_examples=60)
@given(graphs(max_operators=12))
def test_bytes_that_pass(graph):
    sizes = [tensor.bytes for tensor in graph.tensors]
    block = blocks(graph)

    def crossing(low, high):
        return sum(
            sizes[t]
            for t, readers in enumerate(graph.consumers)
            if graph.producer[t] < low and readers and readers[-1] >= high
        )

    n = len(block)
    assert open_bytes(graph, sizes) == [crossing(p, p) for p in range(n + 1)]
    spans = [(block.index(b), n - block[::-1].index(b)) for b in sorted(set(block))]
    assert through_bytes(graph, sizes, block) == [crossing(low, high) for low, high in spans]
