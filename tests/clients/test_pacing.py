"""A paced engine takes what a slower device would; a checked one runs what it gets right."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pytest

from clients.pacing import CheckedEngine, Pace, PacedEngine, pace_of
from dds.engines import Executable, TensorSpec
from dds.engines.on_onnxruntime import OnnxRuntime
from dds.errors import InvalidInput
from dds.profile.runtime import Runtime
from dds.testing.models import text_model

DOUBLE = text_model("(float[4] x) => (float[4] y) {y = Add(x, x)}")
ONES = {"x": np.ones(4, np.float32)}


@dataclass
class Clocks:
    """A device whose runs cost 2 s of CPU time and take 3 s."""

    now: float = 0.0
    spent: float = 0.0

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        self.now += 3.0
        self.spent += 2.0
        return dict(feeds)

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()

    def close(self) -> None:
        raise AssertionError


@pytest.mark.parametrize(("slowdown", "took"), [(0.0, 3.0), (1.0, 3.0), (2.0, 4.0), (6.0, 12.0)])
def test_a_run_takes_slowdown_times_its_cost(slowdown: float, took: float) -> None:
    device = Clocks()
    pace = Pace(slowdown, lambda: device.spent, clock=lambda: device.now, sleep=device.sleep)
    pace.run(device, {})
    assert (device.now, pace.spent) == (took, 2.0)


def test_one_pace_for_all_that_is_loaded() -> None:
    pace = pace_of("onnxruntime", Runtime())
    engine = PacedEngine(OnnxRuntime(), pace)
    first, second = engine.load(DOUBLE), engine.load(DOUBLE)
    for executable in (first, second):
        np.testing.assert_array_equal(executable.run(ONES)["y"], 2 * np.ones(4))
        assert [spec.name for spec in (*executable.inputs, *executable.outputs)] == ["x", "y"]
    assert engine.loaded == [first, second]
    assert engine.name == "onnxruntime"
    assert pace.spent > 0.0
    first.close()
    with pytest.raises(InvalidInput, match="closed"):
        first.run(ONES)
    second.run(ONES)


@dataclass
class Liar:
    """An engine that triples, or refuses."""

    refuses: bool = False
    name: str = "liar"
    closed: list[bool] = field(default_factory=list)

    def load(self, model: bytes) -> Executable:
        if self.refuses:
            raise InvalidInput("liar cannot load it")
        true, liar = OnnxRuntime().load(model), self

        class Wrong:
            inputs, outputs = true.inputs, true.outputs

            def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
                return {name: 1.5 * value for name, value in true.run(feeds).items()}

            def close(self) -> None:
                liar.closed.append(True)

        return Wrong()


@pytest.mark.parametrize("refuses", [False, True])
def test_what_an_engine_gets_wrong_runs_in_onnxruntime(refuses: bool) -> None:
    liar = Liar(refuses)
    engine = CheckedEngine(liar, Runtime())
    np.testing.assert_array_equal(engine.load(DOUBLE).run(ONES)["y"], 2 * np.ones(4))
    assert engine.name == "liar"
    assert len(engine.remarks) == 1
    assert "liar" in engine.remarks[0]
    assert liar.closed == ([] if refuses else [True])


def test_other_engines_are_timed_by_the_clock_on_the_wall() -> None:
    import time

    assert pace_of("onnxruntime", Runtime()).cost is time.thread_time
    assert pace_of("onnxruntime", Runtime(2)).cost is time.perf_counter
    assert pace_of("openvino", Runtime()).cost is time.perf_counter
