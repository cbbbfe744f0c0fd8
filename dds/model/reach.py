"""What a slice of an operator's output reads of its inputs, axis by axis.

Every rule is one formula, :class:`~dds.model.graph.Reach`, filled in from the ONNX node: so
whoever slices a graph needs no knowledge of operators, only interval arithmetic.  An axis
that an operator mixes (the channels of a softmax), or whose slices ONNX cannot express
(a window that rounds its size up), has no reach, and is not sliced.

Sources: the definitions in https://onnx.ai/onnx/operators.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import onnx

from dds.model.graph import Reach
from dds.model.shapes import Forms

__all__ = ["ELEMENTWISE", "broadcast_axis", "reach"]

#: What every slice reads all of.
_ALL = Reach(-1)
_FIRST_WITH_OWN_BROADCAST = 7
_FIRST_WITH_SOFTMAX_OF_ONE_AXIS = 13


@dataclass(frozen=True)
class _Call:
    """A node with the shapes around it; varying: the input slots that are no constants."""

    node: onnx.NodeProto
    shapes: Sequence[tuple[int, ...]]
    output: tuple[int, ...]
    varying: frozenset[int]
    opset: int

    def get(self, name: str, default: Any) -> Any:
        for attribute in self.node.attribute:
            if attribute.name == name:
                return onnx.helper.get_attribute_value(attribute)
        return default


#: Per input slot the reach of a slice along an axis of the output; None if there is none.
Slots = dict[int, Reach] | None
Rule = Callable[[_Call, int], Slots]


def reach(
    node: onnx.NodeProto, forms: Forms, inputs: Sequence[str], opset: int
) -> tuple[tuple[Reach, ...], ...]:
    """Per axis of the first output the reach into each of ``inputs``, () where it has none.

    inputs: the names `node` reads that are no constants; opset: version of the model.
    """
    rule = _RULES.get(node.op_type) if node.domain in ("", "ai.onnx") else None
    output = forms[node.output[0]].fixed
    if rule is None or output is None:
        return ()
    # A constant whose shape nobody could follow reads as a scalar: no rule looks at it.
    call = _Call(
        node,
        [forms[name].fixed or () for name in node.input],
        output,
        frozenset(k for k, name in enumerate(node.input) if name in inputs),
        opset,
    )
    try:
        return tuple(_named(call, rule(call, axis), inputs) for axis in range(len(output)))
    except (ArithmeticError, LookupError, TypeError, ValueError):
        return ()  # attributes that fit neither each other nor the shapes


def broadcast_axis(
    shape: Sequence[int], output: Sequence[int], axis: int, node: onnx.NodeProto, opset: int
) -> int | None:
    """The axis of an operand that meets ``axis`` of the output; None if it repeats along it."""
    given = {a.name: a.i for a in node.attribute if a.name in ("broadcast", "axis")}
    first = len(output) - len(shape)
    if opset < _FIRST_WITH_OWN_BROADCAST and given.get("broadcast") and "axis" in given:
        first = given["axis"] % len(output)
    own = axis - first
    if not 0 <= own < len(shape) or shape[own] != output[axis]:
        return None
    return own


def _named(call: _Call, slots: Slots, inputs: Sequence[str]) -> tuple[Reach, ...]:
    """The reach per name; a name in two slots that reach differently cannot be sliced."""
    if slots is None:
        return ()
    found: list[Reach] = []
    for name in inputs:
        ways = {slots.get(k) for k, other in enumerate(call.node.input) if other == name}
        way = ways.pop() if len(ways) == 1 else None
        if way is None:
            return ()
        found.append(way)
    return tuple(found)


def _same(_: _Call, axis: int) -> Slots:
    return {0: Reach(axis)}


def _elementwise(call: _Call, axis: int) -> Slots:
    slots: dict[int, Reach] = {}
    for k in call.varying:
        own = broadcast_axis(call.shapes[k], call.output, axis, call.node, call.opset)
        slots[k] = _ALL if own is None else Reach(own)
    return slots


def _convolution(call: _Call, axis: int) -> Slots:
    if call.varying != {0}:
        return None
    if axis != 1:
        return _window(call, axis, call.shapes[1][2:])
    groups = call.get("group", 1)
    if groups == 1:
        return {0: _ALL}
    wide = call.shapes[0][1] // groups
    return {0: Reach(1, step=wide, extent=wide, per=call.output[1] // groups)}


def _pool(call: _Call, axis: int) -> Slots:
    if axis == 1:
        return _same(call, axis)
    if axis and call.get("ceil_mode", 0):
        return None  # the last window hangs over: no padding says so
    return _window(call, axis, call.get("kernel_shape", ()))


def _window(call: _Call, axis: int, kernel: Sequence[int]) -> Slots:
    if axis == 0:
        return _same(call, axis)
    k, rank = axis - 2, len(kernel)
    step = call.get("strides", [1] * rank)[k]
    extent = (kernel[k] - 1) * call.get("dilations", [1] * rank)[k] + 1
    size, made = call.shapes[0][axis], call.output[axis]
    before = _padding(call, k, rank, (made - 1) * step + extent - size)
    if before >= extent or (made - 1) * step - before >= size:
        return None  # a window that sees padding alone
    return {0: Reach(axis, step=step, extent=extent, before=before)}


def _padding(call: _Call, k: int, rank: int, missing: int) -> int:
    """Padding before the input along spatial axis k, ``missing`` what all windows need."""
    rule = call.get("auto_pad", b"NOTSET")
    if rule in (b"SAME_UPPER", b"SAME_LOWER"):
        total = max(missing, 0)
        return int(total // 2 if rule == b"SAME_UPPER" else total - total // 2)
    return int(call.get("pads", [0] * (2 * rank))[k])


def _global_pool(call: _Call, axis: int) -> Slots:
    return _same(call, axis) if axis < 2 else None


def _batch_norm(call: _Call, axis: int) -> Slots:
    plain = call.varying == {0} and call.get("spatial", 1) and not call.get("training_mode", 0)
    return _same(call, axis) if plain else None


def _lrn(call: _Call, axis: int) -> Slots:
    return _same(call, axis) if axis != 1 else None


def _softmax(call: _Call, axis: int) -> Slots:
    if call.opset >= _FIRST_WITH_SOFTMAX_OF_ONE_AXIS:
        return _same(call, axis) if axis != call.get("axis", -1) % len(call.output) else None
    return _same(call, axis) if axis < call.get("axis", 1) % len(call.output) else None


def _gemm(call: _Call, axis: int) -> Slots:
    if call.varying != {0}:
        return None
    if axis == 1:
        return {0: _ALL}
    return None if call.get("transA", 0) else _same(call, axis)


def _matmul(call: _Call, axis: int) -> Slots:
    """(..., M, K) @ a constant (K, N)."""
    if call.varying != {0} or len(call.shapes[1]) != 2 or len(call.shapes[0]) < 2:
        return None
    return {0: _ALL} if axis == len(call.output) - 1 else _same(call, axis)


def _concat(call: _Call, axis: int) -> Slots:
    along = call.get("axis", 1) % len(call.output)
    if axis != along:
        return {k: Reach(axis) for k in call.varying}
    if len(call.varying) != len(call.shapes):
        return None
    ends = list(accumulate(shape[along] for shape in call.shapes))
    return {k: Reach(axis, before=offset) for k, offset in enumerate([0, *ends[:-1]])}


def _reshape(call: _Call, axis: int) -> Slots:
    """An axis that is there before and after, with as many elements on either side."""
    if call.varying != {0}:
        return None
    shape, output = call.shapes[0], call.output
    for own, size in enumerate(shape):
        if size == output[axis] and math.prod(shape[:own]) == math.prod(output[:axis]):
            return {0: Reach(own)}
    return None


def _transpose(call: _Call, axis: int) -> Slots:
    rank = len(call.output)
    return {0: Reach(call.get("perm", range(rank)[::-1])[axis])}


def _dropout(call: _Call, axis: int) -> Slots:
    return _same(call, axis) if len(call.node.input) < 3 and call.varying == {0} else None


#: Operators that take each element by itself; the others of several inputs broadcast.
ELEMENTWISE = frozenset({
    "Abs", "Acos", "Acosh", "Add", "And", "Asin", "Asinh", "Atan", "Atanh", "Cast", "Ceil",
    "Celu", "Clip", "Cos", "Cosh", "Div", "Elu", "Equal", "Erf", "Exp", "Floor", "Gelu",
    "Greater", "GreaterOrEqual", "HardSigmoid", "HardSwish", "Identity", "LeakyRelu",
    "Less", "LessOrEqual", "Log", "Max", "Mean", "Min", "Mish", "Mul", "Neg", "Not", "Or",
    "Pow", "PRelu", "Reciprocal", "Relu", "Round", "Selu", "Shrink", "Sigmoid", "Sign",
    "Sin", "Sinh", "Softplus", "Softsign", "Sqrt", "Sub", "Sum", "Tan", "Tanh",
    "ThresholdedRelu", "Where", "Xor",
})  # fmt: skip

_RULES: dict[str, Rule] = {
    **dict.fromkeys(ELEMENTWISE, _elementwise),
    **dict.fromkeys(("Flatten", "Reshape", "Squeeze", "Unsqueeze"), _reshape),
    **dict.fromkeys(("MaxPool", "AveragePool"), _pool),
    **dict.fromkeys(("GlobalMaxPool", "GlobalAveragePool"), _global_pool),
    **dict.fromkeys(("Softmax", "LogSoftmax", "Hardmax"), _softmax),
    "BatchNormalization": _batch_norm,
    "Concat": _concat,
    "Conv": _convolution,
    "Dropout": _dropout,
    "Gemm": _gemm,
    "LRN": _lrn,
    "MatMul": _matmul,
    "Transpose": _transpose,
}
