"""Both cuts of three tiers at once: one minimum cut of two copies of the graph.

Operator v of the copy for S2 is v, of the copy for S1 it is n + v, and reads a tensor of no bytes
from v: it cannot be on the device without its twin being on device or edge.  What a tensor takes
to cross is its size; what an output takes to come back is the size of a tensor of its own, as the
links may differ by direction.

Source: labels in a row as a minimum cut of copies, Ishikawa, IEEE TPAMI 25(10), 2003.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dds.costs.link import Link
from dds.cut.solver import min_cut
from dds.model.graph import ModelGraph, Operator, Tensor

__all__ = ["joint_cut"]

Floats = NDArray[np.float64]
Kept = tuple[int, ...]

#: Bytes that the costliest plan worth having stands for; float64 adds them exactly.
_BYTES = 2.0**40
#: Least server time of an operator, of that plan's: a search does not accept none.
_LEAST = 1e-15


def joint_cut(
    graph: ModelGraph,
    device: Floats,
    edge: Floats,
    cloud: Floats,
    near: Link,
    far: Link,
    most: float,
    *,
    engine: str | None = None,
) -> tuple[Kept, Kept]:
    """(S1, S2), S1 within S2, of least L(S1) + D(S1)/b1 + We(S2 - S1) + D(S2)/b2 + Wc(V - S2).

    device, edge, cloud: seconds per operator on the share there is; near, far: the two hops; most:
    seconds, > 0, that some other plan takes.  Only plans that take less are of interest, so
    nothing counts for more than that; transfers are rounded to 2^-40 of it.
    """
    count = len(graph.operators)
    second = _BYTES / most
    doubled = _doubled(graph, near, far, most)
    here = np.concatenate([edge, device]).clip(0.0, most)
    there = np.concatenate([cloud, edge]).clip(_LEAST * most, most)
    kept = min_cut(doubled, here * second, there * second, Link(1.0, 1.0), 1.0, engine=engine).cut
    assert kept is not None  # noqa: S101 -- a search makes every piece from a cut
    return (
        tuple(v - count for v in kept.on_device if v >= count),
        tuple(v for v in kept.on_device if v < count),
    )


def _doubled(graph: ModelGraph, near: Link, far: Link, most: float) -> ModelGraph:
    """The graph twice; `most` seconds are _BYTES bytes."""
    sizes = [float(tensor.bytes) for tensor in graph.tensors]
    returned = [t for t in dict.fromkeys(graph.outputs) if graph.producer[t] >= 0]
    count, width = len(graph.operators), len(sizes) + len(returned)
    back = {t: len(sizes) + k for k, t in enumerate(returned)}
    tensors: list[Tensor] = []
    operators: list[Operator] = []
    for copy, link in enumerate((far, near)):
        taken = [size / link.uplink for size in sizes]
        taken += [sizes[t] / link.downlink for t in returned]
        tensors += [
            Tensor(f"{copy}.{k}", (), "", round(min(seconds / most, 1.0) * _BYTES))
            for k, seconds in enumerate(taken)
        ]
        for v, operator in enumerate(graph.operators):
            reads = [copy * width + t for t in operator.inputs]
            makes = [copy * width + t for t in operator.outputs]
            makes += [copy * width + back[t] for t in operator.outputs if t in back]
            (reads if copy else makes).append(2 * width + v)
            operators.append(Operator(f"{copy}.{v}", "", tuple(reads), tuple(makes)))
    tensors += [Tensor(f"twin.{v}", (), "", 0) for v in range(count)]
    inputs = [copy * width + t for copy in (0, 1) for t in graph.inputs]
    outputs = [copy * width + len(sizes) + k for copy in (0, 1) for k in range(len(returned))]
    return ModelGraph(tuple(operators), tuple(tensors), tuple(inputs), tuple(outputs))
