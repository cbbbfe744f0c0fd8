"""How DDS runs ONNX: one onnxruntime configuration for profiling, devices and servers.

Graph optimisation is off, so that the two halves of a split model do exactly the work of the
whole and a profile of the whole predicts both.  With one thread and spinning off, kernels run
in the calling thread and its CPU clock is their cost.
"""

from __future__ import annotations

import platform as host
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dds.errors import InvalidInput
from dds.model.graph import ModelGraph

__all__ = ["open_session", "platform_fingerprint", "random_inputs", "run"]

Array = NDArray[Any]


def open_session(model: bytes, *, threads: int = 1, profile: Path | None = None) -> Any:
    """An ``onnxruntime.InferenceSession`` of ONNX bytes; `profile` starts files named so.

    Raises InvalidInput when it is no ONNX model, or onnxruntime refuses it.
    """
    import onnxruntime

    from dds.profile.weights import lend_weights

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Prepacking would copy the weights once more, and make no measured difference in speed.
    options.add_session_config_entry("session.disable_prepacking", "1")
    options.log_severity_level = 4
    if profile is not None:
        options.enable_profiling = True
        options.profile_file_prefix = str(profile)
    shell, weights = lend_weights(model)
    values = [onnxruntime.OrtValue.ortvalue_from_numpy(weight) for weight in weights.values()]
    options.add_external_initializers(list(weights), values)
    try:
        session = onnxruntime.InferenceSession(shell, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own classes share no narrower base
        raise InvalidInput(f"onnxruntime cannot load the model: {_first_line(error)}") from error
    # The session borrows the weights; they live as long as it does.
    session.lent_weights = weights
    return session


def run(
    session: Any, inputs: Mapping[str, Array], options: Any = None
) -> tuple[dict[str, Array], float]:
    """One inference: its outputs by name, and its CPU time in this thread, s.

    options: ``onnxruntime.RunOptions``, whose `terminate` stops the run between operators.
    Raises InvalidInput when an operator fails on these inputs.
    """
    names = [output.name for output in session.get_outputs()]
    started = time.thread_time()
    try:
        values = session.run(names, dict(inputs), options)
    except Exception as error:  # as above
        raise InvalidInput(f"onnxruntime cannot run the model: {_first_line(error)}") from error
    return dict(zip(names, values, strict=True)), time.thread_time() - started


def random_inputs(graph: ModelGraph, rng: np.random.Generator) -> dict[str, Array]:
    """One random input: standard normal for floats, 0 and 1 for integers and booleans."""
    inputs: dict[str, Array] = {}
    for index in graph.inputs:
        tensor = graph.tensors[index]
        dtype = np.dtype(tensor.dtype)
        if np.issubdtype(dtype, np.floating):
            inputs[tensor.name] = rng.standard_normal(tensor.shape).astype(dtype)
        else:
            inputs[tensor.name] = rng.integers(0, 2, tensor.shape).astype(dtype)
    return inputs


def platform_fingerprint(threads: int = 1) -> str:
    """CPU model, onnxruntime version and threads: equal where one profile serves both.

    For example ``AMD EPYC (25, 17, 1), onnxruntime 1.31.0, 1 thread``.
    """
    import onnxruntime

    fields = _cpu_fields()
    cpu = fields.get("model name") or host.processor() or host.machine()
    numbers = [fields[key] for key in ("cpu family", "model", "stepping") if key in fields]
    detail = f" ({', '.join(numbers)})" if numbers else ""
    plural = "" if threads == 1 else "s"
    return f"{cpu}{detail}, onnxruntime {onnxruntime.__version__}, {threads} thread{plural}"


def _cpu_fields() -> dict[str, str]:
    """The first processor of /proc/cpuinfo; empty where there is none."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    first = text.split("\n\n", 1)[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def _first_line(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:300]
