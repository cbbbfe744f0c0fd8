"""Worker processes: their answer is the whole model's, and none outlives its caller."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dds import Worker, WorkerLinks, load_model
from dds.costs import Device
from dds.engines import engine
from dds.errors import InternalError, InvalidInput
from dds.execution import processes
from dds.execution.processes import PinnedWorkers
from dds.execution.threads import run_here
from dds.parallel.program import Compute, Program, Receive, programs
from dds.parallel.rewrite import Source
from dds.parallel.schedule import baselines
from dds.profile.runtime import Runtime, open_session, random_inputs, run
from dds.testing.models import text_model
from dds.testing.slices import schedules, sliceable_models

pytestmark = pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity"), reason="this system pins no process to a core"
)
CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]
PLAIN = Runtime(1, "none")
#: Two convolutions, whose halos are exchanged, and a sum; then a gather that an index may break.
LAYERS = text_model(
    "(float[1,3,24,8] x, int64[1] i) => (float[1,1,24,8] y) <float[3,3,3,3] w = {"
    + ", ".join(str(k / 40) for k in range(81))
    + "}> {a = Conv<pads=[1,1,1,1]>(x, w)\n b = Relu(a)\n c = Conv<pads=[1,1,1,1]>(b, w)\n"
    "d = Add(c, x)\n y = Gather<axis=1>(d, i)}"
)


def two_programs(model: bytes = LAYERS) -> tuple[object, tuple[Program, ...]]:
    """The graph, and programs for two workers that share rows."""
    graph = load_model(model)
    workers = [Worker(Device("half", 1e6, 1e6, 0.0))] * 2
    plan = baselines(graph, workers, WorkerLinks(1e9))["rows"]
    return graph, programs(Source.read(model, graph), plan, 2)


def feeds(index: int = 1) -> dict[str, np.ndarray]:
    x = np.random.default_rng(3).standard_normal((1, 3, 24, 8)).astype(np.float32)
    return {"x": x, "i": np.array([index])}


def whole_run(model: bytes, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return run(open_session(model, PLAIN), inputs)[0]


def cores(count: int) -> list[int]:
    """As many as there are workers; on a small machine some share one."""
    return [CORES[k % len(CORES)] for k in range(count)]


def gone(process: int) -> bool:
    """Whether a process has ended; a loaded machine is given a minute to end it."""
    end = time.monotonic() + 60.0
    while time.monotonic() < end:
        state = Path(f"/proc/{process}/stat")
        try:
            if state.read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.02)
    return False


def children(parent: int) -> list[int]:
    found = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [int(child) for child in found]


@settings(max_examples=4, suppress_health_check=list(HealthCheck))
@given(sliceable_models(), st.integers(1, 3), st.data())
def test_processes_answer_like_threads_and_whole_models(model, workers, data) -> None:
    graph = load_model(model)
    team = programs(Source.read(model, graph), data.draw(schedules(graph, workers)), workers)
    with PinnedWorkers(team, graph, cores(workers), runtime=PLAIN) as pinned:
        for seed in range(3):
            inputs = random_inputs(graph, np.random.default_rng(seed))
            whole = whole_run(model, inputs)
            played = pinned.run(inputs)
            threads = run_here(team, inputs, engine("onnxruntime", PLAIN))
            assert played.outputs.keys() == whole.keys()
            for name, values in played.outputs.items():
                np.testing.assert_array_equal(values, threads[name])
                largest = max(float(np.abs(whole[name]).max(initial=0.0)), 1e-30)
                np.testing.assert_allclose(values, whole[name], rtol=0, atol=1e-5 * largest)
        assert [len(steps) for steps in played.steps] == [len(p.steps) for p in team]
        assert all(steps.min() > 0.0 for steps in played.steps if len(steps))
        assert all(steps.sum() <= played.seconds for steps in played.steps)


def test_an_index_out_of_range_ends_everybody_with_one_line() -> None:
    graph, team = two_programs()
    assert any(isinstance(step, Receive) for step in team[0].steps)
    assert all(any(isinstance(step, Compute) for step in p.steps) for p in team)
    pinned = PinnedWorkers(team, graph, cores(2), runtime=PLAIN)
    started = pinned.pids
    assert len(started) == 2
    with pinned:
        got = pinned.run(feeds()).outputs["y"]
        np.testing.assert_allclose(got, whole_run(LAYERS, feeds())["y"], rtol=1e-5, atol=1e-6)
        for bad, place in (
            ({"x": feeds()["x"]}, "'i' is missing"),
            ({**feeds(), "z": feeds()["x"]}, "no input 'z'"),
            ({**feeds(), "x": np.zeros((1, 3, 24, 8))}, "is float64"),
            ({**feeds(), "x": np.zeros((3, 24, 8), np.float32)}, r"\(3, 24, 8\)"),
            ({**feeds(), "x": feeds()["x"].astype(">f4")}, "is >f4"),
            ({**feeds(), "x": feeds()["x"].tolist()}, "is a list"),
            (None, "inputs are a NoneType; feed arrays by name"),
        ):
            with pytest.raises(InvalidInput, match=place):
                pinned.run(bad)
        again = pinned.run(feeds(2)).outputs["y"]
        np.testing.assert_allclose(again, whole_run(LAYERS, feeds(2))["y"], rtol=1e-5, atol=1e-6)
        with ThreadPoolExecutor(3) as threads:
            for found in threads.map(pinned.run, [feeds(2)] * 30):
                np.testing.assert_array_equal(found.outputs["y"], again)
        with pytest.raises(InvalidInput, match="cannot run the model") as caught:
            pinned.run(feeds(99))
        assert "\n" not in str(caught.value)
        with pytest.raises(InvalidInput, match="have ended"):
            pinned.run(feeds())
    pinned.close()
    assert all(gone(process) for process in started)


def test_a_worker_that_dies_is_noticed() -> None:
    graph, team = two_programs()
    with PinnedWorkers(team, graph, cores(2), runtime=PLAIN) as pinned:
        started = pinned.pids
        pinned.run(feeds())
        os.kill(started[1], signal.SIGKILL)
        assert gone(started[1])
        with pytest.raises(InternalError, match="worker 1 ended with code -9"):
            pinned.run(feeds())
    assert all(gone(process) for process in started)


def test_a_worker_that_is_stopped_is_given_up(monkeypatch) -> None:
    graph, team = two_programs()
    with PinnedWorkers(team, graph, cores(2), runtime=PLAIN) as pinned:
        started = pinned.pids
        pinned.run(feeds())
        monkeypatch.setattr(processes, "_LIMIT", 0.5)
        os.kill(started[1], signal.SIGSTOP)
        with pytest.raises(InternalError, match=r"nothing from worker (0, )?1 for 0\.5 s"):
            pinned.run(feeds())
        assert pinned.pids == ()
    assert all(gone(process) for process in started)


@pytest.mark.parametrize(
    ("chosen", "place"),
    [
        ([CORES[0]], "1 given for 2"),
        ([CORES[0], 99_999], "99999 is not one"),
        ([float(CORES[0]), CORES[0]], rf"{CORES[0]}\.0 is not one"),
        ([CORES[0], [0]], r"\[0\] is not one"),
        (None, "cores is None; give a list"),
    ],
)
def test_cores_that_cannot_be_are_refused(chosen: Any, place: str) -> None:
    graph, team = two_programs()
    with pytest.raises(InvalidInput, match=place):
        PinnedWorkers(team, graph, chosen)


def test_a_model_that_the_engine_refuses_is_refused_in_one_line() -> None:
    graph, team = two_programs()
    steps = tuple(
        Compute(b"no model", step.inputs, step.outputs) if isinstance(step, Compute) else step
        for step in team[1].steps
    )
    broken = Program(1, (), steps, ())
    with pytest.raises(InvalidInput, match="model") as caught:
        PinnedWorkers((team[0], broken), graph, cores(2))
    assert "\n" not in str(caught.value)


_CALLER = """
import sys
sys.path.insert(0, sys.argv[1])
from test_processes import PLAIN, PinnedWorkers, cores, feeds, two_programs
graph, team = two_programs()
with PinnedWorkers(team, graph, cores(2), runtime=PLAIN) as pinned:
    pinned.run(feeds())
    print("playing", flush=True)
    while True:
        pinned.run(feeds())
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_workers_end_with_their_caller(number: signal.Signals) -> None:
    caller = subprocess.Popen(
        [sys.executable, "-c", _CALLER, str(Path(__file__).parent)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    with caller:
        assert caller.stdout is not None
        assert caller.stderr is not None
        assert caller.stdout.readline() == b"playing\n"
        started = children(caller.pid)
        assert len(started) == 2
        caller.send_signal(number)
        assert caller.wait(60) == -number
        assert all(gone(process) for process in started)
        said = caller.stderr.read().decode()
    if number == signal.SIGKILL:
        assert said == ""
    else:
        assert said.rstrip().endswith("KeyboardInterrupt")
        assert said.count("Traceback") == 1
