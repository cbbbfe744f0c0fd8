"""A model in the making: operators, their weights, and the shapes of what they produce.

Tensors are of one picture, (1, C, H, W), or rows, (1, N).  Every method adds the operator of
its name and returns the name of the tensor it produces.  Weights are drawn so that activations
stay finite and neither die out nor grow: a processor is slow on denormal numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

__all__ = ["Shape", "Sketch"]

Shape = tuple[int, ...]

#: Operators as of the release that most exporters write today.
_OPSET = 17
_IR_VERSION = 8


@dataclass
class Sketch:
    """Nodes, weights and shapes; `rng` draws the weights, `macs` counts multiply-adds."""

    rng: np.random.Generator
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    weights: list[onnx.TensorProto] = field(default_factory=list)
    shapes: dict[str, Shape] = field(default_factory=dict)
    macs: int = 0

    def given(self, shape: Shape) -> str:
        """The model's input."""
        self.shapes["x"] = shape
        return "x"

    def node(self, kind: str, reads: list[str], shape: Shape, **attributes: Any) -> str:
        """Any operator; its output has the shape given and the operator's name."""
        name = f"{kind}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, reads, [name], name=name, **attributes))
        self.shapes[name] = shape
        return name

    def weight(self, shape: Shape, low: float, high: float) -> str:
        """A weight, uniform in [low, high)."""
        values = self.rng.random(shape, dtype=np.float32)
        values *= np.float32(high - low)
        values += np.float32(low)
        return self._constant(values)

    def conv(
        self, x: str, channels: int, kernel: int, stride: int = 1, groups: int = 1,
        bias: bool = True,
    ) -> str:  # fmt: skip
        """A convolution, padded so that a stride of 1 keeps the size."""
        _, depth, height, width = self.shapes[x]
        fan_in = depth // groups * kernel * kernel
        bound = math.sqrt(6.0 / fan_in)
        reads = [x, self.weight((channels, depth // groups, kernel, kernel), -bound, bound)]
        if bias:
            reads.append(self.weight((channels,), -0.1, 0.1))
        high, wide = (_windows(size, kernel, stride) for size in (height, width))
        self.macs += channels * high * wide * fan_in
        return self.node(
            "Conv", reads, (1, channels, high, wide), kernel_shape=[kernel] * 2,
            strides=[stride] * 2, pads=[kernel // 2] * 4, group=groups,
        )  # fmt: skip

    def norm(self, x: str) -> str:
        """A batch normalisation."""
        shape = self.shapes[x]
        ranges = ((0.5, 1.3), (-0.1, 0.1), (-0.1, 0.1), (0.5, 1.5))
        reads = [x, *(self.weight(shape[1:2], low, high) for low, high in ranges)]
        return self.node("BatchNormalization", reads, shape)

    def scaled(self, x: str) -> str:
        """``x * c + d`` by channel, as two operators: how some exporters write a norm."""
        shape = self.shapes[x]
        channels = (shape[1], *(1,) * (len(shape) - 2))
        product = self.node("Mul", [x, self.weight(channels, 0.5, 1.4)], shape)
        return self.node("Add", [product, self.weight(channels, -0.1, 0.1)], shape)

    def each(self, kind: str, x: str, **attributes: Any) -> str:
        """An operator that works element by element on one tensor."""
        reads = [x]
        if kind == "Clip":
            reads += [self._constant(np.float32(0.0)), self._constant(np.float32(6.0))]
        return self.node(kind, reads, self.shapes[x], **attributes)

    def together(self, kind: str, *reads: str) -> str:
        """An element-by-element operator on tensors, the first of which is not broadcast."""
        return self.node(kind, list(reads), self.shapes[reads[0]])

    def pool(self, kind: str, x: str, kernel: int, stride: int, pad: int = 0) -> str:
        """A maximum or average pooling."""
        _, depth, height, width = self.shapes[x]
        high, wide = ((size + 2 * pad - kernel) // stride + 1 for size in (height, width))
        return self.node(
            kind, [x], (1, depth, high, wide), kernel_shape=[kernel] * 2,
            strides=[stride] * 2, pads=[pad] * 4,
        )  # fmt: skip

    def whole_pool(self, kind: str, x: str) -> str:
        """A pooling over the whole picture."""
        return self.node(kind, [x], (1, self.shapes[x][1], 1, 1))

    def local_norm(self, x: str, size: int) -> str:
        """A local response normalisation over `size` channels."""
        return self.node("LRN", [x], self.shapes[x], size=size, alpha=1e-4, beta=0.75, bias=1.0)

    def concat(self, *reads: str) -> str:
        """Pictures of one size, channel after channel."""
        _, _, height, width = self.shapes[reads[0]]
        depth = sum(self.shapes[x][1] for x in reads)
        return self.node("Concat", list(reads), (1, depth, height, width), axis=1)

    def reshape(self, x: str, shape: Shape) -> str:
        """The same numbers in the same order under another shape."""
        return self.node("Reshape", [x, self._constant(np.array(shape, np.int64))], shape)

    def transpose(self, x: str, order: tuple[int, ...]) -> str:
        """The axes in another order."""
        shape = tuple(self.shapes[x][axis] for axis in order)
        return self.node("Transpose", [x], shape, perm=list(order))

    def flatten(self, x: str) -> str:
        """One row of all numbers."""
        return self.node("Flatten", [x], (1, math.prod(self.shapes[x])), axis=1)

    def gemm(self, x: str, width: int, transposed: bool = True) -> str:
        """A fully connected layer of a row, with a bias."""
        rows, depth = self.shapes[x]
        bound = math.sqrt(6.0 / depth)
        shape = (width, depth) if transposed else (depth, width)
        reads = [x, self.weight(shape, -bound, bound), self.weight((width,), -0.1, 0.1)]
        self.macs += rows * width * depth
        return self.node("Gemm", reads, (rows, width), transB=int(transposed))

    def product(self, x: str, y: str) -> str:
        """A matrix product of two tensors that the model computes."""
        first, second = self.shapes[x], self.shapes[y]
        self.macs += math.prod(first) * second[-1]
        return self.node("MatMul", [x, y], (*first[:-1], second[-1]))

    def linear(self, x: str, width: int) -> str:
        """A matrix product with a weight and the sum with a bias, as transformers do."""
        shape = self.shapes[x]
        bound = math.sqrt(3.0 / shape[-1])
        self.macs += math.prod(shape) * width
        weight = self.weight((shape[-1], width), -bound, bound)
        product = self.node("MatMul", [x, weight], (*shape[:-1], width))
        return self.node("Add", [product, self.weight((width,), -0.1, 0.1)], (*shape[:-1], width))

    def model(self, output: str, name: str) -> bytes:
        """The ONNX bytes of the model that returns `output`."""
        picture, answer = (
            helper.make_tensor_value_info(tensor, onnx.TensorProto.FLOAT, list(self.shapes[tensor]))
            for tensor in ("x", output)
        )
        graph = helper.make_graph(self.nodes, name, [picture], [answer], self.weights)
        opset = helper.make_opsetid("", _OPSET)
        model = helper.make_model(graph, opset_imports=[opset], ir_version=_IR_VERSION)
        return bytes(model.SerializeToString())

    def _constant(self, values: NDArray[Any] | np.generic) -> str:
        name = f"w{len(self.weights)}"
        tensor = onnx.TensorProto(
            name=name,
            dims=values.shape,
            data_type=helper.np_dtype_to_tensor_dtype(values.dtype),
            raw_data=values.tobytes(),
        )
        self.weights.append(tensor)
        return name


def _windows(size: int, kernel: int, stride: int) -> int:
    return (size + 2 * (kernel // 2) - kernel) // stride + 1
