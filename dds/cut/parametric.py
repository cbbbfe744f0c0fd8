"""All minimum cuts of a graph as the price of server work rises from nothing.

Same source compiled and plain, like :mod:`dds.cut.kernel`.  Write x = 1/f for
the weight of server work.  A cut S costs ``A(S) + x W(S)``; optimal cuts can be
chosen nested, growing with x up to local-only.  So a chain of cuts is one
permutation ``order`` of the operators and a set of split positions: cut p keeps
``order[:p]`` on the device.  Two neighbours ``p < q`` of the chain cost the same
at one x; if any cut between them is cheaper there, the cheapest one joins the
chain (Eisner and Severance 1976).  A cut that the newcomer shows to be nowhere best
leaves it, and its neighbours are compared anew.  In the end the chain is convex
and no cut between two neighbours is cheaper where they meet; nor then at any other
x, as less work only helps further right and more only further left; and a cut that
lies across the chain can be exchanged for one between neighbours (submodularity).

An operator comparable with every other one (an articulation) sits in every
closed set's way: each closed set is comparable with the prefix that ends before
it and the one that ends behind it.  The hull of those prefixes starts the chain:
they need not be optimal, which is why cuts may leave it.  Flows are needed only
inside the *blocks* between articulations, and only in blocks whose lower bounds
leave room: each operator on its cheaper side, crossing free; and the least base
latency inside the block, which the search for the first cut (x = 0) finds, plus
the server work behind the block.

Between two cuts of the chain only what they disagree on is undecided, so the
networks shrink as the search goes on, and nestedness holds by construction.

A cut counts as cheaper only if it is so by 2**-44 of the latency, which covers
the rounding of sums and ticks; what is found is scored anew by the caller.
"""

from __future__ import annotations

import math

from dds.costs.roofline import LEAST_SECONDS, MOST_SECONDS
from dds.cut.block import open_block, score_block, solve_block
from dds.cut.crossing import Described, describe
from dds.cut.layout import (
    AROUND,
    BLOCK_START,
    CUT_BASE,
    CUT_WORK,
    DEVICE,
    FLOOR,
    INPUT_BYTES,
    LABEL,
    LOCAL,
    NODES,
    ON_SERVER,
    ORDER,
    OUTPUT_BYTES,
    PAY_DEVICE,
    PAY_SERVER,
    PREFIX,
    PREFIX_DOWN,
    PREFIX_UP,
    RANK,
    READ_BYTES,
    SERVER,
    SPLITS,
    STACK,
    THROUGH_UP,
    TOUCH,
    TOUCH_START,
    UPLOAD,
    WIDE,
    WORK,
    Floats,
    FloatTable,
    IntTable,
    State,
    float_table,
    int_table,
    new_state,
)

__all__ = ["add_up", "cut_block", "price", "price_block", "price_prefixes", "search"]

#: A cut must beat what is known by this fraction to count as better than rounding.
TOLERANCE = 2.0**-44


def search(
    graph: IntTable, sizes: FloatTable, device: Floats, server: Floats,
    up: float, down: float, rtt: float, x: float, every: bool,
) -> Described:  # fmt: skip
    """The cut of least A + x W; if every, also all that are best at some larger weight.

    graph, sizes: the tables of :class:`dds.cut.network.Network`; device, server:
    seconds by operator; up, down, rtt: the link, in bytes/s and s.
    Returns what :func:`dds.cut.crossing.describe` says of the cuts; no cut for times that
    :func:`dds.costs.operator_times` or its sibling for servers would refuse.
    """
    s = new_state(graph)
    for v in range(s.operators):
        if not (0.0 <= device[v] <= MOST_SECONDS and LEAST_SECONDS <= server[v] <= MOST_SECONDS):
            return int_table(1, 1)[0], float_table(6, 0)
    price(s, sizes, device, server, up, down, rtt)
    s.ints[SPLITS][0] = _first_cut(s, x)
    count = _all_cuts(s) if every else 1
    return describe(s, sizes, count, up, down, rtt)


def price(
    s: State, sizes: FloatTable, device: Floats, server: Floats,
    up: float, down: float, rtt: float,
) -> None:  # fmt: skip
    """Seconds of every prefix at this link, and of all that the networks of blocks need."""
    add_up(s, device, server)
    price_prefixes(s, sizes, up, down, rtt)
    for i in range(s.wides):
        price_block(s, sizes, s.graph[WIDE][i], up, down, rtt)


def add_up(s: State, device: Floats, server: Floats) -> None:
    """What does not depend on the link: the first order, and sums along it."""
    n = s.operators
    order, rank, block_start = s.ints[ORDER], s.ints[RANK], s.graph[BLOCK_START]
    local, work = s.floats[LOCAL], s.floats[WORK]
    total = 0.0
    for v in range(n):
        order[v] = v
        rank[v] = v
        local[v] = total
        total += device[v]
    local[n] = total
    behind = 0.0
    work[n] = 0.0
    for v in range(n - 1, -1, -1):
        behind += server[v]
        work[v] = behind
    own_device, own_server = s.floats[DEVICE], s.floats[SERVER]
    for i in range(s.wides):
        b = s.graph[WIDE][i]
        for v in range(block_start[b], block_start[b + 1]):
            own_device[v] = device[v]
            own_server[v] = server[v]
    for hub in range(n, s.nodes):
        own_server[hub] = 0.0


def price_prefixes(s: State, sizes: FloatTable, up: float, down: float, rtt: float) -> None:
    """The base latency of each articulation prefix."""
    block_start, local, prefix = s.graph[BLOCK_START], s.floats[LOCAL], s.floats[PREFIX]
    prefix_up, prefix_down = sizes[PREFIX_UP], sizes[PREFIX_DOWN]
    for b in range(s.blocks):
        p = block_start[b]
        prefix[p] = rtt + local[p] + prefix_up[p] / up + prefix_down[p] / down
    prefix[s.operators] = local[s.operators]


def price_block(
    s: State, sizes: FloatTable, b: int, up: float, down: float, rtt: float
) -> None:  # fmt: skip
    """The seconds that cuts inside block b pay on the link."""
    first, last = s.graph[BLOCK_START][b], s.graph[BLOCK_START][b + 1]
    on_server, upload, local = s.floats[ON_SERVER], s.floats[UPLOAD], s.floats[LOCAL]
    input_bytes, output_bytes = sizes[INPUT_BYTES], sizes[OUTPUT_BYTES]
    read_bytes, touch = sizes[READ_BYTES], s.graph[TOUCH]
    # Beyond this a crossing costs more than local-only: how much more is irrelevant.
    clip = 2.0 * local[s.operators]
    around = rtt + local[first] + sizes[THROUGH_UP][b] / up + sizes[PREFIX_DOWN][last] / down
    s.floats[AROUND][b] = around
    s.floats[FLOOR][b] = around
    for v in range(first, last):
        on_server[v] = 0.0
        if input_bytes[v] > 0.0 or output_bytes[v] > 0.0:  # few do
            on_server[v] = min(input_bytes[v] / up, clip) + min(output_bytes[v] / down, clip)
    for j in range(s.graph[TOUCH_START][b], s.graph[TOUCH_START][b + 1]):
        upload[touch[j]] = min(read_bytes[touch[j]] / up, clip)


def _first_cut(s: State, x: float) -> int:
    """Bring the cut of least A + x W to the front of order; returns its position."""
    n = s.operators
    block_start = s.graph[BLOCK_START]
    prefix, work = s.floats[PREFIX], s.floats[WORK]
    split = n
    best = prefix[n]
    for b in range(s.blocks):
        p = block_start[b]
        value = prefix[p] + x * work[p]
        if value < best:
            best = value
            split = p
    for p in (split, n):
        s.floats[CUT_BASE][p] = prefix[p]
        s.floats[CUT_WORK][p] = work[p]
    # The first position, 0, read from a table: for a literal 0 numba compiles anew.
    inner = _best_in_blocks(s, block_start[0], n, x, best - TOLERANCE * best)
    return inner if inner >= 0 else split


def _all_cuts(s: State) -> int:
    """Continue SPLITS from its first cut to all that are best later; returns how many."""
    splits, stack = s.ints[SPLITS], s.ints[STACK]
    base, work = s.floats[CUT_BASE], s.floats[CUT_WORK]
    found = 1
    waiting = _seeds(s, splits[0])
    while waiting > 0:
        low, high = splits[found - 1], stack[waiting - 1]
        if waiting > 1 and _bulges(s, low, high, stack[waiting - 2]):
            waiting -= 1
            continue
        if found > 1 and _bulges(s, splits[found - 2], low, high):
            found -= 1
            continue
        level = _slope(s, low, high)
        split = -1
        if high - low > 1 and 0.0 < level < math.inf:
            line = base[low] + level * work[low]
            split = _best_in_blocks(s, low, high, level, line - TOLERANCE * line)
        if split >= 0:
            stack[waiting] = split
            waiting += 1
        else:
            splits[found] = high
            found += 1
            waiting -= 1
    return found


def _best_in_blocks(s: State, low: int, high: int, x: float, best: float) -> int:
    """Reorder ``order[low:high]`` for its cheapest cut inside a block, if cheaper than best.

    Returns the position of that cut (its A and W in CUT_BASE, CUT_WORK), or -1.
    """
    wide, block_start, floor = s.graph[WIDE], s.graph[BLOCK_START], s.floats[FLOOR]
    split = -1
    for i in range(s.wides):
        block = wide[i]
        begin = max(block_start[block], low)
        stop = min(block_start[block + 1], high)
        if stop - begin < 2:
            continue
        behind = s.floats[CUT_WORK][high] if stop == high else s.floats[WORK][stop]
        if floor[block] + x * behind >= best:
            continue
        inner, base, work = cut_block(s, block, begin, stop, x, behind, best)
        if x == 0.0:
            floor[block] = base
        if inner >= 0:
            best = base + x * work
            split = inner
            s.floats[CUT_BASE][split] = base
            s.floats[CUT_WORK][split] = work
    return split


def cut_block(
    s: State, block: int, begin: int, stop: int, x: float, behind: float, best: float
) -> tuple[int, float, float]:
    """Reorder ``order[begin:stop]`` of a block for its cheapest cut, if cheaper than best.

    behind: server work behind.  Returns (its position, A, W); without such a cut
    (-1, A, W), where no cut from begin to stop costs less than A + x W.
    """
    nodes, server = s.ints[NODES], s.floats[SERVER]
    pay_device, pay_server = s.floats[PAY_DEVICE], s.floats[PAY_SERVER]
    fixed, count = open_block(s, block, begin, stop)
    all_device, all_server, cheapest = 0.0, 0.0, 0.0
    for j in range(count):
        v = nodes[j]
        pay = pay_server[v] + x * server[v]
        all_device += pay_device[v]
        all_server += pay
        cheapest += min(pay, pay_device[v])
    bound = min(all_device, all_server)
    if fixed + x * behind + cheapest >= best or cheapest >= bound:
        return -1, fixed + cheapest, behind
    solve_block(s, count, begin, stop, x, bound, all_server)
    base, work = score_block(s, count, begin, stop, fixed, behind)
    if base + x * work < best:
        inner = _part(s, begin, stop, count)
        if begin < inner < stop:
            return inner, base, work
    return -1, base, work


def _part(s: State, begin: int, stop: int, most: int) -> int:
    """Bring the operators of label most to the front of order[begin:stop]; their end.

    A cut that another block's undercuts later leaves its order behind, which is as
    good as any: nothing between two cuts of the chain has been decided.
    """
    order, rank = s.ints[ORDER], s.ints[RANK]
    nodes, label = s.ints[NODES], s.ints[LABEL]
    end, rest = begin, 0
    for i in range(begin, stop):
        v = order[i]
        if label[v] == most:
            order[end] = v
            rank[v] = end
            end += 1
        else:
            nodes[rest] = v
            rest += 1
    for i in range(rest):
        order[end + i] = nodes[i]
        rank[nodes[i]] = end + i
    return end


def _seeds(s: State, low: int) -> int:
    """Stack the lower hull of the articulation prefixes behind low; returns its height."""
    stack, block_start = s.ints[STACK], s.graph[BLOCK_START]
    prefix, work = s.floats[PREFIX], s.floats[WORK]
    height = 0
    for b in range(s.blocks, -1, -1):
        p = block_start[b]
        if p <= low:
            break
        if height > 0 and prefix[p] >= prefix[stack[height - 1]]:
            continue
        s.floats[CUT_BASE][p] = prefix[p]
        s.floats[CUT_WORK][p] = work[p]
        while height > 1 and _bulges(s, p, stack[height - 1], stack[height - 2]):
            height -= 1
        stack[height] = p
        height += 1
    return height


def _slope(s: State, p: int, q: int) -> float:
    """The weight x at which cuts p < q cost the same."""
    base, work = s.floats[CUT_BASE], s.floats[CUT_WORK]
    saved = work[p] - work[q]
    return (base[q] - base[p]) / saved if saved > 0.0 else math.inf


def _bulges(s: State, p: int, q: int, r: int) -> bool:
    """Whether cut q lies on or above the line from cut p to cut r: nowhere strictly best."""
    return _slope(s, p, q) >= _slope(s, q, r)
