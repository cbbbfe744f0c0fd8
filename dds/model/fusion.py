"""Which operators a runtime runs as one.

A runtime fuses operators: a convolution, its normalisation and its activation become one kernel.
A cut between them takes that kernel apart, so for a cut they are one operator.  A
:class:`Fusion` says which operators belong together; :meth:`Fusion.fused` makes the model graph
whose operators are the groups, which every solver takes as it is; and :meth:`Fusion.expand`
takes a cut of that graph back to the model's own.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dds.errors import InvalidInput
from dds.model.graph import ModelGraph, Operator, Sides

__all__ = ["Fusion", "Pair"]

#: Two operators, by index, that run as one.
Pair = tuple[int, int]


@dataclass(frozen=True)
class Fusion:
    """A partition of a graph's operators into groups that run as one.

    groups: operator indices of each group, ascending; the groups in a topological order of
    the fused graph, which has no cycle: no path leaves a group and comes back to it.

    Make one with :meth:`none` or :meth:`joined`; :meth:`fused` checks that it fits its graph.
    """

    groups: tuple[tuple[int, ...], ...]

    @classmethod
    def none(cls, graph: ModelGraph) -> Fusion:
        """Every operator by itself."""
        return cls(tuple((v,) for v in range(len(graph.operators))))

    @classmethod
    def joined(cls, graph: ModelGraph, pairs: Iterable[Pair]) -> Fusion:
        """The finest fusion in which the two operators of every pair are together.

        Groups that a path leaves and enters again become one, so that the fused graph has no
        cycle.  Raises InvalidInput for a pair with an operator that `graph` does not have.
        """
        count = len(graph.operators)
        parent = list(range(count))
        for pair in pairs:
            for v in pair:
                if not 0 <= v < count:
                    raise InvalidInput(f"fusion: operator {v} is not among the {count}")
            low, high = sorted(_root(parent, v) for v in pair)
            parent[high] = low
        label = [_root(parent, v) for v in range(count)]
        label = _acyclic(graph, label)
        members: dict[int, list[int]] = {}
        for v in range(count):
            members.setdefault(label[v], []).append(v)
        return cls(_in_order(graph, label, members))

    def join(self, graph: ModelGraph, other: Fusion) -> Fusion:
        """The finest fusion of `graph` that takes apart no group of either.

        For a device and a server that fuse differently: a cut between its groups cuts
        neither's.
        """
        both = (*self.groups, *other.groups)
        return Fusion.joined(
            graph, [(group[0], v) for group in both for v in group if v != group[0]]
        )

    @property
    def size(self) -> int:
        """How many operators are grouped."""
        return sum(map(len, self.groups))

    def fused(self, graph: ModelGraph) -> ModelGraph:
        """The graph whose operators are the groups of `graph`, in their order.

        A group takes the name of its last member; its kind is its members' joined by ``+``
        (``"Conv+BatchNormalization+Relu"``); kernel, stride and groups are those of the member
        with the most multiply-adds (then FLOPs, then the first); FLOPs, multiply-adds and weight
        bytes are sums.  Tensors inside a group are gone; those that cross its border keep
        their names.

        Raises InvalidInput when this is no fusion of `graph`.
        """
        _check(self, graph)
        inside = self._inside(graph)
        kept = [t for t in range(len(graph.tensors)) if t not in inside]
        place = {t: k for k, t in enumerate(kept)}
        return ModelGraph(
            operators=tuple(_merged(graph, group, place) for group in self.groups),
            tensors=tuple(graph.tensors[t] for t in kept),
            inputs=tuple(place[t] for t in graph.inputs),
            outputs=tuple(place[t] for t in graph.outputs),
            name=graph.name,
            digest=graph.digest,
        )

    def expand(self, cut: Sides | Iterable[int]) -> tuple[int, ...]:
        """The operators of the model that a cut of the fused graph keeps on the device.

        cut: a :class:`dds.cut.Cut` of the fused graph, or the indices of its operators.
        ``dds.cut.make_cut(graph, fusion.expand(cut), times)`` is then that cut of the model.
        Raises InvalidInput for a group that is not there.
        """
        chosen = tuple(cut if isinstance(cut, Iterable) else cut.on_device)
        for g in chosen:
            if not 0 <= g < len(self.groups):
                raise InvalidInput(
                    f"cut: operator {g} is not among the {len(self.groups)} groups; "
                    "cut the fused graph"
                )
        return tuple(sorted(v for g in chosen for v in self.groups[g]))

    def _inside(self, graph: ModelGraph) -> set[int]:
        """The tensors that never leave the group that produces them."""
        label = _labels(self, len(graph.operators))
        inside = set()
        for t, (v, readers) in enumerate(zip(graph.producer, graph.consumers, strict=True)):
            if v >= 0 and readers and all(label[reader] == label[v] for reader in readers):
                inside.add(t)
        return inside.difference(graph.outputs)


def _root(parent: list[int], v: int) -> int:
    while parent[v] != v:
        parent[v] = parent[parent[v]]
        v = parent[v]
    return v


def _labels(fusion: Fusion, count: int) -> list[int]:
    """Per operator its group, -1 where it has none."""
    label = [-1] * count
    for g, group in enumerate(fusion.groups):
        for v in group:
            label[v] = g
    return label


def _acyclic(graph: ModelGraph, label: list[int]) -> list[int]:
    """Labels after those on a common cycle of the fused graph became one (Tarjan 1972)."""
    after: dict[int, set[int]] = {g: set() for g in label}
    for v, before in enumerate(graph.predecessors):
        for u in before:
            if label[u] != label[v]:
                after[label[u]].add(label[v])
    number: dict[int, int] = {}
    lowest: dict[int, int] = {}
    found: dict[int, int] = {}
    stack: list[int] = []
    for start in after:
        if start in number:
            continue
        # An explicit stack: a model may be thousands of operators deep.
        path = [(start, iter(after[start]))]
        number[start] = lowest[start] = len(number)
        stack.append(start)
        while path:
            g, rest = path[-1]
            for following in rest:
                if following not in number:
                    number[following] = lowest[following] = len(number)
                    stack.append(following)
                    path.append((following, iter(after[following])))
                    break
                if following not in found:
                    lowest[g] = min(lowest[g], number[following])
            else:
                path.pop()
                if path:
                    above = path[-1][0]
                    lowest[above] = min(lowest[above], lowest[g])
                if lowest[g] == number[g]:
                    while True:
                        member = stack.pop()
                        found[member] = g
                        if member == g:
                            break
    return [found[g] for g in label]


def _in_order(
    graph: ModelGraph, label: list[int], members: dict[int, list[int]]
) -> tuple[tuple[int, ...], ...]:
    """The groups in topological order; of those that may come next, the one that ends first."""
    before: dict[int, set[int]] = {g: set() for g in members}
    after: dict[int, set[int]] = {g: set() for g in members}
    for v, operators in enumerate(graph.predecessors):
        for u in operators:
            if label[u] != label[v]:
                before[label[v]].add(label[u])
                after[label[u]].add(label[v])
    waiting = {g: len(groups) for g, groups in before.items()}
    ready = [(members[g][-1], g) for g, count in waiting.items() if not count]
    heapq.heapify(ready)
    order = []
    while ready:
        _, g = heapq.heappop(ready)
        order.append(tuple(members[g]))
        for following in after[g]:
            waiting[following] -= 1
            if not waiting[following]:
                heapq.heappush(ready, (members[following][-1], following))
    return tuple(order)


def _check(fusion: Fusion, graph: ModelGraph) -> None:
    count = len(graph.operators)
    members = [v for group in fusion.groups for v in group]
    if sorted(members) != list(range(count)) or not all(fusion.groups):
        raise InvalidInput(
            f"the fusion groups {len(members)} operators and the graph has {count}; "
            "use the fusion of this graph"
        )
    for group in fusion.groups:
        if list(group) != sorted(group):
            raise InvalidInput(
                f"fusion: the group of operator {group[0]} is not ascending; "
                "make it with Fusion.joined"
            )
    label = _labels(fusion, count)
    for v, before in enumerate(graph.predecessors):
        for u in before:
            if label[u] > label[v]:
                raise InvalidInput(
                    f"fusion: {graph.operators[v].name!r} stands before "
                    f"{graph.operators[u].name!r}, which it reads; make it with Fusion.joined"
                )


def _merged(graph: ModelGraph, group: Sequence[int], place: dict[int, int]) -> Operator:
    members = [graph.operators[v] for v in group]
    made = {t for member in members for t in member.outputs}
    reads = dict.fromkeys(t for member in members for t in member.inputs if t not in made)
    main = max(members, key=lambda member: (member.macs, member.flops))
    return Operator(
        name=members[-1].name,
        kind="+".join(member.kind for member in members),
        inputs=tuple(place[t] for t in reads),
        outputs=tuple(place[t] for member in members for t in member.outputs if t in place),
        flops=sum(member.flops for member in members),
        macs=sum(member.macs for member in members),
        weight_bytes=sum(member.weight_bytes for member in members),
        node=members[0].node if len(members) == 1 else -1,
        kernel=main.kernel,
        stride=main.stride,
        groups=main.groups,
    )
