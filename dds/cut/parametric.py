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

from dds.cut.block import (
    Floats,
    Layout,
    Link3,
    Scratch,
    new_scratch,
    open_block,
    price,
    score_block,
    solve_block,
)
from dds.cut.kernel import Ints

__all__ = ["all_cuts", "one_cut"]

#: A cut must beat what is known by this fraction to count as better than rounding.
TOLERANCE = 2.0**-44


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
    g: Layout, s: Scratch, device: Floats, server: Floats,
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
        work = s.cut_work[high] if stop == high else s.work[stop]
        if s.floor[block] + x * work >= best:
            continue
        fixed, hubs = open_block(g, s, device, block, begin, stop)
        all_device, all_server, cheapest = 0.0, 0.0, 0.0
        for i in range(begin, stop):
            v = s.order[i]
            pay = s.pay_server[v] + x * server[v]
            all_device += s.pay_device[v]
            all_server += pay
            cheapest += min(pay, s.pay_device[v])
        if x == 0.0:
            s.floor[block] = fixed + cheapest
        if fixed + x * work + cheapest >= best:
            continue
        for i in range(hubs):
            all_server += s.hub_pay[s.nodes[i] - len(s.order)]
        count = solve_block(
            g, s, server, hubs, begin, stop, x, min(all_device, all_server), all_server
        )
        base, work = score_block(g, s, server, count, begin, stop, fixed, work)
        if x == 0.0:
            s.floor[block] = base
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


def _first_cut(g: Layout, s: Scratch, device: Floats, server: Floats, x: float) -> int:
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
    inner = _best_in_blocks(g, s, device, server, 0, n, x, best - TOLERANCE * best)
    if inner >= 0:
        return inner
    s.cut_base[split] = s.prefix[split]
    s.cut_work[split] = s.work[split]
    return split


def one_cut(
    g: Layout, device: Floats, server: Floats, link: Link3, x: float
) -> tuple[int, Ints, Ints]:
    """The cut of least A + x W: (1, order, splits), as :func:`all_cuts` of a single cut."""
    s = new_scratch(g)
    price(g, s, device, server, link)
    s.splits[0] = _first_cut(g, s, device, server, x)
    return 1, s.order, s.splits


def all_cuts(
    g: Layout, device: Floats, server: Floats, link: Link3, x: float
) -> tuple[int, Ints, Ints]:
    """Every cut best at some weight above x, nested: (count, order, splits).

    Cut k keeps ``order[:splits[k]]`` on the device, k < count; the last one all.
    """
    s = new_scratch(g)
    price(g, s, device, server, link)
    s.splits[0] = _first_cut(g, s, device, server, x)
    found = 1
    waiting = _seeds(g, s, s.splits[0])
    while waiting > 0:
        low, high = s.splits[found - 1], s.stack[waiting - 1]
        if waiting > 1 and _bulges(s, low, high, s.stack[waiting - 2]):
            waiting -= 1
            continue
        if found > 1 and _bulges(s, s.splits[found - 2], low, high):
            found -= 1
            continue
        level = _slope(s, low, high)
        split = -1
        if high - low > 1 and 0.0 < level < math.inf:
            line = s.cut_base[low] + level * s.cut_work[low]
            line -= TOLERANCE * line
            split = _best_in_blocks(g, s, device, server, low, high, level, line)
        if split >= 0:
            s.stack[waiting] = split
            waiting += 1
        else:
            s.splits[found] = high
            found += 1
            waiting -= 1
    return found, s.order, s.splits


def _seeds(g: Layout, s: Scratch, low: int) -> int:
    """Stack the lower hull of the articulation prefixes behind low; returns its height."""
    n = len(s.order)
    height = 0
    for p in range(n, low, -1):
        if p < n:
            if g.block[s.order[p]] == g.block[s.order[p - 1]]:
                continue
            if s.prefix[p] >= s.prefix[s.stack[height - 1]]:
                continue
        s.cut_base[p] = s.prefix[p]
        s.cut_work[p] = s.work[p]
        while height > 1 and _bulges(s, p, s.stack[height - 1], s.stack[height - 2]):
            height -= 1
        s.stack[height] = p
        height += 1
    return height


def _slope(s: Scratch, p: int, q: int) -> float:
    """The weight x at which cuts p < q cost the same."""
    saved = s.cut_work[p] - s.cut_work[q]
    return (s.cut_base[q] - s.cut_base[p]) / saved if saved > 0.0 else math.inf


def _bulges(s: Scratch, p: int, q: int, r: int) -> bool:
    """Whether cut q lies on or above the line from cut p to cut r: nowhere strictly best."""
    return _slope(s, p, q) >= _slope(s, q, r)
