"""The model graph: a frozen DAG of operators and the tensors between them.

Weights, constants and everything computed from them alone are folded away, so
an edge of this graph is data that depends on the model's input: exactly what
could cross a cut.  Operators stand in a topological order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol

from dds.errors import InvalidInput

__all__ = ["ModelGraph", "Operator", "Reach", "Sides", "Tensor"]


class Sides(Protocol):
    """Which side each operator runs on; a :class:`dds.cut.Cut` says so."""

    @property
    def on_device(self) -> Sequence[int]:
        """Indices of the operators on the device, closed under predecessors."""
        ...


@dataclass(frozen=True, slots=True)
class Tensor:
    """A value that operators exchange.

    name: unique in the graph; shape: fixed dimensions; dtype: numpy name
    (``"float32"``); bytes: size of one value in bytes.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    bytes: int


class Reach(NamedTuple):
    """What a slice of an operator's output reads of one of its inputs.

    Indices [low, high) of the output's axis need these of the input's ``axis``::

        [low // per * step - before,  (high - 1) // per * step - before + extent)

    as far as they exist; what lies outside is padding.  A window of a convolution has
    ``step`` its stride, ``extent`` its dilated kernel and ``before`` the padding; groups of
    channels have ``per`` outputs and ``step`` = ``extent`` inputs each; an input of a concat
    has ``before`` its offset.  Axis -1: every slice reads all of the input.
    """

    axis: int
    step: int = 1
    extent: int = 1
    before: int = 0
    per: int = 1

    def span(self, low: int, high: int) -> tuple[int, int]:
        """The indices that [low, high) needs, padding included."""
        first = low // self.per * self.step - self.before
        last = (high - 1) // self.per * self.step - self.before
        return first, last + self.extent


@dataclass(frozen=True, slots=True)
class Operator:
    """A node of the model.

    name: unique; kind: ONNX operator type (``"Conv"``); inputs and outputs:
    indices into :attr:`ModelGraph.tensors`, inputs without weights and without
    repetition; flops: floating point operations of one run (a multiply-add is two);
    macs: multiply-adds among them; weight_bytes: bytes of the constants it reads;
    node: index of the node in the ONNX graph it came from, -1 if it came from none;
    kernel, stride: window and step of a convolution or pooling per spatial axis, () for
    others; groups: of channels that a convolution keeps apart; reach: per axis of the
    output the :class:`Reach` into each of ``inputs``, () for an axis that cannot be sliced.
    """

    name: str
    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    flops: int = 0
    macs: int = 0
    weight_bytes: int = 0
    node: int = -1
    kernel: tuple[int, ...] = ()
    stride: tuple[int, ...] = ()
    groups: int = 1
    reach: tuple[tuple[Reach, ...], ...] = ()


@dataclass(frozen=True)
class ModelGraph:
    """A DNN as a DAG: ``operators`` in topological order over ``tensors``.

    inputs, outputs: indices into tensors of what the model is given and returns;
    name: for people; digest: SHA-256 (hex) of the model's bytes, "" if it has none.

    Raises InvalidInput when an index is out of range, a tensor has two producers,
    an operator reads a tensor that nothing before it produces, a name occurs
    twice, or a byte count is negative.
    """

    operators: tuple[Operator, ...]
    tensors: tuple[Tensor, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    name: str = ""
    digest: str = ""

    def __post_init__(self) -> None:
        _check(self)

    @cached_property
    def producer(self) -> tuple[int, ...]:
        """Per tensor the operator that produces it, -1 for a model input."""
        producer = [-1] * len(self.tensors)
        for v, operator in enumerate(self.operators):
            for tensor in operator.outputs:
                producer[tensor] = v
        return tuple(producer)

    @cached_property
    def consumers(self) -> tuple[tuple[int, ...], ...]:
        """Per tensor the operators that read it, ascending."""
        consumers: list[list[int]] = [[] for _ in self.tensors]
        for v, operator in enumerate(self.operators):
            for tensor in operator.inputs:
                consumers[tensor].append(v)
        return tuple(tuple(readers) for readers in consumers)

    @cached_property
    def predecessors(self) -> tuple[tuple[int, ...], ...]:
        """Per operator the operators whose outputs it reads, ascending."""
        producer = self.producer
        return tuple(
            tuple(sorted({producer[t] for t in operator.inputs} - {-1}))
            for operator in self.operators
        )

    @property
    def flops(self) -> int:
        """Floating point operations of one inference."""
        return sum(operator.flops for operator in self.operators)

    @property
    def weight_bytes(self) -> int:
        """Bytes of all constants, each counted once per operator that reads it."""
        return sum(operator.weight_bytes for operator in self.operators)


def _check(graph: ModelGraph) -> None:
    names: set[str] = set()
    for tensor in graph.tensors:
        if tensor.name in names:
            raise InvalidInput(f"tensor {tensor.name!r} occurs twice; give each its own name")
        if tensor.bytes < 0:
            raise InvalidInput(f"tensor {tensor.name!r} has {tensor.bytes} bytes; need >= 0")
        names.add(tensor.name)
    count = len(graph.tensors)
    if any(not 0 <= t < count for t in graph.inputs + graph.outputs):
        raise InvalidInput(f"a model input or output is not one of the {count} tensors")
    known = set(graph.inputs)
    if len(known) != len(graph.inputs):
        raise InvalidInput("a tensor is listed twice as a model input")
    operators: set[str] = set()
    for operator in graph.operators:
        where = f"operator {operator.name!r}"
        if operator.name in operators:
            raise InvalidInput(f"{where} occurs twice; give each its own name")
        operators.add(operator.name)
        for t in operator.inputs:
            if t not in known:
                raise InvalidInput(
                    f"{where} reads tensor {t}, which no model input and no operator before "
                    "it provides; list operators in topological order"
                )
        for t in operator.outputs:
            if not 0 <= t < count or t in known:
                raise InvalidInput(f"{where} produces tensor {t}, unknown or produced already")
            known.add(t)
    missing = [graph.tensors[t].name for t in graph.outputs if t not in known]
    if missing:
        raise InvalidInput(f"model output {missing[0]!r} is produced by no operator")
