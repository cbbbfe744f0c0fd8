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

__all__ = ["Described", "describe"]

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
    _weigh(s, sizes, count, values, up, down, rtt)
    convex = _hull(s.ints[SPLITS], count, values[BASE_LATENCY], values[SERVER_WORK])
    if convex < count:
        count = convex
        values = float_table(6, count)
        _weigh(s, sizes, count, values, up, down, rtt)
    return _list(s, count), values


def _weigh(
    s: State, sizes: FloatTable, count: int, values: FloatTable,
    up: float, down: float, rtt: float,
) -> None:  # fmt: skip
    """Fill in the values of the cuts, and where along them each tensor crosses."""
    n = s.operators
    order, rank, splits = s.ints[ORDER], s.ints[RANK], s.ints[SPLITS]
    device, server = s.floats[DEVICE], s.floats[SERVER]
    local, work = s.floats[LOCAL], s.floats[WORK]
    uplink, downlink = values[UPLINK_BYTES], values[DOWNLINK_BYTES]
    reached = s.ints[QUEUE]  # by position: how many cuts have already sent on what is there
    k = 0
    for i in range(n):
        while k < count and splits[k] <= i:
            k += 1
        reached[i] = k
        local[i + 1] = local[i] + device[order[i]]
    for i in range(n - 1, -1, -1):
        work[i] = work[i + 1] + server[order[i]]
    for k in range(count):
        uplink[k] = 0.0
        downlink[k] = 0.0
    made_by, reader_start, reader = s.graph[MADE_BY], s.graph[READER_START], s.graph[READER]
    since, until, read_bytes = s.ints[SINCE], s.ints[UNTIL], sizes[READ_BYTES]
    for t in range(s.reads):
        last = 0
        for r in range(reader_start[t], reader_start[t + 1]):
            if rank[reader[r]] > last:
                last = rank[reader[r]]
        since[t] = reached[rank[made_by[t]]] if made_by[t] >= 0 else 0
        until[t] = reached[last]
        for k in range(since[t], until[t]):
            uplink[k] += read_bytes[t]
    returned_by, returned_bytes = s.graph[RETURNED_BY], sizes[RETURNED_BYTES]
    for i in range(s.returns):
        for k in range(reached[rank[returned_by[i]]]):
            downlink[k] += returned_bytes[i]
    block, block_start = s.graph[BLOCK], s.graph[BLOCK_START]
    for k in range(count):
        p = splits[k]
        values[IN_FRONT][k] = block_start[block[p]] if p < n else n
        values[LOCAL_TIME][k] = local[p]
        values[BASE_LATENCY][k] = local[p]
        values[SERVER_WORK][k] = work[p]
        if p < n:
            values[BASE_LATENCY][k] += uplink[k] / up + downlink[k] / down + rtt


def _hull(splits: Ints, count: int, base: Floats, work: Floats) -> int:
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
    since, until, tensor = s.ints[SINCE], s.ints[UNTIL], s.graph[TENSOR]
    splits, rank, reached = s.ints[SPLITS], s.ints[RANK], s.ints[QUEUE]
    returned, returned_by = s.graph[RETURNED], s.graph[RETURNED_BY]
    block, block_start = s.graph[BLOCK], s.graph[BLOCK_START]
    size = 3 * count + 1
    for t in range(s.reads):
        size += until[t] - since[t]
    for i in range(s.returns):
        size += reached[rank[returned_by[i]]]
    for k in range(count):
        if splits[k] < s.operators:
            size += splits[k] - block_start[block[splits[k]]]
    listing = int_table(1, size)[0]
    for i in range(3 * count + 1):
        listing[i] = 0
    for k in range(count):
        if splits[k] < s.operators:
            listing[3 * k] = splits[k] - block_start[block[splits[k]]]
    for t in range(s.reads):
        for k in range(since[t], until[t]):
            listing[3 * k + 1] += 1
    for i in range(s.returns):
        for k in range(reached[rank[returned_by[i]]]):
            listing[3 * k + 2] += 1
    # Lengths become ends; as lists are filled in from the back, ends become beginnings.
    listing[0] += 3 * count + 1
    for i in range(1, 3 * count + 1):
        listing[i] += listing[i - 1]
    for k in range(count):
        p = splits[k]
        if p < s.operators and p > block_start[block[p]]:
            for v in range(block_start[block[p] + 1] - 1, block_start[block[p]] - 1, -1):
                if rank[v] < p:
                    listing[3 * k] -= 1
                    listing[listing[3 * k]] = v
    for t in range(s.reads - 1, -1, -1):
        for k in range(since[t], until[t]):
            listing[3 * k + 1] -= 1
            listing[listing[3 * k + 1]] = tensor[t]
    for i in range(s.returns - 1, -1, -1):
        for k in range(reached[rank[returned_by[i]]]):
            listing[3 * k + 2] -= 1
            listing[listing[3 * k + 2]] = returned[i]
    return listing
