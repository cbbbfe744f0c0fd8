"""The fixed shape and element type of every tensor, by ONNX's own shape inference.

Inference sees a light copy of the model: large initialisers become typed inputs,
so their bytes are neither copied nor parsed; small ones (the shapes, axes and
repeats that data-dependent operators read) stay.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from google.protobuf.message import EncodeError
from onnx import checker, numpy_helper, shape_inference

from dds.errors import InvalidInput
from dds.model import dtypes, guard, values
from dds.model.onnxfile import SMALL_BYTES, OnnxFile

__all__ = ["Form", "Forms", "fix_shapes", "infer", "tensor_type"]

#: Of a model with more open inputs than these an error names the first.
_NAMED = 20


@dataclass(frozen=True, slots=True)
class Form:
    """What inference knows of a tensor: its numpy dtype name, and its dimensions.

    A dimension is None where it is unknown; the shape is None where even the rank is;
    dtype is "" for an unknown one, "sequence", "optional" ... for what is no tensor.
    """

    dtype: str
    shape: tuple[int | None, ...] | None

    @property
    def fixed(self) -> tuple[int, ...] | None:
        """The shape if every dimension of it is known."""
        if self.shape is None or any(d is None for d in self.shape):
            return None
        return tuple(d for d in self.shape if d is not None)


@dataclass(frozen=True)
class Forms:
    """The form of every tensor by name, and what inference complained about ("" if nothing)."""

    by_name: dict[str, Form]
    complaint: str

    def __getitem__(self, name: str) -> Form:
        return self.by_name.get(name, Form("", None))


def tensor_type(shape: Sequence[int], dtype: str) -> onnx.TypeProto:
    """ONNX's type of a tensor with this shape and numpy dtype name."""
    return onnx.helper.make_tensor_type_proto(dtypes.code_of(dtype), shape)


def infer(
    file: OnnxFile, inputs: Sequence[str], shapes: Mapping[str, Sequence[int]] | None
) -> Forms:
    """Shapes and types of every tensor, with the model inputs fixed to ``shapes``.

    Raises InvalidInput when the model breaks a rule of ONNX (unknown operator, domain or
    opset, wrong attributes), when ``shapes`` does not fit the inputs, or when an input's
    dimensions are unknown and ``shapes`` does not give them.
    """
    light = onnx.ModelProto()
    light.CopyFrom(file.model)
    _fix_inputs(light.graph, inputs, dict(shapes or {}))
    _declare_weights(file, light.graph)
    guard.check(light)
    _check(light)
    forms = _once(light, file)
    # Where inference lost track of a shape, work out the arithmetic it is made of, and go on.
    # Every round settles at least one node, so this ends; deep models take a few rounds.
    while any(forms[name].fixed is None for node in light.graph.node for name in node.output):
        if not _settle(light, forms):
            break
        forms = _once(light, file)
    return forms


def fix_shapes(graph: onnx.GraphProto, forms: Forms) -> None:
    """Write the shapes that were found into tensors which the graph declares with open ones."""
    for value in (*graph.input, *graph.output, *graph.value_info):
        found = forms[value.name].fixed
        if found is not None and value.type.WhichOneof("value") == "tensor_type":
            tensor = value.type.tensor_type
            declared = _shape(tensor)
            if declared is None or None in declared:
                _write(tensor, found)


def _once(light: onnx.ModelProto, file: OnnxFile) -> Forms:
    # Not with data_prop=True: it unrolls vectors into dimensions, a long one fills the memory.
    try:
        inferred = shape_inference.infer_shapes(light, strict_mode=True)
        return Forms(_forms(inferred.graph, file), "")
    except _LIBRARY as error:
        complaint = _one_line(error)
    # Strict inference also stops where it merely knows too little.  Infer what can be
    # inferred, and believe nothing the model declares about the tensors in between.
    relaxed = onnx.ModelProto()
    relaxed.CopyFrom(light)
    del relaxed.graph.value_info[:]
    for value in relaxed.graph.output:
        if value.type.WhichOneof("value") == "tensor_type":
            value.type.tensor_type.ClearField("shape")
    try:
        inferred = shape_inference.infer_shapes(relaxed)
    except _LIBRARY as error:
        raise InvalidInput(f"shape inference refuses the model: {_one_line(error)}") from error
    return Forms(_forms(inferred.graph, file), complaint)


def _settle(light: onnx.ModelProto, forms: Forms) -> bool:
    """Turn nodes whose value is known into constants; whether there were any."""
    known = {t.name: numpy_helper.to_array(t) for t in light.graph.initializer}
    shapes = {name: form.fixed for name, form in forms.by_name.items()}
    fixed = {name: shape for name, shape in shapes.items() if shape is not None}
    found = values.follow(light.graph.node, known, fixed)
    settled = False
    for node in light.graph.node:
        if node.op_type != "Constant" and len(node.output) == 1 and node.output[0] in found:
            value = numpy_helper.from_array(np.asarray(found[node.output[0]], order="C"))
            node.CopyFrom(onnx.helper.make_node("Constant", [], node.output, value=value))
            settled = True
    return settled


# What onnx's C++ parts raise on models they refuse; EncodeError is protobuf's.
_LIBRARY = (
    shape_inference.InferenceError,
    checker.ValidationError,
    EncodeError,
    RuntimeError,
    ValueError,
    TypeError,
    IndexError,
    MemoryError,
)


def _one_line(what: object, limit: int = 300) -> str:
    text = " ".join(str(what).split()) or type(what).__name__
    # Names inside a hostile model must not steer the terminal that shows the message.
    text = "".join(c if c.isprintable() else "?" for c in text)
    return text if len(text) <= limit else text[: limit - 3] + "..."


def _check(light: onnx.ModelProto) -> None:
    newest = onnx.defs.onnx_opset_version()
    for opset in light.opset_import:
        if opset.domain in ("", "ai.onnx") and not 1 <= opset.version <= newest:
            raise InvalidInput(
                f"the model needs opset {opset.version} of ONNX; this onnx package knows 1 to "
                f"{newest}"
            )
    # The checker wants a shape on every output; inference finds it where a model has none.
    shaped = onnx.ModelProto()
    shaped.CopyFrom(light)
    for value in shaped.graph.output:
        if value.type.WhichOneof("value") == "tensor_type":
            value.type.tensor_type.shape.SetInParent()
    try:
        checker.check_model(shaped)
    except _LIBRARY as error:
        raise InvalidInput(f"the model breaks a rule of ONNX: {_one_line(error)}") from error


def _declare_weights(file: OnnxFile, graph: onnx.GraphProto) -> None:
    declared = {value.name for value in graph.input}
    for weight in file.weights.values():
        if weight.bytes <= SMALL_BYTES and weight.end - weight.start <= 2 * SMALL_BYTES:
            graph.initializer.append(file.tensor(weight))
        if weight.name not in declared:
            graph.input.append(
                onnx.ValueInfoProto(name=weight.name, type=tensor_type(weight.shape, weight.dtype))
            )


def _fix_inputs(
    graph: onnx.GraphProto, inputs: Sequence[str], shapes: dict[str, Sequence[int]]
) -> None:
    """Write ``shapes`` into the model inputs; every dimension must be known afterwards."""
    tensors: dict[str, onnx.TypeProto.Tensor] = {}
    for name in shapes:
        if name not in inputs:
            known = ", ".join(map(repr, inputs)) or "none"
            raise InvalidInput(f"shapes: the model has no input {name!r}; its inputs are {known}")
    for value in graph.input:
        if value.name not in inputs or value.type.WhichOneof("value") != "tensor_type":
            continue
        tensor = value.type.tensor_type
        if value.name in shapes:
            _write(tensor, _wanted(value.name, shapes[value.name], _shape(tensor)))
        tensors[value.name] = tensor
    forms = {name: _shape(tensor) for name, tensor in tensors.items()}
    still = [name for name, form in forms.items() if form is None or None in form]
    if still:
        raise InvalidInput(_unknown_inputs({name: tensors[name] for name in still}))
    for name, form in forms.items():
        where = f"input {name!r}"
        dtype = dtypes.name_of(tensors[name].elem_type, where)
        dtypes.size_of([size for size in form or () if size is not None], dtype, where)


def _write(tensor: onnx.TypeProto.Tensor, shape: Sequence[int]) -> None:
    tensor.ClearField("shape")
    tensor.shape.SetInParent()
    for size in shape:
        tensor.shape.dim.add().dim_value = size


def _wanted(
    name: str, given: Sequence[int], declared: tuple[int | None, ...] | None
) -> tuple[int, ...]:
    try:
        wanted = tuple(int(size) for size in given)
        whole = all(int(size) == size for size in given)
    except (TypeError, ValueError, OverflowError):
        wanted, whole = (), False
    if not whole or any(not 0 <= size < 2**63 for size in wanted):
        raise InvalidInput(f"shapes: {given!r} for {name!r} must be whole numbers >= 0")
    if declared is not None:
        if len(wanted) != len(declared):
            raise InvalidInput(
                f"shapes: {name!r} has {len(declared)} dimensions in the model; "
                f"{wanted} has {len(wanted)}"
            )
        for axis, (mine, theirs) in enumerate(zip(wanted, declared, strict=True)):
            if theirs is not None and mine != theirs:
                raise InvalidInput(
                    f"shapes: dimension {axis} of {name!r} is fixed at {theirs} in the model; "
                    f"{wanted} says {mine}"
                )
    return wanted


def _unknown_inputs(tensors: Mapping[str, onnx.TypeProto.Tensor]) -> str:
    """Which inputs have open shapes, and how to fix them, in Python and on a command line."""
    names = list(tensors)[:_NAMED]
    more = f" and {len(tensors) - _NAMED} more inputs" if len(tensors) > _NAMED else ""
    examples = {name: _example(tensors[name]) for name in names}
    flags = (f"{name}={','.join(map(str, shape))}" for name, shape in examples.items())
    return (
        ", ".join(f"input {name!r} {_openness(tensors[name])}" for name in names) + more
        + f"; fix {'it' if len(tensors) == 1 else 'them'}, for example "
        + " ".join(f"--shape {_one_line(shlex.quote(flag))}" for flag in flags)
        + f" on a command line, shapes={examples} in Python"
    )  # fmt: skip


def _openness(tensor: onnx.TypeProto.Tensor) -> str:
    if not tensor.HasField("shape"):
        return "has no shape"
    known = _shape(tensor) or ()
    symbols = (dim.dim_param or "?" for dim in tensor.shape.dim)
    sizes = (str(s if d is None else d) for d, s in zip(known, symbols, strict=True))
    return f"has the open shape ({_one_line(', '.join(sizes))})"


def _example(tensor: onnx.TypeProto.Tensor) -> tuple[int, ...]:
    """One image, the usual batch, and a size for what else is open."""
    known = _shape(tensor)
    if known is None:
        return (1, 3, 224, 224)
    return tuple((1 if k == 0 else 224) if d is None else d for k, d in enumerate(known))


def _shape(tensor: onnx.TypeProto.Tensor) -> tuple[int | None, ...] | None:
    if not tensor.HasField("shape"):
        return None
    return tuple(d.dim_value if d.HasField("dim_value") else None for d in tensor.shape.dim)


def _forms(graph: onnx.GraphProto, file: OnnxFile) -> dict[str, Form]:
    forms = {w.name: Form(w.dtype, w.shape) for w in file.weights.values()}
    for value in (*graph.value_info, *graph.output, *graph.input):
        kind = value.type.WhichOneof("value")
        if kind == "tensor_type":
            tensor = value.type.tensor_type
            code = tensor.elem_type
            dtype = dtypes.name_of(code, f"tensor {value.name!r}") if code else ""
            forms[value.name] = Form(dtype, _shape(tensor))
        elif kind is not None:
            forms[value.name] = Form(kind.removesuffix("_type"), None)
    return forms
