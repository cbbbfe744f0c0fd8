"""ONNX -> :class:`~dds.model.graph.ModelGraph`.

The graph keeps what a cut can see: the operators that depend on the model's input and
the tensors between them.  Everything a cut cannot see - initialisers, constants, nodes
computed from constants alone - folds into ``weight_bytes`` of the operators that read it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import onnx

from dds.errors import InvalidInput
from dds.model import dtypes, work
from dds.model.dataflow import Dataflow, dataflow, describe
from dds.model.graph import ModelGraph, Operator, Tensor
from dds.model.onnxfile import OnnxFile, open_onnx, opset
from dds.model.reach import reach
from dds.model.shapes import Forms, infer
from dds.model.window import window

__all__ = ["ModelSource", "load_model", "read_model"]

#: Where a model comes from: a path, or the bytes of an ONNX file.
ModelSource = str | os.PathLike[str] | bytes


def load_model(
    source: ModelSource, *, shapes: Mapping[str, Sequence[int]] | None = None
) -> ModelGraph:
    """Load an ONNX model as a graph of operators and tensors.

    source: a path, or the bytes of an ONNX file.
    shapes: dimensions for inputs that the model leaves dynamic,
    ``{"input": (1, 3, 224, 224)}``.

    Operators are the nodes that depend on a model input and that a model output depends
    on, in the model's order; a control-flow node (If, Loop, Scan) or a call of a model's
    own function is one operator, which reads what its bodies capture.  Initialisers listed
    among the inputs (ONNX before IR 4) are weights.  A model output that depends on no input
    is a constant: it never crosses, so it is no output of the graph
    (:func:`~dds.model.split.split` computes it on the device).

    Raises InvalidInput, naming the node or tensor, for a path that is no readable file, for
    anything that is not a valid ONNX model with its weights inside, for dimensions that
    are unknown (saying which input to fix) or depend on data, for values without a fixed
    size (sequences, optionals, strings), and for ``shapes`` that do not fit.

    >>> from dds.model import zoo
    >>> graph = load_model(zoo.topology("squeezenet"))
    >>> len(graph.operators), graph.tensors[graph.inputs[0]].shape
    (66, (1, 3, 224, 224))
    """
    data = read_model(source)
    file = open_onnx(data)
    flow = dataflow(file)
    forms = infer(file, flow.inputs, shapes)
    name = file.model.graph.name
    return ModelGraph(
        *_build(file, flow, forms),
        name=name if isinstance(name, str) else "",
        digest=hashlib.sha256(data).hexdigest(),
    )


def read_model(source: ModelSource) -> bytes:
    """The bytes of a model, given or in a file; InvalidInput when there is none to read."""
    if isinstance(source, bytes):
        return source
    try:
        return Path(source).read_bytes()
    except FileNotFoundError as error:
        raise InvalidInput(f"no such model file: {os.fspath(source)!r}") from error
    except IsADirectoryError as error:
        raise InvalidInput(
            f"{os.fspath(source)!r} is a directory; pass the .onnx file inside it"
        ) from error
    except (OSError, ValueError, TypeError) as error:
        raise InvalidInput(f"cannot read the model file {source!r}: {error}") from error


def _build(
    file: OnnxFile, flow: Dataflow, forms: Forms
) -> tuple[tuple[Operator, ...], tuple[Tensor, ...], tuple[int, ...], tuple[int, ...]]:
    nodes = file.model.graph.node
    index: dict[str, int] = {}
    tensors: list[Tensor] = []

    def add(name: str, where: str) -> None:
        index[name] = len(tensors)
        tensors.append(_tensor(name, where, forms))

    for name in flow.inputs:
        add(name, "a model input")
    read = {name for v in flow.operators for name in flow.reads[v]} | set(flow.outputs)
    names = _operator_names(nodes, flow.operators)
    version = opset(file.model)
    operators: list[Operator] = []
    for v in flow.operators:
        node = nodes[v]
        # A tensor nobody reads (a dropout mask) never crosses; it need not even have a size.
        written = [name for name in node.output if name in read]
        for name in written:
            add(name, describe(node, v))
        constants = [name for name in flow.reads[v] if name not in index]
        flops, macs = work.estimate(node, forms)
        kernel, stride, groups = window(node, forms)
        inputs = tuple(name for name in flow.reads[v] if name in index)
        operators.append(
            Operator(
                name=names[v],
                kind=node.op_type,
                inputs=tuple(index[name] for name in inputs),
                outputs=tuple(index[name] for name in written),
                flops=flops,
                macs=macs,
                weight_bytes=sum(_constant_bytes(name, forms) for name in constants),
                node=v,
                kernel=kernel,
                stride=stride,
                groups=groups,
                reach=reach(node, forms, inputs, version) if written == node.output[:1] else (),
            )
        )
    outputs = tuple(index[name] for name in flow.outputs if name not in flow.constants)
    return (
        tuple(operators),
        tuple(tensors),
        tuple(index[name] for name in flow.inputs),
        outputs,
    )


def _tensor(name: str, where: str, forms: Forms) -> Tensor:
    form = forms[name]
    place = f"tensor {name!r} of {where}"
    if form.dtype in ("sequence", "optional", "map", "opaque", "sparse_tensor"):
        raise InvalidInput(f"{place} is of {form.dtype} type, which has no fixed size")
    shape = form.fixed
    if shape is None:
        why = f" ({forms.complaint})" if forms.complaint else ""
        raise InvalidInput(
            f"{place} has no fixed shape: its dimensions depend on data, or shape inference "
            f"does not know the operator{why}; DDS needs every size before it runs the model"
        )
    if not form.dtype:
        raise InvalidInput(f"{place} has no known element type")
    return Tensor(name, shape, form.dtype, dtypes.size_of(shape, form.dtype, place))


def _constant_bytes(name: str, forms: Forms) -> int:
    """Bytes of a constant; 0 where its size is unknown (a folded Range, say)."""
    form = forms[name]
    if form.fixed is None or form.dtype not in dtypes.BITS:
        return 0
    return dtypes.size_of(form.fixed, form.dtype, f"constant {name!r}")


def _operator_names(nodes: Sequence[onnx.NodeProto], operators: Iterable[int]) -> dict[int, str]:
    """Each operator's own name, made unique by a number where the model repeats one."""
    taken: set[str] = set()
    names: dict[int, str] = {}
    # Names that the model gives go first, so that no invented one displaces them.
    for v in sorted(operators, key=lambda v: (not nodes[v].name, v)):
        wish = nodes[v].name or f"{nodes[v].op_type}_{v}"
        name, again = wish, 1
        while name in taken:
            again += 1
            name = f"{wish}_{again}"
        taken.add(name)
        names[v] = name
    return names
