"""Fusions of drawn graphs, against networkx and against sums over all closed sets."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dds.costs import Link
from dds.cut import frontier, make_cut
from dds.errors import InvalidInput
from dds.model.fusion import Fusion
from dds.model.graph import ModelGraph, Operator, Tensor
from dds.testing import closed_sets, graphs


@st.composite
def pairs_of(draw: st.DrawFn, graph: ModelGraph) -> list[tuple[int, int]]:
    """Pairs of operators, any pairs at all."""
    count = len(graph.operators)
    if not count:
        return []
    operator = st.integers(0, count - 1)
    return draw(st.lists(st.tuples(operator, operator), max_size=count))


@st.composite
def fusions(draw: st.DrawFn) -> tuple[ModelGraph, list[tuple[int, int]], Fusion]:
    graph = draw(graphs(max_operators=9))
    pairs = draw(pairs_of(graph))
    return graph, pairs, Fusion.joined(graph, pairs)


def oracle(graph: ModelGraph, pairs: list[tuple[int, int]]) -> set[frozenset[int]]:
    """A link is a path there and back; the finest convex partition is the strong components."""
    network = nx.DiGraph()
    network.add_nodes_from(range(len(graph.operators)))
    network.add_edges_from((u, v) for v, before in enumerate(graph.predecessors) for u in before)
    network.add_edges_from(pairs)
    network.add_edges_from((v, u) for u, v in pairs)
    return {frozenset(group) for group in nx.strongly_connected_components(network)}


@settings(deadline=None)
@given(fusions())
def test_the_groups_are_the_finest_without_a_cycle(drawn) -> None:
    graph, pairs, fusion = drawn
    assert {frozenset(group) for group in fusion.groups} == oracle(graph, pairs)
    assert all(list(group) == sorted(group) for group in fusion.groups)
    assert fusion.size == len(graph.operators)


@settings(deadline=None)
@given(fusions())
def test_a_fused_graph_costs_what_its_operators_cost(drawn) -> None:
    graph, _, fusion = drawn
    fused = fusion.fused(graph)  # a ModelGraph checks that it is a DAG in order
    assert (fused.flops, fused.weight_bytes) == (graph.flops, graph.weight_bytes)
    assert [fused.tensors[t].name for t in fused.inputs] == [
        graph.tensors[t].name for t in graph.inputs
    ]
    assert [fused.tensors[t].name for t in fused.outputs] == [
        graph.tensors[t].name for t in graph.outputs
    ]
    for group, operator in zip(fusion.groups, fused.operators, strict=True):
        assert operator.name == graph.operators[group[-1]].name
        assert operator.kind.split("+") == [graph.operators[v].kind for v in group]


@settings(deadline=None)
@given(fusions(), st.data())
def test_a_cut_of_the_fused_graph_is_that_cut_of_the_graph(drawn, data) -> None:
    graph, _, fusion = drawn
    fused = fusion.fused(graph)
    exact = st.integers(0, 2**20)  # sums of these are exact in any order
    times = np.array([float(data.draw(exact)) for _ in graph.operators])
    sums = np.array([times[list(group)].sum() for group in fusion.groups])
    for chosen in closed_sets(fused):
        small = make_cut(fused, chosen, sums)
        large = make_cut(graph, fusion.expand(small), times)
        assert large.local_time == small.local_time
        assert (large.uplink_bytes, large.downlink_bytes) == (
            small.uplink_bytes,
            small.downlink_bytes,
        )
        assert [graph.tensors[t].name for t in large.uploads] == [
            fused.tensors[t].name for t in small.uploads
        ]


@settings(deadline=None)
@given(fusions())
def test_the_closed_sets_of_the_fused_graph_are_those_that_take_no_group_apart(drawn) -> None:
    graph, _, fusion = drawn
    whole = {
        tuple(sorted(chosen))
        for chosen in closed_sets(graph)
        if all(len(set(group) & set(chosen)) in (0, len(group)) for group in fusion.groups)
    }
    assert {fusion.expand(chosen) for chosen in closed_sets(fusion.fused(graph))} == whole


@settings(deadline=None)
@given(fusions(), st.data())
def test_joining_two_is_joining_all_their_pairs(drawn, data) -> None:
    graph, pairs, first = drawn
    more = data.draw(pairs_of(graph))
    second = Fusion.joined(graph, more)
    both = first.join(graph, second)
    assert both == second.join(graph, first) == Fusion.joined(graph, pairs + more)
    assert first.join(graph, Fusion.none(graph)) == first
    assert both.join(graph, first) == both


@settings(deadline=None, max_examples=30)
@given(graphs(max_operators=7))
def test_nothing_fused_is_the_graph_itself(graph) -> None:
    none = Fusion.none(graph)
    assert none == Fusion.joined(graph, [])
    assert none.fused(graph) == graph


def test_a_solver_takes_the_fused_graph() -> None:
    graph = residual()
    fusion = Fusion.joined(graph, [(0, 1), (2, 3)])
    fused = fusion.fused(graph)
    assert [operator.kind for operator in fused.operators] == ["Conv+Relu", "Conv+Add"]
    best = frontier(fused, [2.0, 2.0], [1.0, 1.0], Link(1000.0, 1000.0, 0.0))
    assert [fusion.expand(piece.cut) for piece in best.pieces][-1] == (0, 1, 2, 3)


def test_a_path_that_leaves_a_group_and_comes_back_belongs_to_it() -> None:
    # Conv 0 feeds Add 3 directly and through 1 and 2: joined, they enclose those.
    assert Fusion.joined(residual(), [(0, 3)]).groups == ((0, 1, 2, 3),)


def test_the_member_with_the_most_multiply_adds_gives_the_window() -> None:
    fused = Fusion.joined(residual(), [(2, 3)]).fused(residual())
    assert (fused.operators[2].kernel, fused.operators[2].groups) == ((3, 3), 2)
    assert (fused.operators[2].macs, fused.operators[2].node) == (10, -1)


def test_a_model_twenty_thousand_operators_deep_is_joined() -> None:
    count = 20_000
    tensors = tuple(Tensor(f"t{k}", (1,), "float32", 4) for k in range(count + 1))
    operators = tuple(Operator(f"op{v}", "Relu", (v,), (v + 1,)) for v in range(count))
    graph = ModelGraph(operators, tensors, (0,), (count,))
    fusion = Fusion.joined(graph, [(v, v + 1) for v in range(0, count, 2)])
    assert len(fusion.fused(graph).operators) == count // 2


@pytest.mark.parametrize(
    ("broken", "complaint"),
    [
        (lambda graph: Fusion.joined(graph, [(0, 4)]), "operator 4 is not among the 4"),
        (lambda graph: Fusion(((0, 1), (2,))).fused(graph), "use the fusion of this graph"),
        (lambda graph: Fusion(((0, 1), (1, 2, 3))).fused(graph), "use the fusion of this graph"),
        (lambda graph: Fusion(((0, 1, 2, 3), ())).fused(graph), "use the fusion of this graph"),
        (lambda graph: Fusion(((1, 0), (2,), (3,))).fused(graph), "operator 1 is not ascending"),
        (lambda graph: Fusion(((0, 3), (1, 2))).fused(graph), "Fusion.joined"),
        (lambda graph: Fusion.none(graph).expand([7]), "among the 4 groups"),
        (lambda graph: Fusion.none(graph).expand([-1]), "among the 4 groups"),
    ],
)
def test_what_is_no_fusion_of_the_graph_is_refused(broken, complaint: str) -> None:
    with pytest.raises(InvalidInput, match=complaint):
        broken(residual())


def residual() -> ModelGraph:
    """Conv - Relu - Conv - Add, and the first tensor skips to the Add."""
    tensors = tuple(Tensor(f"t{k}", (1,), "float32", 4) for k in range(5))
    operators = (
        Operator("a", "Conv", (0,), (1,), macs=5),
        Operator("b", "Relu", (1,), (2,)),
        Operator("c", "Conv", (2,), (3,), macs=10, kernel=(3, 3), stride=(1, 1), groups=2),
        Operator("d", "Add", (1, 3), (4,), flops=99),
    )
    return ModelGraph(operators, tensors, (0,), (4,))
