"""What slicing changes in one operator: its constants, its padding, its target shape.

The inputs that vary are cropped already; a rule here says which part of each constant the
slice needs, and which attributes change.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import onnx

from dds.errors import InvalidInput
from dds.model.graph import Operator
from dds.model.reach import ELEMENTWISE, broadcast_axis
from dds.parallel.rewrite_model import Draft
from dds.parallel.tiles import Region

__all__ = ["Operand", "rewritten"]

_FIRST_RESHAPE_WITH_INPUT = 5


class Operand(NamedTuple):
    """An input of a node: its name in the tile, its whole shape (None if unknown), its region.

    region: the part of a varying tensor that ``name`` holds; None for a constant.
    """

    name: str
    shape: tuple[int, ...] | None
    region: Region | None


class _Step(NamedTuple):
    """A node in the making; region and shape: of its output, the latter whole."""

    draft: Draft
    node: onnx.NodeProto
    operator: Operator
    operands: Sequence[Operand | None]
    region: Region
    shape: tuple[int, ...]

    def get(self, name: str, default: Any) -> Any:
        for attribute in self.node.attribute:
            if attribute.name == name:
                return onnx.helper.get_attribute_value(attribute)
        return default

    def set(self, name: str, value: Any) -> None:
        self.drop(name)
        self.node.attribute.append(onnx.helper.make_attribute(name, value))

    def drop(self, name: str) -> None:
        kept = [attribute for attribute in self.node.attribute if attribute.name != name]
        del self.node.attribute[:]
        self.node.attribute.extend(kept)

    def constants(self) -> list[tuple[int, Operand, tuple[int, ...]]]:
        """Slot, operand and shape of every constant that there is."""
        found = []
        for k, operand in enumerate(self.operands):
            if operand is not None and operand.region is None and operand.name:
                if operand.shape is None:
                    raise InvalidInput(
                        f"{self.operator.name!r}: constant {operand.name!r} has no known shape; "
                        "store its value in the model"
                    )
                found.append((k, operand, operand.shape))
        return found

    def part(self, k: int, axis: int, low: int, high: int) -> None:
        """Let slot k read [low, high) of its constant along ``axis``."""
        operand = self.operands[k]
        if operand is not None and operand.name and operand.shape is not None:
            region = Region(axis, low, high)
            self.node.input[k] = self.draft.constant(operand.name, operand.shape, region)


def rewritten(
    draft: Draft,
    node: onnx.NodeProto,
    operator: Operator,
    operands: Sequence[Operand | None],
    made: tuple[Region, tuple[int, ...]],
) -> onnx.NodeProto:
    """``node`` (a copy, changed in place) so that it makes a region of its output.

    operands: one per input, None for one that the slice does not read; made: the region, and
    the whole output's shape.  Constants that stay as they are come along too.
    """
    for k, operand in enumerate(operands):
        if operand is not None:
            node.input[k] = operand.name
    step = _Step(draft, node, operator, operands, *made)
    if step.region.axis >= 0:
        rule = _RULES.get(operator.kind)
        if rule is not None:
            rule(step)
    # A constant that no rule replaced is read as it is.
    draft.need(
        operand.name
        for k, operand in enumerate(operands)
        if operand is not None and operand.region is None and operand.name == node.input[k]
        if operand.name
    )
    names = [name for name, operand in zip(node.input, operands, strict=True) if operand]
    del node.input[:]
    node.input.extend(names)
    return node


def _convolution(step: _Step) -> None:
    region = step.region
    if region.axis != 1:
        _window(step)
        return
    for k in range(1, len(step.operands)):
        step.part(k, 0, region.low, region.high)
    groups = step.get("group", 1)
    if groups > 1:
        per = step.shape[1] // groups
        step.set("group", max(1, (region.high - region.low) // per))


def _window(step: _Step) -> None:
    """Write out the padding that is left of a slice; cut edges have none."""
    region, (operand, *_) = step.region, step.operands
    if region.axis < 2 or operand is None or operand.shape is None:
        return
    reaches = step.operator.reach[2:]
    given = step.get("pads", [0] * (2 * len(reaches)))
    pads = [[given[k], given[k + len(reaches)]] for k in range(len(reaches))]
    for k, reach in enumerate(reaches):
        if reach:
            sliced = k + 2 == region.axis
            span = (region.low, region.high) if sliced else (0, step.shape[k + 2])
            first, last = reach[0].span(*span)
            pads[k] = [max(0, -first), max(0, last - operand.shape[k + 2])]
    step.drop("auto_pad")
    step.set("pads", [before for before, _ in pads] + [after for _, after in pads])


def _batch_norm(step: _Step) -> None:
    if step.region.axis == 1:
        for k in range(1, len(step.operands)):
            step.part(k, 0, step.region.low, step.region.high)


def _broadcast(step: _Step) -> None:
    for k, _, shape in step.constants():
        own = broadcast_axis(shape, step.shape, step.region.axis, step.node, step.draft.opset)
        if own is not None:
            step.part(k, own, step.region.low, step.region.high)


def _gemm(step: _Step) -> None:
    region = step.region
    if region.axis == 1:
        step.part(1, 0 if step.get("transB", 0) else 1, region.low, region.high)
    for k, _, shape in step.constants()[1:]:
        own = broadcast_axis(shape, step.shape, region.axis, step.node, step.draft.opset)
        if own is not None:
            step.part(k, own, region.low, region.high)


def _matmul(step: _Step) -> None:
    if step.region.axis == len(step.shape) - 1:
        step.part(1, 1, step.region.low, step.region.high)


def _concat(step: _Step) -> None:
    for k, _, _ in step.constants():  # only a concat along another axis has any
        step.part(k, *step.region)


def _reshape(step: _Step) -> None:
    shape = list(step.shape)
    shape[step.region.axis] = step.region.high - step.region.low
    if step.draft.opset < _FIRST_RESHAPE_WITH_INPUT:
        step.set("shape", shape)
    else:
        step.node.input[1] = step.draft.integers(shape)


_RULES: dict[str, Callable[[_Step], None]] = {
    **dict.fromkeys(ELEMENTWISE, _broadcast),
    **dict.fromkeys(("AveragePool", "MaxPool"), _window),
    "BatchNormalization": _batch_norm,
    "Concat": _concat,
    "Conv": _convolution,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "Reshape": _reshape,
}
