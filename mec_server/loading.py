"""From bytes that a stranger sent to a model that runs.

onnxruntime never sees bytes that :mod:`dds.model.foreign` has not checked.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dds.errors import InvalidInput
from dds.model.foreign import Bounds, check_foreign
from dds.model.graph import ModelGraph
from dds.profile.runtime import Runtime, numpy_type, open_session, run
from mec_server.config import Limits
from mec_server.stored import StoredModel, TensorSpec

__all__ = ["load", "run_within"]


def load(data: bytes, digest: str, limits: Limits, runtime: Runtime) -> StoredModel:
    """Check a model, open it, and run it once on zeros.

    The run shows that it works before a share is spent on it, and takes the extra cost of a
    first run out of what clients are promised.

    Raises InvalidInput for what :func:`dds.model.foreign.check_foreign` refuses, and for a model
    that fails or runs too long.
    """
    graph = check_foreign(data, digest, Bounds(limits.tensor_bytes, limits.flops))
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


def _specs(graph: ModelGraph, tensors: tuple[int, ...]) -> tuple[TensorSpec, ...]:
    chosen = (graph.tensors[t] for t in tensors)
    return tuple(TensorSpec(tensor.name, tensor.dtype, tensor.shape) for tensor in chosen)
