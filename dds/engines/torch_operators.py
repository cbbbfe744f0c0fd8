"""ONNX operators as functions of PyTorch tensors, one table entry each.

An entry takes a :class:`~dds.engines.torch_node.Node` when a model is loaded and returns the
function that runs it.  What is not in the table, or written in a way that PyTorch has no equal
of, is refused there and then.
Meanings are those of opset 17 and later: https://onnx.ai/onnx/operators.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import onnx
import torch
from onnx import numpy_helper
from torch.nn import functional

from dds.engines.torch_node import Node, Run
from dds.engines.torch_windows import average_pool, conv, flat_padding, global_pool, max_pool
from dds.model import dtypes

__all__ = ["OPERATORS"]

Tensor = Any


# ---- products and normalisations -------------------------------------------------------------


def _gemm(node: Node) -> Run:
    alpha, beta = node.get("alpha", 1.0), node.get("beta", 1.0)
    transposed = node.get("transA", 0), node.get("transB", 0)
    plain = alpha == beta == 1.0 and not transposed[0]

    def run(a: Tensor, b: Tensor, c: Tensor | None = None) -> Tensor:
        if plain and (c is None or c.ndim == 1):
            return functional.linear(a, b if transposed[1] else b.T, c)
        product = alpha * (a.T if transposed[0] else a) @ (b.T if transposed[1] else b)
        return product if c is None else product + beta * c

    return run


def _batch_norm(node: Node) -> Run:
    if node.get("training_mode", 0) or node.more:
        raise node.refused("training_mode")
    epsilon = node.get("epsilon", 1e-5)
    return lambda x, scale, shift, mean, variance: functional.batch_norm(
        x, mean, variance, scale, shift, eps=epsilon
    )


def _layer_norm(node: Node) -> Run:
    if node.more:
        raise node.refused("mean and deviation returned")
    axis, epsilon = node.get("axis", -1), node.get("epsilon", 1e-5)
    return lambda x, scale, shift=None: functional.layer_norm(
        x, x.shape[axis:], scale, shift, epsilon
    )


def _instance_norm(node: Node) -> Run:
    epsilon = node.get("epsilon", 1e-5)
    return lambda x, scale, shift: functional.instance_norm(
        x, weight=scale, bias=shift, eps=epsilon
    )


def _lrn(node: Node) -> Run:
    size = node.get("size", 1)
    if size % 2 == 0:
        raise node.refused(f"the even size {size}")
    alpha, beta, bias = node.get("alpha", 1e-4), node.get("beta", 0.75), node.get("bias", 1.0)
    return lambda x: functional.local_response_norm(x, size, alpha, beta, bias)


def _softmax(function: Run) -> Callable[[Node], Run]:
    def load(node: Node) -> Run:
        axis = node.get("axis", -1)
        return lambda x: function(x, dim=axis)

    return load


# ---- shapes ----------------------------------------------------------------------------------


def _reshape(node: Node) -> Run:
    target = node.value(1, "shapes")
    copies = not node.get("allowzero", 0)

    def run(x: Tensor, _: Tensor) -> Tensor:
        sizes = [x.shape[k] if size == 0 and copies else size for k, size in enumerate(target)]
        return x.reshape(sizes)

    return run


def _flatten(node: Node) -> Run:
    axis = node.get("axis", 1)

    def run(x: Tensor) -> Tensor:
        at = axis + x.ndim if axis < 0 else axis
        return x.reshape(math.prod(x.shape[:at]), math.prod(x.shape[at:]))

    return run


def _transpose(node: Node) -> Run:
    order = node.get("perm", None)
    return lambda x: x.permute(order if order is not None else list(range(x.ndim))[::-1])


def _squeeze(node: Node) -> Run:
    axes = node.axes(1)
    return lambda x, *_: x.squeeze() if axes is None else x.squeeze(tuple(axes))


def _unsqueeze(node: Node) -> Run:
    axes = node.axes(1) or []

    def run(x: Tensor, *_: Tensor) -> Tensor:
        rank = x.ndim + len(axes)
        for axis in sorted(axis % rank for axis in axes):
            x = x.unsqueeze(axis)
        return x

    return run


def _slice(node: Node) -> Run:
    starts, ends = node.value(1, "starts"), node.value(2, "ends")
    axes = node.value(3, "axes", list(range(len(starts))))
    steps = node.value(4, "steps", [1] * len(starts))
    if min(steps, default=1) < 0:
        raise node.refused("steps backwards")

    def run(x: Tensor, *_: Tensor) -> Tensor:
        index = [slice(None)] * x.ndim
        for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
            index[axis] = slice(start, end, step)
        return x[tuple(index)]

    return run


def _split(node: Node) -> Run:
    axis, sizes, count = node.get("axis", 0), node.value(1, "sizes"), node.outputs
    return lambda x, *_: torch.split(x, sizes or math.ceil(x.shape[axis] / count), axis)


def _concat(node: Node) -> Run:
    axis = node.get("axis", 0)
    return lambda *parts: torch.cat(parts, axis)


def _gather(node: Node) -> Run:
    axis = node.get("axis", 0)

    def run(x: Tensor, indices: Tensor) -> Tensor:
        return x[(slice(None),) * (axis % x.ndim) + (indices.long(),)]

    return run


def _expand(node: Node) -> Run:
    shape = node.value(1, "shapes")
    return lambda x, _: x.expand(torch.broadcast_shapes(x.shape, shape))


def _pad(node: Node) -> Run:
    mode, flat = node.get("mode", "constant"), node.value(1, "pads")
    if mode != "constant" or node.has(3):
        raise node.refused(f"mode {mode}" if mode != "constant" else "axes")
    value, half = node.value(2, "values", 0.0), len(flat) // 2
    padding = flat_padding(list(zip(flat[:half], flat[half:], strict=True)))
    return lambda x, *_: functional.pad(x, padding, value=value)


def _reduce(function: Run) -> Callable[[Node], Run]:
    def load(node: Node) -> Run:
        axes, keep = node.axes(1), bool(node.get("keepdims", 1))
        if not axes and node.get("noop_with_empty_axes", 0):
            return lambda x, *_: x
        return lambda x, *_: function(x, dim=axes or list(range(x.ndim)), keepdim=keep)

    return load


def _arg_max(node: Node) -> Run:
    axis, keep = node.get("axis", 0), bool(node.get("keepdims", 1))
    if node.get("select_last_index", 0):
        raise node.refused("select_last_index")
    return lambda x: torch.argmax(x, dim=axis, keepdim=keep)


# ---- constants and element types ---------------------------------------------------------------


def _constant(node: Node) -> Run:
    ((kind, value),) = node.given.items()
    if kind == "value":
        array = numpy_helper.to_array(value).copy()
        return lambda: torch.from_numpy(array)
    types = {"value_int": torch.int64, "value_ints": torch.int64}
    types |= {"value_float": torch.float32, "value_floats": torch.float32}
    if kind not in types:
        raise node.refused(kind)
    return lambda: torch.tensor(value, dtype=types[kind])


def _constant_of_shape(node: Node) -> Run:
    shape, value = node.value(0, "shapes"), node.get("value", None)
    array = numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else None
    if array is None:
        return lambda _: torch.zeros(shape)
    return lambda _: torch.from_numpy(array.copy()).expand(shape).contiguous()


def _shape(node: Node) -> Run:
    if node.shape is None:
        raise node.refused("sizes left open")
    sizes = node.shape[node.get("start", 0) : node.get("end", None)]
    return lambda *_: torch.tensor(sizes, dtype=torch.int64)


def _cast(node: Node) -> Run:
    name = dtypes.name_of(node.get("to", 0), node.where)
    dtype = getattr(torch, name, None)
    if not isinstance(dtype, torch.dtype):
        raise node.refused(f"type {name}")
    return lambda x: x.to(dtype)


def _divide(_: Node) -> Run:
    def run(a: Tensor, b: Tensor) -> Tensor:
        return torch.div(a, b, rounding_mode=None if a.is_floating_point() else "trunc")

    return run


def _clip(node: Node) -> Run:
    bounded = node.has(1) or node.has(2)
    return lambda x, low=None, high=None: torch.clamp(x, low, high) if bounded else x


def _dropout(node: Node) -> Run:
    if node.more or node.value(2, "training_mode", False):
        raise node.refused("training_mode or a mask")
    return lambda x, *_: x


def _hard_sigmoid(node: Node) -> Run:
    alpha, beta = node.get("alpha", 0.2), node.get("beta", 0.5)
    return lambda x: torch.clamp(alpha * x + beta, 0.0, 1.0)


def _with(function: Run, **defaults: Any) -> Callable[[Node], Run]:
    """An operator whose attributes are the function's arguments of these names."""
    return lambda node: functools.partial(
        function, **{name: node.get(name, value) for name, value in defaults.items()}
    )


def _as_is(function: Run) -> Callable[[Node], Run]:
    """An operator without attributes that matter."""
    return lambda _: function


def _folded(function: Run) -> Callable[[Node], Run]:
    """An operator of any number of inputs, two by two."""
    return lambda _: lambda *values: functools.reduce(function, values)


_PLAIN = {
    "Abs": torch.abs, "Add": torch.add, "And": torch.logical_and, "Ceil": torch.ceil,
    "Cos": torch.cos, "Equal": torch.eq, "Erf": torch.erf, "Exp": torch.exp,
    "Floor": torch.floor, "Greater": torch.gt, "GreaterOrEqual": torch.ge,
    "HardSwish": functional.hardswish, "Identity": lambda x: x, "Less": torch.lt,
    "LessOrEqual": torch.le, "Log": torch.log, "MatMul": torch.matmul, "Mul": torch.mul,
    "Neg": torch.neg, "Not": torch.logical_not, "Or": torch.logical_or,
    "PRelu": lambda x, slope: torch.where(x < 0, slope * x, x),
    "Pow": lambda x, y: torch.pow(x, y).to(x.dtype), "Reciprocal": torch.reciprocal,
    "Relu": torch.relu, "Round": torch.round, "Sigmoid": torch.sigmoid, "Sign": torch.sign,
    "Sin": torch.sin, "Softplus": functional.softplus, "Sqrt": torch.sqrt, "Sub": torch.sub,
    "Tanh": torch.tanh, "Where": torch.where,
}  # fmt: skip

#: Every operator that the torch engine knows.
OPERATORS: Mapping[str, Callable[[Node], Run]] = MappingProxyType({
    **{kind: _as_is(function) for kind, function in _PLAIN.items()},
    "ArgMax": _arg_max, "AveragePool": average_pool, "BatchNormalization": _batch_norm,
    "Cast": _cast, "Clip": _clip, "Concat": _concat, "Constant": _constant,
    "ConstantOfShape": _constant_of_shape, "Conv": conv, "Div": _divide, "Dropout": _dropout,
    "Elu": _with(functional.elu, alpha=1.0), "Expand": _expand, "Flatten": _flatten,
    "Gather": _gather,
    "Gelu": _with(functional.gelu, approximate="none"), "Gemm": _gemm,
    "GlobalAveragePool": global_pool(torch.mean), "GlobalMaxPool": global_pool(torch.amax),
    "HardSigmoid": _hard_sigmoid, "InstanceNormalization": _instance_norm, "LRN": _lrn,
    "LayerNormalization": _layer_norm, "LogSoftmax": _softmax(functional.log_softmax),
    "Max": _folded(torch.maximum), "MaxPool": max_pool, "Min": _folded(torch.minimum),
    "Pad": _pad, "ReduceMax": _reduce(torch.amax), "ReduceMean": _reduce(torch.mean),
    "ReduceMin": _reduce(torch.amin), "ReduceSum": _reduce(torch.sum), "Reshape": _reshape,
    "Shape": _shape, "Slice": _slice, "Softmax": _softmax(functional.softmax), "Split": _split,
    "Squeeze": _squeeze, "Sum": _folded(torch.add), "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
    "LeakyRelu": lambda node: functools.partial(
        functional.leaky_relu, negative_slope=node.get("alpha", 0.01)
    ),
})  # fmt: skip
