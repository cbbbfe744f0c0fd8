"""The OpenVINO engine: models compiled for this CPU, in full precision.

Left to itself OpenVINO would compute in half precision where the processor can, on as many threads
as there are cores, each pinned to one.  Here it computes in float32, on the threads that the
runtime names, wherever the caller's affinity lets them run.
"""

from __future__ import annotations

import functools
import io
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import openvino

from dds.engines.engine import Array, TensorSpec, check_feeds
from dds.engines.signature import signature
from dds.errors import InvalidInput
from dds.model.onnxfile import open_onnx
from dds.profile.runtime import DEFAULT_RUNTIME, Runtime

__all__ = ["OpenVino", "write"]


@dataclass(frozen=True)
class OpenVino:
    """OpenVINO on the CPU.  Of the runtime only the threads hold; it always optimises."""

    runtime: Runtime = DEFAULT_RUNTIME

    @property
    def name(self) -> str:
        """``"openvino"``."""
        return "openvino"

    def load(self, model: bytes) -> _Compiled:
        """Compile a model; InvalidInput when it is none, or OpenVINO has no way to run it."""
        inputs, outputs = signature(open_onnx(model))
        try:
            compiled = _core().compile_model(_read(model), "CPU", self._settings())
        except RuntimeError as error:
            raise InvalidInput(f"openvino cannot load the model: {_reason(error)}") from error
        return _Compiled(compiled, inputs, outputs)

    def _settings(self) -> dict[str, object]:
        return {
            "INFERENCE_NUM_THREADS": self.runtime.threads,
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",
            "ENABLE_CPU_PINNING": False,
        }


def write(model: bytes, path: Path) -> None:
    """Write ONNX bytes as OpenVINO's IR: `path`, which ends in ``.xml``, and a ``.bin`` beside it.

    Raises InvalidInput when OpenVINO cannot read them.
    """
    try:
        openvino.save_model(_read(model), path, compress_to_fp16=False)
    except RuntimeError as error:
        raise InvalidInput(f"openvino cannot save the model: {_reason(error)}") from error


class _Compiled:
    """A compiled model and one request to run it, which threads take turns at."""

    def __init__(
        self, compiled: Any, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]
    ) -> None:
        self.inputs, self.outputs = tuple(inputs), tuple(outputs)
        # An input that nothing reads may be gone; an output may not.
        self._in = _places(compiled.inputs, inputs)
        self._out = _places(compiled.outputs, outputs)
        lost = [spec.name for spec in outputs if spec.name not in self._out]
        if lost:
            raise InvalidInput(f"openvino lost output {lost[0]!r}; keep the model on onnxruntime")
        self._request: Any = compiled.create_infer_request()
        self._turn = threading.Lock()

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """See :class:`~dds.engines.engine.Executable`."""
        with self._turn:
            if self._request is None:
                raise InvalidInput("the model is closed; load it again")
            check_feeds(self.inputs, feeds)
            values = {at: np.asarray(feeds[name], order="C") for name, at in self._in.items()}
            try:
                # The request reads the feeds where they lie, and its outputs are copied.
                found = self._request.infer(values, share_inputs=True)
            except RuntimeError as error:
                raise InvalidInput(f"openvino cannot run the model: {_reason(error)}") from error
            return {name: found[at] for name, at in self._out.items()}

    def close(self) -> None:
        """See :class:`~dds.engines.engine.Executable`."""
        with self._turn:
            self._request = None


@functools.cache
def _core() -> Any:
    return openvino.Core()


def _read(model: bytes) -> Any:
    return _core().read_model(io.BytesIO(model))


def _places(ports: Sequence[Any], specs: Sequence[TensorSpec]) -> dict[str, int]:
    """Which port carries each tensor: the one of that name, else the one at its position.

    Where one tensor is returned under two names, OpenVINO may know it by one of them only.
    """
    found = {name: k for k, port in enumerate(ports) for name in port.get_names()}
    alike = len(ports) == len(specs)
    places = {spec.name: found.get(spec.name, k if alike else -1) for k, spec in enumerate(specs)}
    return {name: k for name, k in places.items() if k >= 0}


def _reason(error: Exception) -> str:
    """What went wrong, in one line: the last one that is not about sources or documentation."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    summary = lines[lines.index("Summary:") + 1 :][:1] if "Summary:" in lines else lines[-1:]
    return summary[0].removeprefix("-- ")[:300] if summary else type(error).__name__
