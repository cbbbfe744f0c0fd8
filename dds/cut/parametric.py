"""All minimum cuts of a graph as the price of server work rises from nothing.

Same source compiled and plain, like :mod:`dds.cut.kernel`.  Write x = 1/f for
the weight of server work.  A cut S costs ``A(S) + x W(S)``; optimal cuts can be
chosen nested, growing with x up to local-only.  So a chain of cuts is one
permutation ``order`` of the operators and a set of split positions: cut p keeps
``order[:p]`` on the device.  Two neighbours ``p < q`` of the chain cost the same
at one x; if any cut between them is cheaper there, the cheapest one splits the
segment (Eisner and Severance 1976), else the two are neighbours for good.

An operator comparable with every other one (an articulation) sits in every
closed set's way: each closed set is comparable with the prefix that ends before
it and the one that ends behind it.  Those prefixes cost one scan; flows are
needed only inside the *blocks* between articulations, and only in blocks whose
lower bound (each operator on its cheaper side, crossing free) leaves room.

Numbers: costs are float64.  One flow rounds them up to integer ticks chosen for
that flow alone, fine enough that an int64 just holds its total; a cost beyond
twice the flow's upper bound can never be cut and is clipped there.  So each
decision is right to about 2**-44 of T(f), and what is returned is re-scored.
"""

from __future__ import annotations

import math
from collections.abc import MutableSequence
from typing import NamedTuple, TypeAlias

from dds.cut.kernel import INFINITE, Ints, push_relabel

__all__ = ["BARRED", "INFINITE", "Layout", "Scratch", "all_cuts", "one_cut"]

#: A float64 numpy array in compiled code, a list in plain Python.
Floats: TypeAlias = MutableSequence[float]
#: Uplink and downlink in bytes/s, round trip in s.
Price: TypeAlias = tuple[float, float, float]

#: A cut must beat what is known by this fraction to count as better than rounding.
TOLERANCE = 2.0**-44
#: Ticks that the flow of one network may add up to; leaves room in an int64.
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
    upload: Floats  # by tensor: seconds to send it, clipped


# The only two functions that differ when compiled: there they make numpy arrays.
def _new_ints(size: int) -> Ints:
    return [0] * size


def _new_floats(size: int) -> Floats:
    return [0.0] * size


def _scratch(g: Layout) -> Scratch:
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
        upload=_new_floats(len(g.tensor_bytes)),
    )


def _price(
    g: Layout, s: Scratch, device: Floats, server: Floats, link: Price
) -> None:
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


def _open_block(
    g: Layout, s: Scratch, device: Floats, block: int, low: int, high: int, link: Price
) -> tuple[float, int]:
    """Set up block's network, ``order[low:high]`` undecided: (fixed seconds, tensor nodes).

    What is decided costs a constant: device time in front, tensors that pass by,
    outputs behind.  What touches one undecided operator becomes its own cost.
    The tensor nodes that take part are listed in ``nodes``.
    """
    n = len(s.order)
    first = g.block_start[block]
    last = g.block_start[block + 1]
    fixed = link[2] + s.local[first]
    fixed += g.through_up[block] / link[0] + g.prefix_down[last] / link[1]
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


def _solve_block(
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


def _score_block(
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
                if g.carries[a] >= 0 and _inside(s, g.head[a], low, high):
                    if s.label[g.head[a]] < count:
                        fixed += s.upload[g.carries[a]]
    return fixed, work


def _best_prefix(
    g: Layout, s: Scratch, low: int, high: int, x: float, best: float
) -> tuple[int, float]:
    """Cheapest articulation prefix between two cuts if cheaper than best: (position, value)."""
    found = -1
    for p in range(low + 1, high):
        if g.block[s.order[p]] != g.block[s.order[p - 1]]:
            value = s.prefix[p] + x * s.work[p]
            if value < best:
                best = value
                found = p
    return found, best


def _best_in_blocks(
    g: Layout, s: Scratch, device: Floats, server: Floats, link: Price,
    low: int, high: int, x: float, best: float,
) -> int:  # fmt: skip
    """Reorder ``order[low:high]`` for its cheapest cut inside a block, if cheaper than best.

    Returns the position of that cut (its A and W in cut_base, cut_work), or -1.
    """
    group, group_end, kept = -1, -1, 0
    found_base, found_work = 0.0, 0.0
    stop = low
    while stop < high:
        begin = stop
        block = g.block[s.order[begin]]
        while stop < high and g.block[s.order[stop]] == block:
            stop += 1
        if stop - begin < 2:
            continue
        fixed, hubs = _open_block(g, s, device, block, begin, stop, link)
        work = s.cut_work[high] if stop == high else s.work[stop]
        all_device, all_server, cheapest = 0.0, 0.0, 0.0
        for i in range(begin, stop):
            v = s.order[i]
            pay = s.pay_server[v] + x * server[v]
            all_device += s.pay_device[v]
            all_server += pay
            cheapest += min(pay, s.pay_device[v])
        if fixed + x * work + cheapest >= best:
            continue
        for i in range(hubs):
            all_server += s.hub_pay[s.nodes[i] - len(s.order)]
        count = _solve_block(
            g, s, server, hubs, begin, stop, x, min(all_device, all_server), all_server
        )
        base, work = _score_block(g, s, server, count, begin, stop, fixed, work)
        if base + x * work < best:
            inner = 0
            for i in range(begin, stop):
                s.keep[i] = 1 if s.label[s.order[i]] == count else 0
                inner += s.keep[i]
            if 0 < inner < stop - begin:
                best = base + x * work
                found_base, found_work = base, work
                group, group_end, kept = begin, stop, inner
    if kept == 0:
        return -1
    split = group + kept
    to_device, to_server = group, 0
    for i in range(group, group_end):
        if s.keep[i] == 1:
            s.order[to_device] = s.order[i]
            to_device += 1
        else:
            s.nodes[to_server] = s.order[i]
            to_server += 1
    for i in range(to_server):
        s.order[split + i] = s.nodes[i]
    for i in range(group, group_end):
        s.rank[s.order[i]] = i
    s.cut_base[split] = found_base
    s.cut_work[split] = found_work
    return split


def _first_cut(
    g: Layout, s: Scratch, device: Floats, server: Floats, link: Price, x: float
) -> int:
    """Bring the cut of least A + x W to the front of order; returns its position."""
    n = len(s.order)
    split = n
    s.cut_base[n] = s.prefix[n]
    s.cut_work[n] = 0.0
    best = s.prefix[n]
    if n > 0 and s.prefix[0] + x * s.work[0] < best:
        best = s.prefix[0] + x * s.work[0]
        split = 0
    inner, best = _best_prefix(g, s, 0, n, x, best)
    if inner >= 0:
        split = inner
    inner = _best_in_blocks(g, s, device, server, link, 0, n, x, best - TOLERANCE * best)
    if inner >= 0:
        return inner
    s.cut_base[split] = s.prefix[split]
    s.cut_work[split] = s.work[split]
    return split


def one_cut(
    g: Layout, device: Floats, server: Floats, link: Price, x: float
) -> tuple[int, Ints, Ints]:
    """The cut of least A + x W: (1, order, splits), as :func:`all_cuts` of a single cut."""
    s = _scratch(g)
    _price(g, s, device, server, link)
    s.splits[0] = _first_cut(g, s, device, server, link, x)
    return 1, s.order, s.splits


def all_cuts(
    g: Layout, device: Floats, server: Floats, link: Price, x: float
) -> tuple[int, Ints, Ints]:
    """Every cut best at some weight above x, nested: (count, order, splits).

    Cut k keeps ``order[:splits[k]]`` on the device, k < count; the last one all.
    """
    n = len(g.block)
    s = _scratch(g)
    _price(g, s, device, server, link)
    s.splits[0] = _first_cut(g, s, device, server, link, x)
    found = 1
    depth = 0
    if s.splits[0] < n:
        s.stack[0], s.stack[1] = s.splits[0], n
        depth = 2
    while depth > 0:
        low, high = s.stack[depth - 2], s.stack[depth - 1]
        depth -= 2
        slower = s.cut_base[high] - s.cut_base[low]
        saved = s.cut_work[low] - s.cut_work[high]
        split = -1
        if high - low > 1 and slower > 0.0 and saved > 0.0:
            level = slower / saved
            line = s.cut_base[low] + level * s.cut_work[low]
            line -= TOLERANCE * line
            split, _ = _best_prefix(g, s, low, high, level, line)
            if split >= 0:
                s.cut_base[split] = s.prefix[split]
                s.cut_work[split] = s.work[split]
            else:
                split = _best_in_blocks(g, s, device, server, link, low, high, level, line)
        if split < 0:
            s.splits[found] = high
            found += 1
        else:
            s.stack[depth], s.stack[depth + 1] = split, high
            s.stack[depth + 2], s.stack[depth + 3] = low, split
            depth += 4
    return found, s.order, s.splits
