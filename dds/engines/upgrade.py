"""Models in an old version of ONNX's operators, rewritten in a newer one.

Axes of a ``Squeeze``, bounds of a ``Clip`` and much else moved from attributes to inputs.  So that
an engine has to know only one way of writing them, models are upgraded by onnx's own converter.
"""

from __future__ import annotations

import onnx
from onnx import version_converter

from dds.errors import InvalidInput
from dds.model.onnxfile import SMALL_BYTES, OnnxFile, Weight, assemble, open_onnx, opset
from dds.model.shapes import tensor_type

__all__ = ["OPSET", "upgrade"]

#: What older models are upgraded to: the version that converters to other runtimes know best.
OPSET = 17


def upgrade(model: bytes) -> bytes:
    """The same model in opset :data:`OPSET`, or as it is if that is not older.

    Tensors keep their names.  Large weights are neither parsed nor converted.

    Raises InvalidInput when these bytes are no model, or the converter knows no way.
    """
    file = open_onnx(model)
    if opset(file.model) >= OPSET:
        return model
    shell, lent = _without_large_weights(file)
    try:
        done = version_converter.convert_version(shell, OPSET)
    except Exception as error:  # the converter's C++ raises what it likes
        reason = " ".join(str(error).split())[:200]
        raise InvalidInput(
            f"the model cannot be upgraded from opset {opset(file.model)} to {OPSET}: {reason}"
        ) from error
    _only_inputs(done.graph, file)
    view = memoryview(model)
    return assemble(done, [(w.end - w.start, [view[w.start : w.end]]) for w in lent])


def _without_large_weights(file: OnnxFile) -> tuple[onnx.ModelProto, list[Weight]]:
    """The model with large weights as inputs, of which the converter knows the types; those."""
    shell = onnx.ModelProto()
    shell.CopyFrom(file.model)
    # Only from IR 4 on may a weight be no input.
    shell.ir_version = max(shell.ir_version, 4)
    _only_inputs(shell.graph, file)
    lent = []
    for weight in file.weights.values():
        if weight.bytes <= SMALL_BYTES:
            shell.graph.initializer.append(file.tensor(weight))
        else:
            shell.graph.input.add(name=weight.name, type=tensor_type(weight.shape, weight.dtype))
            lent.append(weight)
    return shell, lent


def _only_inputs(graph: onnx.GraphProto, file: OnnxFile) -> None:
    """Take the weights out of the graph's inputs."""
    kept = [value for value in graph.input if value.name not in file.weights]
    del graph.input[:]
    graph.input.extend(kept)
