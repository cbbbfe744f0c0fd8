import math

import numpy as np
import pytest
from hypothesis import given, settings

from dds.model import ModelGraph, Operator, Tensor, load_model, zoo
from dds.model.fusion import Fusion
from dds.predict.features import COLUMNS, FAMILIES, WORK, features
from dds.testing import graphs as any_graphs


def column(graph: ModelGraph, name: str) -> list[float]:
    return [float(x) for x in features(graph).values[:, COLUMNS.index(name)]]


@settings(deadline=None, max_examples=60)
@given(any_graphs())
def test_any_graph_has_finite_features_and_its_work_adds_up(graph: ModelGraph) -> None:
    seen = features(graph)
    count = len(graph.operators)
    assert seen.values.shape == (count, len(COLUMNS))
    assert seen.work.shape == (count, len(WORK))
    assert np.isfinite(seen.values).all()
    assert (seen.work >= 0.0).all()
    assert seen.work[:, 0].sum() == pytest.approx(graph.flops)
    assert seen.work[:, 2].sum() == pytest.approx(graph.weight_bytes)
    for v, operator in enumerate(graph.operators):
        moved = sum(graph.tensors[t].bytes for t in operator.inputs + operator.outputs)
        assert seen.work[v, 1] == pytest.approx(moved)


@pytest.mark.parametrize("name", ["shufflenet", "inception_v1"])
def test_numbers_are_those_of_a_slow_count(name: str) -> None:
    graph = load_model(zoo.topology(name))
    seen, moved = features(graph), []
    for operator in graph.operators:
        sizes = [graph.tensors[t].bytes for t in operator.inputs + operator.outputs]
        moved.append(sum(sizes) + operator.weight_bytes)
    for v, operator in enumerate(graph.operators):
        given_tensor, made = graph.tensors[operator.inputs[0]], graph.tensors[operator.outputs[0]]
        since = total = 0.0
        for t in operator.inputs:
            since += graph.tensors[t].bytes * sum(moved[max(graph.producer[t], 0) : v])
            total += graph.tensors[t].bytes
        expected = {
            "macs": operator.macs,
            "kernel": math.prod(operator.kernel),
            "channels_in": given_tensor.shape[1],
            "points_out": math.prod(made.shape[2:]),
            "inputs": len(operator.inputs),
            "distance": since / total,
            "flops_before": graph.operators[v - 1].flops if v else 0,
            "depth": operator.macs / math.prod(made.shape),
        }
        for what, number in expected.items():
            assert seen.values[v, COLUMNS.index(what)] == pytest.approx(math.log2(1.0 + number))


def doublings(amount: float, least: int, most: int) -> int:
    """Whole doublings from 2^least, at most up to 2^most."""
    return round(min(max(math.log2(max(amount, 1.0)), least), most)) - least


@settings(deadline=None, max_examples=60)
@given(any_graphs())
def test_what_was_done_since_the_kind_last_ran_is_that_of_a_walk_back(graph: ModelGraph) -> None:
    operators, seen = graph.operators, features(graph)
    did = [(float(each[0]), float(each[1] + each[2])) for each in seen.work]
    for v, operator in enumerate(operators):
        # Back through this inference and then the one before, where at last it meets itself.
        since, u = [0.0, 0.0], v - 1
        while operators[u].kind != operator.kind:
            since = [total + own for total, own in zip(since, did[u], strict=True)]
            u -= 1
        expected = {
            "flops_since": doublings(since[0], 18, 33),
            "bytes_since": doublings(since[1], 14, 28),
        }
        for what, number in expected.items():
            assert seen.values[v, COLUMNS.index(what)] == number


def test_work_between_two_of_a_kind_counts_and_the_inference_before_when_there_is_one() -> None:
    tensors = tuple(Tensor(f"t{k}", (1, 8), "float32", 32) for k in range(5))
    kinds, flops = ("Relu", "Gemm", "Gemm", "Relu"), (0, 1 << 20, 1 << 22, 0)
    operators = tuple(Operator(f"o{k}", kinds[k], (k,), (k + 1,), flops=flops[k]) for k in range(4))
    graph = ModelGraph(operators, tensors, (0,), (4,))
    # The first Relu follows the last one of the inference before at once.
    assert column(graph, "flops_since") == [0.0, 0.0, 0.0, 4.0]


def test_families_tell_convolutions_by_their_groups() -> None:
    graph = load_model(zoo.topology("shufflenet"))
    for operator, index in zip(graph.operators, features(graph).family, strict=True):
        if operator.kind == "Conv":
            depth = graph.tensors[operator.inputs[0]].shape[1]
            one, own = operator.groups == 1, operator.groups == depth
            expected = "convolution" if one else "depthwise" if own else "grouped"
            assert FAMILIES[index] == expected


def test_a_fused_operator_is_of_its_main_family_and_counts_its_parts() -> None:
    graph = load_model(zoo.topology("squeezenet"))
    pairs = [
        (u, v)
        for v, operator in enumerate(graph.operators)
        for u in graph.predecessors[v]
        if operator.kind == "Relu" and graph.operators[u].kind == "Conv"
    ]
    fused = Fusion.joined(graph, pairs).fused(graph)
    kinds = [operator.kind for operator in fused.operators]
    v = kinds.index("Conv+Relu")
    assert FAMILIES[features(fused).family[v]] == "convolution"
    assert column(fused, "parts")[v] == pytest.approx(math.log2(3.0))
    assert column(fused, "kind_Relu")[v] == 1.0


def test_layouts_change_where_a_neighbour_cannot_follow() -> None:
    names = ("x", "a", "b", "c")
    tensors = tuple(Tensor(name, (1, 16, 8, 8), "float32", 4096) for name in names)
    kinds = ("Conv", "LRN", "Conv")
    operators = tuple(
        Operator(f"o{k}", kind, (k,), (k + 1,), kernel=(3, 3) * (kind == "Conv"))
        for k, kind in enumerate(kinds)
    )
    graph = ModelGraph(operators, tensors, (0,), (3,))
    one, none = math.log2(4097.0), 0.0
    assert column(graph, "blocked") == [1.0, 0.0, 1.0]
    assert column(graph, "reordered_in") == pytest.approx([one, none, one])
    assert column(graph, "reordered_out") == pytest.approx([one, none, one])


def test_an_empty_graph_has_no_features() -> None:
    graph = ModelGraph((), (), (), ())
    assert features(graph).values.shape == (0, len(COLUMNS))
