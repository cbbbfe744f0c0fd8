"""A tile of a model as an ONNX model of its own.

Its operators are the model's, with what a slice changes: paddings at cut edges gone, weights
of the channels it makes and no others, targets of reshapes, and a ``Slice`` wherever an
operator needs less than what another one made necessary.  So tiles side by side, joined along
the axis they are slices of, are the whole: computed in the same order, and bit for bit the
same wherever the runtime's kernels add up in an order that the size of the slice leaves alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx

from dds.errors import InvalidInput
from dds.model.dataflow import Dataflow, dataflow
from dds.model.graph import ModelGraph
from dds.model.importer import ModelSource, read_model
from dds.model.onnxfile import OnnxFile, open_onnx
from dds.model.shapes import infer
from dds.parallel import tiles
from dds.parallel.rewrite_model import Draft
from dds.parallel.rewrite_nodes import Operand, rewritten
from dds.parallel.tiles import WHOLE, Kind, Region, Tile

__all__ = ["Source", "TileModel", "join", "take", "tile_model", "within"]

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class TileModel:
    """A tile that can run.

    model: ONNX bytes; inputs: the region of each named tensor that it is fed; outputs: the
    region of each that it returns.  Tensors keep their names, whatever part of them it is.
    """

    model: bytes = field(repr=False)
    inputs: dict[str, Region]
    outputs: dict[str, Region]

    def feeds(self, tensors: Mapping[str, Array]) -> dict[str, Array]:
        """Its inputs out of whole tensors; InvalidInput if one is missing."""
        for name in self.inputs:
            if name not in tensors:
                raise InvalidInput(f"tensor {name!r} is missing; the tile reads it")
        return {name: take(tensors[name], region) for name, region in self.inputs.items()}


def take(array: Array, region: Region) -> Array:
    """A region of a whole tensor, contiguous in memory."""
    if region.axis < 0:
        return array
    index = [slice(None)] * array.ndim
    index[region.axis] = slice(region.low, region.high)
    return np.ascontiguousarray(array[tuple(index)])


def join(pieces: Sequence[Array], kind: Kind) -> Array:
    """The tensor whose rows or channels lie in ``pieces``, in order."""
    if kind == "whole":
        (whole,) = pieces
        return whole
    return np.concatenate(pieces, axis=1 if kind == "channels" else 2)


def within(region: Region, outer: Region) -> Region:
    """A region counted from the start of ``outer``, which holds it.

    >>> within(Region(2, 5, 9), Region(2, 4, 12))
    Region(axis=2, low=1, high=5)
    """
    shift = outer.low if outer.axis == region.axis else 0
    return Region(region.axis, region.low - shift, region.high - shift)


def tile_model(model: ModelSource, graph: ModelGraph, tile: Tile) -> TileModel:
    """The ONNX model of one tile; :meth:`Source.tile` when there are several.

    Raises InvalidInput like :class:`Source` and :func:`~dds.parallel.tiles.tile_regions`.
    """
    return Source.read(model, graph).tile(tile)


@dataclass(frozen=True)
class Source:
    """A model read once, for any number of tiles."""

    file: OnnxFile
    flow: Dataflow
    graph: ModelGraph
    #: Shapes of the constants: initialisers, and what is computed from them.
    constants: Mapping[str, tuple[int, ...]]
    #: The model without its graph.
    shell: onnx.ModelProto

    @classmethod
    def read(cls, model: ModelSource, graph: ModelGraph) -> Source:
        """Read ``model``, a path or ONNX bytes, whose graph is ``graph``.

        Raises InvalidInput when the graph is not of this model.
        """
        file = open_onnx(read_model(model))
        flow = dataflow(file)
        for operator in graph.operators:
            nodes = file.model.graph.node
            made = graph.tensors[operator.outputs[0]].name if operator.outputs else ""
            at = operator.node
            if not 0 <= at < len(nodes) or (made and flow.producer.get(made) != at):
                raise InvalidInput(
                    f"operator {operator.name!r} is not in this model; load the graph from its "
                    "bytes"
                )
        inputs = {graph.tensors[t].name: graph.tensors[t].shape for t in graph.inputs}
        forms = infer(file, flow.inputs, inputs)
        shapes = {name: forms[name].fixed for name in _constants(file, flow)}
        known = {name: shape for name, shape in shapes.items() if shape is not None}
        shell = onnx.ModelProto()
        shell.CopyFrom(file.model)
        shell.ClearField("graph")
        return cls(file, flow, graph, known, shell)

    def tile(self, tile: Tile) -> TileModel:
        """The ONNX model of one tile, its weights copied once.

        Raises InvalidInput like :func:`~dds.parallel.tiles.tile_regions`, and for a constant
        that must be sliced though its shape is unknown.
        """
        graph, regions = self.graph, tiles.tile_regions(self.graph, tile)
        draft = self.draft()
        names = {t: graph.tensors[t].name for t in regions}
        reads = {t: regions[t] for t in tiles.run_inputs(graph, tile.operators) if t in regions}
        returns = tiles.tile_outputs(graph, tile.operators, tile.kind, tile.low, tile.high)
        for t, region in returns.items():
            if not self._same(t, regions[t], region):
                names[t] = draft.fresh(names[t])
        self.add(draft, tile.operators, regions, names)
        for t, region in returns.items():
            name = graph.tensors[t].name
            if names[t] != name:
                draft.crop(names[t], within(region, regions[t]), name)
        model = draft.finish(self._forms(reads), self._forms(returns))
        return TileModel(model, self._named(reads), self._named(returns))

    def draft(self) -> Draft:
        """A model of some of this one's operators, without any yet."""
        return Draft(self.file, self.flow, self.shell)

    def add(
        self, draft: Draft, run: range, regions: Mapping[int, Region], names: Mapping[int, str]
    ) -> None:
        """Draft the operators of a run, each cut down to the region it has to make.

        regions: of every tensor they read and make, as ``tile_regions`` finds them (any other
        tensor is not made); names: what these regions are called in the draft.

        Raises InvalidInput for a constant that must be sliced though its shape is unknown, and
        for a body of control flow that reads a tensor by a name it does not have.
        """
        for v in run:
            if any(t in regions for t in self.graph.operators[v].outputs):
                self._add(draft, v, regions, names)

    def plain(self, t: int, region: Region) -> Region:
        """A region of tensor t; WHOLE if it is all of it."""
        full = region.axis >= 0 and region[1:] == (0, self.graph.tensors[t].shape[region.axis])
        return WHOLE if full else region

    def form(self, t: int, region: Region) -> tuple[tuple[int, ...], str]:
        """Shape and dtype of a region of tensor t."""
        tensor = self.graph.tensors[t]
        return tiles.region_shape(tensor.shape, region), tensor.dtype

    def _add(
        self, draft: Draft, v: int, regions: Mapping[int, Region], names: Mapping[int, str]
    ) -> None:
        """Draft one operator."""
        operator = self.graph.operators[v]
        index = operator.node
        region = regions.get(operator.outputs[0], WHOLE)
        wants = dict.fromkeys(operator.inputs, WHOLE)
        ways = operator.reach[region.axis] if region.axis >= 0 else ()
        for t, way in zip(operator.inputs, ways, strict=False):
            if way.axis >= 0:
                low, high = way.span(region.low, region.high)
                size = self.graph.tensors[t].shape[way.axis]
                wants[t] = Region(way.axis, max(low, 0), min(high, size))
        local = {self.graph.tensors[t].name: t for t in operator.inputs}
        operands: list[Operand | None] = []
        for name in self.file.model.graph.node[index].input:
            if name not in local:
                operands.append(Operand(name, self.constants.get(name), None))
                continue
            t = local[name]
            want = wants[t]
            if want.axis >= 0 and want.low >= want.high:
                operands.append(None)  # an input of a concat that the slice does not meet
                continue
            if not self._same(t, regions[t], want):
                cropped = draft.crop(names[t], within(want, regions[t]))
                operands.append(Operand(cropped, self.graph.tensors[t].shape, want))
            else:
                operands.append(Operand(names[t], self.graph.tensors[t].shape, want))
        node = self._node(v, names)
        if region.axis >= 0:
            # Nobody reads the others, and two slices in one model must not make the same twice.
            del node.output[1:]
        draft.add(rewritten(draft, node, operator, operands, self._made(v, region)))
        # What the bodies of control flow capture keeps its name, or they would miss it.
        outer = set(self.file.model.graph.node[index].input)
        captured = [name for name in self.flow.reads[index] if name not in outer]
        for name in captured:
            if name in local and names[local[name]] != name:
                raise InvalidInput(
                    f"{operator.name!r} ({operator.kind}) reads {name!r} inside its body, which "
                    "the tile returns a part of; end the run before it"
                )
        draft.need(name for name in captured if name not in local)

    def _node(self, v: int, names: Mapping[int, str]) -> onnx.NodeProto:
        """A copy of an operator's node that writes to the names of this tile."""
        operator = self.graph.operators[v]
        node = onnx.NodeProto()
        node.CopyFrom(self.file.model.graph.node[operator.node])
        node.name = operator.name
        here = {self.graph.tensors[t].name: names.get(t, "") for t in operator.outputs}
        for k, name in enumerate(node.output):
            node.output[k] = here.get(name, name)
        return node

    def _made(self, v: int, region: Region) -> tuple[Region, tuple[int, ...]]:
        t = self.graph.operators[v].outputs[0]
        return region, self.graph.tensors[t].shape

    def _same(self, t: int, one: Region, other: Region) -> bool:
        """Whether two regions hold the same part of tensor t."""
        return self.plain(t, one) == self.plain(t, other)

    def _named(self, regions: Mapping[int, Region]) -> dict[str, Region]:
        return {self.graph.tensors[t].name: self.plain(t, region) for t, region in regions.items()}

    def _forms(self, regions: Mapping[int, Region]) -> list[tuple[str, tuple[int, ...], str]]:
        """Name, shape and dtype of regions."""
        return [(self.graph.tensors[t].name, *self.form(t, part)) for t, part in regions.items()]


def _constants(file: OnnxFile, flow: Dataflow) -> list[str]:
    made = (name for v in sorted(flow.folded) for name in file.model.graph.node[v].output)
    return [*file.weights, *(name for name in made if name)]
