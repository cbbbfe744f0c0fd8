"""A model whose inputs leave dimensions open, with shapes written into it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx

from dds.model.dataflow import dataflow
from dds.model.onnxfile import OnnxFile, assemble, open_onnx
from dds.model.shapes import fix_shapes, infer

__all__ = ["fixed", "with_weights"]


def fixed(model: bytes, shapes: Mapping[str, Sequence[int]] | None) -> bytes:
    """The model with no open shapes, and otherwise as it is; itself without any `shapes`.

    Raises InvalidInput like :func:`dds.load_model`.
    """
    if not shapes:
        return model
    file = open_onnx(model)
    shell = onnx.ModelProto()
    shell.CopyFrom(file.model)
    fix_shapes(shell.graph, infer(file, dataflow(file).inputs, shapes))
    return with_weights(shell, file)


def with_weights(shell: onnx.ModelProto, file: OnnxFile) -> bytes:
    """The bytes of a model with all the weights of a file."""
    view = memoryview(file.data)
    return assemble(
        shell, [(w.end - w.start, [view[w.start : w.end]]) for w in file.weights.values()]
    )
