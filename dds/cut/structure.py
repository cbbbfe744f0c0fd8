"""What a graph's shape alone says about its cuts: articulations, blocks, what is implied.

An operator comparable with every other one is an *articulation*: everything
before it in topological order leads to it, everything behind follows from it.
Each articulation is a block of its own; the operators between two form another.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from dds.model.graph import ModelGraph

__all__ = ["blocks", "open_bytes", "prefixes", "reduction", "through_bytes"]


def blocks(graph: ModelGraph) -> list[int]:
    """Per operator the number of its block, ascending from 0.

    Operator v is an articulation iff it is the only sink among operators 0..v
    and the only source among v..n-1.
    """
    n = len(graph.operators)
    successors: list[list[int]] = [[] for _ in range(n)]
    for v, before in enumerate(graph.predecessors):
        for p in before:
            successors[p].append(v)
    sinks = _loose_ends(graph.predecessors)
    sources = _loose_ends([[n - 1 - w for w in successors[n - 1 - v]] for v in range(n)])[::-1]
    articulation = [sinks[v] == 1 == sources[v] for v in range(n)]
    starts = (v > 0 and (articulation[v] or articulation[v - 1]) for v in range(n))
    return list(accumulate(map(int, starts)))


def prefixes(graph: ModelGraph) -> list[int]:
    """How many operators come before each articulation, and up to it; none and all of them too.

    Ascending.  Each prefix is closed under predecessors, so it is a cut.
    """
    block, count = blocks(graph), len(graph.operators)
    ends = [v for v in range(1, count) if block[v] != block[v - 1]]
    return sorted({0, *ends, count})


def _loose_ends(links: Sequence[Sequence[int]]) -> list[int]:
    """Per v how many of 0..v have no link to them from 0..v; links point backwards."""
    linked = [False] * len(links)
    counts, loose = [], 0
    for targets in links:
        loose += 1
        for p in targets:
            loose -= not linked[p]
            linked[p] = True
        counts.append(loose)
    return counts


def reduction(graph: ModelGraph, block: Sequence[int]) -> tuple[list[set[int]], list[list[int]]]:
    """(needs, readers): what remains once everything implied is left out.

    needs[v]: the predecessors of v in its own block that no other predecessor
    depends on; readers[t]: the maximal consumers of tensor t, ascending.
    """
    ancestors: list[int] = []  # bit i: the i-th operator of the block
    bit: list[int] = []
    needs: list[set[int]] = []
    for v, before in enumerate(graph.predecessors):
        bit.append(1 if v == 0 or block[v] != block[v - 1] else bit[-1] << 1)
        near = [p for p in before if block[p] == block[v]]
        implied = 0
        for p in near:
            implied |= ancestors[p]
        needs.append({p for p in near if not implied & bit[p]})
        ancestors.append(implied | sum(bit[p] for p in needs[v]))
    readers = []
    for consumers in graph.consumers:
        last = [v for v in set(consumers) if block[v] == block[consumers[-1]]]
        implied = 0
        for v in last:
            implied |= ancestors[v]
        readers.append(sorted(v for v in last if not implied & bit[v]))
    return needs, readers


def open_bytes(graph: ModelGraph, sizes: Sequence[int]) -> list[int]:
    """Per position p the uplink bytes of the cut that keeps operators 0..p-1 on the device."""
    change = [0] * (len(graph.operators) + 2)
    for t, consumers in enumerate(graph.consumers):
        if consumers:
            change[graph.producer[t] + 1] += sizes[t]
            change[consumers[-1] + 1] -= sizes[t]
    return list(accumulate(change[:-1]))


def through_bytes(graph: ModelGraph, sizes: Sequence[int], block: Sequence[int]) -> list[int]:
    """Per block the bytes of tensors produced before it and maximally read behind it."""
    change = [0] * (block[-1] + 2 if block else 1)
    for t, consumers in enumerate(graph.consumers):
        if consumers:
            made, home = graph.producer[t], block[consumers[-1]]
            begin = block[made] + 1 if made >= 0 else 0
            if begin < home:
                change[begin] += sizes[t]
                change[home] -= sizes[t]
    return list(accumulate(change[:-1]))
