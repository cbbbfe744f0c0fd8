"""Hypothesis strategies for model graphs, operator times and links, and all closed sets.

Everything drawn is valid by construction and shrinks towards few operators,
small numbers and a plain chain.  The ranges are chosen to reach the corners: ties,
tensors of zero bytes, skip connections, tensors with many consumers, operators
that read nothing or that nobody reads, several inputs and outputs, links that are
hopelessly slow or infinitely fast.

>>> from hypothesis import given
>>> from dds.testing import graphs, links
>>> @given(graphs(max_operators=6), links())
... def test_something(graph, link): ...
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from dds.costs.link import Link
from dds.model.graph import ModelGraph, Operator, Tensor

__all__ = ["chains", "closed_sets", "graphs", "links", "operator_times"]

_BYTES = st.sampled_from([0, 1, 2, 100, 1000]) | st.integers(0, 10**8)
_SECONDS = st.sampled_from([1.0, 2.0, 3.0]) | st.floats(1e-6, 1e3)
_BANDWIDTHS = (
    st.sampled_from([1.0, 100.0, math.inf, 1e-9]) | st.floats(1e-3, 1e12) | st.just(5e-324)
)


@st.composite
def graphs(draw: st.DrawFn, *, min_operators: int = 0, max_operators: int = 10) -> ModelGraph:
    """Any model graph: at least one input, every sink or only some of them an output."""
    count = draw(st.integers(min_operators, max_operators))
    inputs = draw(st.integers(1, 3))
    sizes = [draw(_BYTES) for _ in range(inputs)]
    operators, used = [], set()
    for v in range(count):
        # Recent tensors are likelier: that makes long, interesting graphs.
        newest = len(sizes) - 1
        which = st.integers(max(0, newest - 2), newest) | st.integers(0, newest)
        chosen = draw(st.sets(which, min_size=int(v > 0), max_size=3))
        made = draw(st.sampled_from([1, 1, 1, 2]))
        operators.append(
            Operator(
                name=f"op{v}",
                kind="Test",
                inputs=tuple(sorted(chosen)),
                outputs=tuple(range(len(sizes), len(sizes) + made)),
                flops=draw(st.integers(0, 10**9)),
                weight_bytes=draw(st.integers(0, 10**6)),
            )
        )
        used |= chosen
        sizes += [draw(_BYTES) for _ in range(made)]
    ends = [t for t in range(len(sizes)) if t not in used]
    outputs = draw(st.permutations(ends))[: draw(st.integers(0, len(ends)))]
    extra = draw(st.sets(st.integers(0, len(sizes) - 1), max_size=2))
    return ModelGraph(
        operators=tuple(operators),
        tensors=_tensors(sizes),
        inputs=tuple(range(inputs)),
        outputs=tuple(sorted({*outputs, *extra})),
        name="drawn",
    )


@st.composite
def chains(draw: st.DrawFn, *, min_operators: int = 1, max_operators: int = 12) -> ModelGraph:
    """One operator after the other, one input, one output."""
    count = draw(st.integers(min_operators, max_operators))
    sizes = [draw(_BYTES) for _ in range(count + 1)]
    operators = tuple(Operator(f"op{v}", "Test", (v,), (v + 1,)) for v in range(count))
    return ModelGraph(operators, _tensors(sizes), (0,), (count,), name="chain")


def _tensors(sizes: list[int]) -> tuple[Tensor, ...]:
    # All of one shape and type: whoever tells tensors apart by those gets caught.
    return tuple(Tensor(f"t{t}", (1,), "float32", size) for t, size in enumerate(sizes))


@st.composite
def operator_times(
    draw: st.DrawFn, graph: ModelGraph, *, positive: bool = False
) -> NDArray[np.float64]:
    """Seconds per operator of a graph, many ties; positive: none is zero (as on a server)."""
    seconds = _SECONDS if positive else st.just(0.0) | _SECONDS
    count = len(graph.operators)
    return np.array(draw(st.lists(seconds, min_size=count, max_size=count)), np.float64)


@st.composite
def links(draw: st.DrawFn) -> Link:
    """Any link, from 5e-324 bytes/s to infinitely fast, with and without a round trip."""
    rtt = draw(st.just(0.0) | st.sampled_from([0.02, 1.0]) | st.floats(0.0, 10.0))
    return Link(draw(_BANDWIDTHS), draw(_BANDWIDTHS), rtt)


def closed_sets(graph: ModelGraph) -> Iterator[frozenset[int]]:
    """Every set of operators closed under predecessors, the empty one first.

    Their number can be 2**n: meant for graphs of up to about 14 operators.
    """
    predecessors = graph.predecessors

    def grow(v: int, chosen: frozenset[int]) -> Iterator[frozenset[int]]:
        if v == len(predecessors):
            yield chosen
            return
        yield from grow(v + 1, chosen)
        if chosen.issuperset(predecessors[v]):
            yield from grow(v + 1, chosen | {v})

    return grow(0, frozenset())
