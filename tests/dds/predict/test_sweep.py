from pathlib import Path

import numpy as np
import pytest

from dds.errors import InvalidInput
from dds.model import load_model, zoo
from dds.predict.sweep import measured_sample, measured_sweep
from dds.profile.kernels import runtime_fusion
from dds.profile.platform import Platform
from dds.profile.runtime import Runtime


def test_a_sweep_is_measured_once_and_read_afterwards(tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []

    def measured() -> list[np.ndarray]:
        samples = measured_sweep(
            Platform(), cache=tmp_path, models=3, repeats=2,
            report=lambda done, total: steps.append((done, total)),
        )  # fmt: skip
        return [sample.seconds for sample in samples]

    first, second = measured(), measured()
    assert steps == [(1, 3), (2, 3), (3, 3)] * 2
    assert len(list(tmp_path.rglob("*.json"))) == 3
    for a, b in zip(first, second, strict=True):
        assert np.array_equal(a, b)


def test_samples_are_of_the_graph_that_runs() -> None:
    model = zoo.build("squeezenet")
    graph = load_model(model)
    for level in ("none", "all"):
        runtime = Runtime(1, level)
        found = measured_sample(model, platform=Platform(runtime), cache=None, repeats=2)
        expected = runtime_fusion(model, graph, runtime).fused(graph)
        assert found.graph == expected
        assert (len(expected.operators) == len(graph.operators)) == (level == "none")


def test_one_model_is_no_sweep() -> None:
    with pytest.raises(InvalidInput, match="at least 2"):
        measured_sweep(Platform(), cache=None, models=1)
