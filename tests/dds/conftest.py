"""onnxruntime as the judge of slices and of programs; models that nobody here wrote."""

from __future__ import annotations

import warnings
from unittest import mock

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


def _unanswered(padded, x_shape, _kernel, _strides, out_shape, *_rest, **_options):
    """The form of a pooled tensor."""
    return np.zeros((*x_shape[:2], *out_shape), padded.dtype)


@pytest.fixture(scope="session")
def generated():
    """Every case of one node model that onnx itself is tested with.

    Each comes with its answer, which nobody here reads.  Those of pooling take onnx seven seconds
    of plain Python, so they are left out; nothing else is.
    """
    with (
        warnings.catch_warnings(),
        mock.patch("onnx.reference.ops.op_pool_common.pool", _unanswered),
    ):
        warnings.simplefilter("ignore")  # some of them overflow on purpose
        from onnx.backend.test.loader import load_model_tests

        return load_model_tests(kind="node")


@pytest.fixture(scope="session")
def distinct(generated):
    """``distinct(least)``: those of ``least`` nodes or more, one of each row of kinds.

    Kinds of the nodes in order, and types of the inputs: cases that have these in common differ in
    shapes and attributes, at most eighteen of a row.
    """

    def chosen(least: int):
        rows = {}
        for case in generated:
            graph = case.model.graph
            kinds = tuple(node.op_type for node in graph.node)
            types = tuple(value.type.tensor_type.elem_type for value in graph.input)
            if len(kinds) >= least:
                rows.setdefault((kinds, types), case)
        return list(rows.values())

    return chosen


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
