"""Which kernels onnxruntime makes of a model's operators, and how long each runs.

onnxruntime rewrites the graph before it runs it.  From the rewritten graph, which it can write
out, :func:`match` reads which operators became one kernel: a kernel computes whatever lies between
the tensors it reads and the tensor it writes, and those can be named, because

- a kernel that is no fusion, and most that are, keep the name of a node of the model
  (``k:...`` in the shell, see :mod:`dds.profile.weights`);
- what a fused kernel writes keeps the name of the model's tensor;
- a kernel in blocked layout (NCHWc) is called after the tensor of the node it replaces,
  ``<tensor>_nchwc``, and what it writes has a name of no meaning; it may take in an addition
  (then it has a fourth input) and an activation (then it has that attribute) that follow.

An operator that none of this finds was optimised away, or is one of a kernel's inner ones.
"""

from __future__ import annotations

import itertools
import json
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from dds.errors import InternalError
from dds.model.dataflow import bodies
from dds.model.fusion import Fusion, Pair
from dds.model.graph import ModelGraph
from dds.profile.runtime import Runtime, open_session
from dds.profile.weights import node_number

__all__ = [
    "Kernels",
    "durations",
    "kernel_seconds",
    "match",
    "profiler_events",
    "read_kernels",
    "runtime_fusion",
]

#: What onnxruntime's profiler tells of one interval.
Event = Mapping[str, Any]

_BLOCKED = re.compile(r"(.+?)_nchwc(?:_token_\d+)?", re.DOTALL)
_REPLACED = re.compile(r"(.+)_(?:bn|mul|add)", re.DOTALL)
_BLOCKED_DOMAIN = "com.microsoft.nchwc"
_KERNEL_TIME = "_kernel_time"


@dataclass(frozen=True)
class Kernels:
    """Which kernel works for which operators.

    fusion: the operators that run as one; group: per kernel, by name, the group it works for,
    -1 for none (a model output that is a constant); unnamed: the groups of the kernels without
    a name, per operator type in onnxruntime's order.
    """

    fusion: Fusion
    group: Mapping[str, int]
    unnamed: Mapping[str, Sequence[int]] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """How many kernels there are, those inside control flow operators not counted."""
        return len(self.group) + sum(map(len, self.unnamed.values()))

    def counts(self) -> list[int]:
        """How many kernels work for each group."""
        counts = [0] * len(self.fusion.groups)
        for group in itertools.chain(self.group.values(), *self.unnamed.values()):
            if group >= 0:
                counts[group] += 1
        return counts

    def of(self, names: Iterable[str]) -> dict[str, int]:
        """The group of each kernel that the profiler names; InternalError for an unknown one.

        The profiler calls a kernel without a name, such as one from inside a function of the
        model, by its operator type and onnxruntime's number: ``Cast_58``.
        """
        found: dict[str, int] = {}
        numbered: dict[str, list[int]] = {}
        for name in names:
            kind, _, number = name.rpartition("_")
            if name in self.group:
                found[name] = self.group[name]
            elif kind in self.unnamed and number.isdecimal():
                numbered.setdefault(kind, []).append(int(number))
            else:
                raise InternalError(f"kernel {name!r} is not in the optimised graph")
        for kind, numbers in numbered.items():
            if len(numbers) > len(self.unnamed[kind]):
                raise InternalError(f"{len(numbers)} kernels {kind} without a name, not all known")
            for k, group in zip(sorted(numbers), self.unnamed[kind], strict=False):
                found[f"{kind}_{k}"] = group
        return found


def runtime_fusion(model: bytes, graph: ModelGraph, runtime: Runtime) -> Fusion:
    """Which operators of the ONNX bytes `model`, whose graph is `graph`, this runtime runs as one.

    Loads the model, but does not run it.  Raises InvalidInput when onnxruntime refuses it.
    """
    with tempfile.TemporaryDirectory(prefix="dds-fusion-") as folder:
        optimised = Path(folder) / "graph.onnx"
        open_session(model, runtime, optimised=optimised)
        return read_kernels(graph, optimised).fusion


def read_kernels(graph: ModelGraph, optimised: Path) -> Kernels:
    """:func:`match` with the file that :func:`dds.profile.runtime.open_session` had written."""
    return match(graph, onnx.load(optimised, load_external_data=False).graph)


def match(graph: ModelGraph, optimised: onnx.GraphProto) -> Kernels:
    """Match onnxruntime's graph to the operators of the model's `graph`.

    Copies into blocked layout count for the kernel that reads them, if it is one, otherwise, like
    copies out of it, for the kernel that makes what they copy.
    """
    kernels = _Matching(graph, optimised.node)
    fusion = Fusion.joined(graph, kernels.pairs())
    label = {v: g for g, group in enumerate(fusion.groups) for v in group}
    named: dict[str, int] = {}
    unnamed: dict[str, list[int]] = {}
    for k, node in enumerate(optimised.node):
        group = label.get(kernels.owner(k), -1)
        if node.name:
            named[node.name] = group
        else:
            unnamed.setdefault(node.op_type, []).append(group)
    return Kernels(fusion, named, unnamed)


class _Matching:
    """Two graphs side by side: operators and tensors by index, kernels and values of the other.

    anchors: per kernel the operators known to be in it, in the order in which they run;
    computed: the tensors that some kernel writes, under whatever name.
    """

    def __init__(self, graph: ModelGraph, kernels: Sequence[onnx.NodeProto]) -> None:
        self._graph = graph
        self._tensor = {tensor.name: t for t, tensor in enumerate(graph.tensors)}
        self._operator = {o.node: v for v, o in enumerate(graph.operators) if o.node >= 0}
        self._reads = [tuple(dict.fromkeys(_reads(kernel))) for kernel in kernels]
        self._writer = {name: k for k, kernel in enumerate(kernels) for name in kernel.output}
        self._readers: list[list[int]] = [[] for _ in kernels]
        for k, names in enumerate(self._reads):
            for name in names:
                if name in self._writer:
                    self._readers[self._writer[name]].append(k)
        self.computed = set(graph.inputs)
        self.anchors = [self._anchor(kernel) for kernel in kernels]

    def pairs(self) -> Iterator[Pair]:
        """Pairs of operators that run as one."""
        # Per operator that no kernel is named after: an operator of each kernel it may be in.
        homes: dict[int, set[int]] = {v: set() for v in range(len(self._graph.operators))}
        for known in self.anchors:
            for v in known:
                yield known[-1], v
                homes.pop(v, None)
        for known in self.anchors:
            for v in self._behind(known):
                if v in homes:
                    homes[v].add(known[-1])
        for v, candidates in homes.items():
            if len(candidates) == 1:
                yield v, candidates.pop()
                continue
            makers = [self._graph.producer[t] for t in self._graph.operators[v].inputs[:1]]
            if makers and makers[0] >= 0:
                yield v, makers[0]

    def owner(self, kernel: int) -> int:
        """The operator that a kernel works for; -1 for none."""
        k, known = kernel, self.anchors[kernel]
        while not known and len(self._readers[k]) == 1:
            k = self._readers[k][0]
            known = self.anchors[k]
        k = kernel
        while not known:
            before = next((self._writer[n] for n in self._reads[k] if n in self._writer), None)
            if before is None:
                break
            k, known = before, self.anchors[before]
        k = kernel
        while not known and self._readers[k]:
            k = self._readers[k][0]
            known = self.anchors[k]
        return known[-1] if known else -1

    def _anchor(self, kernel: onnx.NodeProto) -> tuple[int, ...]:
        producer = self._graph.producer
        written = [self._tensor[name] for name in kernel.output if name in self._tensor]
        known = [producer[t] for t in written if producer[t] >= 0]
        # A tensor's name is the model's: one that looks like ours must not pass for a node's.
        blocked = kernel.domain == _BLOCKED_DOMAIN
        own = -1 if blocked else self._operator.get(node_number(kernel.name), -1)
        if own >= 0 and own not in known:
            known.insert(0, own)
            if not written and kernel.op_type == self._graph.operators[own].kind:
                written = list(self._graph.operators[own].outputs)
        if not known and (first := self._blocked(kernel.name)) >= 0:
            known = self._taken_in(kernel, first)
            written = list(self._graph.operators[known[-1]].outputs)
        self.computed.update(written)
        return tuple(dict.fromkeys(known))

    def _blocked(self, name: str) -> int:
        """The operator that a kernel in blocked layout is called after, -1 if it is none."""
        found = _BLOCKED.fullmatch(name)
        while found:
            t = self._tensor.get(found[1], -1)
            if t >= 0:
                return self._graph.producer[t]
            found = _REPLACED.fullmatch(found[1])
        return -1

    def _taken_in(self, kernel: onnx.NodeProto, first: int) -> list[int]:
        """`first` and what a blocked kernel runs after it: an addition, an activation."""
        known = [first]
        if kernel.op_type == "Conv" and len(kernel.input) > 3 and kernel.input[3]:
            known += self._next(known[-1], ("Add", "Sum"))
        kinds = [a.s.decode() for a in kernel.attribute if a.name == "activation"]
        if kinds and self._graph.operators[known[-1]].kind != kinds[0]:
            known += self._next(known[-1], kinds)
        return known

    def _next(self, v: int, kinds: Sequence[str]) -> list[int]:
        """The only reader of what operator v makes, if it is of one of these kinds."""
        outputs = self._graph.operators[v].outputs
        readers = [reader for t in outputs for reader in self._graph.consumers[t]]
        fits = len(readers) == 1 and self._graph.operators[readers[0]].kind in kinds
        return readers if fits else []

    def _behind(self, known: Sequence[int]) -> set[int]:
        """The operators that a kernel runs: from those known back to what other kernels make."""
        found, pending = set(known), list(known)
        while pending:
            for t in self._graph.operators[pending.pop()].inputs:
                v = self._graph.producer[t]
                if t not in self.computed and v not in found:
                    found.add(v)
                    pending.append(v)
        return found


def _reads(kernel: onnx.NodeProto) -> Iterator[str]:
    """The values a kernel reads, those that the bodies of a control flow kernel capture too."""
    yield from kernel.input
    for body in bodies(kernel):
        for node in body.node:
            yield from _reads(node)


def profiler_events(session: Any) -> list[Event]:
    """What the profiler of an onnxruntime session has seen; it sees no more after this."""
    events: list[Event] = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    return events


def kernel_seconds(events: Iterable[Event], kernels: Kernels, runs: int) -> NDArray[np.float64]:
    """Seconds per run and group, shape (runs, groups), from onnxruntime's profiler.

    Kernels inside a control flow operator lie within its own interval and are not counted twice.
    A group that no kernel works for takes 0 s.

    Raises InternalError when a kernel is not one of `kernels`, or did not run once a run.
    """
    result = np.zeros((runs, len(kernels.fusion.groups)))
    seconds = durations(events)
    for name, group in kernels.of(seconds).items():
        if len(seconds[name]) != runs:
            raise InternalError(f"kernel {name!r} ran {len(seconds[name])} times in {runs} runs")
        if group >= 0:
            result[:, group] += seconds[name]
    return result


def durations(events: Iterable[Event]) -> dict[str, list[float]]:
    """Per kernel that lies in no other: the seconds of each of its runs, in their order."""
    rows = [event for event in events if str(event.get("name", "")).endswith(_KERNEL_TIME)]
    # A kernel that starts when another does and lasts longer is the outer one.
    rows.sort(key=lambda event: (event["ts"], -event["dur"]))
    found: dict[str, list[float]] = {}
    outer_end = 0
    for event in rows:
        if event["ts"] < outer_end:
            continue
        outer_end = event["ts"] + event["dur"]
        name = str(event["name"]).removesuffix(_KERNEL_TIME)
        found.setdefault(name, []).append(event["dur"] * 1e-6)
    return found
