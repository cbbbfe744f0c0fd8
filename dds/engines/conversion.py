"""Conversion: a model made ready for an engine, and believed only after a comparison.

A model is upgraded to a newer opset, rewritten where that makes it faster on the target, loaded
there, and its outputs compared with what onnxruntime makes of the model as it was.  Random outputs
behind a softmax hide errors, so a conversion can also be compared at the boundaries of its blocks,
which the converted model then returns besides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
import onnx

from dds.engines.comparison import TOLERANCE, compare
from dds.engines.engine import Array, Engine
from dds.engines.on_onnxruntime import OnnxRuntime
from dds.engines.upgrade import upgrade
from dds.errors import InvalidInput
from dds.model.fixing import fixed, with_weights
from dds.model.graph import ModelGraph
from dds.model.importer import load_model
from dds.model.onnxfile import open_onnx
from dds.model.shapes import tensor_type
from dds.parallel.normalise import normalise
from dds.parallel.tiles import blocks
from dds.profile.runtime import random_inputs

__all__ = ["Conversion", "convert", "expose", "prepare"]

#: Of inputs that a model leaves open.
Shapes = Mapping[str, Sequence[int]] | None
#: A rewriting of ONNX bytes.
Rewriting = Callable[[bytes, Shapes], bytes]


@dataclass(frozen=True)
class Conversion:
    """A model made ready for an engine.

    engine: its name; model: the ONNX bytes it loads; differences: of each tensor compared, in the
    model's order, its outputs last (:func:`~dds.engines.comparison.difference`); refused: empty,
    or in one line why the model must stay on onnxruntime.
    """

    engine: str
    model: bytes = field(repr=False)
    differences: Mapping[str, float]
    refused: str


def convert(
    model: bytes,
    engine: Engine,
    *,
    shapes: Shapes = None,
    tolerance: float = TOLERANCE,
    boundaries: bool = False,
    seed: int = 0,
) -> Conversion:
    """Make a model ready for an engine and compare the two on one random input.

    shapes: of inputs that leave them open; tolerance: the largest difference that passes, of a
    tensor's largest value; boundaries: whether to compare between the blocks too, not only at the
    outputs; seed: of the input.

    Raises InvalidInput when these bytes are no model, or onnxruntime cannot run it.
    """
    graph = load_model(model, shapes=shapes)
    feeds = random_inputs(graph, np.random.default_rng(seed))
    truth = _run(OnnxRuntime(), model, graph, (), feeds)
    try:
        ready = prepare(model, engine.name, shapes=shapes)
        after = load_model(ready, shapes=shapes)
        names = _boundaries(graph, after) if boundaries else ()
        found = _run(engine, ready, after, names, feeds)
    except InvalidInput as error:
        return Conversion(engine.name, model, {}, str(error))
    if names:
        truth = _run(OnnxRuntime(), model, graph, names, feeds)
    inside = {name: truth[name] for name in names}
    differences, refused = compare(engine.name, found, inside | truth, tolerance)
    return Conversion(engine.name, ready, differences, refused)


def prepare(model: bytes, target: str, *, shapes: Shapes = None) -> bytes:
    """The model upgraded, its shapes fixed, and rewritten for the engine of this name.

    Raises InvalidInput when it cannot be upgraded, and like :func:`dds.load_model`.
    """
    return _REWRITINGS.get(target, _normalised)(upgrade(model), shapes)


def expose(model: bytes, graph: ModelGraph, names: Iterable[str]) -> bytes:
    """The model returning further tensors of its graph besides its outputs."""
    file = open_onnx(model)
    shell = onnx.ModelProto()
    shell.CopyFrom(file.model)
    tensors = {tensor.name: tensor for tensor in graph.tensors}
    returned = {value.name for value in shell.graph.output}
    for name in names:
        if name not in returned:
            tensor = tensors[name]
            shell.graph.output.add(name=name, type=tensor_type(tensor.shape, tensor.dtype))
    return with_weights(shell, file)


def _normalised(model: bytes, shapes: Shapes) -> bytes:
    return normalise(model, shapes=shapes)


#: What makes a model faster on an engine.  OpenVINO folds batch norms itself, and its LRN is faster
#: than the convolution that :func:`~dds.parallel.normalise.normalise` makes of it.
_REWRITINGS: Mapping[str, Rewriting] = MappingProxyType({"openvino": fixed})


def _boundaries(graph: ModelGraph, after: ModelGraph) -> tuple[str, ...]:
    """Tensors between the blocks of a model that its conversion has too, in order."""
    kept = {tensor.name for tensor in after.tensors}
    returned = {graph.tensors[t].name for t in graph.outputs}
    found: dict[str, None] = {}
    for block in blocks(graph):
        for v in block:
            crossing = (t for t in graph.operators[v].outputs if _leaves(graph, t, block))
            found |= dict.fromkeys(graph.tensors[t].name for t in crossing)
    return tuple(name for name in found if name in kept and name not in returned)


def _leaves(graph: ModelGraph, tensor: int, block: range) -> bool:
    return any(reader not in block for reader in graph.consumers[tensor])


def _run(
    engine: Engine,
    model: bytes,
    graph: ModelGraph,
    names: Sequence[str],
    feeds: Mapping[str, Array],
) -> dict[str, Array]:
    """The outputs and the tensors of these names; InvalidInput where the engine refuses."""
    executable = engine.load(expose(model, graph, names) if names else model)
    try:
        return executable.run(feeds)
    finally:
        executable.close()
