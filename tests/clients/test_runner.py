import asyncio

import numpy as np
import pytest

from clients.runner import DeviceRun, DeviceRunner
from dds.errors import InvalidInput
from dds.model import load_model, zoo
from dds.profile.runtime import Runtime, random_inputs


class VirtualTime:
    def __init__(self) -> None:
        self.now = 10.0

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


MODEL = zoo.build("shufflenet")
INPUTS = random_inputs(load_model(MODEL), np.random.default_rng(0))


def run(slowdown: float) -> tuple[DeviceRun, float]:
    time = VirtualTime()
    runner = DeviceRunner(MODEL, Runtime(), clock=time.clock, sleep=time.sleep)
    done = asyncio.run(runner.run(INPUTS, slowdown))
    runner.close()
    return done, time.now - 10.0


@pytest.mark.parametrize("slowdown", [0.5, 1.0, 12.0])
def test_a_run_takes_slowdown_times_its_cpu_time(slowdown: float) -> None:
    done, moved = run(slowdown)
    assert done.cpu > 0.0
    assert moved == pytest.approx(slowdown * done.cpu)
    assert done.wall == pytest.approx(moved)


def test_an_unpaced_run_does_not_wait() -> None:
    _, moved = run(0.0)
    assert moved == 0.0


def test_pacing_does_not_change_the_outputs() -> None:
    fast, _ = run(0.0)
    slow, _ = run(3.0)
    assert fast.outputs.keys() == slow.outputs.keys()
    assert all(np.array_equal(fast.outputs[name], slow.outputs[name]) for name in fast.outputs)


def test_what_is_no_model_is_invalid_input() -> None:
    with pytest.raises(InvalidInput, match="no ONNX model"):
        DeviceRunner(b"nonsense", Runtime())
