"""onnxruntime as the judge of slices and of programs."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from dds.model import ModelGraph
from dds.model.shapes import tensor_type
from dds.profile.runtime import Runtime, open_session
from dds.profile.runtime import run as run_session


def _run(
    model: bytes, feeds: dict[str, np.ndarray], optimise: bool = False
) -> dict[str, np.ndarray]:
    return run_session(open_session(model, Runtime(1, "all" if optimise else "none")), feeds)[0]


def _returning_all(model: bytes, graph: ModelGraph) -> bytes:
    proto = onnx.ModelProto.FromString(model)
    returned = {value.name for value in proto.graph.output}
    for operator in graph.operators:
        for t in operator.outputs:
            tensor = graph.tensors[t]
            if tensor.name not in returned:
                form = tensor_type(tensor.shape, tensor.dtype)
                proto.graph.output.append(onnx.ValueInfoProto(name=tensor.name, type=form))
    return proto.SerializeToString()


@pytest.fixture(scope="session")
def run():
    """``run(model, feeds, optimise=False)`` in onnxruntime, one thread."""
    return _run


@pytest.fixture(scope="session")
def every_tensor():
    """``every_tensor(model, graph, feeds)``: the value of every tensor, nothing optimised."""

    def values(model: bytes, graph: ModelGraph, feeds: dict[str, np.ndarray]):
        return {**feeds, **_run(_returning_all(model, graph), feeds)}

    return values


@pytest.fixture(scope="session")
def picture():
    """``picture(graph)``: a seeded input of a model that has one."""

    def feed(graph: ModelGraph) -> dict[str, np.ndarray]:
        tensor = graph.tensors[graph.inputs[0]]
        values = np.random.default_rng(5).random(tensor.shape, np.float32)
        return {tensor.name: values}

    return feed
