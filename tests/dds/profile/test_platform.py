"""Slower devices: their names, their duty, and that they leave no process behind."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from dds.errors import InvalidInput
from dds.model import load_model, zoo
from dds.profile.measure import measure
from dds.profile.platform import Platform, pace, throttle
from dds.profile.runtime import Runtime, platform_fingerprint


def test_a_platform_says_what_it_is() -> None:
    assert Platform().name == "1 thread, optimisation all"
    slow = Platform(Runtime(2, "none"), duty=0.25, frequency=1 / 3)
    assert slow.name == "2 threads, optimisation none, duty 25%, frequency 33.33333333%"
    assert slow.fingerprint == (
        f"{platform_fingerprint(slow.runtime)}, duty 25%, frequency 33.33333333%"
    )
    assert Platform().fingerprint == platform_fingerprint()


@pytest.mark.parametrize("part", [0.0, 1e-4, -0.5, 1.1, math.inf, math.nan])
def test_parts_are_parts(part: float) -> None:
    with pytest.raises(InvalidInput, match="duty is"):
        Platform(duty=part)
    with pytest.raises(InvalidInput, match="frequency is"):
        Platform(frequency=part)


#: Does something until it is killed.
BUSY = [sys.executable, "-c", "while True: pass"]


def state_of(process: int) -> str:
    """R for running, S for sleeping, T for stopped, Z for ended and not yet waited for."""
    stat = Path(f"/proc/{process}/stat").read_text()
    return stat.rpartition(")")[2].split()[0]


def until(condition: Callable[[], bool]) -> bool:
    """Whether it comes true, given time enough for the busiest machine."""
    for _ in range(3000):
        if condition():
            return True
        time.sleep(0.01)
    return False


@settings(deadline=None)
@given(
    st.floats(0.01, 0.99),
    st.lists(st.floats(0.0, 0.1), min_size=2, max_size=20),
)
def test_late_wake_ups_do_not_change_the_duty(duty: float, late: list[float]) -> None:
    now, running, ran, stood = 0.0, True, 0.0, 0.0
    sent: list[int] = []

    def wait(seconds: float) -> bool:
        nonlocal now, ran, stood
        # Waking up late after a run is made up for; a pause that ends late would not be.
        passed = seconds + (late.pop() if running else 0.0)
        now, ran, stood = now + passed, ran + running * passed, stood + (not running) * passed
        return not late and not running

    def send(number: int) -> bool:
        nonlocal running
        running = number == signal.SIGCONT
        sent.append(number)
        return True

    pace(send, duty, wait, lambda: now)
    assert ran / (ran + stood) == pytest.approx(duty)
    assert sent == [signal.SIGSTOP, signal.SIGCONT] * (len(sent) // 2)
    assert running


def test_a_process_that_ends_is_paced_no_longer() -> None:
    asked: list[float] = []
    pace(lambda _: False, 0.5, lambda seconds: bool(asked.append(seconds)), lambda: 0.0)
    assert len(asked) == 1


@pytest.mark.parametrize("failure", [KeyboardInterrupt, None])
def test_a_throttled_process_stands_still_and_goes_on_after(
    failure: type[BaseException] | None,
) -> None:
    with subprocess.Popen(BUSY) as busy:
        try:
            with contextlib.suppress(KeyboardInterrupt), throttle(busy, 0.01):
                assert until(lambda: state_of(busy.pid) == "T")
                if failure:
                    raise failure
            assert state_of(busy.pid) != "T"
        finally:
            busy.kill()


def test_a_device_with_a_duty_is_measured_in_another_process() -> None:
    data = zoo.build("squeezenet")
    graph = load_model(data)
    told: list[tuple[int, int]] = []
    platform = Platform(Runtime(1, "extended"), duty=0.1)
    slow = measure(
        data, graph, platform=platform, repeats=4, report=lambda d, of: told.append((d, of))
    )
    assert told == [(n, 8) for n in range(9)]
    assert slow.platform == platform.fingerprint
    assert slow.digest == graph.digest
    assert slow.runtime == platform.runtime
    assert slow.repeats == 4
    here = measure(data, graph, platform=Platform(platform.runtime), repeats=1)
    assert slow.operators == here.operators


def children() -> set[int]:
    """The processes this one has started and not yet waited for."""
    tasks = Path(f"/proc/{os.getpid()}/task").iterdir()
    return {int(pid) for task in tasks for pid in (task / "children").read_text().split()}


@pytest.mark.parametrize("moment", [0, 1, 5])
def test_an_interrupted_measurement_leaves_no_process_and_no_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, moment: int
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    data = zoo.build("squeezenet")
    before = children()

    def interrupt(done: int, total: int) -> None:
        if done == moment:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure(data, load_model(data), platform=Platform(duty=0.5), repeats=4, report=interrupt)
    assert children() == before
    assert list(tmp_path.iterdir()) == []


def test_a_killed_parent_takes_its_stopped_child_along() -> None:
    # A parent that starts a child, which asks to die with it, stops it, and is killed.
    code = (
        "import os, signal, subprocess, sys, time\n"
        "run = 'from dds.profile.platform import die_with_parent; import sys, time; '\n"
        "run += 'die_with_parent(int(sys.argv[1])); print(1, flush=True); time.sleep(60)'\n"
        "child = subprocess.Popen([sys.executable, '-c', run, str(os.getpid())],\n"
        "                         stdout=subprocess.PIPE)\n"
        "child.stdout.readline()\n"
        "child.send_signal(signal.SIGSTOP)\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert until(lambda: state_of(child) == "T")
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    path = Path(f"/proc/{child}")
    gone = until(lambda: not path.exists() or state_of(child) in "ZX")
    if not gone:
        os.kill(child, signal.SIGKILL)
    assert gone


def test_a_model_the_runtime_refuses_is_refused_from_the_child_too() -> None:
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])],
        "typed",
        [value("x", TensorProto.BFLOAT16, [1])],
        [value("y", TensorProto.BFLOAT16, [1])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    data = model.SerializeToString()
    with pytest.raises(InvalidInput, match="onnxruntime cannot load"):
        measure(data, load_model(data), platform=Platform(duty=0.5), repeats=1)


def test_the_measuring_process_has_a_session_of_its_own() -> None:
    # So that Ctrl-C in a terminal reaches its parent alone.
    data = zoo.build("squeezenet")
    sessions: set[int] = set()

    def look(_done: int, _total: int) -> None:
        sessions.update(os.getsid(pid) for pid in children())

    measure(data, load_model(data), platform=Platform(duty=0.5), repeats=1, report=look)
    assert os.getsid(0) not in sessions
    assert sessions
