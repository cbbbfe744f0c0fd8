"""A run's verdict, table and chart, from events such as ``mec-client`` prints."""

import dataclasses
import json
from fractions import Fraction
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from dds.cut.pieces import Frontier
from dds.demo.chart import draw
from dds.demo.report import summary_lines, table
from dds.demo.run import Run, assemble, run_document
from dds.demo.scenario import DEMO, Participant, Scenario
from dds.errors import InternalError
from dds.market.certificate import Public, certificate_row
from dds.market.client import Client
from dds.market.equilibrium import nash
from dds.market.tariff import Clearing
from proofs.check import check
from proofs.document import parse

PAIR = Scenario(
    participants=(
        Participant("camera", "resnet50", 8.0, "WiFi", 2.0),
        Participant("robot", "squeezenet", 8.0, "4G", 4.0),
    ),
    capacity=1.0,
    core_slowdown=2.0,
    max_share=1.0,
    quantum="0.001",
    base_price=0.1,
    inferences=3,
)
FRONTIERS = (
    Frontier.from_points([(0.05, 0.20), (2.0, 0.0)]),
    Frontier.from_points([(0.10, 0.10), (2.0, 0.0)]),
)


def done_events(scenario: Scenario = PAIR) -> dict[str, dict[str, Any]]:
    """What two clients report whose game really was played, by the library."""
    quantum = Fraction(scenario.quantum)
    tariff = Clearing(scenario.capacity)
    clients = [
        Client(pieces, p.value_of_time, 0.0, scenario.max_share, p.name)
        for p, pieces in zip(scenario.participants, FRONTIERS, strict=True)
    ]
    found = nash(clients, tariff, quantum=quantum)
    public = Public("nash", tariff, quantum, found.price)
    events = {}
    for i, client in enumerate(clients):
        share = float(found.shares[i])
        others = sum(round(s / float(quantum)) for j, s in enumerate(found.shares) if j != i)
        row = certificate_row(client, public, share, others * quantum)
        difference = {
            "max_abs_difference": 1e-7,
            "max_relative_difference": 1e-6,
            "outputs_match": True,
        }
        other = {"measured_latency_s": [1.0, 3.0, 2.0], "share": 0.5, **difference}
        dds = {
            **difference,
            "cut": {
                "operators_on_device": 3,
                "operators_on_server": 5,
                "uplink_bytes": 602112,
                "downlink_bytes": 4000,
            },
            "share": share,
            "price": found.price,
            "payment": row["payment"],
            "predicted_latency_s": row["latency_s"],
            "uncorrected_latency_s": [0.3, 0.3, 0.3],
            "corrected_latency_s": [0.3, 0.3, 0.57],
            "measured_latency_s": [0.5, 0.7, 0.6],
            "rounds": found.rounds,
            "messages": found.rounds + 3,
            "certificate_row": row,
            "public": {
                "concept": "nash",
                "tariff": tariff.to_json(),
                "quantum": str(quantum),
                "price": found.price,
                "price_below": None,
            },
        }
        events[client.name] = {
            "event": "done",
            "strategies": {"dds": dds, "local-only": other, "edge-only": other},
        }
    return events


@pytest.fixture
def run() -> Run:
    return assemble(PAIR, "clearing", done_events(), 12.0)


def test_rows_are_medians_in_the_scenario_s_order(run: Run) -> None:
    assert [row.name for row in run.rows] == ["camera", "robot"]
    assert [row.measured for row in run.rows] == [0.6, 0.6]
    assert [row.local_only for row in run.rows] == [2.0, 2.0]
    assert [row.corrected for row in run.rows] == [0.57, 0.57]
    # Of the last two of three: 0.3 against 0.7 and 0.6; corrected 0.3 and 0.57 against those.
    assert run.rows[0].error_before == pytest.approx((4 / 7 + 1 / 2) / 2)
    assert run.rows[0].error_after == pytest.approx((4 / 7 + 1 / 20) / 2)
    assert any("off by 53.6 % on average" in line for line in summary_lines(run))
    assert run.total <= PAIR.capacity
    assert run.failures == ()


def test_the_document_passes_the_independent_checker(run: Run) -> None:
    verdict = check(parse(json.dumps(run_document(run, "0")).encode()))
    assert verdict.verified, verdict.reasons


def test_a_doctored_payment_is_refused(run: Run) -> None:
    row = dataclasses.replace(run.rows[0], payment=run.rows[0].payment * 0.5)
    forged = dataclasses.replace(run, rows=(row, *run.rows[1:]))
    verdict = check(parse(json.dumps(run_document(forged, "0")).encode()))
    assert not verdict.verified
    assert any("payment" in reason for reason in verdict.reasons)


def test_every_kind_of_failure_is_named(run: Run) -> None:
    wrong = dataclasses.replace(run.rows[0], outputs_match=False, max_abs_difference=0.5)
    small = dataclasses.replace(PAIR, capacity=0.1)
    failed = dataclasses.replace(
        run, scenario=small, rows=(wrong, run.rows[1]), refusals=("a share is off",)
    )
    text = "\n".join(failed.failures)
    assert "a share is off" in text
    assert "camera: outputs of the split model differ" in text
    assert "of 0.1 cores" in text
    assert "REFUSED" in "\n".join(summary_lines(failed))


def test_clients_that_were_told_different_prices_are_no_run() -> None:
    events = done_events()
    events["robot"]["strategies"]["dds"]["public"]["price"] *= 2
    with pytest.raises(InternalError, match="different prices"):
        assemble(PAIR, "clearing", events, 1.0)


def test_the_table_names_every_client_and_says_what_is_emulated(run: Run) -> None:
    console = Console(file=StringIO(), width=200)
    console.print(table(run))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    for row in run.rows:
        assert row.name in shown
        assert row.model in shown
    assert any("emulated" in line for line in summary_lines(run))


def test_the_chart_is_a_png_and_leaves_nothing_else(run: Run, tmp_path: Path) -> None:
    draw(run, tmp_path / "run.png")
    assert [path.name for path in tmp_path.iterdir()] == ["run.png"]
    assert (tmp_path / "run.png").read_bytes().startswith(b"\x89PNG")


def test_the_demo_has_eight_different_models_and_all_links() -> None:
    assert len({p.model for p in DEMO.participants}) == 8
    assert {p.link for p in DEMO.participants} == {"3G", "4G", "WiFi"}
    assert len({p.name for p in DEMO.participants}) == 8
