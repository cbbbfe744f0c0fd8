"""ONNX operators that slide a window, as functions of PyTorch tensors."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from dds.engines.torch_node import Node, Run

__all__ = ["average_pool", "conv", "flat_padding", "global_pool", "max_pool"]

Tensor = Any


@dataclass(frozen=True)
class _Window:
    """Kernel, stride, dilation and padding (before, after) per spatial axis."""

    kernel: Sequence[int]
    stride: Sequence[int]
    dilation: Sequence[int]
    pads: Sequence[tuple[int, int]]
    same: str

    @classmethod
    def of(cls, node: Node, kernel: Sequence[int]) -> _Window:
        rank = len(kernel)
        flat = node.get("pads", [0] * (2 * rank))
        auto = str(node.get("auto_pad", "NOTSET"))
        if node.get("ceil_mode", 0):
            raise node.refused("ceil_mode")
        if rank > 3:
            raise node.refused(f"{rank} spatial axes")
        return cls(
            kernel,
            node.get("strides", [1] * rank),
            node.get("dilations", [1] * rank),
            list(zip(flat[:rank], flat[rank:], strict=True)),
            auto if auto.startswith("SAME") else "",
        )

    def padding(self, sizes: Sequence[int]) -> list[tuple[int, int]]:
        """Padding before and after each axis for an input of these sizes."""
        if not self.same:
            return list(self.pads)
        found = []
        for size, k, s, d in zip(sizes, self.kernel, self.stride, self.dilation, strict=True):
            total = max(0, (math.ceil(size / s) - 1) * s + d * (k - 1) + 1 - size)
            less, more = total // 2, total - total // 2
            found.append((less, more) if self.same == "SAME_UPPER" else (more, less))
        return found


def flat_padding(padding: Sequence[tuple[int, int]]) -> list[int]:
    """As ``functional.pad`` wants it: the last axis first."""
    return [side for pair in reversed(padding) for side in pair]


def conv(node: Node) -> Run:
    """``Conv``, with padding that may differ between the two sides of an axis."""
    if node.constants[1] is None:
        raise node.refused("weights that are computed while it runs")
    window = _Window.of(node, node.get("kernel_shape", list(node.constants[1].shape[2:])))
    convolve = (functional.conv1d, functional.conv2d, functional.conv3d)[len(window.kernel) - 1]
    groups = node.get("group", 1)

    def run(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        padding = window.padding(x.shape[2:])
        symmetric = all(before == after for before, after in padding)
        if not symmetric:
            x = functional.pad(x, flat_padding(padding))
        inside = [before for before, _ in padding] if symmetric else 0
        return convolve(x, weight, bias, window.stride, inside, window.dilation, groups)

    return run


def max_pool(node: Node) -> Run:
    """``MaxPool``: what is padded never wins."""
    window = _Window.of(node, node.get("kernel_shape", []))
    if node.more:
        raise node.refused("indices")
    pool = (functional.max_pool1d, functional.max_pool2d, functional.max_pool3d)[
        len(window.kernel) - 1
    ]

    def run(x: Tensor) -> Tensor:
        padding = window.padding(x.shape[2:])
        if any(map(any, padding)):
            x = functional.pad(x, flat_padding(padding), value=-math.inf)
        return pool(x, window.kernel, window.stride, 0, window.dilation)

    return run


def average_pool(node: Node) -> Run:
    """``AveragePool``, over all of the window or only the part of it that lies on the input."""
    window = _Window.of(node, node.get("kernel_shape", []))
    if any(d != 1 for d in window.dilation):
        raise node.refused("dilations")
    pool = (functional.avg_pool1d, functional.avg_pool2d, functional.avg_pool3d)[
        len(window.kernel) - 1
    ]
    count_padding = node.get("count_include_pad", 0)

    def run(x: Tensor) -> Tensor:
        padding = window.padding(x.shape[2:])
        if not any(map(any, padding)):
            return pool(x, window.kernel, window.stride)
        mean = pool(functional.pad(x, flat_padding(padding)), window.kernel, window.stride)
        if count_padding:
            return mean
        # The part of each window that lies on the picture.
        inside = functional.pad(torch.ones_like(x[:1, :1]), flat_padding(padding))
        return mean / pool(inside, window.kernel, window.stride)

    return run


def global_pool(reduce: Run) -> Callable[[Node], Run]:
    """``GlobalAveragePool`` and its like."""
    return lambda _: lambda x: reduce(x, dim=list(range(2, x.ndim)), keepdim=True)
