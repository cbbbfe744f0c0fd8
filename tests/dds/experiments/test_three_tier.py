"""The three-tier experiment: what a cell compares, and what the cells say together."""

import json
import math
from dataclasses import replace

import pytest

from dds import DEVICES, Clearing, Client, InvalidInput, Offer, competitive, tier_frontier
from dds.experiments import report
from dds.experiments.three_tier import NETWORKS, Cell, Setting, run, summary
from dds.model.importer import load_model
from dds.model.zoo import NAMES, topology
from dds.tiers.baselines import BASELINES
from dds.tiers.plan import TierTimes, make_plan

SMALL = Setting(models=("alexnet", "resnet50", "zfnet512"))
CELL = Cell(
    network="4G", market="light", model="alexnet", price=0.0, bought=0.0, share=4.0,
    operators=(3, 2, 1), direct=False, exact=1.0,
    baselines=dict(zip(BASELINES, (1.0, 2.0, 4.0, 1.0, 1.0, 2.0), strict=True)), two_point=1.0,
)  # fmt: skip


@pytest.fixture(scope="module")
def cells() -> tuple[Cell, ...]:
    return run(Setting())


def test_there_is_a_cell_for_each_model_network_and_market(cells) -> None:
    places = [(c.network, c.market, c.model) for c in cells]
    assert len(set(places)) == len(places) == 9 * 3 * 2
    assert {c.model for c in cells} == set(NAMES)
    assert {c.network for c in cells} == set(NETWORKS)


def test_nothing_is_faster_than_the_exact_plan_in_any_cell(cells) -> None:
    for cell in cells:
        for seconds in (*cell.baselines.values(), cell.two_point):
            assert cell.exact <= seconds * (1.0 + 1e-9), cell
    assert summary(cells).worse == 0


def test_on_the_zoo_the_best_baseline_and_two_points_tie_and_the_six_are_slower_on_average(
    cells,
) -> None:
    found = summary(cells)
    assert found.overall >= 0.2081
    assert (found.best_ties, found.best, found.two_point_ties) == (54, 0.0, 54)


def test_a_light_market_leaves_the_edge_free_and_a_heavy_one_contends(cells) -> None:
    assert {c.price for c in cells if c.market == "light"} == {0.0}
    wifi = [c for c in cells if c.network == "WiFi" and c.market == "heavy"]
    assert all(c.price > 0.0 for c in wifi)
    assert 0.9 * 36.0 < 40 * sum(c.bought for c in wifi) <= 36.0 * (1.0 + 1e-12)


def test_the_price_and_what_is_bought_are_those_of_the_market(cells) -> None:
    setting = Setting()
    links, clients = setting.links("WiFi"), []
    for name in NAMES:
        found = tier_frontier(
            load_model(topology(name)), setting.device, setting.edge, setting.cloud, links
        )
        clients += [
            Client(found.frontier, 1.0, max_share=4.0, name=f"{name}{k}") for k in range(40)
        ]
    sold = competitive(clients, Clearing(36.0))
    heavy = [c for c in cells if (c.network, c.market) == ("WiFi", "heavy")]
    assert {c.price for c in heavy} == {sold.price}
    for i, cell in enumerate(heavy):
        assert math.isclose(cell.bought, sold.shares[40 * i : 40 * i + 40].mean(), abs_tol=1e-12)


def test_no_baseline_would_buy_more_than_the_share_at_which_all_are_compared(cells) -> None:
    """Whatever runs at the edge, its best response sqrt(w We / p) is no more."""
    setting = Setting()
    for cell in cells:
        if cell.price == 0.0:
            assert cell.share == setting.max_share
            continue
        graph = load_model(topology(cell.model))
        times = TierTimes.of(graph, setting.device, setting.edge, setting.cloud)
        count = len(graph.operators)
        for kept in range(0, count + 1, 7):
            plan = make_plan(
                graph, times, setting.links(cell.network), Offer(), range(kept), range(count)
            )
            wanted = math.sqrt(plan.edge_work / cell.price)
            assert min(setting.max_share, wanted) <= cell.share * (1.0 + 1e-12)


def test_latencies_are_those_at_that_share() -> None:
    setting = replace(SMALL, models=("zfnet512",), cloud=DEVICES["edge-core"])
    graph = load_model(topology("zfnet512"))
    for cell in run(setting):
        links = setting.links(cell.network)
        found = tier_frontier(graph, setting.device, setting.edge, setting.cloud, links)
        assert math.isclose(cell.exact, found.frontier.latency(cell.share), rel_tol=1e-12)
        times = TierTimes.of(graph, setting.device, setting.edge, setting.cloud)
        local = times.device.sum()
        network = NETWORKS[cell.network]
        edge_only = (
            network.transfer_time(4 * 3 * 224 * 224, 4 * 1000) + times.edge.sum() / cell.share
        )
        assert math.isclose(cell.baselines["device-only"], local, rel_tol=1e-12)
        assert math.isclose(cell.baselines["edge-only"], edge_only, rel_tol=1e-12)


def test_progress_counts_the_cells() -> None:
    told = []
    done = run(SMALL, lambda *counts: told.append(counts))
    assert told == [(k + 1, len(done)) for k in range(len(done))]


def test_means_and_ties_are_counted_cell_by_cell() -> None:
    twice = replace(CELL, baselines=CELL.baselines | {"device-only": 2.0, "edge-only": 1.0})
    found = summary([CELL, twice])
    assert found.saved == {
        "device-only": 0.25, "edge-only": 0.25, "cloud-only": 0.75, "device+edge": 0.0,
        "device+cloud": 0.0, "edge+cloud": 0.5,
    }  # fmt: skip
    assert found.ties["device-only"] == found.ties["edge-only"] == 1
    assert math.isclose(found.overall, (0.25 + 0.25 + 0.75 + 0.5) / 6)
    assert (found.best, found.best_ties, found.two_point_ties) == (0.0, 2, 2)
    assert (found.three_tiers, found.worse) == (2, 0)


def test_a_difference_by_rounding_is_a_tie_and_a_real_one_is_a_failure() -> None:
    close = replace(CELL, two_point=1.0 - 1e-12)
    assert (summary([close]).two_point_ties, summary([close]).worse) == (1, 0)
    faster = summary([replace(CELL, two_point=0.9)])
    assert (faster.two_point_ties, faster.worse) == (0, 1)
    assert "FAILED" in report.summary_lines(faster)[-1]
    assert not any("FAILED" in line for line in report.summary_lines(summary([close])))


def test_the_document_is_json_with_every_cell_and_number() -> None:
    done = run(SMALL)
    found = json.loads(json.dumps(report.document(SMALL, done, summary(done)), allow_nan=False))
    assert found["format"] == "dds-three-tier/1"
    assert len(found["cells"]) == len(done) == found["summary"]["cells"]
    assert list(found["cells"][0]["latency_s"]) == ["exact", *BASELINES, "chain two-point"]
    assert found["setting"]["networks"]["3G"] == {
        "uplink_mbps": 1.1, "downlink_mbps": 4.0, "rtt_s": 0.0667,
    }  # fmt: skip
    assert found["summary"]["saved"]["mean of the six"] == summary(done).overall


def test_a_tie_is_called_a_tie_in_the_rows() -> None:
    head, tie, better = report.rows([CELL, replace(CELL, exact=0.75)])
    assert len(head) == len(tie) == len(better)
    assert (tie[-1], better[-1]) == ("tie", "25.00 %")
    assert tie[head.index("exact")] == "1000.0"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"models": ()}, "models are none"),
        ({"models": ("alexnet", "alexnet")}, "name each once"),
        ({"capacity": 0.0}, "capacity"),
        ({"capacity": math.inf}, "capacity"),
        ({"capacity": 2.0}, "max_share 4 is above the capacity of 2"),
        ({"max_share": -1.0}, "max_share"),
        ({"cloud_share": math.nan}, "cloud_share"),
        ({"cloud_share": 1e-320}, "cloud_share"),
        ({"markets": {"light": 0}}, "light has 0 clients"),
        ({"direct_rtt": -1.0}, "rtt"),
        ({"models": ("lenet",)}, "lenet"),
    ],
)
def test_a_bad_setting_is_named(change, says) -> None:
    with pytest.raises(InvalidInput, match=says):
        run(replace(SMALL, **change))
