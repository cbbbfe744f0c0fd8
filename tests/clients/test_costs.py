"""The cut is of the fused graph, the pieces are of the model's own."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dds
from clients.costs import Costs, per_operator
from dds.costs import DEVICES, Link, operator_times
from dds.model import load_model, zoo
from dds.model.fusion import Fusion
from dds.model.graph import ModelGraph
from dds.predict.correction import Correction, Segment, Times
from dds.profile.profile import Profile
from dds.profile.runtime import Runtime
from dds.testing import graphs

LINK = Link(2e6, 4e6, 0.01)


rates = st.floats(1e2, 1e9)
sane_links = st.builds(Link, rates, rates, st.floats(0.0, 1.0))


@st.composite
def costs(draw: st.DrawFn) -> Costs:
    """Any graph, any fusion of it, any times."""
    graph = draw(graphs(min_operators=1, max_operators=8))
    count = len(graph.operators)
    pairs = st.tuples(st.integers(0, count - 1), st.integers(0, count - 1))
    fusion = Fusion.joined(graph, draw(st.lists(pairs, max_size=4)))
    seconds = st.lists(st.floats(1e-3, 1e2), min_size=count, max_size=count).map(np.array)
    return Costs(graph, fusion, draw(seconds), draw(seconds), draw(sane_links))


@settings(deadline=None, max_examples=90)
@given(costs(), st.floats(0.01, 10.0))
def test_pieces_are_cuts_of_the_model_and_cost_what_they_say(found: Costs, share: float) -> None:
    for piece in found.frontier().pieces:
        times = found.times(piece.cut, share)
        assert times.total == pytest.approx(piece.latency(share), rel=1e-9)
        for group in found.fusion.groups:
            assert len({v in piece.cut.on_device for v in group}) == 1
    nothing = found.everything_on_server()
    assert nothing.cut.on_device == ()
    assert found.times(nothing.cut, share).total == pytest.approx(nothing.latency(share))


@settings(deadline=None, max_examples=60)
@given(costs())
def test_without_fusion_it_is_the_librarys_frontier(found: Costs) -> None:
    plain = Costs(found.graph, Fusion.none(found.graph), found.device, found.server, found.link)
    library = dds.frontier(found.graph, found.device, found.server, found.link)
    ours = plain.frontier()
    assert [p.cut.on_device for p in ours.pieces] == [p.cut.on_device for p in library.pieces]
    assert [p.base_latency for p in ours.pieces] == pytest.approx(
        [p.base_latency for p in library.pieces]
    )


def test_what_was_learned_changes_every_segment() -> None:
    graph = load_model(zoo.topology("squeezenet"))
    device = operator_times(graph, DEVICES["phone"])
    server = operator_times(graph, DEVICES["edge-core"])
    found = Costs(graph, Fusion.none(graph), device, server, LINK)
    correction = Correction()
    for _ in range(10):
        correction = correction.observe(Times(2.0, 3.0, 0.5), Times(1.0, 1.0, 1.0))
    factors = [correction.factor(segment) for segment in Segment]
    assert factors == pytest.approx([2.0, 3.0, 0.5])
    for piece in found.frontier(correction).pieces:
        corrected = correction.corrected(found.times(piece.cut, 1.0))
        assert corrected.total == pytest.approx(piece.latency(1.0), rel=1e-9)


def chain(count: int) -> ModelGraph:
    tensors = tuple(dds.model.Tensor(f"t{i}", (), "float32", 4) for i in range(count + 1))
    steps = tuple(dds.model.Operator(f"o{i}", "F", (i,), (i + 1,)) for i in range(count))
    return ModelGraph(steps, tensors, (0,), (count,))


def test_a_profiles_group_counts_at_its_last_operator() -> None:
    graph = chain(4)
    profile = Profile(
        digest="",
        platform="here",
        runtime=Runtime(),
        operators=("o1", "o2", "o3"),
        groups=((0, 1), (2,), (3,)),
        seconds=(0.1, 0.2, 0.3),
        noise=(0.0, 0.0, 0.0),
        whole=0.6,
        kernels=0.6,
        spread=0.0,
        repeats=1,
    )
    assert per_operator(graph, profile).tolist() == [0.0, 0.1, 0.2, 0.3]
    coarse = profile.fusion.join(graph, Fusion.joined(graph, [(1, 2)]))
    there = per_operator(graph, [1.0, 1.0, 1.0, 1.0])
    joined = Costs(graph, coarse, per_operator(graph, profile), there, Link(1e9, 1e9))
    assert coarse.groups == ((0, 1, 2), (3,))
    pieces = joined.frontier().pieces
    assert {piece.cut.on_device for piece in pieces} <= {(), (0, 1, 2), (0, 1, 2, 3)}
    assert pieces[-1].base_latency == pytest.approx(0.6)
