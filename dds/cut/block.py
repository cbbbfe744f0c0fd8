"""One block of a graph as a flow network: set up, solved, scored.

Same source compiled and plain, like :mod:`dds.cut.kernel`.  ``order`` is a
permutation of the operators.  A network leaves ``order[low:high]``, operators of
one block, undecided; those in front are on the device, those behind on the server.

Numbers: costs are float64 seconds.  One flow rounds them up to integer ticks
chosen for that flow alone, fine enough that an int64 just holds its total; a cost
beyond twice the flow's upper bound can never be cut and is clipped there.
"""

from __future__ import annotations

import math
from collections.abc import MutableSequence
from typing import NamedTuple, TypeAlias

from dds.cut.kernel import INFINITE, Ints, push_relabel

__all__ = [
    "BARRED",
    "INFINITE",
    "Floats",
    "Layout",
    "Link3",
    "Scratch",
    "new_scratch",
    "open_block",
    "price",
    "score_block",
    "solve_block",
]

#: A float64 numpy array in compiled code, a list in plain Python.
Floats: TypeAlias = MutableSequence[float]
#: Uplink and downlink in bytes/s, round trip in s.
Link3: TypeAlias = tuple[float, float, float]

#: Ticks that the flow of one network may add up to, as a power of two: room in an int64.
TICKS = 60
#: An arc that carries no flow of its own, only back what its opposite sent.
BARRED = -2
#: Where a node stands in the network of one block.
DEVICE, OPEN, SERVER, UNSEEN = 0, 1, 2, 3


class Layout(NamedTuple):
    """The network of a graph without its costs (see :class:`dds.cut.network.Network`).

    Nodes: operators 0..n-1, then one node per tensor with several maximal
    consumers.  ``carries[a]`` says what arc a is: one that costs a tensor (its
    index), INFINITE, or BARRED.  Byte counts are float64 and exact.
    """

    start: Ints
    head: Ints
    mate: Ints
    carries: Ints
    hub_tensor: Ints  # per tensor node: the tensor
    hub_producer: Ints  # per tensor node: its operator, -1 for a model input
    block: Ints  # per operator, ascending
    block_start: Ints  # per block, and n behind the last
    tensor_bytes: Floats
    input_bytes: Floats  # per operator: model inputs that it alone maximally reads
    output_bytes: Floats  # per operator: model outputs that it produces
    prefix_up: Floats  # per position p: uplink bytes of the cut that keeps 0..p-1
    prefix_down: Floats
    through_up: Floats  # per block: bytes produced before it and read behind it


class Scratch(NamedTuple):
    """Arrays the search works on, fresh for each.

    "By operator" means n entries, "by position" n + 1, "by node" and "by tensor
    node" as in :class:`Layout`; most are allocated a little longer than that.
    """

    order: Ints  # operators, those that move to the device first in front
    rank: Ints  # by operator: its position in order
    splits: Ints  # positions of the cuts found, ascending
    stack: Ints  # pairs of positions
    keep: Ints  # by position: 1 where the operator there stays on the device in the best cut
    nodes: Ints  # the nodes of the network being solved
    excess: Ints  # by node, as all up to tally: see dds.cut.kernel
    label: Ints
    current: Ints
    queue: Ints
    tally: Ints
    hub: Ints  # by tensor node: DEVICE, OPEN, SERVER or UNSEEN
    residual: Ints  # by arc
    local: Floats  # by position p: device time of operators 0..p-1
    work: Floats  # by position p: server work of the cut that keeps 0..p-1
    prefix: Floats  # by position p: base latency of that cut
    cut_base: Floats  # by position p: base latency of the cut found that keeps order[:p]
    cut_work: Floats  # by position p: its server work
    on_server: Floats  # by operator: seconds it costs on the server beside its work
    pay_device: Floats  # by operator: what either side costs in the network being solved,
    pay_server: Floats  # tensors from and to what is decided included
    hub_pay: Floats  # by tensor node: seconds paid if it stands on the server side
    around: Floats  # by block: seconds that each cut inside it pays before and behind
    floor: Floats  # by block: base latency that no cut inside it goes below
    upload: Floats  # by tensor: seconds to send it, clipped


# The only two functions that differ when compiled: there they make numpy arrays.
def _new_ints(size: int) -> Ints:
    return [0] * size


def _new_floats(size: int) -> Floats:
    return [0.0] * size


def new_scratch(g: Layout) -> Scratch:
    """Work space for one search of a graph."""
    size = len(g.start) + 1  # two more than there are nodes, so enough for positions too
    return Scratch(
        order=_new_ints(len(g.block)),
        rank=_new_ints(size),
        splits=_new_ints(size),
        stack=_new_ints(2 * size),
        keep=_new_ints(size),
        nodes=_new_ints(size),
        excess=_new_ints(size),
        label=_new_ints(size),
        current=_new_ints(size),
        queue=_new_ints(size),
        tally=_new_ints(size),
        hub=_new_ints(size),
        residual=_new_ints(len(g.head)),
        local=_new_floats(size),
        work=_new_floats(size),
        prefix=_new_floats(size),
        cut_base=_new_floats(size),
        cut_work=_new_floats(size),
        on_server=_new_floats(size),
        pay_device=_new_floats(size),
        pay_server=_new_floats(size),
        hub_pay=_new_floats(size),
        around=_new_floats(size),
        floor=_new_floats(size),
        upload=_new_floats(len(g.tensor_bytes)),
    )


def price(g: Layout, s: Scratch, device: Floats, server: Floats, link: Link3) -> None:
    """Seconds of everything at this link (uplink, downlink, round trip)."""
    n = len(s.order)
    up, down, rtt = link[0], link[1], link[2]
    total = 0.0
    for v in range(n):
        s.order[v] = v
        s.rank[v] = v
        s.local[v] = total
        total += device[v]
    s.local[n] = total
    # Beyond this a crossing costs more than local-only: how much more is irrelevant.
    clip = 2.0 * total
    for t in range(len(g.tensor_bytes)):
        s.upload[t] = min(g.tensor_bytes[t] / up, clip)
    behind = 0.0
    s.work[n] = 0.0
    for v in range(n - 1, -1, -1):
        behind += server[v]
        s.work[v] = behind
        s.on_server[v] = min(g.input_bytes[v] / up, clip) + min(g.output_bytes[v] / down, clip)
    for b in range(len(g.through_up)):
        s.around[b] = rtt + s.local[g.block_start[b]] + g.through_up[b] / up
        s.around[b] += g.prefix_down[g.block_start[b + 1]] / down
        s.floor[b] = s.around[b]
    for p in range(n):
        s.prefix[p] = rtt + s.local[p] + g.prefix_up[p] / up + g.prefix_down[p] / down
    s.prefix[n] = total


def _side(rank: int, low: int, high: int) -> int:
    if rank < low:
        return DEVICE
    return OPEN if rank < high else SERVER


def _open_hub(g: Layout, s: Scratch, k: int, low: int, high: int) -> float:
    """Decide how tensor node k takes part; returns seconds paid whatever happens."""
    hub = len(s.order) + k
    some_open = False
    some_server = False
    for a in range(g.start[hub], g.start[hub + 1]):
        if g.carries[a] == INFINITE:
            side = _side(s.rank[g.head[a]], low, high)
            some_open = some_open or side == OPEN
            some_server = some_server or side == SERVER
    producer = g.hub_producer[k]
    made = DEVICE if producer < 0 else _side(s.rank[producer], low, high)
    cost = s.upload[g.hub_tensor[k]]
    s.hub[k] = DEVICE
    if some_server:
        s.hub[k] = SERVER
        if made == DEVICE:
            return cost
        if made == OPEN:
            s.pay_device[producer] += cost
    elif some_open:
        s.hub[k] = OPEN
        s.hub_pay[k] = cost if made == DEVICE else 0.0
    return 0.0


def open_block(
    g: Layout, s: Scratch, device: Floats, block: int, low: int, high: int
) -> tuple[float, int]:
    """Set up block's network, ``order[low:high]`` undecided: (fixed seconds, tensor nodes).

    What is decided costs a constant: device time in front, tensors that pass by,
    outputs behind.  What touches one undecided operator becomes its own cost.
    The tensor nodes that take part are listed in ``nodes``.
    """
    n = len(s.order)
    first = g.block_start[block]
    last = g.block_start[block + 1]
    fixed = s.around[block]
    hubs = 0
    for v in range(first, last):
        side = _side(s.rank[v], low, high)
        if side == OPEN:
            s.pay_device[v] = device[v]
            s.pay_server[v] = s.on_server[v]
        else:
            fixed += device[v] if side == DEVICE else s.on_server[v]
        for a in range(g.start[v], g.start[v + 1]):
            if g.head[a] >= n:
                s.hub[g.head[a] - n] = UNSEEN
    for v in range(first, last):
        side = _side(s.rank[v], low, high)
        for a in range(g.start[v], g.start[v + 1]):
            h = g.head[a]
            if h >= n:
                if s.hub[h - n] == UNSEEN:
                    fixed += _open_hub(g, s, h - n, low, high)
                    if s.hub[h - n] == OPEN:
                        s.nodes[hubs] = h
                        hubs += 1
            elif g.carries[a] >= 0 and side != SERVER:
                cost = s.upload[g.carries[a]]
                reader = _side(s.rank[h], low, high)
                if reader == SERVER and side == OPEN:
                    s.pay_device[v] += cost
                elif reader == SERVER:
                    fixed += cost
                elif reader == OPEN and side == DEVICE:
                    s.pay_server[h] += cost
            elif h < first and g.carries[g.mate[a]] >= 0 and side != DEVICE:
                cost = s.upload[g.carries[g.mate[a]]]
                if side == OPEN:
                    s.pay_server[v] += cost
                else:
                    fixed += cost
    return fixed, hubs


def _ticks(seconds: float, scale: float, clip: float) -> int:
    """Seconds in ticks, rounded up: only nothing costs nothing."""
    if scale == 0.0:
        return 1 if seconds > 0.0 else 0
    return math.ceil(min(seconds, clip) * scale)


def _inside(s: Scratch, h: int, low: int, high: int) -> bool:
    """Whether node h takes part in the network of ``order[low:high]``."""
    n = len(s.order)
    return low <= s.rank[h] < high if h < n else s.hub[h - n] == OPEN


def solve_block(
    g: Layout, s: Scratch, server: Floats, hubs: int, low: int, high: int, x: float,
    bound: float, total: float,
) -> int:  # fmt: skip
    """Minimum cut of the open block, as labels; returns its number of nodes.

    bound: the cheaper of its two trivial cuts; total: what all-server pays.
    """
    n = len(s.order)
    count = hubs
    for i in range(low, high):
        s.nodes[count] = s.order[i]
        count += 1
    clip = 2.0 * bound
    scale = 0.0
    if bound > 0.0:
        total = max(min(total, count * clip), clip)
        scale = math.ldexp(1.0, min(TICKS - math.frexp(total)[1], 1000))
    for i in range(count):
        u = s.nodes[i]
        if u < n:
            s.excess[u] = _ticks(s.pay_server[u] + x * server[u], scale, clip)
            s.excess[u] -= _ticks(s.pay_device[u], scale, clip)
        else:
            s.excess[u] = _ticks(s.hub_pay[u - n], scale, clip)
        for a in range(g.start[u], g.start[u + 1]):
            if not _inside(s, g.head[a], low, high):
                s.residual[a] = 0
                s.residual[g.mate[a]] = 0
            elif g.carries[a] >= 0:
                s.residual[a] = _ticks(s.upload[g.carries[a]], scale, clip)
            else:
                s.residual[a] = INFINITE if g.carries[a] == INFINITE else 0
    push_relabel(
        count, s.nodes, g.start, g.head, g.mate, s.residual,
        s.excess, s.label, s.current, s.queue, s.tally,
    )  # fmt: skip
    return count


def score_block(
    g: Layout, s: Scratch, server: Floats, count: int, low: int, high: int, fixed: float,
    work: float,
) -> tuple[float, float]:  # fmt: skip
    """(A, W) of the cut that the labels of the open block's nodes describe."""
    n = len(s.order)
    for i in range(count):
        u = s.nodes[i]
        if s.label[u] < count:
            if u < n:
                fixed += s.pay_server[u]
                work += server[u]
            else:
                fixed += s.hub_pay[u - n]
        elif u < n:
            fixed += s.pay_device[u]
            for a in range(g.start[u], g.start[u + 1]):
                h = g.head[a]
                if g.carries[a] >= 0 and _inside(s, h, low, high) and s.label[h] < count:
                    fixed += s.upload[g.carries[a]]
    return fixed, work
