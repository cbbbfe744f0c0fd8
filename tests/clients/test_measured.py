"""The best few cuts are really run, within a budget, and the market is told of no others inside."""

from pathlib import Path
from typing import Any

import pytest

from clients.config import AgentConfig
from clients.costs import Costs, per_operator
from clients.measured import candidates, with_measured_cuts
from clients.prepare import Prepared, prepare
from clients.slowdown import Slowdown
from dds.costs import Link

SLOWDOWN, CORE = 40.0, 4.0


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def config(cache: Path) -> AgentConfig:
    link = Link(2.5e6, 6e6, 0.008)
    return AgentConfig(
        "cam", "zoo:squeezenet", Slowdown(SLOWDOWN), link, 1.0, measure_cuts=3.0, cache=cache
    )


@pytest.fixture(scope="module")
def prepared(config: AgentConfig) -> Prepared:
    return prepare(config, lambda _: None)


@pytest.fixture(scope="module")
def costs(config: AgentConfig, prepared: Prepared) -> Costs:
    graph, profile = prepared.graph, prepared.profile
    device = per_operator(graph, profile.scaled(SLOWDOWN))
    server = per_operator(graph, profile.scaled(CORE))
    return Costs(graph, profile.fusion, device, server, config.link)


def test_candidates_are_inside_the_model_and_the_frontier_s_come_first(costs: Costs) -> None:
    found = candidates(costs)
    assert all(costs.inside(cut) for cut in found)
    kept = [cut.on_device for cut in found]
    assert len(set(kept)) == len(kept) <= 8
    own = [piece.cut.on_device for piece in costs.frontier().pieces if costs.inside(piece.cut)]
    assert own
    assert kept[: len(own)] == own


def test_what_was_measured_is_what_the_market_plays(
    config: AgentConfig, prepared: Prepared, costs: Costs
) -> None:
    told: list[Any] = []
    # A clock that stands still: the budget of all of them together does not end.
    measured = with_measured_cuts(config, prepared, costs, CORE, told.append, clock=lambda: 0.0)
    (event,) = told
    assert event["event"] == "measured cuts"
    assert event["cuts"] == event["of"] == len(measured.measured)
    # Halves take about what their operators do; splitting costs something, but not twice as much.
    assert 0.5 < event["ratio"] < 2.0
    pieces = measured.frontier().pieces
    for piece in pieces:
        assert measured.times(piece.cut, 0.5).total == pytest.approx(piece.latency(0.5))
        if measured.inside(piece.cut):
            local, work = measured.measured[piece.cut.on_device]
            assert (piece.cut.local_time, piece.server_work) == (local, work)
    assert sum(piece.server_work == 0.0 for piece in pieces) == 1


def test_the_budget_is_kept_and_the_first_come_first(
    config: AgentConfig, prepared: Prepared, costs: Costs
) -> None:
    # Every look at the clock is four seconds after the last: three are over after one cut.
    ticks = iter(range(0, 1000, 4))
    told: list[Any] = []
    measured = with_measured_cuts(
        config, prepared, costs, CORE, told.append, clock=lambda: float(next(ticks))
    )
    assert list(measured.measured) == [candidates(costs)[0].on_device]
    assert told[0]["cuts"] == 1 < told[0]["of"]
    inside = [p.cut for p in measured.frontier().pieces if measured.inside(p.cut)]
    assert [cut.on_device for cut in inside] == list(measured.measured)
