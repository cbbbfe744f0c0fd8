"""Which nodes of an ONNX graph are operators, and which fold into constants.

A node is an *operator* when it depends on a model input (or draws random numbers,
which must be drawn once) and a model output depends on it.  Nodes that depend on
constants alone are *folded*: their results are weights.  Nodes that no output
depends on are dropped.  A control-flow node is one node; it reads whatever its
bodies capture from the graph around them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import onnx

from dds.errors import InvalidInput
from dds.model.onnxfile import OnnxFile, text

__all__ = ["Dataflow", "attributes", "bodies", "dataflow", "describe"]

#: Operators that give another answer each time: never folded, so both parts see one draw.
_RANDOM = frozenset({"RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike",
                     "Multinomial", "Bernoulli"})  # fmt: skip
_DEEPEST = 64
#: More nodes than any real model's functions unfold into.
_UNFOLDED = 10**6


@dataclass(frozen=True)
class Dataflow:
    """The reading of a graph.

    operators, folded: node indices in graph order; reads: per node the names it reads,
    each once, bodies' captures included; producer: tensor name -> node index; inputs: the
    names of the real model inputs; outputs: the names the model returns, each once;
    constants: those outputs that depend on no input.
    """

    operators: tuple[int, ...]
    folded: frozenset[int]
    reads: tuple[tuple[str, ...], ...]
    producer: dict[str, int]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    constants: tuple[str, ...]

    def behind(self, names: Iterable[str]) -> tuple[set[int], set[str]]:
        """The folded nodes and the initialisers that the constants among ``names`` need."""
        nodes: set[int] = set()
        leaves: set[str] = set()
        pending = list(names)
        while pending:
            name = pending.pop()
            node = self.producer.get(name)
            if node is None:
                if name not in self.inputs:
                    leaves.add(name)
            elif node in self.folded and node not in nodes:
                nodes.add(node)
                pending += self.reads[node]
        return nodes, leaves


def describe(node: onnx.NodeProto, index: int) -> str:
    """How a message names a node."""
    name = f" {node.name!r}" if node.name else ""
    kind = node.op_type if str(node.op_type).isidentifier() else repr(node.op_type)
    return f"node {index}{name} ({kind})"


def attributes(node: onnx.NodeProto) -> dict[str, onnx.AttributeProto]:
    """A node's attributes by name."""
    return {attribute.name: attribute for attribute in node.attribute}


def bodies(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """The graphs inside a control-flow node."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def dataflow(file: OnnxFile) -> Dataflow:
    """Read a model's graph and check that it is one.

    Raises InvalidInput, naming the node or tensor, when a tensor is produced twice,
    read before anything produces it (a cycle, a missing initialiser, nodes out of order)
    or returned without being produced; for external or sparse tensors in nodes; and for
    names that are not text.
    """
    graph = file.model.graph
    _check_functions(file.model)
    inputs = _names((value.name for value in graph.input), "model input")
    inputs = tuple(name for name in inputs if name not in file.weights)
    outputs = tuple(dict.fromkeys(text(value.name, "model output") for value in graph.output))
    if not outputs:
        raise InvalidInput("the model returns nothing; it needs at least one output")
    known = {*inputs, *file.weights}
    randoms = _random_functions(file.model)
    producer: dict[str, int] = {}
    reads: list[tuple[str, ...]] = []
    varying = set(inputs)
    for index, node in enumerate(graph.node):
        _check_node(node, index)
        names = tuple(dict.fromkeys(_captures([node])))
        for name in names:
            if name not in known:
                raise InvalidInput(
                    f"{describe(node, index)} reads tensor {name!r}, which no input, initialiser "
                    "or node before it provides (missing initialiser, a cycle, nodes out of order)"
                )
        reads.append(names)
        written = [name for name in node.output if name]
        for name in written:
            if name in known:
                raise InvalidInput(
                    f"{describe(node, index)} produces tensor {name!r}, which exists already"
                )
            known.add(name)
            producer[name] = index
        if not varying.isdisjoint(names) or _draws(node, randoms):
            varying.update(written)
    for name in outputs:
        if name not in known:
            raise InvalidInput(f"model output {name!r} is produced by no node")
    needed = _needed(outputs, producer, reads)
    live = [v for v in sorted(needed) if not varying.isdisjoint(graph.node[v].output)]
    return Dataflow(
        tuple(live),
        frozenset(needed.difference(live)),
        tuple(reads),
        producer,
        inputs,
        outputs,
        tuple(name for name in outputs if name not in varying),
    )


def _names(names: Iterable[str | bytes], what: str) -> tuple[str, ...]:
    seen: set[str] = set()
    checked = tuple(text(name, what) for name in names)
    for name in checked:
        if name in seen:
            raise InvalidInput(f"{what} {name!r} occurs twice")
        seen.add(name)
    return checked


def _needed(
    outputs: Iterable[str], producer: dict[str, int], reads: list[tuple[str, ...]]
) -> set[int]:
    needed: set[int] = set()
    pending = list(outputs)
    while pending:
        node = producer.get(pending.pop())
        if node is not None and node not in needed:
            needed.add(node)
            pending += reads[node]
    return needed


def _captures(nodes: Iterable[onnx.NodeProto]) -> Iterator[str]:
    """The names that ``nodes`` read, and their bodies read from outside themselves."""
    for node in nodes:
        yield from (name for name in node.input if name)
        for body in bodies(node):
            own = {value.name for value in body.input} | {t.name for t in body.initializer}
            own.update(name for inner in body.node for name in inner.output)
            for name in (*_captures(body.node), *(v.name for v in body.output)):
                if name and name not in own:
                    yield name


def _check_node(node: onnx.NodeProto, index: int, depth: int = 0) -> None:
    problem = _problem(node, depth)
    if problem:
        raise InvalidInput(f"{describe(node, index)} {problem}")
    for body in bodies(node):
        for inner_index, inner in enumerate(body.node):
            _check_node(inner, inner_index, depth + 1)


def _problem(node: onnx.NodeProto, depth: int) -> str:
    """What is wrong with a node by itself, "" if nothing."""
    if depth > _DEEPEST:
        return f"nests bodies deeper than {_DEEPEST}"
    names = (node.op_type, node.domain, node.name, *node.input, *node.output)
    if any(isinstance(name, bytes) for name in names):
        return "has a name that is not UTF-8 text"
    tensors: list[onnx.TensorProto] = []
    sparse = False
    for attribute in node.attribute:
        sparse |= attribute.HasField("sparse_tensor") or bool(attribute.sparse_tensors)
        tensors += (attribute.t, *attribute.tensors)
    for body in bodies(node):
        sparse |= bool(body.sparse_initializer)
        tensors += body.initializer
    if sparse:
        return "holds a sparse tensor; store it dense (DDS reads none)"
    if any(t.data_location == onnx.TensorProto.EXTERNAL or t.external_data for t in tensors):
        return "has external data; save the model with its weights inside"
    return ""


def _check_functions(model: onnx.ModelProto) -> None:
    """Refuse functions that call each other in a circle, or unfold into too much."""
    for function in model.functions:
        for index, node in enumerate(function.node):
            _check_node(node, index)
    waiting = {(f.domain, f.name): f for f in model.functions}
    unfolded: dict[tuple[str, str], int] = {}
    for _ in range(_DEEPEST):
        for key, function in list(waiting.items()):
            calls = [(node.domain, node.op_type) for node in _nested(function.node)]
            if waiting.keys().isdisjoint(calls):
                unfolded[key] = sum(unfolded.get(call, 1) for call in calls)
                if unfolded[key] > _UNFOLDED:
                    raise InvalidInput(
                        f"function {function.name!r} unfolds into more than {_UNFOLDED} nodes"
                    )
        for key in unfolded:
            waiting.pop(key, None)
        if not waiting:
            return
    name = next(iter(waiting))[1]
    raise InvalidInput(
        f"function {name!r} calls itself, or a chain of functions longer than {_DEEPEST}"
    )


def _nested(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    """Nodes, and the nodes in their bodies."""
    for node in nodes:
        yield node
        for body in bodies(node):
            yield from _nested(body.node)


def _random_functions(model: onnx.ModelProto) -> set[tuple[str, str]]:
    """The model's functions that draw random numbers, directly or through another."""
    randoms: set[tuple[str, str]] = set()
    for _ in model.functions:
        found = {
            (f.domain, f.name)
            for f in model.functions
            if any(_draws(node, randoms) for node in f.node)
        }
        if found == randoms:
            break
        randoms = found
    return randoms


def _draws(node: onnx.NodeProto, randoms: set[tuple[str, str]]) -> bool:
    return any(
        inner.op_type in _RANDOM or (inner.domain, inner.op_type) in randoms
        for inner in _nested([node])
    )
