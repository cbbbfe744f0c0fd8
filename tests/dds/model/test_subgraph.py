"""The device's part of a model as a graph: what a splitter of ONNX models says it is."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dds.errors import InvalidInput
from dds.model import zoo
from dds.model.graph import ModelGraph
from dds.model.importer import load_model
from dds.model.split import split
from dds.model.subgraph import device_part
from dds.testing import closed_sets, graphs


@given(graphs(max_operators=7), st.data())
def test_a_part_has_the_operators_of_the_cut_and_returns_what_anything_else_reads(
    graph: ModelGraph, data: st.DataObject
) -> None:
    kept = sorted(data.draw(st.sampled_from([*closed_sets(graph)])))
    part = device_part(graph, SimpleNamespace(on_device=kept))

    def names(of: ModelGraph, tensors) -> list[str]:
        return [of.tensors[t].name for t in tensors]

    assert len(part.operators) == len(kept)
    for ours, v in zip(part.operators, kept, strict=True):
        theirs = graph.operators[v]
        assert (ours.name, ours.flops, ours.node) == (theirs.name, theirs.flops, theirs.node)
        assert names(part, ours.inputs) == names(graph, theirs.inputs)
        assert names(part, ours.outputs) == names(graph, theirs.outputs)
    assert names(part, part.inputs) == names(graph, graph.inputs)
    leaving = {
        t
        for v in kept
        for t in graph.operators[v].outputs
        if t in graph.outputs
        or any(t in op.inputs for w, op in enumerate(graph.operators) if w not in kept)
    }
    assert set(names(part, part.outputs)) == set(names(graph, leaving))


@pytest.mark.parametrize("name", ["shufflenet", "squeezenet"])
def test_a_part_is_the_graph_of_the_splitters_device_model(name: str) -> None:
    model = zoo.build(name)
    graph = load_model(model)
    for stop in range(0, len(graph.operators) + 1, 11):
        cut = SimpleNamespace(on_device=tuple(range(stop)))
        part, parts = device_part(graph, cut), split(model, graph, cut)
        names = [part.tensors[t].name for t in part.outputs]
        assert names == list(parts.device_outputs)
        if parts.device is not None:
            loaded = load_model(parts.device)
            assert [op.name for op in loaded.operators] == [op.name for op in part.operators]
            assert [op.flops for op in loaded.operators] == [op.flops for op in part.operators]


@pytest.mark.parametrize(
    ("kept", "says"),
    [
        ((1,), "data never flows back"),
        ((1, 0), "ascending"),
        ((0, 0), "ascending"),
        ((-1,), "on_device"),
        ((0, 999), "on_device"),
    ],
)
def test_what_is_no_cut_is_refused(kept: tuple[int, ...], says: str) -> None:
    graph = load_model(zoo.topology("squeezenet"))
    with pytest.raises(InvalidInput, match=says):
        device_part(graph, SimpleNamespace(on_device=kept))
