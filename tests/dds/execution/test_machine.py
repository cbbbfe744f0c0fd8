"""A model on cores of this machine answers like the model."""

from __future__ import annotations

import os

import numpy as np
import pytest

from dds.errors import InvalidInput
from dds.execution import machine
from dds.execution.machine import on_this_machine
from dds.profile.runtime import Runtime, open_session, random_inputs, run
from dds.testing.models import text_model

pytestmark = pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity"), reason="this system pins no process to a core"
)
#: Large enough that two rows of slices pay; a batch size that is left open.
LAYERS = text_model(
    "(float[N,8,64,64] x) => (float[N,8,64,64] d) <float[8,8,3,3] w = {"
    + ", ".join(str((k % 7 - 3) / 20) for k in range(576))
    + "}> {a = Conv<pads=[1,1,1,1]>(x, w)\n b = Relu(a)\n c = Conv<pads=[1,1,1,1]>(b, w)\n"
    "d = Relu(c)}"
)


def test_the_answer_is_the_models(monkeypatch) -> None:
    monkeypatch.setattr(machine, "_FACTORS", (1.0,))  # fewer processes to start
    first, *_, last = [*sorted(os.sched_getaffinity(0))] * 2
    shapes = {"x": (1, 8, 64, 64)}
    with on_this_machine(LAYERS, (first, last), shapes=shapes) as model:
        plan = model.plan
        assert plan.cores == (first, last)
        assert plan.forecast > 0.0
        assert plan.prediction > 0.0
        assert plan.latency > 0.0
        assert len(plan.programs) == 2
        for seed in (1, 2):
            inputs = random_inputs(plan.graph, np.random.default_rng(seed))
            whole = run(open_session(LAYERS, Runtime(1, "none")), inputs)[0]
            outputs = model(inputs)
            assert outputs.keys() == whole.keys()
            largest = float(np.abs(whole["d"]).max())
            np.testing.assert_allclose(outputs["d"], whole["d"], rtol=0, atol=2e-6 * largest)
    with pytest.raises(InvalidInput, match="have ended"):
        model(inputs)


@pytest.mark.parametrize(
    ("model", "cores", "place"),
    [
        (LAYERS, (), "none given"),
        (LAYERS, (99_999,), "99999 is not one"),
        (LAYERS, None, "N"),
        (b"no model", None, "ONNX"),
        ("nowhere.onnx", None, "no such model file: 'nowhere.onnx'"),
    ],
)
def test_what_cannot_be_is_refused(model: bytes | str, cores, place: str) -> None:
    with pytest.raises(InvalidInput, match=place), on_this_machine(model, cores):
        pass
