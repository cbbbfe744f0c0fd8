"""Every engine that is installed keeps what engines promise."""

from __future__ import annotations

import importlib.util

import pytest

from dds.engines import ENGINES, Engine, engine
from dds.testing.engines import CHECKS, node_models

INSTALLED = [name for name in ENGINES if importlib.util.find_spec(name)]


@pytest.fixture(scope="module", params=INSTALLED)
def each(request) -> Engine:
    return engine(request.param)


def test_two_engines_are_always_tested() -> None:
    assert {"onnxruntime", "openvino"} <= set(INSTALLED)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_engine_conforms(each: Engine, check) -> None:
    check(each)


# Of 1884 models, in onnx 1.23, each so many-th; OpenVINO compiles some of them for seconds.
# `make engines` counts them all.
EVERY = {"openvino": 40, "torch": 12}
LEAST_RIGHT = {"openvino": 28, "torch": 25}
MOST_DIFFERENT = {"openvino": 2, "torch": 0}


@pytest.mark.usefixtures("generated")
@pytest.mark.parametrize("name", [name for name in INSTALLED if name != "onnxruntime"])
def test_models_that_onnx_is_tested_with(name: str) -> None:
    found = node_models(engine(name), every=EVERY[name])
    print(name, found.right, len(found.refused), dict(found.different))
    assert found.right >= LEAST_RIGHT[name]
    assert len(found.different) <= MOST_DIFFERENT[name]
