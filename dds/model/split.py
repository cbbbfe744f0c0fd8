"""ONNX -> the parts that run on the device and on the server, or on device, edge and cloud.

Each part is a whole ONNX model: the operators of its tier, the constants they read and
no others, and typed inputs and outputs at the cuts.  Tensors keep their names, nodes
take the names of their operators (so a profile can find them), and nothing is optimised:
the parts compute what the whole computes, bit for bit, under a runtime that does not
fuse across nodes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import onnx

from dds.errors import InvalidInput
from dds.model.dataflow import Dataflow, dataflow
from dds.model.graph import ModelGraph, Sides
from dds.model.onnxfile import OnnxFile, assemble, open_onnx
from dds.model.shapes import tensor_type

__all__ = ["Part", "SplitModel", "SplitTiers", "split", "split_tiers"]

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


@dataclass(frozen=True)
class Part:
    """What one tier runs.

    model: ONNX bytes, None where the tier has nothing to compute; inputs: names it is fed,
    outputs: names it returns; both empty where it computes nothing.
    """

    model: bytes | None = field(repr=False)
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class SplitTiers:
    """Three models that together are one.

    device, edge, cloud: the parts; uploads: names that leave the device, read by edge or cloud;
    downloads: names that come back to the device, from either; outputs: the model's outputs in
    its order.

    One inference, with ``run`` any function from a part and its inputs to its outputs::

        on_device = run(parts.device, parts.device_feeds(inputs))
        on_edge = run(parts.edge, parts.edge_feeds(inputs, on_device))
        on_cloud = run(parts.cloud, parts.cloud_feeds(inputs, on_device, on_edge))
        result = parts.join(inputs, on_device, on_edge, on_cloud)
    """

    device: Part
    edge: Part
    cloud: Part
    uploads: tuple[str, ...]
    downloads: tuple[str, ...]
    outputs: tuple[str, ...]

    @property
    def forwards(self) -> tuple[str, ...]:
        """Names that go on from edge to cloud, made there or passed through: the cloud's inputs."""
        return self.cloud.inputs

    def device_feeds(self, inputs: Mapping[str, Value]) -> dict[str, Value]:
        """The device part's inputs out of the model's."""
        return _pick(self.device.inputs, inputs)

    def uploaded(
        self, inputs: Mapping[str, Value], on_device: Mapping[str, Value]
    ) -> dict[str, Value]:
        """All that leaves the device."""
        return _pick(self.uploads, inputs, on_device)

    def edge_feeds(
        self, inputs: Mapping[str, Value], on_device: Mapping[str, Value]
    ) -> dict[str, Value]:
        """The edge part's inputs."""
        return _pick(self.edge.inputs, inputs, on_device)

    def cloud_feeds(
        self,
        inputs: Mapping[str, Value],
        on_device: Mapping[str, Value],
        on_edge: Mapping[str, Value],
    ) -> dict[str, Value]:
        """The cloud part's inputs."""
        return _pick(self.cloud.inputs, inputs, on_device, on_edge)

    def join(self, *sources: Mapping[str, Value]) -> dict[str, Value]:
        """The model's outputs, in its order, out of its inputs and what the parts returned."""
        return _pick(self.outputs, *sources)


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
    (device, server), outputs = _parts(
        model, graph, [cut.on_device], ("on the device", "on the server")
    )
    return SplitModel(
        device=device.model,
        server=server.model,
        device_inputs=device.inputs,
        device_outputs=device.outputs,
        uploads=server.inputs,
        downloads=server.outputs,
        outputs=outputs,
    )


def split_tiers(
    model: bytes, graph: ModelGraph, on_device: Iterable[int], not_in_cloud: Iterable[int]
) -> SplitTiers:
    """Take a model apart at two cuts: S1 = ``on_device`` within S2 = ``not_in_cloud``.

    model, graph: as for :func:`split`, which this is with the cloud idle.  A tensor that a later
    tier reads is fed to it whether the tiers before read it or not.

    Raises InvalidInput for what :func:`split` refuses, and for S1 not within S2.
    """
    first, second = set(on_device), set(not_in_cloud)
    if not first <= second:
        v = min(first - second)
        name = repr(graph.operators[v].name) if 0 <= v < len(graph.operators) else f"operator {v}"
        raise InvalidInput(f"not_in_cloud: {name} is missing, which runs on the device")
    (device, edge, cloud), outputs = _parts(
        model, graph, [first, second], ("on the device", "on the edge", "in the cloud")
    )
    place = {tensor.name: t for t, tensor in enumerate(graph.tensors)}
    passed = set(edge.inputs) | set(cloud.inputs).difference(edge.outputs)
    returned = set(outputs).intersection((*edge.outputs, *cloud.outputs))
    return SplitTiers(
        device,
        edge,
        cloud,
        uploads=tuple(sorted(passed, key=place.__getitem__)),
        downloads=tuple(sorted(returned, key=place.__getitem__)),
        outputs=outputs,
    )


def _parts(
    model: bytes, graph: ModelGraph, kept: Sequence[Iterable[int]], where: Sequence[str]
) -> tuple[list[Part], tuple[str, ...]]:
    """The parts of all tiers, from the device on, and the model's outputs.

    kept[k]: operators on tier k or before it, each within the next; where: tiers in words.
    """
    file = open_onnx(model)
    flow = dataflow(file)
    nodes = _nodes(file, flow, graph)
    tier = _tiers(graph, kept, where)
    builder = _Builder(file, flow, graph, nodes)
    home = [tier[v] if v >= 0 else -1 for v in graph.producer]
    reads = [
        {t for v in _on(tier, k) for t in graph.operators[v].inputs} for k in range(len(where))
    ]
    parts: list[Part] = []
    for k in range(len(where)):
        later = set(graph.outputs).union(*reads[k + 1 :])
        inputs = sorted(t for t in reads[k] if home[t] != k)
        made = sorted(t for t in later if home[t] == k)
        constants = () if k else flow.constants
        operators = _on(tier, k)
        built = (
            builder.build(operators, inputs, made, constants) if operators or constants else None
        )
        names = [tuple(graph.tensors[t].name for t in listed) for listed in (inputs, made)]
        parts.append(Part(built, names[0], (*names[1], *constants)))
    return parts, flow.outputs


def _on(tier: Sequence[int], k: int) -> list[int]:
    return [v for v, of in enumerate(tier) if of == k]


@dataclass(frozen=True)
class _Builder:
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


def _tiers(graph: ModelGraph, kept: Sequence[Iterable[int]], where: Sequence[str]) -> list[int]:
    """The tier of each operator; data never flows back."""
    tier = [len(kept)] * len(graph.operators)
    for k in reversed(range(len(kept))):
        for v in sorted(kept[k]):
            if not 0 <= v < len(tier):
                raise InvalidInput(f"cut: operator {v} is not among the {len(tier)}")
            tier[v] = k
    for v, place in enumerate(tier):
        for u in graph.predecessors[v]:
            if tier[u] > place:
                raise InvalidInput(
                    f"cut: {graph.operators[v].name!r} {where[place]} reads from "
                    f"{graph.operators[u].name!r} {where[tier[u]]}; data never flows back"
                )
    return tier
