"""One block of a graph as a flow network: set up, solved, scored.

Same source compiled and plain, like :mod:`dds.cut.kernel`.  ``order`` is a
permutation of the operators.  A network leaves ``order[low:high]``, operators of
one block, undecided; those in front are on the device, those behind on the server.
A node takes part if its rank lies in ``low .. high - 1``; as blocks do not overlap
in order, no node of another block ever does.

Numbers: costs are float64 seconds.  One flow rounds them up to integer ticks
chosen for that flow alone, fine enough that an int64 just holds its total; a cost
beyond twice the flow's upper bound can never be cut and is clipped there.
"""

from __future__ import annotations

import math

from dds.cut.kernel import INFINITE, push_relabel
from dds.cut.layout import (
    AROUND,
    BLOCK_START,
    CARRIES,
    CURRENT,
    DEVICE,
    EXCESS,
    HEAD,
    HUB,
    LABEL,
    MADE_BY,
    MATE,
    NODES,
    ON_SERVER,
    ORDER,
    PAY_DEVICE,
    PAY_SERVER,
    QUEUE,
    RANK,
    READER,
    READER_START,
    SERVER,
    START,
    TALLY,
    TOUCH,
    TOUCH_START,
    UPLOAD,
    State,
)

__all__ = ["BARRED", "INFINITE", "open_block", "score_block", "solve_block"]

#: Ticks that the flow of one network may add up to, as a power of two: room in an int64.
TICKS = 60
#: An arc that carries no flow of its own, only back what its opposite sent.
BARRED = -2


def open_block(s: State, block: int, low: int, high: int) -> tuple[float, int]:
    """Set up block's network, ``order[low:high]`` undecided: (fixed seconds, nodes).

    What is decided costs a constant: device time in front, tensors that pass by,
    outputs behind.  What touches one undecided operator becomes its own cost.
    The nodes that take part are listed in NODES.
    """
    order, rank, nodes = s.ints[ORDER], s.ints[RANK], s.ints[NODES]
    device, on_server, upload = s.floats[DEVICE], s.floats[ON_SERVER], s.floats[UPLOAD]
    pay_device, pay_server = s.floats[PAY_DEVICE], s.floats[PAY_SERVER]
    reader_start, reader = s.graph[READER_START], s.graph[READER]
    made_by, hubs, touch = s.graph[MADE_BY], s.graph[HUB], s.graph[TOUCH]
    fixed = s.floats[AROUND][block]
    for i in range(s.graph[BLOCK_START][block], low):
        fixed += device[order[i]]
    for i in range(high, s.graph[BLOCK_START][block + 1]):
        fixed += on_server[order[i]]
    count = 0
    for i in range(low, high):
        v = order[i]
        pay_device[v] = device[v]
        pay_server[v] = on_server[v]
        nodes[count] = v
        count += 1
    for i in range(s.graph[TOUCH_START][block], s.graph[TOUCH_START][block + 1]):
        t = touch[i]
        hub = hubs[t]
        if hub >= 0:
            rank[hub] = -1
        producer = made_by[t]
        made = rank[producer] if producer >= 0 else -1
        last = -1
        for r in range(reader_start[t], reader_start[t + 1]):
            if rank[reader[r]] > last:
                last = rank[reader[r]]
        if made >= high or last < low:
            continue  # never on the device, or not needed beyond it
        if last >= high and made < low:
            fixed += upload[t]
        elif last >= high:
            pay_device[producer] += upload[t]
        elif hub >= 0:
            rank[hub] = low
            pay_device[hub] = 0.0
            pay_server[hub] = upload[t] if made < low else 0.0
            nodes[count] = hub
            count += 1
        elif made < low:
            pay_server[reader[reader_start[t]]] += upload[t]
    return fixed, count


def solve_block(
    s: State, count: int, low: int, high: int, x: float, bound: float, total: float
) -> None:
    """Minimum cut of the open block, as labels.

    bound: the cheaper of its two trivial cuts, > 0; total: what all-server pays.
    """
    nodes, rank, excess = s.ints[NODES], s.ints[RANK], s.ints[EXCESS]
    server, upload = s.floats[SERVER], s.floats[UPLOAD]
    pay_device, pay_server = s.floats[PAY_DEVICE], s.floats[PAY_SERVER]
    start, head, mate = s.graph[START], s.graph[HEAD], s.graph[MATE]
    carries, residual = s.graph[CARRIES], s.residual
    clip = 2.0 * bound
    total = max(min(total, count * clip), clip)
    scale = math.ldexp(1.0, min(TICKS - math.frexp(total)[1], 1000))
    for i in range(count):
        u = nodes[i]
        excess[u] = math.ceil(min(pay_server[u] + x * server[u], clip) * scale)
        excess[u] -= math.ceil(min(pay_device[u], clip) * scale)
        for a in range(start[u], start[u + 1]):
            carried = carries[a]
            if not low <= rank[head[a]] < high:
                residual[a] = 0
                residual[mate[a]] = 0
            elif carried >= 0:
                residual[a] = math.ceil(min(upload[carried], clip) * scale)
            else:
                residual[a] = INFINITE if carried == INFINITE else 0
    push_relabel(
        count, nodes, start, head, mate, residual, excess,
        s.ints[LABEL], s.ints[CURRENT], s.ints[QUEUE], s.ints[TALLY],
    )  # fmt: skip


def score_block(
    s: State, count: int, low: int, high: int, fixed: float, work: float
) -> tuple[float, float]:
    """(A, W) of the cut that the labels of the open block's nodes describe."""
    nodes, rank, label = s.ints[NODES], s.ints[RANK], s.ints[LABEL]
    server, upload = s.floats[SERVER], s.floats[UPLOAD]
    pay_device, pay_server = s.floats[PAY_DEVICE], s.floats[PAY_SERVER]
    start, head, carries = s.graph[START], s.graph[HEAD], s.graph[CARRIES]
    for i in range(count):
        u = nodes[i]
        if label[u] < count:
            fixed += pay_server[u]
            work += server[u]
            continue
        fixed += pay_device[u]
        for a in range(start[u], start[u + 1]):
            if carries[a] >= 0:
                h = head[a]
                if low <= rank[h] < high and label[h] < count:
                    fixed += upload[carries[a]]
    return fixed, work
