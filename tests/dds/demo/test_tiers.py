"""The three-tier experiment with real processes, its reports and its command."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from math import isclose

import pytest

from dds.cli.main import main
from dds.demo import tiers
from dds.demo.tiers import WAYS, Emulation, MeasuredCell, Measurement, client_command, measure
from dds.demo.tiers_report import document, lines, rows
from dds.errors import InvalidInput
from dds.experiments.three_tier import NETWORKS, Setting

WIFI = {"WiFi": NETWORKS["WiFi"]}
#: Not in slow motion: an inference takes less than half a second.
QUICK = Measurement(
    Setting(models=("squeezenet",), networks=WIFI),
    Emulation(device=8.0, edge=4.0, cloud=1.0, stretch=1.0),
    inferences=2,
)


@pytest.fixture(scope="module")
def run() -> tuple[MeasuredCell, Counter[tuple[str, str]]]:
    """One cell, and how often who told what."""
    told: Counter[tuple[str, str]] = Counter()
    (cell,) = asyncio.run(measure(QUICK, lambda who, event: told.update([(who, event["event"])])))
    return cell, told


def test_every_way_is_run_by_real_processes(run: tuple[MeasuredCell, Counter]) -> None:
    cell, told = run
    assert told["cloud", "listening"] == told["edge", "listening"] == 1
    assert told["squeezenet on WiFi", "inference"] == QUICK.total == 8
    assert (cell.network, cell.model, cell.price) == ("WiFi", "squeezenet", 0.0)
    assert sum(cell.operators) == 66
    assert cell.outputs_match
    assert set(cell.measured) == set(cell.predicted) == set(WAYS.values())
    # No inference can take less than the emulated links alone: 602 kB up, and a round trip.
    least = QUICK.setting.networks["WiFi"].transfer_time(602112, 4000) - 1e-3
    for way in ("edge-only", "cloud-only"):
        assert len(cell.measured[way]) == 2
        assert min(cell.measured[way]) >= least
        assert cell.predicted[way] >= least
    others = [cell.predicted[way] for way in WAYS.values()]
    assert cell.predicted["exact"] <= min(others) * (1.0 + 1e-9)


def test_the_command_prints_a_table(monkeypatch, capsys, run) -> None:
    cell, _ = run

    async def measured(wanted: Measurement, on_event: object) -> tuple[MeasuredCell, ...]:
        assert list(wanted.setting.networks) == ["WiFi"]
        assert wanted.setting.models == ("squeezenet",)
        assert wanted.inferences == 2
        return (cell,)

    monkeypatch.setattr(tiers, "measure", measured)
    flags = ["experiment", "three-tier", "--measure", "--models", "squeezenet"]
    assert main([*flags, "--inferences", "2"]) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    assert "device 60, edge core 12, cloud 1; links 9 times slower" in shown.out
    assert "WiFi     squeezenet" in shown.out
    assert main([*flags, "--inferences", "2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["format"] == "dds-three-tier-measured/1"
    assert isclose(found["setting"]["networks"]["WiFi"]["uplink_mbps"], 18.88 / 9.0)
    assert len(found["cells"][0]["measured_latency_s"]["cloud-only"]) == 2


CELL = MeasuredCell(
    network="4G",
    model="resnet50",
    operators=(0, 176, 0),
    direct=False,
    share=4.0,
    price=0.0,
    predicted={"exact": 1.0, "device-only": 9.0, "edge-only": 1.0, "cloud-only": 2.0},
    measured={
        "exact": (1.25, 0.9, 1.3),
        "device-only": (9.0, 9.1, 9.2),
        "edge-only": (1.0, 1.0, 2.0),
        "cloud-only": (1.9, 2.0, 2.1),
    },
    difference=2e-7,
    outputs_match=True,
)


def test_what_is_reported_of_a_cell() -> None:
    assert (CELL.latency("exact"), CELL.best, CELL.same) == (1.25, "edge-only", "edge-only")
    head, row = rows([CELL])
    assert len(head) == len(row)
    assert row[2:6] == ("0/176/0", "4", "1.000", "1.250")
    assert row[-1] == "+25.0 % (same)"
    cut = replace(CELL, operators=(5, 0, 171), direct=True)
    assert (cut.same, rows([cut])[1][2], rows([cut])[1][-1]) == ("", "5/0/171 direct", "+25.0 %")
    said = lines([CELL, cut])
    assert "in 1 of 2 cells" in said[0]
    assert "within 20.0 %" in said[1]
    assert "largest difference 2e-07" in said[2]
    assert json.dumps(document(QUICK, [CELL, cut], "0"), allow_nan=False)


def test_outputs_that_differ_fail(monkeypatch, capsys) -> None:
    async def measured(*_: object) -> tuple[MeasuredCell, ...]:
        return (replace(CELL, outputs_match=False),)

    monkeypatch.setattr(tiers, "measure", measured)
    assert main(["experiment", "three-tier", "--measure"]) == 1
    assert "FAILED: outputs differ from the whole model's: resnet50 on 4G" in (
        capsys.readouterr().out
    )


def test_the_client_is_told_of_links_in_slow_motion() -> None:
    slow = replace(QUICK, emulation=Emulation(stretch=2.0))
    command = client_command(slow, "WiFi", "squeezenet", "127.0.0.1:1", "127.0.0.1:2")
    told = dict(pairwise(command))
    assert command[0] == sys.executable
    assert told["--uplink"] == "1180000.0B/s"
    assert told["--rtt"] == "0.1334"
    assert told["--cloud-rtt"] == "0.2"
    assert told["--edge-cloud-uplink"] == "3125000.0B/s"
    assert (told["--server"], told["--cloud"]) == ("127.0.0.1:1", "127.0.0.1:2")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"inferences": 0}, "inferences is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"setting": replace(QUICK.setting, cloud_share=2.0)}, "cloud_share is 2"),
        ({"emulation": Emulation(edge=2.0)}, "max_share is 4"),
    ],
)
def test_what_cannot_be_emulated_is_refused(change: dict, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        replace(QUICK, **change)


@pytest.mark.parametrize("factor", [0.0, float("nan"), float("inf")])
def test_an_emulation_of_no_factor_is_refused(factor: float) -> None:
    with pytest.raises(InvalidInput, match=r"emulation\.stretch"):
        Emulation(stretch=factor)


def children(pid: int) -> set[int]:
    done = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False
    )
    return {int(word) for word in done.stdout.split()}


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_every_process_and_prints_nothing(how: signal.Signals) -> None:
    command = [sys.executable, "-m", "dds", "experiment", "three-tier", "--measure"]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while len(family := children(running.pid)) < 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(family) == 3
    running.send_signal(how)
    out, errors = running.communicate(timeout=60)
    assert running.returncode == 130
    assert out == ""
    assert errors.strip().splitlines()[-1] == "dds experiment: interrupted"
    for pid in family:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
