"""Real processes: one that fails ends the run, says why, and leaves nothing behind."""

import asyncio
import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dds.demo.fleet import client_command, play, server_command
from dds.demo.processes import Event
from dds.demo.scenario import Participant, Scenario
from dds.errors import InternalError

SMALL = Scenario(
    participants=(
        Participant("camera", "squeezenet", 20.0, "WiFi", 1.0),
        Participant("robot", "shufflenet", 40.0, "WiFi", 1.0),
    ),
    capacity=2.0,
    core_slowdown=2.0,
    max_share=2.0,
    quantum="0.001",
    base_price=0.1,
    inferences=1,
)


def test_commands_are_of_this_interpreter_and_carry_si_units() -> None:
    command = client_command(SMALL, SMALL.participants[0], "127.0.0.1:1", 3)
    assert command[0] == sys.executable
    assert command[command.index("--uplink") + 1] == "2360000.0B/s"
    assert "--base-price" not in server_command(SMALL, "clearing")
    assert "--base-price" in server_command(SMALL, "barrier")


@pytest.mark.parametrize("tariff", ["clearing", "barrier"])
def test_a_small_fleet_plays_to_the_end(tariff: str) -> None:
    seen: list[tuple[str, Event]] = []
    done = asyncio.run(
        play(SMALL, tariff=tariff, seed=0, on_event=lambda who, event: seen.append((who, event)))
    )
    assert set(done) == {"camera", "robot"}
    assert seen[0][1]["event"] == "listening"
    for event in done.values():
        assert set(event["strategies"]) == {"dds", "local-only", "edge-only"}
        assert all(result["outputs_match"] for result in event["strategies"].values())
    total = sum(event["strategies"]["dds"]["share"] for event in done.values())
    assert total <= SMALL.capacity


def test_a_client_that_fails_ends_the_run_with_its_last_words() -> None:
    broken = dataclasses.replace(
        SMALL, participants=(Participant("ghost", "no-such-model", 1.0, "WiFi", 1.0),)
    )
    with pytest.raises(InternalError, match=r"ghost ended with exit code 2: .*no-such-model"):
        asyncio.run(play(broken, tariff="clearing", seed=0, on_event=lambda *_: None))


def test_one_of_several_that_fails_ends_the_others() -> None:
    ghost = Participant("ghost", "no-such-model", 1.0, "WiFi", 1.0)
    broken = dataclasses.replace(SMALL, participants=(SMALL.participants[0], ghost))
    with pytest.raises(InternalError, match=r"ghost ended with exit code 2"):
        asyncio.run(play(broken, tariff="clearing", seed=0, on_event=lambda *_: None))


def children(pid: int) -> set[int]:
    done = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False
    )
    return {int(word) for word in done.stdout.split()}


def test_ctrl_c_ends_every_process_with_exit_code_130(tmp_path: Path) -> None:
    demo = subprocess.Popen(
        [sys.executable, "-m", "dds", "demo", "--output", str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while len(family := children(demo.pid)) < 9 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(family) == 9
    demo.send_signal(signal.SIGINT)
    _, errors = demo.communicate(timeout=60)
    assert demo.returncode == 130
    assert errors.strip().splitlines()[-1] == "dds demo: interrupted"
    for pid in family:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert not list(tmp_path.iterdir())
