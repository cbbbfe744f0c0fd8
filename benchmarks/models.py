"""Model graphs for the benchmarks: the zoo, and two families that grow to any size."""

from __future__ import annotations

from dataclasses import dataclass, field

from dds.model import ModelGraph, Operator, Tensor, load_model
from dds.model.zoo import topology

__all__ = ["residual", "transformer", "zoo"]


def zoo(name: str) -> ModelGraph:
    """A model of the zoo."""
    return load_model(topology(name))


@dataclass
class _Steps:
    """A graph in the making; every step has one output."""

    operators: list[Operator] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)

    def given(self, size: int) -> int:
        """A model input of so many bytes; its tensor."""
        self.sizes.append(size)
        return len(self.sizes) - 1

    def step(
        self, kind: str, reads: tuple[int, ...], size: int, flops: float, weights: int = 0
    ) -> int:
        """An operator that reads tensors and makes one of ``size`` bytes; that tensor."""
        name = f"{kind}{len(self.operators)}"
        made = self.given(size)
        self.operators.append(
            Operator(name, kind, reads, (made,), int(flops), weight_bytes=weights)
        )
        return made

    def graph(self, inputs: tuple[int, ...], name: str) -> ModelGraph:
        """The graph, which returns what its last operator makes."""
        tensors = tuple(
            Tensor(f"t{t}", (size // 4,), "float32", size) for t, size in enumerate(self.sizes)
        )
        return ModelGraph(tuple(self.operators), tensors, inputs, (len(tensors) - 1,), name)


def transformer(
    operators: int, *, width: int = 768, length: int = 128, heads: int = 12
) -> ModelGraph:
    """An encoder of about so many operators, 37 a layer, as exported operator by operator.

    Attention with a mask that every layer reads, two residual sums, normalisations and a
    GELU written out.
    """
    s = _Steps()
    words, mask = s.given(8 * length), s.given(4 * length)
    row, square = 4 * length * width, 4 * heads * length * length
    elements = length * width
    bias = s.step("Mask", (mask,), 4 * length, length)
    x = s.step("Gather", (words,), row, elements, 4 * 30_000 * width)
    x = _normalised(s, x, row, elements)
    for _ in range(max(1, round((operators - 8) / 37))):
        branches = []
        for _ in range(3):
            y = s.step("MatMul", (x,), row, 2.0 * elements * width, 4 * width * width)
            y = s.step("Add", (y,), row, elements)
            branches.append(s.step("Transpose", (y,), row, 0.0))
        query, key, value = branches
        y = s.step("MatMul", (query, key), square, 2.0 * length * elements)
        y = s.step("Div", (y,), square, square / 4)
        y = s.step("Add", (bias, y), square, square / 4)
        y = s.step("Softmax", (y,), square, 5.0 * square / 4)
        y = s.step("MatMul", (value, y), row, 2.0 * length * elements)
        y = s.step("Transpose", (y,), row, 0.0)
        y = s.step("MatMul", (y,), row, 2.0 * elements * width, 4 * width * width)
        y = s.step("Add", (y,), row, elements)
        x = _normalised(s, s.step("Add", (x, y), row, elements), row, elements)
        y = s.step("MatMul", (x,), 4 * row, 8.0 * elements * width, 16 * width * width)
        y = s.step("Add", (y,), 4 * row, 4.0 * elements)
        gate = s.step("Div", (y,), 4 * row, 4.0 * elements)
        gate = s.step("Erf", (gate,), 4 * row, 40.0 * elements)
        y = s.step("Mul", (y, gate), 4 * row, 4.0 * elements)
        y = s.step("MatMul", (y,), row, 8.0 * elements * width, 16 * width * width)
        x = _normalised(s, s.step("Add", (x, y), row, elements), row, elements)
    return s.graph((words, mask), f"transformer{len(s.operators)}")


def _normalised(s: _Steps, x: int, row: int, elements: int) -> int:
    """A layer normalisation written out, 6 operators."""
    mean = s.step("ReduceMean", (x,), row // 768, elements)
    centred = s.step("Sub", (x, mean), row, elements)
    square = s.step("Pow", (centred,), row, elements)
    spread = s.step("ReduceMean", (square,), row // 768, elements)
    scaled = s.step("Div", (centred, spread), row, elements)
    return s.step("Mul", (scaled,), row, elements)


def residual(operators: int, *, channels: int = 64, side: int = 56) -> ModelGraph:
    """So many operators: cells of ten, two branches that meet in a sum.

    Tensors shrink by half eight times on the way, work per operator stays about the same.
    """
    s = _Steps()
    image = s.given(4 * 3 * 224 * 224)
    x, left = image, operators
    while left > 0:
        # Evenly from 800 kB down to 3 kB.
        size = int(4 * channels * side**2 * 2.0 ** (-8.0 * (operators - left) / operators)) // 4 * 4
        flops = 2e8
        if left < 10:
            x, left = s.step("Conv", (x,), size, flops, 36 * channels**2), left - 1
            continue
        y = x
        for kind in ("Conv", "Norm", "Relu", "Conv", "Norm"):
            y = s.step(kind, (y,), size, flops if kind == "Conv" else size, 36 * channels**2)
        for kind in ("Conv", "Norm"):
            x = s.step(kind, (x,), size, flops / 9 if kind == "Conv" else size, 4 * channels**2)
        x = s.step("Add", (x, y), size, size / 4)
        x = s.step("Relu", (x,), size, size / 4)
        x = s.step("Scale", (x,), size, size / 4)
        left -= 10
    return s.graph((image,), f"residual{operators}")
