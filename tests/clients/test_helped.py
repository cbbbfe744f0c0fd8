"""Planning with helpers: pieces are what the formula says, and helpers make none worse."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clients.costs import Costs
from clients.helped import HelpedTiers
from clients.planning import TwoTiers
from dds.costs.link import Link
from dds.cut.network import make_cut
from dds.model import load_model, zoo
from dds.model.fusion import Fusion
from dds.parallel.workers import Worker, WorkerLinks
from dds.predict.correction import Correction
from dds.testing.corrections import corrections

GRAPH = load_model(zoo.topology("alexnet"))
COUNT = len(GRAPH.operators)
RNG = np.random.default_rng(0)
DEVICE = RNG.uniform(0.01, 0.1, COUNT)
COSTS = Costs(
    GRAPH, Fusion(tuple((v,) for v in range(COUNT))), DEVICE, DEVICE / 4.0, Link(2e6, 5e6, 0.02)
)
links = st.builds(Link, st.floats(1e3, 1e9), st.floats(1e3, 1e9), st.floats(0.0, 1.0))
shares = st.floats(0.01, 100.0)


@pytest.fixture(scope="module")
def helped() -> HelpedTiers:
    """A device with a helper twice as fast."""
    workers = [Worker(DEVICE, name="device"), Worker(DEVICE / 2.0)]
    return HelpedTiers.of(COSTS, workers, WorkerLinks(1e8))


def latency(helped: HelpedTiers, k: int, link: Link, share: float) -> float:
    """L' + D/b + rtt + W/f, from the cut alone."""
    cut = helped.cuts[k]
    if len(cut.on_device) == COUNT:
        return cut.local_time
    work = sum(DEVICE[v] / 4.0 for v in range(COUNT) if v not in cut.on_device)
    moved = link.transfer_time(cut.uplink_bytes, cut.downlink_bytes)
    return cut.local_time + moved + work / share


@settings(max_examples=60)
@given(links, shares)
def test_times_and_the_best_placement_are_those_of_the_formula(
    helped: HelpedTiers, link: Link, share: float
) -> None:
    expected = [latency(helped, k, link, share) for k in range(len(helped.cuts))]
    for k, value in enumerate(expected):
        placement = helped._placement(k)
        assert helped.times(placement, share, link).total == pytest.approx(value)
        assert helped.rent(placement) == 0.0
    best = helped.best(share, link, Correction())()
    assert helped.times(best, share, link).total == pytest.approx(min(expected))
    options = helped.options(link, Correction())
    assert options.frontier.latency(share) == pytest.approx(min(expected))
    for piece, placement in zip(options.frontier.pieces, options.placements, strict=True):
        assert piece.cut is not None
        assert piece.cut.on_device == placement.first.on_device


@settings(max_examples=30)
@given(links)
def test_without_a_share_nothing_runs_on_the_server(helped: HelpedTiers, link: Link) -> None:
    assert helped.best(0.0, link, Correction())().on_edge == 0


@settings(max_examples=50)
@given(links, shares, corrections())
def test_what_was_learned_weighs_the_same_cuts_anew(
    helped: HelpedTiers, link: Link, share: float, learned: Correction
) -> None:
    totals = [
        learned.corrected(helped.times(helped._placement(k), share, link)).total
        for k in range(len(helped.cuts))
    ]
    best = helped.best(share, link, learned)()
    found = learned.corrected(helped.times(best, share, link)).total
    assert found == pytest.approx(min(totals), rel=1e-9)
    assert helped.options(link, learned).frontier.latency(share) == pytest.approx(
        min(totals), rel=1e-9
    )


def test_helpers_make_no_share_worse(helped: HelpedTiers) -> None:
    alone = TwoTiers(COSTS).options(COSTS.link, Correction()).frontier
    together = helped.options(COSTS.link, Correction()).frontier
    for share in (0.05, 0.2, 1.0, 5.0, 100.0):
        assert together.latency(share) <= alone.latency(share) * (1.0 + 1e-9)
    assert together.pieces[-1].base_latency < 0.8 * float(DEVICE.sum())
    assert helped.groups == COUNT


def test_fused_seconds_of_the_server_are_shared_out() -> None:
    groups = tuple(tuple(range(v, min(v + 2, COUNT))) for v in range(0, COUNT, 2))
    device, server = np.zeros(COUNT), np.zeros(COUNT)
    for group in groups:
        device[group[-1]], server[group[-1]] = 0.2, 0.1
    costs = Costs(GRAPH, Fusion(groups), device, server, COSTS.link)
    helped = HelpedTiers.of(costs, [Worker(DEVICE)], WorkerLinks(1e8))
    assert helped.server.min() > 0.0
    assert helped.server.sum() == pytest.approx(server.sum())
    nothing = make_cut(GRAPH, (), device)
    assert helped.times(helped._placement(0), 1.0, costs.link).server == pytest.approx(server.sum())
    assert helped.cuts[0].on_device == nothing.on_device
