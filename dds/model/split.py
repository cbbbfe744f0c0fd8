"""ONNX -> the part that runs on the device and the part that runs on the server.

Each part is a whole ONNX model: the operators of its side, the constants they read and
no others, and typed inputs and outputs at the cut.  Tensors keep their names, nodes
take the names of their operators (so a profile can find them), and nothing is optimised:
the parts compute what the whole computes, bit for bit, under a runtime that does not
fuse across nodes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import onnx

from dds.errors import InvalidInput
from dds.model.dataflow import Dataflow, dataflow
from dds.model.graph import ModelGraph, Sides
from dds.model.onnxfile import OnnxFile, assemble, open_onnx
from dds.model.shapes import tensor_type

__all__ = ["SplitModel", "split"]

Value = TypeVar("Value")


@dataclass(frozen=True)
class SplitModel:
    """Two models that together are one.

    device, server: ONNX bytes, None where that side has nothing to compute;
    device_inputs: model inputs the device part is fed; device_outputs: what it returns;
    server_inputs, server_outputs: the same of the server part;
    uploads: what crosses up (model inputs the server reads and tensors the device
    computes; equal to server_inputs); downloads: what crosses down (equal to
    server_outputs); outputs: the model's outputs in its order.

    One inference, with ``run`` any function from a part and its inputs to its outputs::

        on_device = run(parts.device, parts.device_feeds(inputs))
        on_server = run(parts.server, parts.server_feeds(inputs, on_device))
        result = parts.join(inputs, on_device, on_server)
    """

    device: bytes | None
    server: bytes | None
    device_inputs: tuple[str, ...]
    device_outputs: tuple[str, ...]
    uploads: tuple[str, ...]
    downloads: tuple[str, ...]
    outputs: tuple[str, ...]

    @property
    def server_inputs(self) -> tuple[str, ...]:
        """Names the server part is fed: what crosses up."""
        return self.uploads

    @property
    def server_outputs(self) -> tuple[str, ...]:
        """Names the server part returns: what crosses down."""
        return self.downloads

    def device_feeds(self, inputs: Mapping[str, Value]) -> dict[str, Value]:
        """The device part's inputs out of the model's."""
        return _pick(self.device_inputs, inputs)

    def server_feeds(
        self, inputs: Mapping[str, Value], on_device: Mapping[str, Value]
    ) -> dict[str, Value]:
        """The server part's inputs out of the model's inputs and the device part's outputs."""
        return _pick(self.uploads, inputs, on_device)

    def join(
        self,
        inputs: Mapping[str, Value],
        on_device: Mapping[str, Value],
        on_server: Mapping[str, Value],
    ) -> dict[str, Value]:
        """The model's outputs, in its order, out of what both parts returned."""
        return _pick(self.outputs, inputs, on_device, on_server)


def split(model: bytes, graph: ModelGraph, cut: Sides) -> SplitModel:
    """Take a model apart where ``cut`` says.

    model: ONNX bytes; graph: of that model (or of the same topology with other
    weights); cut: its ``on_device`` set is used.

    A model input that both sides read is fed to both.  An output that is a model input
    is passed through.  Outputs that depend on no input are computed on the device, even if
    it has no operator.  Weights are copied once, straight from ``model``.

    Raises InvalidInput when the graph is not of this model, or the cut not of this graph
    (an index out of range, or a device operator that reads from the server).
    """
    file = open_onnx(model)
    flow = dataflow(file)
    nodes = _nodes(file, flow, graph)
    on_device = set(cut.on_device)
    _check_cut(graph, on_device)
    producer = graph.producer
    here, there = _reads(graph, on_device, True), _reads(graph, on_device, False)
    names = [tensor.name for tensor in graph.tensors]
    uploads = sorted(t for t in there if producer[t] < 0 or producer[t] in on_device)
    returned = [t for t in graph.outputs if producer[t] >= 0]
    downloads = sorted(t for t in returned if producer[t] not in on_device)
    made_here = sorted(
        {t for t in uploads if producer[t] >= 0} | set(returned).difference(downloads)
    )
    inputs_here = [t for t in graph.inputs if t in here]
    server = [v for v in range(len(graph.operators)) if v not in on_device]
    parts = _Parts(file, flow, graph, nodes)
    device_part = (
        parts.build(sorted(on_device), inputs_here, made_here, flow.constants)
        if on_device or flow.constants
        else None
    )
    return SplitModel(
        device=device_part,
        server=parts.build(server, uploads, downloads, ()) if server else None,
        device_inputs=tuple(names[t] for t in inputs_here),
        device_outputs=(*(names[t] for t in made_here), *flow.constants),
        uploads=tuple(names[t] for t in uploads),
        downloads=tuple(names[t] for t in downloads),
        outputs=flow.outputs,
    )


@dataclass(frozen=True)
class _Parts:
    """Builds parts of one model; nodes[v] is the ONNX node of operator v."""

    file: OnnxFile
    flow: Dataflow
    graph: ModelGraph
    nodes: Sequence[int]

    def build(
        self,
        operators: Sequence[int],
        inputs: Sequence[int],
        outputs: Sequence[int],
        constants: Sequence[str],
    ) -> bytes:
        """The ONNX bytes of the part with these operators, boundary tensors and constants."""
        source = self.file.model
        part = onnx.ModelProto()
        part.CopyFrom(_shell(source))
        part.graph.name = source.graph.name or "model"
        for t in inputs:
            part.graph.input.append(self._value(t))
        for t in outputs:
            part.graph.output.append(self._value(t))
        part.graph.output.extend(v for v in _first(source.graph.output) if v.name in constants)
        reads = [name for v in operators for name in self.flow.reads[self.nodes[v]]]
        folded, leaves = self.flow.behind((*reads, *constants))
        names = {self.nodes[v]: self.graph.operators[v].name for v in operators}
        for index in sorted(folded.union(names)):
            node = part.graph.node.add()
            node.CopyFrom(source.graph.node[index])
            node.name = names.get(index, node.name)
        # Before IR 4 every initialiser must be declared as an input; later, one that is may
        # be overridden.  Either way the part keeps what the model says.
        part.graph.input.extend(v for v in source.graph.input if v.name in leaves)
        weights = sorted((self.file.weights[name] for name in leaves), key=lambda w: w.start)
        view = memoryview(self.file.data)
        return assemble(part, [(w.end - w.start, [view[w.start : w.end]]) for w in weights])

    def _value(self, t: int) -> onnx.ValueInfoProto:
        tensor = self.graph.tensors[t]
        return onnx.ValueInfoProto(name=tensor.name, type=tensor_type(tensor.shape, tensor.dtype))


def _shell(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model without its graph: versions, opsets, functions, metadata."""
    shell = onnx.ModelProto(
        ir_version=model.ir_version,
        producer_name=model.producer_name,
        producer_version=model.producer_version,
        domain=model.domain,
        model_version=model.model_version,
    )
    shell.opset_import.extend(model.opset_import)
    shell.functions.extend(model.functions)
    shell.metadata_props.extend(model.metadata_props)
    return shell


def _first(values: Sequence[onnx.ValueInfoProto]) -> Sequence[onnx.ValueInfoProto]:
    """Each name once: a model may return a tensor twice."""
    return list({value.name: value for value in reversed(values)}.values())[::-1]


def _pick(names: Sequence[str], *sources: Mapping[str, Value]) -> dict[str, Value]:
    picked: dict[str, Value] = {}
    for name in names:
        for source in sources:
            if name in source:
                picked[name] = source[name]
                break
        else:
            raise InvalidInput(f"tensor {name!r} is missing; the cut needs it")
    return picked


def _nodes(file: OnnxFile, flow: Dataflow, graph: ModelGraph) -> list[int]:
    """The ONNX node behind each operator, found by the tensors it produces."""
    nodes: list[int] = []
    for operator in graph.operators:
        made = graph.tensors[operator.outputs[0]].name if operator.outputs else ""
        node = flow.producer.get(made, -1)
        if node < 0 or file.model.graph.node[node].op_type != operator.kind:
            raise InvalidInput(
                f"operator {operator.name!r} is not in this model; load the graph from its bytes"
            )
        nodes.append(node)
    if sorted(nodes) != list(flow.operators):
        raise InvalidInput(
            f"the graph has {len(nodes)} operators and the model {len(flow.operators)}; "
            "load the graph from the model's bytes"
        )
    return nodes


def _check_cut(graph: ModelGraph, on_device: set[int]) -> None:
    for v in sorted(on_device):
        if not 0 <= v < len(graph.operators):
            raise InvalidInput(f"cut: operator {v} is not among the {len(graph.operators)}")
        for u in graph.predecessors[v]:
            if u not in on_device:
                raise InvalidInput(
                    f"cut: {graph.operators[v].name!r} on the device reads from "
                    f"{graph.operators[u].name!r} on the server; data never flows back"
                )


def _reads(graph: ModelGraph, on_device: set[int], device: bool) -> set[int]:
    return {
        t
        for v, operator in enumerate(graph.operators)
        if (v in on_device) is device
        for t in operator.inputs
    }
