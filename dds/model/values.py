"""The values of small tensors that follow from shapes: what Reshape and Expand are told.

Exporters write shape arithmetic into the graph (Shape, Gather, Concat, Reshape ...).  Once
the inputs' shapes are fixed, all of it is constant.  ONNX's inference follows some of it;
this module follows the rest, on tensors of at most :data:`LARGEST` elements, so that no
model makes it work hard.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

__all__ = ["LARGEST", "follow"]

#: Shape arithmetic has a handful of elements; masks and tables are not shape arithmetic.
LARGEST = 4096

Array = np.ndarray[Any, np.dtype[Any]]
Rule = Callable[["_Step"], Array]


class _Step:
    """A node whose inputs are all known."""

    def __init__(self, node: onnx.NodeProto, inputs: Sequence[Array | None]) -> None:
        self.inputs = inputs
        self.attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}

    def __getitem__(self, k: int) -> Array:
        value = self.inputs[k]
        if value is None:
            raise LookupError(k)
        return value

    def get(self, k: int, name: str, default: Any = None) -> Any:
        """Input k, or attribute ``name``, as opsets before 13 have it, or the default."""
        if k < len(self.inputs) and self.inputs[k] is not None:
            return self[k].tolist()
        return self.attributes.get(name, default)


def follow(
    nodes: Sequence[onnx.NodeProto],
    known: Mapping[str, Array],
    shapes: Mapping[str, tuple[int, ...]],
) -> dict[str, Array]:
    """The value of every single-output node that ``known`` values and ``shapes`` determine."""
    values = dict(known)
    for node in nodes:
        if len(node.output) != 1 or node.domain not in ("", "ai.onnx"):
            continue
        try:
            value = _value(node, values, shapes)
        except (LookupError, ValueError, TypeError, ArithmeticError, AttributeError):
            continue
        if value is not None and value.size <= LARGEST:
            values[node.output[0]] = value
    return {name: value for name, value in values.items() if name not in known}


def _value(
    node: onnx.NodeProto, values: Mapping[str, Array], shapes: Mapping[str, tuple[int, ...]]
) -> Array | None:
    if node.op_type in ("Shape", "Size"):
        shape = np.array(shapes[node.input[0]], np.int64)
        if node.op_type == "Size":
            return np.array(shape.prod(), np.int64)
        step = _Step(node, ())
        return shape[step.attributes.get("start", 0) : step.attributes.get("end")]
    rule = _RULES.get(node.op_type)
    if rule is None:
        return None
    with np.errstate(all="ignore"):
        return np.asarray(
            rule(_Step(node, [values[name] if name else None for name in node.input]))
        )


def _bounded(shape: Sequence[int]) -> Sequence[int]:
    if math.prod(map(int, shape)) > LARGEST:
        raise ValueError("too large for shape arithmetic")
    return shape


def _constant(s: _Step) -> Array:
    (name,) = s.attributes
    value = s.attributes[name]
    if name == "value":
        _bounded(value.dims)
        return numpy_helper.to_array(value)
    kind = {"value_int": np.int64, "value_ints": np.int64}.get(name, np.float32)
    return np.array(value, kind)


def _constant_of_shape(s: _Step) -> Array:
    fill = s.attributes.get("value")
    value = np.zeros(1, np.float32) if fill is None else numpy_helper.to_array(fill)
    return np.full(_bounded(s[0].tolist()), value[0])


def _unsqueeze(s: _Step) -> Array:
    return np.expand_dims(s[0], tuple(np.atleast_1d(s.get(1, "axes"))))


def _squeeze(s: _Step) -> Array:
    axes = s.get(1, "axes")
    return np.squeeze(s[0], None if axes is None else tuple(np.atleast_1d(axes)))


def _slice(s: _Step) -> Array:
    starts, ends = s.get(1, "starts"), s.get(2, "ends")
    axes = s.get(3, "axes", range(len(starts)))
    steps = s.get(4, "steps", [1] * len(starts))
    index = [slice(None)] * s[0].ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        # numpy reads a negative end as counted from the back, ONNX as "past the front".
        size = s[0].shape[axis]
        stop = None if step < 0 and end < -size else end
        index[axis] = slice(start, stop, step)
    return s[0][tuple(index)]


def _reshape(s: _Step) -> Array:
    shape = [s[0].shape[k] if d == 0 else d for k, d in enumerate(s[1].tolist())]
    return s[0].reshape(shape)


def _expand(s: _Step) -> Array:
    shape = np.broadcast_shapes(s[0].shape, tuple(s[1].tolist()))
    return np.broadcast_to(s[0], _bounded(shape))


def _range(s: _Step) -> Array:
    start, limit, delta = (s[k].item() for k in range(3))
    _bounded([max(0, math.ceil((limit - start) / delta))])
    return np.arange(start, limit, delta, dtype=s[0].dtype)


def _cast(s: _Step) -> Array:
    return s[0].astype(onnx.helper.tensor_dtype_to_np_dtype(s.attributes["to"]))


def _divide(s: _Step) -> Array:
    if s[0].dtype.kind == "f":
        return np.divide(s[0], s[1])
    # ONNX truncates integer division towards zero; // rounds down.
    quotient: Array = np.sign(s[0]) * np.sign(s[1]) * (np.abs(s[0]) // np.abs(s[1]))
    return quotient.astype(s[0].dtype)


def _reduce(function: Callable[..., Any]) -> Rule:
    def rule(s: _Step) -> Array:
        axes = s.get(1, "axes")
        if not axes and s.attributes.get("noop_with_empty_axes", 0):
            return s[0]
        keep = bool(s.attributes.get("keepdims", 1))
        return np.asarray(function(s[0], axis=tuple(axes) if axes else None, keepdims=keep))

    return rule


def _numpy(function: Callable[..., Any], arity: int) -> Rule:
    return lambda s: np.asarray(function(*(s[k] for k in range(arity))))


_RULES: dict[str, Rule] = {
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "Identity": lambda s: s[0],
    "Cast": _cast,
    "Concat": lambda s: np.concatenate(
        [s[k] for k in range(len(s.inputs))], axis=s.attributes["axis"]
    ),
    "Gather": lambda s: np.take(s[0], s[1], axis=s.attributes.get("axis", 0)),
    "Slice": _slice,
    "Unsqueeze": _unsqueeze,
    "Squeeze": _squeeze,
    "Reshape": _reshape,
    "Expand": _expand,
    "Range": _range,
    "Transpose": lambda s: np.transpose(s[0], s.attributes.get("perm")),
    "Where": _numpy(np.where, 3),
    "Div": _divide,
    "Max": lambda s: np.asarray(np.maximum.reduce([s[k] for k in range(len(s.inputs))])),
    "Min": lambda s: np.asarray(np.minimum.reduce([s[k] for k in range(len(s.inputs))])),
    "ReduceProd": _reduce(np.prod),
    "ReduceSum": _reduce(np.sum),
    "ReduceMax": _reduce(np.max),
    "ReduceMin": _reduce(np.min),
    **{
        kind: _numpy(function, 2)
        for kind, function in {
            "Add": np.add,
            "Sub": np.subtract,
            "Mul": np.multiply,
            "Mod": np.mod,
            "Equal": np.equal,
            "Less": np.less,
            "LessOrEqual": np.less_equal,
            "Greater": np.greater,
            "GreaterOrEqual": np.greater_equal,
            "And": np.logical_and,
            "Or": np.logical_or,
        }.items()
    },
    **{
        kind: _numpy(function, 1)
        for kind, function in {
            "Abs": np.abs,
            "Ceil": np.ceil,
            "Floor": np.floor,
            "Neg": np.negative,
            "Not": np.logical_not,
            "Sqrt": np.sqrt,
        }.items()
    },
}
