"""The PyTorch engine: ONNX nodes as eager calls, one after the other.

Each node becomes one function of tensors (:mod:`dds.engines.torch_operators`), constants are
computed while the model is loaded, and a tensor is let go as soon as nobody reads it any more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper

from dds.engines.comparison import random_feeds
from dds.engines.engine import Array, TensorSpec, check_feeds
from dds.engines.signature import signature
from dds.engines.torch_node import Node, Run
from dds.engines.torch_operators import OPERATORS
from dds.engines.upgrade import upgrade
from dds.errors import InvalidInput, first_line
from dds.model.onnxfile import OnnxFile, Weight, open_onnx
from dds.model.shapes import Forms, infer
from dds.profile.runtime import DEFAULT_RUNTIME, Runtime

__all__ = ["Steps", "Torch", "steps", "write"]

Tensor = Any

#: What PyTorch raises on values that do not fit an operator.
_FAILURES = (RuntimeError, TypeError, ValueError, IndexError)


@dataclass(frozen=True)
class Torch:
    """PyTorch on the CPU, eager.  Of the runtime only the threads hold, for all of the process."""

    runtime: Runtime = DEFAULT_RUNTIME

    @property
    def name(self) -> str:
        """``"torch"``."""
        return "torch"

    def load(self, model: bytes) -> _Eager:
        """Translate a model; InvalidInput when it is none, or has an operator that is not known."""
        return _Eager(steps(model), self.runtime.threads)


@dataclass(frozen=True)
class _Step:
    """One node.

    reads, makes: names of tensors, "" for none, or one that nobody reads; last: those that are
    read here and never again.
    """

    where: str
    run: Run
    reads: tuple[str, ...]
    makes: tuple[str, ...]
    last: tuple[str, ...]


@dataclass(frozen=True)
class Steps:
    """A model as calls of PyTorch; called with its inputs in order it returns its outputs."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    constants: Mapping[str, Tensor]
    steps: tuple[_Step, ...]

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Run every step; InvalidInput, naming the step, when PyTorch refuses the values."""
        values = dict(self.constants)
        values |= zip((spec.name for spec in self.inputs), inputs, strict=True)
        for step in self.steps:
            values |= _results(step, values)
            for name in step.last:
                del values[name]
        return tuple(values[spec.name] for spec in self.outputs)


def steps(model: bytes) -> Steps:
    """Translate an ONNX model.

    Raises InvalidInput when these bytes are none, or it has an operator that is not in
    :data:`~dds.engines.torch_operators.OPERATORS`.
    """
    file = open_onnx(upgrade(model))
    inputs, outputs = signature(file)
    known: dict[str, Tensor] = {w.name: _weight(file, w) for w in file.weights.values()}
    fixed = all(min(spec.shape, default=0) >= 0 for spec in inputs)
    shapes = infer(file, [spec.name for spec in inputs], None) if fixed else Forms({}, "")
    returned = {spec.name for spec in outputs}
    used = returned.union(*(node.input for node in file.model.graph.node))
    found: list[_Step] = []
    for k, node in enumerate(file.model.graph.node):
        where = f"{node.op_type} {node.name or k!r}"
        # The shape of a tensor is known before the tensor is.
        reads = _trimmed(node.input) if node.op_type != "Shape" else ()
        makes = tuple(name if name in used else "" for name in node.output)
        shape = shapes[node.input[0]].fixed if node.input else None
        run = _load(node, where, known, shape, any(makes[1:]))
        step = _Step(where, run, reads, makes, ())
        if all(not name or name in known for name in reads):
            known |= _results(step, known)
        else:
            found.append(step)
    missing = returned - known.keys() - {n for step in found for n in step.makes}
    missing -= {spec.name for spec in inputs}
    if missing:
        raise InvalidInput(f"nothing makes output {min(missing)!r}; check the model")
    return Steps(inputs, outputs, *_pruned(known, found, returned))


def write(model: bytes, path: Path) -> None:
    """Write ONNX bytes as an exported program, for ``torch.export.load``; `path` ends in ``.pt2``.

    Raises InvalidInput when it cannot be translated, or leaves the shape of an input open.
    """
    loaded = steps(model)
    example = tuple(
        _tensor(v) for v in random_feeds(loaded.inputs, np.random.default_rng(0)).values()
    )
    try:
        torch.export.save(torch.export.export(_Module(loaded), example, strict=False), path)
    except _FAILURES as error:
        raise InvalidInput(f"torch cannot export the model: {first_line(error)}") from error


class _Module(torch.nn.Module):  # type: ignore[misc]  # torch may not be here
    """The steps as a module, which is what torch.export exports."""

    def __init__(self, loaded: Steps) -> None:
        super().__init__()
        self._steps = loaded

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        return self._steps(*inputs)


def _results(step: _Step, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What a step makes of these values, by name."""
    try:
        made = step.run(*(values[name] if name else None for name in step.reads))
    except _FAILURES as error:
        raise InvalidInput(f"torch cannot run {step.where}: {first_line(error)}") from error
    several = made if isinstance(made, (tuple, list)) else (made,)
    return {name: value for name, value in zip(step.makes, several, strict=False) if name}


class _Eager:
    """A translated model.  PyTorch runs several threads' calls at once."""

    def __init__(self, loaded: Steps, threads: int) -> None:
        self.inputs, self.outputs = loaded.inputs, loaded.outputs
        self._steps: Steps | None = loaded
        self._threads = threads

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """See :class:`~dds.engines.engine.Executable`."""
        if self._steps is None:
            raise InvalidInput("the model is closed; load it again")
        check_feeds(self.inputs, feeds)
        if torch.get_num_threads() != self._threads:  # every thread starts with its own number
            torch.set_num_threads(self._threads)
        given = [_tensor(feeds[spec.name]) for spec in self.inputs]
        with torch.inference_mode():
            found = self._steps(*given)
        # What a model hands through, from its inputs or constants, is not to be shared.
        kept = {t.untyped_storage().data_ptr() for t in (*given, *self._steps.constants.values())}
        arrays = zip(self.outputs, found, strict=True)
        return {
            spec.name: value.numpy(force=True).copy()
            if value.untyped_storage().data_ptr() in kept
            else np.asarray(value.numpy(force=True), order="C")
            for spec, value in arrays
        }

    def close(self) -> None:
        """See :class:`~dds.engines.engine.Executable`."""
        self._steps = None


def _load(
    node: onnx.NodeProto,
    where: str,
    known: Mapping[str, Tensor],
    shape: tuple[int, ...] | None,
    more: bool,
) -> Run:
    load = OPERATORS.get(node.op_type) if node.domain in ("", "ai.onnx") else None
    if load is None:
        raise InvalidInput(f"torch has no operator {where}; keep it on onnxruntime")
    given = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    given = {k: v.decode() if isinstance(v, bytes) else v for k, v in given.items()}
    constants = [known.get(name) for name in node.input]
    present = [bool(name) for name in node.input]
    return load(Node(where, given, shape, constants, present, len(node.output), more))


def _pruned(
    known: Mapping[str, Tensor], found: list[_Step], returned: set[str]
) -> tuple[dict[str, Tensor], tuple[_Step, ...]]:
    """The constants that steps read or the model returns, and when each tensor is read last."""
    needed = set(returned)
    backwards: list[_Step] = []
    for step in reversed(found):
        reads = {name for name in step.reads if name}
        last = tuple(sorted(name for name in reads - needed if name not in known))
        backwards.append(_Step(step.where, step.run, step.reads, step.makes, last))
        needed |= reads
    return {n: t for n, t in known.items() if n in needed}, tuple(reversed(backwards))


def _weight(file: OnnxFile, weight: Weight) -> Tensor:
    if weight.raw < 0:
        return _tensor(np.array(numpy_helper.to_array(file.tensor(weight))))
    try:
        dtype = np.dtype(weight.dtype).newbyteorder("<")
    except TypeError as error:
        raise InvalidInput(f"torch has no weights of type {weight.dtype}") from error
    values = np.frombuffer(file.data, dtype, weight.bytes // dtype.itemsize, weight.raw)
    return _tensor(values.reshape(weight.shape))


def _tensor(array: Array) -> Tensor:
    """A tensor in the array's memory where that can be written, which PyTorch insists on."""
    array = np.asarray(array, order="C")
    try:
        return torch.from_numpy(array if array.flags.writeable else array.copy())
    except TypeError as error:
        raise InvalidInput(f"torch has no tensors of type {array.dtype}") from error


def _trimmed(names: Any) -> tuple[str, ...]:
    """Names without the empty ones at the end, which stand for what is left out."""
    kept = list(names)
    while kept and not kept[-1]:
        kept.pop()
    return tuple(kept)
