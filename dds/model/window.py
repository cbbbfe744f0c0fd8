"""The window of a convolution or pooling: what FLOPs alone do not say about its speed."""

from __future__ import annotations

from typing import NamedTuple

import onnx

from dds.model.shapes import Forms

__all__ = ["Window", "window"]

#: Which input holds the weights (M, C/group, k...) of an operator that slides a window.
_CONVOLUTIONS = {
    "Conv": 1,
    "ConvInteger": 1,
    "ConvTranspose": 1,
    "DeformConv": 1,
    "FusedConv": 1,
    "QLinearConv": 3,
}
_POOLS = frozenset({"AveragePool", "LpPool", "MaxPool", "MaxUnpool", "QLinearAveragePool"})
_GLOBAL_POOLS = frozenset({"GlobalAveragePool", "GlobalLpPool", "GlobalMaxPool"})


class Window(NamedTuple):
    """kernel: extent per spatial axis; stride: step per spatial axis; groups: of channels."""

    kernel: tuple[int, ...] = ()
    stride: tuple[int, ...] = ()
    groups: int = 1


def window(node: onnx.NodeProto, forms: Forms) -> Window:
    """The window of `node`; one without extent where `node` slides none, or none that is known.

    A global pooling looks at all of its input at once.  Dilation is left out: it changes which
    values are read, not how many.
    """
    kind = node.op_type
    if kind in _GLOBAL_POOLS:
        shape = forms[node.input[0]].fixed if node.input else None
        kernel = tuple(shape[2:]) if shape else ()
        return Window(kernel, (1,) * len(kernel))
    if kind not in _CONVOLUTIONS and kind not in _POOLS:
        return Window()
    given = {attribute.name: attribute for attribute in node.attribute}
    kernel = tuple(given["kernel_shape"].ints) if "kernel_shape" in given else ()
    if not kernel and kind in _CONVOLUTIONS and len(node.input) > _CONVOLUTIONS[kind]:
        shape = forms[node.input[_CONVOLUTIONS[kind]]].fixed
        kernel = tuple(shape[2:]) if shape else ()
    stride = tuple(given["strides"].ints) if "strides" in given else ()
    groups = given["group"].i if "group" in given else 1
    return Window(kernel, stride or (1,) * len(kernel), groups)
