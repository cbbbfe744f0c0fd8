"""Planning with a cloud behind the server, after anything learned, against every labeling."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clients.planning import Placement
from clients.tiers import ThreeTiers
from dds.costs import Link
from dds.cut.network import make_cut
from dds.model.fusion import Fusion
from dds.predict.correction import Correction
from dds.testing import graphs
from dds.testing.corrections import corrections
from dds.testing.tiers import labelings, offers

rates = st.floats(1e3, 1e9)
links = st.builds(Link, rates, rates, st.floats(0.0, 1.0))
shares = st.floats(0.01, 10.0)


@st.composite
def planners(draw: st.DrawFn) -> ThreeTiers:
    """Any graph of any times, with and without fusion and a way past the edge."""
    graph = draw(graphs(min_operators=1, max_operators=5))
    count = len(graph.operators)
    pairs = st.tuples(st.integers(0, count - 1), st.integers(0, count - 1))
    fusion = Fusion.joined(graph, draw(st.lists(pairs, max_size=2)))
    seconds = st.lists(st.floats(1e-3, 1e2), min_size=count, max_size=count).map(np.array)
    return ThreeTiers(
        *(graph, fusion, draw(seconds), draw(seconds), draw(seconds), draw(links)),
        draw(st.none() | st.floats(0.0, 1.0)),
        draw(offers()),
        draw(st.floats(0.1, 10.0)),
    )


def placements(planner: ThreeTiers) -> Iterator[Placement]:
    """All there are."""
    graph, fusion, count = planner.graph, planner.fusion, len(planner.graph.operators)
    for first, second in labelings(fusion.fused(graph)):
        cuts = [
            make_cut(graph, fusion.expand(sorted(kept)), planner.device) for kept in (first, second)
        ]
        yield Placement(*cuts, count)
        if first == second and planner.direct_rtt is not None and len(cuts[0].on_device) < count:
            yield Placement(*cuts, count, direct=True)


def worth(
    planner: ThreeTiers, placement: Placement, share: float, link: Link, learned: Correction
) -> float:
    """T and the rent, s."""
    times = planner.times(placement, share, link)
    return learned.corrected(times).total + planner.rent(placement)


@settings(deadline=None, max_examples=90)
@given(planners(), shares, links, corrections())
def test_the_best_plan_after_anything_learned(
    planner: ThreeTiers, share: float, link: Link, learned: Correction
) -> None:
    found = planner.best(share, link, learned)()
    least = min(worth(planner, p, share, link, learned) for p in placements(planner))
    assert worth(planner, found, share, link, learned) == pytest.approx(least, rel=1e-9)


@settings(deadline=None, max_examples=60)
@given(planners(), links, corrections())
def test_without_a_share_the_edge_stays_idle(
    planner: ThreeTiers, link: Link, learned: Correction
) -> None:
    found = planner.best(0.0, link, learned)()
    assert found.on_edge == 0
    least = min(worth(planner, p, 0.0, link, learned) for p in placements(planner) if not p.on_edge)
    assert worth(planner, found, 0.0, link, learned) == pytest.approx(least, rel=1e-9)


@settings(deadline=None, max_examples=60)
@given(planners(), shares, links, corrections())
def test_options_are_worth_what_their_placements_take(
    planner: ThreeTiers, share: float, link: Link, learned: Correction
) -> None:
    options = planner.options(link, learned)
    for piece, placement in zip(options.frontier.pieces, options.placements, strict=True):
        taken = worth(planner, placement, share, link, learned)
        assert taken == pytest.approx(piece.latency(share), rel=1e-9)
    least = min(worth(planner, p, share, link, learned) for p in placements(planner))
    assert options.frontier.latency(share) == pytest.approx(least, rel=1e-9)


@settings(deadline=None, max_examples=60)
@given(planners(), shares, links, corrections())
def test_cloud_only_goes_there_by_the_better_way(
    planner: ThreeTiers, share: float, link: Link, learned: Correction
) -> None:
    baseline = replace(planner, all_there=True)
    options = baseline.options(link, learned)
    (piece,), (placement,) = options.frontier.pieces, options.placements
    assert placement.same(baseline.best(share, link, learned)())
    assert placement.on_cloud == len(planner.graph.operators)
    everything = [p for p in placements(planner) if p.on_cloud == p.operators]
    least = min(worth(planner, p, share, link, learned) for p in everything)
    assert piece.server_work == 0.0
    assert piece.latency(share) == pytest.approx(least, rel=1e-9)
