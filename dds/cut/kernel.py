"""The minimum cut of one small network: push-relabel on flat arrays.

The same source runs compiled by numba or as plain Python (``dds.cut.engine``
chooses), so it uses only loops, indexing and integers: arrays may be numpy
arrays or lists.  Source and sink are not nodes.  A node with positive *excess*
still has that much flow to send, one with negative excess can still absorb that
much, and the maximum flow moves as much as can be moved.  That is the first
phase of push-relabel (Goldberg and Tarjan 1988), which already determines the
minimum cut.

Node u owns arcs ``start[u] .. start[u + 1]``; ``mate[a]`` is the opposite arc.
``residual[a]`` is an integer, or ``INFINITE``: an arc that can never be
saturated is another kind of arc, not one with a large capacity.
"""

from __future__ import annotations

from collections.abc import MutableSequence
from typing import TypeAlias

__all__ = ["INFINITE", "distances", "push_relabel"]

#: An int64 numpy array in compiled code, a list in plain Python.
Ints: TypeAlias = MutableSequence[int]

#: Marks an arc whose residual capacity has no bound.
INFINITE = -1


def distances(
    count: int, nodes: Ints, start: Ints, head: Ints, mate: Ints,
    residual: Ints, excess: Ints, label: Ints, queue: Ints, tally: Ints,
) -> None:  # fmt: skip
    """Exact labels: residual arcs from each node to the nearest that can absorb flow.

    ``count`` stands for "cannot reach one".  tally[k] becomes the number of nodes
    with label k.
    """
    size = 0
    for i in range(count):
        u = nodes[i]
        tally[i] = 0
        if excess[u] < 0:
            label[u] = 0
            queue[size] = u
            size += 1
        else:
            label[u] = count
    i = 0
    while i < size:
        u = queue[i]
        i += 1
        next_label = label[u] + 1
        tally[next_label - 1] += 1
        for a in range(start[u], start[u + 1]):
            if residual[mate[a]] != 0:
                v = head[a]
                if label[v] == count:
                    label[v] = next_label
                    queue[size] = v
                    size += 1


def push_relabel(
    count: int, nodes: Ints, start: Ints, head: Ints, mate: Ints,
    residual: Ints, excess: Ints, label: Ints, current: Ints, queue: Ints, tally: Ints,
) -> int:  # fmt: skip
    """Send all the flow that can be sent; returns the excess that is left over.

    On return label[u] == count exactly for the nodes on the *largest* source side
    of a minimum cut: those that cannot reach a node with room left.  First in,
    first out, with the gap rule, and exact labels anew after every ``count``
    relabels.
    """
    while True:
        distances(count, nodes, start, head, mate, residual, excess, label, queue, tally)
        first = 0
        active = 0
        for i in range(count):
            u = nodes[i]
            current[u] = start[u]
            if excess[u] > 0 and label[u] < count:
                queue[active] = u
                active += 1
        if active == 0:
            left = 0
            for i in range(count):
                if excess[nodes[i]] > 0:
                    left += excess[nodes[i]]
            return left
        relabels = 0
        while active > 0 and relabels < count:
            u = queue[first]
            first = first + 1 if first + 1 < count else 0
            active -= 1
            a = current[u]
            stop = start[u + 1]
            here = label[u]
            rest = excess[u]
            while rest > 0 and here < count:
                if a == stop:
                    relabels += 1
                    lowest = count
                    for b in range(start[u], stop):
                        if residual[b] != 0 and label[head[b]] < lowest:
                            lowest = label[head[b]]
                            a = b
                    tally[here] -= 1
                    if tally[here] == 0:
                        # Nobody is left at this distance: whoever is farther is cut off.
                        for i in range(count):
                            if here < label[nodes[i]] < count:
                                tally[label[nodes[i]]] -= 1
                                label[nodes[i]] = count
                        here = count
                    else:
                        here = lowest + 1
                        if here < count:
                            tally[here] += 1
                        else:
                            here = count
                    label[u] = here
                    continue
                if residual[a] != 0 and label[head[a]] == here - 1:
                    v = head[a]
                    sent = rest
                    if residual[a] != INFINITE:
                        if residual[a] < sent:
                            sent = residual[a]
                        residual[a] -= sent
                    if residual[mate[a]] != INFINITE:
                        residual[mate[a]] += sent
                    rest -= sent
                    if excess[v] <= 0 < excess[v] + sent:
                        queue[(first + active) % count] = v
                        active += 1
                    excess[v] += sent
                    if rest == 0:
                        break
                a += 1
            excess[u] = rest
            current[u] = a
