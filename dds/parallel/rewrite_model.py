"""An ONNX model in the making: nodes, the constants they need, slices of either."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import onnx
from onnx import numpy_helper

from dds.model.dataflow import Dataflow
from dds.model.onnxfile import OnnxFile, Span, Weight, assemble, opset, raw_weight
from dds.model.shapes import tensor_type
from dds.parallel.tiles import Region

__all__ = ["Draft"]

_FIRST_SLICE_WITH_INPUTS = 10


class Draft:
    """Collects a tile's nodes in order; each constant comes along once, as it is or sliced."""

    def __init__(self, file: OnnxFile, flow: Dataflow, shell: onnx.ModelProto) -> None:
        """Start empty; shell: the model without its graph."""
        self.file = file
        self._shell = shell
        self.flow = flow
        self.opset = opset(file.model)
        self._nodes: list[onnx.NodeProto] = []
        self._crops: list[onnx.NodeProto] = []
        self._needed: dict[str, None] = {}
        self._weights: list[Span] = []
        self._small: dict[tuple[int, ...], onnx.TensorProto] = {}
        self._slices: dict[tuple[str, Region], str] = {}
        self._taken: set[str] = set()

    def fresh(self, name: str) -> str:
        """A name like ``name`` that the model does not use."""
        homes = (self._taken, self.file.weights, self.flow.producer, self.flow.inputs)
        while any(name in names for names in homes):
            name += "'"
        self._taken.add(name)
        return name

    def add(self, node: onnx.NodeProto) -> None:
        """Append a node; everything it reads must have been appended, or be a constant."""
        self._nodes.append(node)

    def need(self, names: Iterable[str]) -> None:
        """Constants of the model that nodes read as they are."""
        self._needed.update(dict.fromkeys(names))

    def crop(self, name: str, region: Region, to: str = "") -> str:
        """The name of a region of a tensor, its bounds counted within what ``name`` holds."""
        key = (name, region)
        if not to and key in self._slices:
            return self._slices[key]
        made = to or self.fresh(f"{name}[{region.axis}:{region.low}:{region.high}]")
        self._slices[key] = made
        self.add(self._slice(name, region, made))
        return made

    def join(self, names: Sequence[str], axis: int, to: str) -> None:
        """Call ``to`` what lies in tensors side by side along an axis."""
        self.add(onnx.helper.make_node("Concat", names, [to], name=to, axis=axis))

    def constant(self, name: str, shape: Sequence[int], region: Region) -> str:
        """The name of a region of a constant of the model with this shape.

        The values of an initialiser are copied from where they lie; what is computed from
        constants is computed, then cropped: a runtime folds both when it loads the tile.
        """
        if region[1:] == (0, shape[region.axis]):
            self.need([name])
            return name
        key = (name, region)
        if key not in self._slices:
            made = self.fresh(f"{name}[{region.axis}:{region.low}:{region.high}]")
            self._slices[key] = made
            weight = self.file.weights.get(name)
            if weight is not None and weight.raw >= 0:
                self._weights.append(_cut(self.file, weight, region, made))
            else:
                self.need([name])
                self._crops.append(self._slice(name, region, made))
        return self._slices[key]

    def integers(self, values: Sequence[int]) -> str:
        """The name of a new constant of 64-bit integers."""
        key = tuple(values)
        if key not in self._small:
            name = self.fresh(str(list(values)))
            self._small[key] = numpy_helper.from_array(np.array(values, np.int64), name)
        return self._small[key].name

    def finish(
        self,
        inputs: Iterable[tuple[str, tuple[int, ...], str]],
        outputs: Iterable[tuple[str, tuple[int, ...], str]],
    ) -> bytes:
        """The ONNX bytes of the model that takes and returns these (name, shape, dtype)."""
        source = self.file.model
        folded, leaves = self.flow.behind(self._needed)
        part = onnx.ModelProto()
        part.CopyFrom(self._shell)
        # From IR 4 on initialisers are no inputs, so a runtime may fold them.
        part.ir_version = max(source.ir_version, 4)
        part.graph.name = source.graph.name or "model"
        part.graph.input.extend(_value(*form) for form in inputs)
        part.graph.output.extend(_value(*form) for form in outputs)
        part.graph.node.extend(source.graph.node[index] for index in sorted(folded))
        part.graph.node.extend((*self._crops, *self._nodes))
        part.graph.initializer.extend(self._small.values())
        view = memoryview(self.file.data)
        kept = sorted((self.file.weights[name] for name in leaves), key=lambda w: w.start)
        spans: list[Span] = [(w.end - w.start, [view[w.start : w.end]]) for w in kept]
        return assemble(part, [*spans, *self._weights])

    def _slice(self, name: str, region: Region, made: str) -> onnx.NodeProto:
        lists = {"starts": [region.low], "ends": [region.high], "axes": [region.axis]}
        if self.opset < _FIRST_SLICE_WITH_INPUTS:
            node = onnx.helper.make_node("Slice", [name], [made], name=made)
            given = (onnx.helper.make_attribute(key, values) for key, values in lists.items())
            node.attribute.extend(given)
            return node
        read = [name, *(self.integers(values) for values in lists.values())]
        return onnx.helper.make_node("Slice", read, [made], name=made)


def _value(name: str, shape: tuple[int, ...], dtype: str) -> onnx.ValueInfoProto:
    return onnx.ValueInfoProto(name=name, type=tensor_type(shape, dtype))


def _cut(file: OnnxFile, weight: Weight, region: Region, name: str) -> Span:
    """A region of an initialiser's values, without reading the rest of them."""
    size = weight.shape[region.axis]
    outer = int(np.prod(weight.shape[: region.axis], dtype=np.int64))
    view = memoryview(file.data)[weight.raw : weight.raw + weight.bytes]
    table = np.frombuffer(view, np.uint8).reshape(outer, size, -1)
    values = np.ascontiguousarray(table[:, region.low : region.high])
    shape = list(weight.shape)
    shape[region.axis] = region.high - region.low
    return raw_weight(name, shape, [values.data.cast("B")], weight.dtype)
