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
Between two cuts of the chain only what they disagree on is undecided, so the
networks shrink as the search goes on, and nestedness holds by construction.

A cut counts as cheaper only if it is so by 2**-44 of the latency, which covers
the rounding of sums and ticks; what is found is scored anew by the caller.
"""

from __future__ import annotations

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
    g: Layout, s: Scratch, device: Floats, server: Floats, link: Link3,
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
        fixed, hubs = open_block(g, s, device, block, begin, stop, link)
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
        count = solve_block(
            g, s, server, hubs, begin, stop, x, min(all_device, all_server), all_server
        )
        base, work = score_block(g, s, server, count, begin, stop, fixed, work)
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


def _first_cut(g: Layout, s: Scratch, device: Floats, server: Floats, link: Link3, x: float) -> int:
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
    g: Layout, device: Floats, server: Floats, link: Link3, x: float
) -> tuple[int, Ints, Ints]:
    """The cut of least A + x W: (1, order, splits), as :func:`all_cuts` of a single cut."""
    s = new_scratch(g)
    price(g, s, device, server, link)
    s.splits[0] = _first_cut(g, s, device, server, link, x)
    return 1, s.order, s.splits


def all_cuts(
    g: Layout, device: Floats, server: Floats, link: Link3, x: float
) -> tuple[int, Ints, Ints]:
    """Every cut best at some weight above x, nested: (count, order, splits).

    Cut k keeps ``order[:splits[k]]`` on the device, k < count; the last one all.
    """
    n = len(g.block)
    s = new_scratch(g)
    price(g, s, device, server, link)
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
