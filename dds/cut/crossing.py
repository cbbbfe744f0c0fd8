"""What crosses at each cut of a chain, and what the cuts cost.

Same source compiled and plain, like :mod:`dds.cut.kernel`.  Along a chain of nested
cuts a tensor crosses at neighbours only: from the first cut that keeps its producer
on the device to the last that leaves a reader on the server.
"""

from __future__ import annotations

from typing import TypeAlias

from dds.cut.kernel import Ints
from dds.cut.layout import (
    BLOCK,
    BLOCK_START,
    CROSSING,
    DEVICE,
    LOCAL,
    MADE_BY,
    ORDER,
    QUEUE,
    RANK,
    READ_BYTES,
    READER,
    READER_START,
    RETURNED,
    RETURNED_BY,
    RETURNED_BYTES,
    SERVER,
    SINCE,
    SPLITS,
    TENSOR,
    UNTIL,
    WORK,
    Floats,
    FloatTable,
    State,
    float_table,
    int_table,
)

__all__ = ["Described", "best_of", "describe", "weigh"]

#: What describe returns.
Described: TypeAlias = tuple[Ints, FloatTable]

# Columns of the values of a cut.
LOCAL_TIME, BASE_LATENCY, SERVER_WORK, UPLINK_BYTES, DOWNLINK_BYTES, IN_FRONT = range(6)


def describe(
    s: State, sizes: FloatTable, count: int, up: float, down: float, rtt: float
) -> Described:
    """Score the cuts that SPLITS lists and drop those that rounding made nowhere best.

    Returns (listing, values), where of the k-th cut
      values[0..5][k]  are L in s, A in s, W in core s, uplink bytes, downlink bytes, and
                       how many operators it keeps of the blocks in front of its own
      listing          holds at 3 k where its lists begin: the operators it keeps of its
                       own block; at 3 k + 1 the tensors it uploads; at 3 k + 2 those it
                       downloads; each list is ascending and ends where the next begins
    """
    values = float_table(6, count)
    weigh(s, sizes, count, values, up, down, rtt)
    convex = best_of(s.ints[SPLITS], count, values[BASE_LATENCY], values[SERVER_WORK])
    if convex < count:
        count = convex
        values = float_table(6, count)
        weigh(s, sizes, count, values, up, down, rtt)
    return _list(s, count), values


def weigh(
    s: State, sizes: FloatTable, count: int, values: FloatTable,
    up: float, down: float, rtt: float,
) -> None:  # fmt: skip
    """Fill in the values of the cuts, and where along them each tensor crosses."""
    n = s.operators
    rank, splits, device, server = s.ints[RANK], s.ints[SPLITS], s.floats[DEVICE], s.floats[SERVER]
    uplink, downlink = values[UPLINK_BYTES], values[DOWNLINK_BYTES]
    reached = s.ints[QUEUE]  # by position: how many cuts have already sent on what is there
    begin = 0
    for k in range(count):
        uplink[k] = 0.0
        downlink[k] = 0.0
        for i in range(begin, splits[k]):
            reached[i] = k
        begin = splits[k]
    for i in range(begin, n):
        reached[i] = count
    made_by, reader_start, reader = s.graph[MADE_BY], s.graph[READER_START], s.graph[READER]
    crossing, since, until = s.ints[CROSSING], s.ints[SINCE], s.ints[UNTIL]
    read_bytes = sizes[READ_BYTES]
    found = 0
    for t in range(s.reads):
        first = reached[rank[made_by[t]]] if made_by[t] >= 0 else 0
        last = first
        for r in range(reader_start[t], reader_start[t + 1]):
            if reached[rank[reader[r]]] > last:
                last = reached[rank[reader[r]]]
        if first < last:
            crossing[found] = t
            since[found] = first
            until[found] = last
            found += 1
            for k in range(first, last):
                uplink[k] += read_bytes[t]
    crossing[found] = -1
    returned_by, returned_bytes = s.graph[RETURNED_BY], sizes[RETURNED_BYTES]
    for i in range(s.returns):
        for k in range(reached[rank[returned_by[i]]]):
            downlink[k] += returned_bytes[i]
    order, block, block_start = s.ints[ORDER], s.graph[BLOCK], s.graph[BLOCK_START]
    for k in range(count):
        p = splits[k]
        begin, end = n, n
        if p < n:
            begin = block_start[block[p]]
            end = block_start[block[p] + 1] if p > begin else p
        elapsed, behind = s.floats[LOCAL][begin], s.floats[WORK][end]
        for i in range(begin, p):
            elapsed += device[order[i]]
        for i in range(p, end):
            behind += server[order[i]]
        values[IN_FRONT][k] = begin
        values[LOCAL_TIME][k] = elapsed
        values[BASE_LATENCY][k] = elapsed
        values[SERVER_WORK][k] = behind
        if p < n:
            values[BASE_LATENCY][k] += uplink[k] / up + downlink[k] / down + rtt


def best_of(splits: Ints, count: int, base: Floats, work: Floats) -> int:
    """Compact splits to the cuts strictly best at some x = 1/f > 0; returns how many.

    Scoring rounds otherwise than searching did, so ties may have come out as pieces.
    """
    height = 0
    for k in range(count):
        while height > 0 and base[height - 1] >= base[k]:
            height -= 1
        if height > 0 and work[height - 1] <= work[k]:
            continue
        while height > 1 and (
            (base[k] - base[height - 1]) / (work[height - 1] - work[k])
            <= (base[height - 1] - base[height - 2]) / (work[height - 2] - work[height - 1])
        ):
            height -= 1
        splits[height] = splits[k]
        base[height] = base[k]
        work[height] = work[k]
        height += 1
    return height


def _list(s: State, count: int) -> Ints:
    """The listing of :func:`describe`."""
    crossing, since, until = s.ints[CROSSING], s.ints[SINCE], s.ints[UNTIL]
    splits, rank, reached = s.ints[SPLITS], s.ints[RANK], s.ints[QUEUE]
    returned, returned_by = s.graph[RETURNED], s.graph[RETURNED_BY]
    block, block_start = s.graph[BLOCK], s.graph[BLOCK_START]
    size = 3 * count + 1
    found = 0
    while crossing[found] >= 0:
        size += until[found] - since[found]
        found += 1
    for i in range(s.returns):
        size += reached[rank[returned_by[i]]]
    for k in range(count):
        if splits[k] < s.operators:
            size += splits[k] - block_start[block[splits[k]]]
    listing = int_table(1, size)[0]
    # From the back, so that each list is ascending and begins where the last entry went.
    at = size
    for k in range(count - 1, -1, -1):
        for i in range(s.returns - 1, -1, -1):
            if k < reached[rank[returned_by[i]]]:
                at -= 1
                listing[at] = returned[i]
        listing[3 * k + 2] = at
        for i in range(found - 1, -1, -1):
            if since[i] <= k < until[i]:
                at -= 1
                listing[at] = s.graph[TENSOR][crossing[i]]
        listing[3 * k + 1] = at
        p = splits[k]
        if p < s.operators and p > block_start[block[p]]:
            for v in range(block_start[block[p] + 1] - 1, block_start[block[p]] - 1, -1):
                if rank[v] < p:
                    at -= 1
                    listing[at] = v
        listing[3 * k] = at
    listing[3 * count] = size
    return listing
