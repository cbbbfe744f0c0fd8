"""The arrays that a search reads and writes, as the columns of a few tables.

Same source compiled and plain, like :mod:`dds.cut.kernel`: a table is a C-contiguous
2-D numpy array in compiled code and a list of lists in plain Python, and
``table[COLUMN]`` is one column in both.  Few and simple arguments keep compiling
and calling quick: numba passes every array by value.

Nodes are the operators 0..n-1, then one node (*hub*) per tensor with several maximal
consumers.  Only tensors that are read matter; they are numbered in their own order.
"By operator" means n entries, "by position" n + 1.
"""

from __future__ import annotations

from collections.abc import MutableSequence, Sequence
from typing import NamedTuple, TypeAlias

from dds.cut.kernel import Ints

#: A float64 numpy array in compiled code, a list in plain Python.
Floats: TypeAlias = MutableSequence[float]
IntTable: TypeAlias = Sequence[Ints]
FloatTable: TypeAlias = Sequence[Floats]

# Columns of `graph`, whole numbers that only depend on the model graph.
(
    SIZES,  # the numbers of State, in its order
    START,  # by node: its arcs are START[u] .. START[u + 1] - 1
    HEAD,  # by arc
    MATE,  # by arc: the opposite arc
    CARRIES,  # by arc: the read tensor it costs, or INFINITE, or BARRED
    HUB,  # by read tensor: its node, -1 if one arc does
    TENSOR,  # by read tensor: its index in the model graph
    MADE_BY,  # by read tensor: its producer, -1 for a model input
    READER_START,  # by read tensor: where its maximal consumers begin in READER
    READER,
    RETURNED,  # by model output that an operator produces: the tensor's index
    RETURNED_BY,  # by such an output: the operator
    BLOCK,  # by operator, ascending
    BLOCK_START,  # by block, and n behind the last
    WIDE,  # the blocks of several operators
    TOUCH_START,  # by block: where its tensors begin in TOUCH
    TOUCH,  # read tensors that a cut inside the block may send at an arc or hub of it
) = range(17)

# Columns of `sizes`, bytes that only depend on the model graph, float64 and exact.
(
    READ_BYTES,  # by read tensor
    RETURNED_BYTES,  # by model output that an operator produces
    INPUT_BYTES,  # by operator: model inputs that it alone maximally reads
    OUTPUT_BYTES,  # by operator: model outputs that it produces
    PREFIX_UP,  # by position p: uplink bytes of the cut that keeps 0..p-1
    PREFIX_DOWN,  # by position p: its downlink bytes
    THROUGH_UP,  # by block: bytes produced before it and read behind it
) = range(7)

# Columns of `State.ints`.
(
    ORDER,  # operators, those that move to the device first in front
    RANK,  # operator: its position in order; hub: one that is undecided, or -1
    SPLITS,  # positions of the cuts found, ascending
    STACK,  # positions of cuts waiting to be compared
    NODES,  # the nodes of the network being solved
    EXCESS,  # by node, as all up to TALLY: see dds.cut.kernel
    LABEL,
    CURRENT,
    QUEUE,
    TALLY,
    CROSSING,  # the read tensors that cross at some cut of the chain, ended by -1;
    SINCE,  # for each the first cut at which it crosses,
    UNTIL,  # and the first behind at which it does not
) = range(13)
INT_COLUMNS = 13

# Columns of `State.floats`, seconds.  What only flows need is set where blocks are wide.
(
    DEVICE,  # by node: time on the device; 0 for a hub
    SERVER,  # by node: time on one reference core; 0 for a hub
    ON_SERVER,  # by operator: what it costs on the server beside its work
    LOCAL,  # by position p: device time of order[:p]
    WORK,  # by position p: server work of order[p:]
    PREFIX,  # by position p: base latency of the cut that keeps 0..p-1
    CUT_BASE,  # by position p: base latency of the cut found that keeps order[:p]
    CUT_WORK,  # by position p: its server work
    PAY_DEVICE,  # by node: what either side costs in the network being solved,
    PAY_SERVER,  # tensors from and to what is decided included
    AROUND,  # by block: what each cut inside it pays before and behind
    FLOOR,  # by block: base latency that no cut inside it goes below
    UPLOAD,  # by read tensor: time to send it, clipped
) = range(13)
FLOAT_COLUMNS = 13


class State(NamedTuple):
    """One search: what it reads (``graph``) and what it works on, fresh for each."""

    operators: int
    nodes: int
    reads: int  # tensors that are read
    returns: int  # model outputs that operators produce
    blocks: int
    wides: int  # blocks of several operators
    graph: IntTable
    ints: IntTable
    floats: FloatTable
    residual: Ints  # by arc: see dds.cut.kernel


# The only two functions that differ when compiled: there they make numpy tables.
def int_table(columns: int, size: int) -> IntTable:
    """A table of whole numbers, not yet set."""
    return [[0] * size for _ in range(columns)]


def float_table(columns: int, size: int) -> FloatTable:
    """A table of floats, not yet set."""
    return [[0.0] * size for _ in range(columns)]


def new_state(graph: IntTable) -> State:
    """Work space for one search of a graph."""
    sizes = graph[SIZES]
    nodes, reads = sizes[1], sizes[2]
    size = max(nodes, reads) + 2
    return State(
        sizes[0],
        nodes,
        reads,
        sizes[3],
        sizes[4],
        sizes[5],
        graph,
        int_table(INT_COLUMNS, size),
        float_table(FLOAT_COLUMNS, size),
        int_table(1, graph[START][nodes])[0],
    )
