"""From bytes that a stranger sent to a model that may run.

onnxruntime never sees bytes that were not checked first: they must be what was announced, a
valid ONNX model with its weights inside and every dimension fixed, made of standard operators
only, and within bounds on memory and work that follow from its shapes alone.
"""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dds.errors import InvalidInput
from dds.model.graph import ModelGraph
from dds.profile.runtime import Runtime, numpy_type, open_session, run
from dds.session.upload import ModelHeader
from dds.units import format_bytes
from mec_server.config import Limits
from mec_server.store import StoredModel, TensorSpec

__all__ = ["check_work", "load", "receive", "run_within"]

#: Operator sets that may run: those whose operators the ONNX checker knows.
_DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml"})


async def receive(header: ModelHeader, chunks: AsyncIterator[bytes]) -> bytes:
    """Collect the announced number of bytes; raises InvalidInput when more or fewer come."""
    parts: list[bytes] = []
    received = 0
    async for chunk in chunks:
        received += len(chunk)
        if received > header.size:
            raise InvalidInput(f"model.size: {header.size} bytes were announced, more came")
        parts.append(chunk)
    if received < header.size:
        raise InvalidInput(f"model.size: {header.size} bytes were announced, {received} came")
    return b"".join(parts)


def load(data: bytes, digest: str, limits: Limits, runtime: Runtime) -> StoredModel:
    """Check a model, open it, and run it once on zeros.

    The run shows that it works before a share is spent on it, and takes the extra cost of a
    first run out of what clients are promised.

    Raises InvalidInput when the bytes are not of this digest, are no model that may run, or
    need more than the limits allow.
    """
    from dds.model import load_model

    graph = load_model(data)
    if graph.digest != digest:
        raise InvalidInput(
            f"model.digest: the bytes received have SHA-256 {graph.digest[:12]}..., announced was "
            f"{digest[:12]}...; send the model that the digest was taken of"
        )
    _check_domains(data)
    check_work(graph, limits)
    model = StoredModel(
        digest=digest,
        data=data,
        graph=graph,
        session=open_session(data, runtime),
        inputs=_specs(graph, graph.inputs),
        outputs=_specs(graph, graph.outputs),
    )
    zeros = {s.name: np.zeros(s.shape, numpy_type(s.name, s.dtype)) for s in model.inputs}
    run_within(model, zeros, limits.run_seconds)
    return model


def run_within(model: StoredModel, inputs: Mapping[str, NDArray[Any]], limit: float) -> None:
    """Run once; raises InvalidInput when that fails, or is stopped after `limit` s.

    It stops between two operators.
    """
    from onnxruntime import RunOptions

    options = RunOptions()
    timer = threading.Timer(limit, setattr, (options, "terminate", True))
    timer.start()
    try:
        run(model.session, inputs, options)
    except InvalidInput as error:
        if options.terminate:
            raise InvalidInput(
                f"the model ran for more than {limit:g} s and was stopped"
            ) from error
        raise
    finally:
        timer.cancel()


def check_work(graph: ModelGraph, limits: Limits) -> None:
    """Raises InvalidInput when one inference needs more memory or work than is allowed."""
    memory = sum(tensor.bytes for tensor in graph.tensors)
    if memory > limits.tensor_bytes:
        raise InvalidInput(
            f"the model's tensors take {format_bytes(memory)}; this server allows "
            f"{format_bytes(limits.tensor_bytes)}"
        )
    if graph.flops > limits.flops:
        raise InvalidInput(
            f"the model takes {graph.flops:.3g} FLOP an inference; this server allows "
            f"{limits.flops:.3g}"
        )


def _check_domains(data: bytes) -> None:
    from dds.model.onnxfile import open_onnx

    model = open_onnx(data).model
    allowed = _DOMAINS | {function.domain for function in model.functions}
    for owner in (model, *model.functions):
        for opset in owner.opset_import:
            if opset.domain not in allowed:
                raise InvalidInput(
                    f"operator set {opset.domain!r} is not allowed here; export the model with "
                    "standard ONNX operators"
                )


def _specs(graph: ModelGraph, tensors: tuple[int, ...]) -> tuple[TensorSpec, ...]:
    chosen = (graph.tensors[t] for t in tensors)
    return tuple(TensorSpec(tensor.name, tensor.dtype, tensor.shape) for tensor in chosen)
