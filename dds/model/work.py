"""FLOPs and multiply-adds of one run of an operator, from shapes alone.

A multiply-add (MAC) is two FLOPs; a comparison, an exponential or a division is one.
Moving data costs no FLOPs (the roofline charges its bytes).  An operator without a rule
of its own, control flow included, is charged one FLOP per output element: an estimate for
a start, which a measured profile replaces.

Sources: the definitions in https://onnx.ai/onnx/operators; MACs are counted as
published for the model zoo (convolutions and matrix products, without their bias).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import onnx

from dds.model.shapes import Forms

__all__ = ["estimate"]

Shape = tuple[int, ...]
#: (FLOPs that are not part of a multiply-add, multiply-adds)
Work = tuple[int, int]
Rule = Callable[["_Call"], Work]


@dataclass(frozen=True)
class _Call:
    """An operator with the shapes around it; a missing or unknown shape is None."""

    node: onnx.NodeProto
    inputs: Sequence[Shape | None]
    outputs: Sequence[Shape | None]

    def attribute(self, name: str, default: Any) -> Any:
        for attribute in self.node.attribute:
            if attribute.name == name:
                return onnx.helper.get_attribute_value(attribute)
        return default

    def input(self, k: int) -> Shape:
        """The shape of input k; raises _Unknown if it has none."""
        shape = self.inputs[k] if k < len(self.inputs) else None
        if shape is None:
            raise _Unknown
        return shape

    def has(self, k: int) -> bool:
        return k < len(self.node.input) and bool(self.node.input[k])

    @property
    def elements(self) -> int:
        """Elements of the first output."""
        if not self.outputs or self.outputs[0] is None:
            raise _Unknown
        return math.prod(self.outputs[0])


class _Unknown(Exception):
    """A shape that a rule needs is missing, or is not what the rule expects."""


def estimate(node: onnx.NodeProto, forms: Forms) -> tuple[int, int]:
    """FLOPs and multiply-adds (among the FLOPs) of one run of ``node``."""
    call = _Call(
        node,
        [forms[name].fixed if name else None for name in node.input],
        [forms[name].fixed if name else None for name in node.output],
    )
    rule = _RULES.get(node.op_type, _default) if node.domain in _DOMAINS else _default
    try:
        flops, macs = rule(call)
    except (_Unknown, IndexError, ValueError, TypeError, ZeroDivisionError):
        flops, macs = _default(call)
    return max(flops, 0) + 2 * max(macs, 0), max(macs, 0)


_DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml", "com.microsoft"})


def _default(call: _Call) -> Work:
    return sum(math.prod(shape) for shape in call.outputs if shape is not None), 0


def _free(_: _Call) -> Work:
    return 0, 0


def _per_output(flops: int) -> Rule:
    return lambda call: (flops * call.elements, 0)


def _per_input(flops: int) -> Rule:
    return lambda call: (flops * math.prod(call.input(0)), 0)


def _variadic(call: _Call) -> Work:
    """N inputs take n - 1 operations per element; a mean also divides."""
    count = sum(bool(name) for name in call.node.input)
    return (count - (call.node.op_type != "Mean")) * call.elements, 0


def _convolution(weight: int, bias: int) -> Rule:
    """Each output element is C/group x kernel multiply-adds; the weight is (M, C/group, k...)."""

    def rule(call: _Call) -> Work:
        flops = call.elements if call.has(bias) else 0
        return flops, call.elements * math.prod(call.input(weight)[1:])

    return rule


def _conv_transpose(call: _Call) -> Work:
    """Each *input* element meets M/group x kernel weights; the weight is (C, M/group, k...)."""
    macs = math.prod(call.input(0)) * math.prod(call.input(1)[1:])
    return call.elements if call.has(2) else 0, macs


def _gemm(call: _Call) -> Work:
    a = call.input(0)
    depth = a[0] if call.attribute("transA", 0) else a[1]
    return call.elements if call.has(2) else 0, call.elements * depth


def _matmul(call: _Call) -> Work:
    """(..., M, K) @ (..., K, N): K multiply-adds per output element."""
    return 0, call.elements * call.input(0)[-1]


def _einsum(call: _Call) -> Work:
    """A sum over every index of the equation, each a product of all operands."""
    equation = call.attribute("equation", b"").decode().replace(" ", "")
    terms = equation.split("->")[0].split(",")
    if "." in equation or len(terms) != len(call.inputs):
        raise _Unknown
    sizes: dict[str, int] = {}
    for k, term in enumerate(terms):
        sizes.update(zip(term, call.input(k), strict=True))
    points = math.prod(sizes.values())
    if len(terms) == 2 and points > call.elements:
        return 0, points
    return points * max(len(terms) - 1, points > call.elements), 0


def _pool(call: _Call) -> Work:
    kernel = math.prod(call.attribute("kernel_shape", ()))
    return call.elements * kernel, 0


def _lrn(call: _Call) -> Work:
    """Square, sum over ``size`` channels, scale, shift, power, divide."""
    return (call.attribute("size", 1) + 4) * call.elements, 0


def _resize(call: _Call) -> Work:
    """Interpolation along every resized axis: 2 multiply-adds linear, 4 cubic, 0 nearest."""
    points = {b"nearest": 0, b"linear": 2, b"cubic": 4}.get(call.attribute("mode", b"nearest"), 2)
    axes = sum(m != n for m, n in zip(call.input(0), call.outputs[0] or (), strict=True))
    return 0, call.elements * axes * points


def _recurrent(gates: int, pointwise: int) -> Rule:
    """Per step, direction and batch row: gates x hidden x (input + hidden) multiply-adds."""

    def rule(call: _Call) -> Work:
        first, second, width = call.input(0)
        directions, rows, _ = call.input(1)
        hidden = rows // gates
        steps = first * second * directions * hidden
        return pointwise * steps, steps * gates * (width + hidden)

    return rule


def _attention(call: _Call) -> Work:
    """Scores Q K' and their product with V, plus a softmax (5 per score) and the scale."""
    q, k, v = call.input(0), call.input(1), call.input(2)
    if len(q) == 4:
        batch, heads, queries, width = q
        keys, out = k[2], v[3]
    else:
        heads = call.attribute("q_num_heads", 1)
        kv_heads = call.attribute("kv_num_heads", 1)
        batch, queries, width, keys, out = q[0], q[1], q[2] // heads, k[1], v[2] // kv_heads
    if call.has(4):
        past = call.input(4)
        keys += past[2]
    scores = batch * heads * queries * keys
    return 6 * scores, scores * (width + out)


def _topk(call: _Call) -> Work:
    """A heap of the k best: log2 k comparisons per element, at least one."""
    kept = (call.outputs[0] or (1,))[call.attribute("axis", -1)]
    return math.prod(call.input(0)) * max(1, kept.bit_length()), 0


def _fourier(call: _Call) -> Work:
    """5 n log2 n of a fast transform, along one axis: 5 log2 n per element."""
    shape = call.input(0)
    axis = call.attribute("axis", 1 if len(shape) > 2 else 0)
    return 5 * call.elements * max(1, shape[axis].bit_length() - 1), 0


def _same(rule: Rule, kinds: str) -> dict[str, Rule]:
    return dict.fromkeys(kinds.split(), rule)


_RULES: dict[str, Rule] = {
    # Moving, reshaping, selecting, making constants.
    **_same(_free, """
        BitCast Cast CastLike Concat ConcatFromSequence Constant ConstantOfShape CenterCropPad
        Compress DepthToSpace Dropout Expand EyeLike Flatten Gather GatherElements GatherND
        Identity Col2Im MaxUnpool Optional OptionalGetElement OptionalHasElement Pad Range
        Reshape ReverseSequence Scatter ScatterElements ScatterND SequenceAt
        SequenceConstruct SequenceEmpty SequenceErase SequenceInsert SequenceLength Shape
        Size Slice SpaceToDepth Split SplitToSequence Squeeze TensorScatter Tile Transpose
        Trilu Unique Unsqueeze Where OneHot NonZero"""),
    # Products.
    **_same(_convolution(1, 2), "Conv FusedConv"),
    "ConvInteger": _convolution(1, bias=9),
    "QLinearConv": _convolution(3, bias=8),
    "DeformConv": _convolution(1, bias=3),
    "ConvTranspose": _conv_transpose,
    "Gemm": _gemm,
    **_same(_matmul, "MatMul MatMulInteger QLinearMatMul"),
    "Einsum": _einsum,
    "Attention": _attention,
    "RNN": _recurrent(1, 2),
    "GRU": _recurrent(3, 13),
    "LSTM": _recurrent(4, 20),
    # Pooling and normalisation.
    **_same(_pool, "MaxPool AveragePool LpPool"),
    **_same(_per_input(1), "GlobalMaxPool GlobalAveragePool"),
    "GlobalLpPool": _per_input(2),
    "BatchNormalization": _per_output(2),
    "LRN": _lrn,
    **_same(_per_output(8), "LayerNormalization InstanceNormalization GroupNormalization"),
    **_same(_per_output(5), "RMSNormalization SimplifiedLayerNormalization"),
    "MeanVarianceNormalization": _per_output(7),
    "LpNormalization": _per_output(4),
    "RotaryEmbedding": _per_output(3),
    # Element by element.
    **_same(_variadic, "Sum Mean Max Min"),
    **_same(_per_output(1), """
        Abs Acos Acosh Add And Asin Asinh Atan Atanh BitShift BitwiseAnd BitwiseNot BitwiseOr
        BitwiseXor Ceil Cos Cosh Div Equal Exp Floor Greater GreaterOrEqual IsInf IsNaN Less
        LessOrEqual Log Mod Mul Neg Not Or Pow Reciprocal Relu Round Sign Sin Sinh Sqrt Sub
        Tan Tanh Erf Xor"""),
    **_same(_per_output(2), """
        Clip LeakyRelu PRelu ThresholdedRelu Shrink QuantizeLinear DequantizeLinear"""),
    **_same(_per_output(3), "Elu Celu HardSigmoid Softplus Softsign DynamicQuantizeLinear"),
    **_same(_per_output(4), "Sigmoid HardSwish Selu"),
    **_same(_per_output(5), "Softmax LogSoftmax Hardmax Swish Mish"),
    "Gelu": _per_output(8),
    # Reductions: every input element once, twice where it is squared or exponentiated first.
    **_same(_per_input(1), """
        ReduceSum ReduceMean ReduceMax ReduceMin ReduceProd ArgMax ArgMin CumSum CumProd"""),
    **_same(_per_input(2), """
        ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceSumSquare"""),
    "TopK": _topk,
    "DFT": _fourier,
    # Sampling.
    **_same(_resize, "Resize Upsample"),
    "GridSample": _per_output(8),
    "RoiAlign": _per_output(8),
}  # fmt: skip
