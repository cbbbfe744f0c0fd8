"""How DDS runs ONNX: one onnxruntime configuration for profiling, devices and servers.

A :class:`Runtime` says how many threads, and how far onnxruntime may rewrite the graph.  Fusing
makes real models 1.0 to 1.8 times faster, so that is the default; with optimisation ``none`` the
halves of a split model equal the whole bit for bit, with the others to a few 1e-7.  Spinning is
off: with one thread, kernels run in the calling thread and its CPU clock is their cost.

Two of onnxruntime's habits stay off at every level.  Constants are not folded while a model is
loaded: 137 bytes can ask for gigabytes, and on nine real models folding saves nothing.  Weights are
not packed beforehand: that copies them, opens large models 2 to 4 times slower, and none of the
nine models runs measurably faster (those with large matrix products run 2 to 4 % slower).
"""

from __future__ import annotations

import os
import platform as host
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dds.errors import InvalidInput, first_line
from dds.model.graph import ModelGraph

__all__ = [
    "DEFAULT_RUNTIME",
    "OPTIMISATIONS",
    "Clock",
    "Runtime",
    "clock_of",
    "infer",
    "numpy_type",
    "open_session",
    "platform_fingerprint",
    "random_inputs",
    "random_tensor",
    "run",
]

Array = NDArray[Any]
#: Seconds since some moment.
Clock = Callable[[], float]

#: Levels of optimisation, and what onnxruntime calls them.
OPTIMISATIONS = {
    "none": "ORT_DISABLE_ALL",
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
    "all": "ORT_ENABLE_ALL",
}


#: More than any machine has; far more, and onnxruntime takes the process down.
_MOST_THREADS = 1024


@dataclass(frozen=True)
class Runtime:
    """How onnxruntime is set.

    threads: that one operator may use, 1 to 1024; optimisation: ``"none"``, ``"basic"`` (rewriting
    that any machine could do), ``"extended"`` (fused kernels) or ``"all"`` (also blocked layouts).

    Raises InvalidInput for fewer threads than one or too many, and for another word.
    """

    threads: int = 1
    optimisation: str = "all"

    def __post_init__(self) -> None:
        if not 1 <= self.threads <= _MOST_THREADS:
            raise InvalidInput(f"threads is {self.threads}; need 1 to {_MOST_THREADS}")
        if self.optimisation not in OPTIMISATIONS:
            raise InvalidInput(
                f"optimisation is {self.optimisation!r}; choose {', '.join(OPTIMISATIONS)}"
            )

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> Runtime:
        """From what ``dataclasses.asdict`` made of one, read back from a file.

        Raises KeyError, TypeError or ValueError (InvalidInput) for anything else.
        """
        return cls(int(fields["threads"]), str(fields["optimisation"]))

    def __str__(self) -> str:
        plural = "" if self.threads == 1 else "s"
        return f"{self.threads} thread{plural}, optimisation {self.optimisation}"


#: One thread, everything optimised.
DEFAULT_RUNTIME = Runtime()


def open_session(
    model: bytes,
    runtime: Runtime = DEFAULT_RUNTIME,
    *,
    profile: Path | None = None,
    optimised: Path | None = None,
) -> Any:
    """An ``onnxruntime.InferenceSession`` of ONNX bytes.

    profile: kernel times are written to files whose names start so; optimised: the graph that
    onnxruntime made of the model is written there, without its large weights.  In both, nodes
    carry the names that :func:`dds.profile.weights.lend_weights` gives them.

    Raises InvalidInput when it is no ONNX model, or onnxruntime refuses it.
    """
    import onnxruntime

    from dds.profile.weights import lend_weights

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = runtime.threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    level = OPTIMISATIONS[runtime.optimisation]
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.disable_prepacking", "1")
    options.log_severity_level = 4
    if profile is not None:
        options.enable_profiling = True
        options.profile_file_prefix = str(profile)
    if optimised is not None:
        _write_optimised(options, optimised)
    shell, weights = lend_weights(model)
    values = [onnxruntime.OrtValue.ortvalue_from_numpy(weight) for weight in weights.values()]
    options.add_external_initializers(list(weights), values)
    try:
        session = onnxruntime.InferenceSession(
            shell,
            options,
            providers=["CPUExecutionProvider"],
            disabled_optimizers=["ConstantFolding"],
        )
    except Exception as error:  # onnxruntime's own classes share no narrower base
        raise InvalidInput(f"onnxruntime cannot load the model: {first_line(error)}") from error
    # The session borrows the weights; they live as long as it does.
    session.lent_weights = weights
    return session


def run(
    session: Any, inputs: Mapping[str, Array], options: Any = None
) -> tuple[dict[str, Array], float]:
    """One inference: its outputs by name, and its time, s.

    Its clock is that of :func:`clock_of`.
    options: ``onnxruntime.RunOptions``, whose `terminate` stops the run between operators.
    Raises InvalidInput when an operator fails on these inputs.
    """
    clock = clock_of(session.get_session_options().intra_op_num_threads)
    started = clock()
    outputs = infer(session, inputs, options)
    return outputs, clock() - started


def infer(session: Any, inputs: Mapping[str, Array], options: Any = None) -> dict[str, Array]:
    """One inference, without a look at the clock: :func:`run` takes up to 20 us longer.

    Raises InvalidInput when an operator fails on these inputs.
    """
    names = [output.name for output in session.get_outputs()]
    try:
        values = session.run(names, dict(inputs), options)
    except Exception as error:  # as above
        raise InvalidInput(f"onnxruntime cannot run the model: {first_line(error)}") from error
    return dict(zip(names, values, strict=True))


def clock_of(threads: int) -> Clock:
    """The clock that times an inference on so many threads.

    With one, the CPU time of the calling thread, which is the kernels'; with more of them wall
    time, which other processes disturb.
    """
    return time.thread_time if threads == 1 else time.perf_counter


def random_inputs(graph: ModelGraph, rng: np.random.Generator) -> dict[str, Array]:
    """One random input: standard normal for floats, 0 and 1 for integers and booleans.

    Raises InvalidInput for a type that numpy does not have.
    """
    tensors = [graph.tensors[index] for index in graph.inputs]
    return {t.name: random_tensor(t.name, t.dtype, t.shape, rng) for t in tensors}


def random_tensor(name: str, dtype: str, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Random values of one input, drawn as in :func:`random_inputs`; it raises the same."""
    kind = numpy_type(name, dtype)
    if np.issubdtype(kind, np.floating):
        return np.asarray(rng.standard_normal(shape)).astype(kind)
    return np.asarray(rng.integers(0, 2, shape)).astype(kind)


def numpy_type(name: str, dtype: str) -> np.dtype[Any]:
    """The type of the model input `name`; InvalidInput where numpy has none such (8-bit floats)."""
    try:
        return np.dtype(dtype)
    except TypeError as error:
        raise InvalidInput(
            f"input {name!r} is of type {dtype}, which numpy does not have; give the model an "
            "input of another type, and cast it inside"
        ) from error


def platform_fingerprint(runtime: Runtime = DEFAULT_RUNTIME) -> str:
    """CPU model, onnxruntime version and runtime: equal where one profile serves both.

    For example ``AMD EPYC (25, 17, 1), onnxruntime 1.31.0, 1 thread, optimisation all``.
    """
    import onnxruntime

    fields = _cpu_fields()
    cpu = fields.get("model name") or host.processor() or host.machine()
    numbers = [fields[key] for key in ("cpu family", "model", "stepping") if key in fields]
    detail = f" ({', '.join(numbers)})" if numbers else ""
    return f"{cpu}{detail}, onnxruntime {onnxruntime.__version__}, {runtime}"


def _write_optimised(options: Any, path: Path) -> None:
    """Have the optimised graph written, and its large weights to nowhere.

    onnxruntime wants to write every weight, half a gigabyte for VGG-19, into a file beside the
    graph.  Nobody reads that one, so its name leads to the null device.
    """
    nowhere = path.with_name(path.name + ".weights")
    nowhere.symlink_to(os.devnull)
    options.optimized_model_filepath = str(path)
    entry = options.add_session_config_entry
    entry("session.optimized_model_external_initializers_file_name", nowhere.name)
    entry("session.optimized_model_external_initializers_min_size_in_bytes", "1024")


def _cpu_fields() -> dict[str, str]:
    """The first processor of /proc/cpuinfo; empty where there is none."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    first = text.split("\n\n", 1)[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}
