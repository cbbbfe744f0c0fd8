"""Planning anew for a link, against every cut there is."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clients.costs import Costs
from clients.planning import Placement, TwoTiers
from dds.costs import Link
from dds.cut.network import make_cut
from dds.model.fusion import Fusion
from dds.predict.correction import Correction
from dds.testing import graphs
from dds.testing.corrections import corrections
from dds.testing.graphs import closed_sets

rates = st.floats(1e3, 1e9)
links = st.builds(Link, rates, rates, st.floats(0.0, 1.0))
shares = st.floats(0.01, 10.0)


@st.composite
def planners(draw: st.DrawFn) -> TwoTiers:
    """Any graph of any times, some of its cuts measured or none."""
    graph = draw(graphs(min_operators=1, max_operators=7))
    count = len(graph.operators)
    seconds = st.lists(st.floats(1e-3, 1e2), min_size=count, max_size=count).map(np.array)
    costs = Costs(graph, Fusion.none(graph), draw(seconds), draw(seconds), draw(links))
    inside = sorted(tuple(sorted(s)) for s in closed_sets(graph) if 0 < len(s) < count)
    measured = draw(st.lists(st.sampled_from(inside), max_size=3, unique=True)) if inside else []
    times = st.tuples(st.floats(1e-3, 1e2), st.floats(1e-3, 1e2))
    return TwoTiers(replace(costs, measured={cut: draw(times) for cut in measured}))


def least(planner: TwoTiers, share: float, link: Link, learned: Correction) -> float:
    """The latency of the best cut that may be used, s."""
    costs = planner.costs
    count = len(costs.graph.operators)
    cuts = {tuple(sorted(kept)) for kept in closed_sets(costs.graph)}
    if costs.measured:
        cuts = {*costs.measured, (), tuple(range(count))}
    found = [make_cut(costs.graph, cut, costs.device) for cut in cuts]
    at_link = replace(costs, link=link)
    return min(learned.corrected(at_link.times(cut, share)).total for cut in found)


@settings(deadline=None, max_examples=90)
@given(planners(), shares, links, corrections())
def test_the_best_cut_for_any_link_is_among_the_hulls(
    planner: TwoTiers, share: float, link: Link, learned: Correction
) -> None:
    found = planner.best(share, link, learned)()
    assert found.on_cloud == 0
    total = learned.corrected(planner.times(found, share, link)).total
    assert total == pytest.approx(least(planner, share, link, learned), rel=1e-9)
    assert planner.rent(found) == 0.0


@settings(deadline=None, max_examples=60)
@given(planners(), shares, links, corrections())
def test_options_are_worth_what_their_placements_take(
    planner: TwoTiers, share: float, link: Link, learned: Correction
) -> None:
    options = planner.options(link, learned)
    for piece, placement in zip(options.frontier.pieces, options.placements, strict=True):
        times = planner.times(placement, share, link)
        assert learned.corrected(times).total == pytest.approx(piece.latency(share), rel=1e-9)
    best = least(planner, share, link, learned)
    assert options.frontier.latency(share) == pytest.approx(best, rel=1e-9)


@given(planners(), links)
def test_without_a_share_everything_stays_here(planner: TwoTiers, link: Link) -> None:
    found = planner.best(0.0, link, Correction())()
    assert (found.on_edge, found.on_cloud) == (0, 0)
    everything = replace(planner, all_there=True).best(0.0, link, Correction())()
    assert everything.first.on_device == ()


@given(planners())
def test_placements_are_the_same_where_operators_are(planner: TwoTiers) -> None:
    graph, device = planner.costs.graph, planner.costs.device
    none, every = make_cut(graph, (), device), make_cut(graph, range(len(device)), device)
    count = len(graph.operators)
    placements = [
        Placement(none, every, count),
        Placement(every, every, count),
        Placement(none, none, count),
        Placement(none, none, count, direct=True),
    ]
    for k, one in enumerate(placements):
        for j, other in enumerate(placements):
            assert one.same(other) is (k == j)
    assert [(p.on_edge, p.on_cloud) for p in placements[:3]] == [(count, 0), (0, 0), (0, count)]
