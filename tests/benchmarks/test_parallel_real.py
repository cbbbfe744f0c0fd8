"""The benchmark on real cores counts what it says, and knows when something was in the way."""

import os
import subprocess
import sys
import time

import pytest
from parallel_real import Contender, on_core, queued, rounds_of

pytestmark = pytest.mark.skipif(
    not os.path.exists("/proc/self/schedstat"), reason="this kernel keeps no queue statistics"
)


def test_contenders_take_turns_and_first_runs_do_not_count() -> None:
    order: list[str] = []
    calls = {name: ((lambda name=name: order.append(name)), [os.getpid()]) for name in "ab"}
    found = rounds_of(calls, rounds=2)
    assert "".join(order) == "aaaabbbb" * 3
    for contender in found.values():
        assert len(contender.seconds) == len(contender.slowed) == 2 * 3
        assert min(contender.slowed) >= 1.0


def test_waiting_for_a_core_is_seen() -> None:
    core = min(os.sched_getaffinity(0))

    def work() -> float:
        before, end = queued([os.getpid()]), time.perf_counter() + 0.3
        while time.perf_counter() < end:
            pass
        return queued([os.getpid()]) - before

    busy = f"import os; os.sched_setaffinity(0, [{core}]); print(flush=True)\nwhile True: pass"
    other = subprocess.Popen([sys.executable, "-c", busy], stdout=subprocess.PIPE)
    try:
        assert other.stdout is not None
        other.stdout.readline()
        assert on_core(core, work) > 0.03
    finally:
        other.kill()
        other.communicate()
    assert core in os.sched_getaffinity(0)


def test_disturbed_runs_do_not_count() -> None:
    quiet = [1.0, 1.1, 1.2]
    contender = Contender([*quiet, 9.0, 8.0], [1.0, 1.01, 1.05, 3.0, 2.0])
    assert contender.spread().median == 1.1
    assert contender.spread().high <= 1.2
