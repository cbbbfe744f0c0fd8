"""A model written so that its slices are cheap: batch norms folded, LRN as a convolution.

A batch norm, and a scale and a shift behind it, is y = a x + b per channel.  Behind a
convolution it goes into weights and bias; elsewhere the chain becomes one batch norm.

LRN sums squares over neighbouring channels, and runtimes compute it slowly (it alone is half
of inception_v1's time in onnxruntime).  The sum is a convolution of the squares with a
banded 1x1 kernel, whose bias is LRN's::

    s = bias + alpha/size * (sum of x^2 over the window),   y = x / s^beta

and s^0.75 are two square roots and a product.  Sums are taken in another order, and weights
rounded once more, so results agree to about 1e-6 of a tensor's largest value, not bit for bit.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from dds.model import values
from dds.model.dataflow import Dataflow, dataflow
from dds.model.importer import ModelSource, read_model
from dds.model.onnxfile import OnnxFile, Span, assemble, open_onnx, opset
from dds.model.reach import broadcast_axis
from dds.model.shapes import Forms, fix_shapes, infer

__all__ = ["normalise"]

Array = np.ndarray[Any, np.dtype[Any]]

#: Above so many channels the banded kernel, mostly zeros, costs more than it saves.
_MOST_CHANNELS = 1024
_FLOATS = ("float16", "float32", "float64")
_FIRST_WITH_OWN_BROADCAST = 7


def normalise(model: ModelSource, *, shapes: Mapping[str, Sequence[int]] | None = None) -> bytes:
    """The same model with batch norms folded and LRN rewritten.

    model: a path, or ONNX bytes; shapes: as for :func:`~dds.model.importer.load_model`; they are
    written into the model.  Tensors that are left keep their names; what lay inside a folded chain
    is gone.  Batch norms and LRN that cannot be rewritten (parameters that are no constants,
    training mode) stay as they are.

    Raises InvalidInput like :func:`~dds.model.importer.load_model`.
    """
    file = open_onnx(read_model(model))
    flow = dataflow(file)
    work = _Work(file, flow, infer(file, flow.inputs, shapes))
    for v in flow.operators:
        node = file.model.graph.node[v]
        if v in work.gone:
            continue
        if node.op_type == "LRN":
            work.rewrite_lrn(v)
        elif node.op_type in ("Conv", "BatchNormalization"):
            work.fold(v)
    return work.finish()


@dataclass
class _Work:
    """A model being rewritten: nodes replaced, nodes gone, constants new."""

    file: OnnxFile
    flow: Dataflow
    forms: Forms
    replaced: dict[int, list[onnx.NodeProto]] = field(default_factory=dict)
    gone: set[int] = field(default_factory=set)
    new: dict[str, onnx.TensorProto] = field(default_factory=dict)

    def __post_init__(self) -> None:
        file, flow = self.file, self.flow
        self.opset = opset(file.model)
        self.readers: dict[str, list[int]] = {}
        for v in flow.operators:
            for name in flow.reads[v]:
                self.readers.setdefault(name, []).append(v)
        small = {w.name: w for w in file.weights.values() if math.prod(w.shape) <= values.LARGEST}
        known = {name: numpy_helper.to_array(file.tensor(w)) for name, w in small.items()}
        nodes = [file.model.graph.node[v] for v in sorted(flow.folded)]
        fixed = {name: form.fixed for name, form in self.forms.by_name.items()}
        sized = {name: shape for name, shape in fixed.items() if shape is not None}
        self.small = {**known, **values.follow(nodes, known, sized)}

    def fold(self, v: int) -> None:
        """Fold the chain of batch norms, scales and shifts that starts at or behind node v."""
        nodes = self.file.model.graph.node
        head = nodes[v]
        shape = self.forms[head.output[0]].fixed
        if shape is None or len(shape) < 2 or self.forms[head.output[0]].dtype not in _FLOATS:
            return
        convolution = head.op_type == "Conv"
        scale, shift = np.ones(shape[1]), np.zeros(shape[1])
        chain: list[int] = []
        at = v if not convolution else self._only_reader(head.output[0])
        while at >= 0 and (step := self._affine(at, nodes[at], shape)) is not None:
            scale, shift = scale * step[0], shift * step[0] + step[1]
            chain.append(at)
            at = self._only_reader(nodes[at].output[0])
        if not any(nodes[u].op_type == "BatchNormalization" for u in chain):
            return
        made = nodes[chain[-1]].output[0]
        if convolution:
            node = self._convolution(head, made, scale, shift)
        else:
            node = self._batch_norm(head, made, scale, shift) if len(chain) > 1 else None
        if node is not None:
            self.replaced[v] = [node]
            self.gone.update(u for u in chain if u != v)

    def rewrite_lrn(self, v: int) -> None:
        """Replace an LRN by squares, a banded convolution, roots and a division."""
        node = self.file.model.graph.node[v]
        given = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        form = self.forms[node.input[0]]
        shape, beta = form.fixed, given.get("beta", 0.75)
        roots = math.isclose(beta, 0.75, abs_tol=1e-9) or math.isclose(beta, 0.5, abs_tol=1e-9)
        modern = self.opset >= _FIRST_WITH_OWN_BROADCAST
        if shape is None or len(shape) < 3 or shape[1] > _MOST_CHANNELS or not (roots or modern):
            return
        x, y = node.input[0], node.output[0]
        size = given["size"]
        # Window of channel c: c - floor((size - 1)/2) to c + ceil((size - 1)/2).
        away = np.subtract.outer(np.arange(shape[1]), np.arange(shape[1]))
        near = (away <= (size - 1) // 2) & (-away <= size // 2)
        band = near * (given.get("alpha", 1e-4) / size)
        kernel = self._add(
            y, "band", band.reshape(*band.shape, *[1] * (len(shape) - 2)), form.dtype
        )
        bias = self._add(y, "bias", np.full(shape[1], given.get("bias", 1.0)), form.dtype)
        squares, sums = self._name(y, "squares"), self._name(y, "sums")
        nodes = [
            onnx.helper.make_node("Mul", [x, x], [squares]),
            onnx.helper.make_node("Conv", [squares, kernel, bias], [sums]),
        ]
        if roots:
            root = power = self._name(y, "root")
            nodes.append(onnx.helper.make_node("Sqrt", [sums], [root]))
            if beta > 0.6:
                fourth, power = self._name(y, "fourth"), self._name(y, "power")
                nodes.append(onnx.helper.make_node("Sqrt", [root], [fourth]))
                nodes.append(onnx.helper.make_node("Mul", [root, fourth], [power]))
        else:
            power = self._name(y, "power")
            exponent = self._add(y, "beta", np.array(beta), form.dtype)
            nodes.append(onnx.helper.make_node("Pow", [sums, exponent], [power]))
        nodes.append(onnx.helper.make_node("Div", [x, power], [y]))
        for k, made in enumerate(nodes):
            made.name = f"{node.name or y}/{k}"
        self.replaced[v] = nodes

    def finish(self) -> bytes:
        """The model's bytes."""
        source, flow = self.file.model, self.flow
        kept = [v for v in flow.operators if v not in self.gone]
        nodes = [n for v in kept for n in self.replaced.get(v, [source.graph.node[v]])]
        # What bodies of control flow capture is not among a node's inputs.
        inner = (name for v in kept if v not in self.replaced for name in flow.reads[v])
        reads = {name for node in nodes for name in node.input}.union(inner, flow.constants)
        folded, leaves = flow.behind(reads - self.new.keys() - {""})
        made = {name for node in nodes for name in node.output}
        leaves -= made
        model = onnx.ModelProto()
        model.CopyFrom(source)
        # From IR 4 on initialisers need not be inputs; these are constants.
        model.ir_version = max(source.ir_version, 4)
        for part in (model.graph.node, model.graph.input, model.graph.value_info):
            del part[:]
        model.graph.input.extend(v for v in source.graph.input if v.name in flow.inputs)
        model.graph.value_info.extend(v for v in source.graph.value_info if v.name in made)
        fix_shapes(model.graph, self.forms)
        model.graph.node.extend(source.graph.node[u] for u in sorted(folded))
        model.graph.node.extend(nodes)
        model.graph.initializer.extend(t for name, t in self.new.items() if name in reads)
        view = memoryview(self.file.data)
        weights = sorted((self.file.weights[name] for name in leaves), key=lambda w: w.start)
        spans: list[Span] = [(w.end - w.start, [view[w.start : w.end]]) for w in weights]
        return assemble(model, spans)

    def _only_reader(self, name: str) -> int:
        """The node that alone reads a tensor; -1 if several do, or the model returns it."""
        readers = self.readers.get(name, [])
        return readers[0] if len(readers) == 1 and name not in self.flow.outputs else -1

    def _affine(
        self, v: int, node: onnx.NodeProto, shape: tuple[int, ...]
    ) -> tuple[Array, Array] | None:
        """Scale and shift per channel of a node that is y = a x + b, else None."""
        if node.domain not in ("", "ai.onnx") or self.forms[node.output[0]].fixed != shape:
            return None
        if node.op_type == "BatchNormalization":
            return self._norm(node, shape[1])
        if node.op_type not in ("Mul", "Add"):
            return None
        vectors = [self._vector(name, shape, node) for name in node.input]
        constants = [u for u in vectors if u is not None]
        if len(constants) != 1 or len(self.flow.reads[v]) != 2:
            return None
        (constant,) = constants
        if node.op_type == "Mul":
            return constant, np.zeros(shape[1])
        return np.ones(shape[1]), constant

    def _norm(self, node: onnx.NodeProto, channels: int) -> tuple[Array, Array] | None:
        given = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        found = [self.small.get(name) for name in node.input[1:5]]
        parts = [u.astype(np.float64) for u in found if u is not None and u.shape == (channels,)]
        returned = [name for name in node.output[1:] if name]
        legacy = not given.get("spatial", 1) or not given.get("is_test", 1)
        if len(parts) != 4 or given.get("training_mode", 0) or returned or legacy:
            return None
        gamma, beta, mean, variance = parts
        scale = gamma / np.sqrt(variance + given.get("epsilon", 1e-5))
        return scale, beta - mean * scale

    def _vector(self, name: str, shape: tuple[int, ...], node: onnx.NodeProto) -> Array | None:
        """A constant operand as one number per channel; None if it varies in another way."""
        value = self.small.get(name)
        if value is None:
            return None
        if value.size == 1:
            return np.full(shape[1], float(value.reshape(-1)[0]))
        own = broadcast_axis(value.shape, shape, 1, node, self.opset)
        if own is None or value.size != shape[1]:
            return None
        return value.reshape(-1).astype(np.float64)

    def _convolution(
        self, head: onnx.NodeProto, made: str, scale: Array, shift: Array
    ) -> onnx.NodeProto | None:
        """The convolution with scale and shift in its weights, None where it has no plain ones."""
        weight = self.file.weights.get(head.input[1])
        before: Array | None = np.zeros(len(scale))
        if len(head.input) > 2 and head.input[2]:
            before = self.small.get(head.input[2])
        if weight is None or before is None:
            return None
        kernel = numpy_helper.to_array(self.file.tensor(weight)).astype(np.float64)
        kernel *= scale.reshape(-1, *[1] * (kernel.ndim - 1))
        node = onnx.NodeProto()
        node.CopyFrom(head)
        node.input[:] = [
            head.input[0],
            self._add(made, "weight", kernel, weight.dtype),
            self._add(made, "bias", before * scale + shift, weight.dtype),
        ]
        node.output[:] = [made]
        return node

    def _batch_norm(
        self, head: onnx.NodeProto, made: str, scale: Array, shift: Array
    ) -> onnx.NodeProto:
        """One batch norm: mean 0, variance 1 and epsilon 0 leave scale and shift."""
        dtype = self.forms[made].dtype
        parts = {"scale": scale, "shift": shift}
        parts |= {"mean": np.zeros_like(scale), "variance": np.ones_like(scale)}
        reads = [head.input[0], *(self._add(made, what, u, dtype) for what, u in parts.items())]
        return onnx.helper.make_node(
            "BatchNormalization", reads, [made], name=head.name, epsilon=0.0
        )

    def _add(self, tensor: str, what: str, array: Array, dtype: str) -> str:
        name = self._name(tensor, what)
        self.new[name] = numpy_helper.from_array(array.astype(np.dtype(dtype)), name)
        return name

    def _name(self, tensor: str, what: str) -> str:
        """A new name for something that belongs to a tensor."""
        name = f"{tensor}/{what}"
        taken: Iterable[Mapping[str, object]] = (
            self.file.weights, self.flow.producer, self.forms.by_name, self.new
        )  # fmt: skip
        while any(name in names for names in taken):
            name += "'"
        return name
