"""All cuts that are best for some link and some price: the lower envelope of their costs.

Same source compiled and plain, like :mod:`dds.cut.kernel`.  A cut costs
``L + a D_up + b D_down + x W``, linear in what a client does not choose:
a = 1/b_up, b = 1/b_down and x = 1/f.  Over a box of these *weights* (one or two axes
of which may have no width) the least of all costs is a concave envelope with one flat
facet per cut.  The cuts found so far lie above it.  Wherever their own envelope has a
vertex, one minimum cut says whether it is the true one there: if so the vertex is
*confirmed*, else the cut found joins, and slices off all the vertices that it
undercuts (beneath and beyond, Preparata and Shamos 1985).  Once all vertices are
confirmed the two envelopes are the same: between the vertices of a facet the true one,
being concave, cannot dip below.  That needs one minimum cut per cut and one per vertex;
with two axes an envelope has twice as many vertices as facets.

The same argument bounds rounding.  Let each vertex of a facet be confirmed up to a
fraction of its height; then by concavity so is every point between them.

Vertices: with p axes each has p + 1 *ties*, ascending: cuts (numbered from 0, local-only)
that meet there, and walls of the box (negative).  Dropping the j-th tie leaves an edge,
which leads to another vertex, or straight down at a corner of the box.  Vertices that
happen to coincide stay apart, joined by edges without length, so that ties of more cuts
need no special case.  What is sliced off grows from the vertex that was undercut along
edges: it is connected whatever rounding says.
"""

from __future__ import annotations

import math
from typing import NamedTuple, TypeAlias

from dds.cut.crossing import (
    BASE_LATENCY,
    DOWNLINK_BYTES,
    IN_FRONT,
    LOCAL_TIME,
    SERVER_WORK,
    UPLINK_BYTES,
    weigh,
)
from dds.cut.kernel import Ints
from dds.cut.layout import (
    BLOCK_START,
    ORDER,
    PREFIX,
    SPLITS,
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
from dds.cut.parametric import add_up, cut_block, price_block, price_prefixes

__all__ = ["Envelope", "envelope"]

#: What envelope returns.
Envelope: TypeAlias = tuple[Ints, FloatTable, int, bool]

#: A cut must be below the envelope by this fraction to join: what two sums may differ by.
LOWER = 2.0**-43
#: A vertex above the new cut by less than this fraction stays.
TOUCHES = 2.0**-49

# Columns of `Mesh.ints`, by vertex.
TIE, NEXT = 0, 4  # four each: its ties; where the edge without that tie leads
STAGE, GONE = 8, 9  # whether it is confirmed or gone; (by number) those sliced off
MESH_INTS = 10
# Stages.
UNSURE, CONFIRMED, SLICED_OFF = range(3)
# Where edges lead to if not to a vertex.
DOWN, NOT_YET = -1, -2

# Columns of `Mesh.floats`, by vertex: the weights a, b, x, and the height of the envelope.
AXES = 3
HEIGHT = 3
MESH_FLOATS = 4


class Mesh(NamedTuple):
    """The vertices of the envelope of the cuts found so far, gone ones included."""

    axes: int  # p, those of some width
    wides: int
    room: int
    ints: IntTable
    floats: FloatTable
    bounds: FloatTable  # by wide block: what no cut inside it costs less than, by vertex


def envelope(
    graph: IntTable, sizes: FloatTable, device: Floats, server: Floats,
    box: FloatTable, most: int,
) -> Envelope:  # fmt: skip
    """The cuts best somewhere in ``box``, at most ``most``.

    graph, sizes: the tables of :class:`dds.cut.network.Network`; device, server:
    seconds by operator; box: least and greatest a, b and x.  The greatest x makes
    local-only best.

    Returns (listing, values, calls, complete), where of the k-th cut
      values[0..5][k]  are as in :func:`dds.cut.crossing.describe`, but A without link is L
      listing          holds at k where the operators that it keeps of its own block begin;
                       they end where the next begin
      calls            minimum cuts solved; complete: whether no further cut is best anywhere
    Cut 0 is local-only.
    """
    s = new_state(graph)
    add_up(s, device, server)
    found, cuts = float_table(6, 1), float_table(6, 16)
    listing, begins = int_table(1, 64)[0], int_table(1, 17)[0]
    s.ints[SPLITS][0] = s.operators
    weigh(s, sizes, 1, found, math.inf, math.inf, 0.0)
    _copy(found, 0, cuts, 0)
    begins[0] = 0
    begins[1] = 0
    count = 1
    mesh, vertices = _corners(box, cuts, s.wides)
    calls = 0
    complete = True
    v = 0
    while v < vertices:
        if mesh.ints[STAGE][v] != UNSURE:
            v += 1
            continue
        calls += 1
        height = mesh.floats[HEIGHT][v]
        below = height - LOWER * height
        split = _least(s, sizes, mesh, v, below)
        if split >= 0:
            s.ints[SPLITS][0] = split
            weigh(s, sizes, 1, found, math.inf, math.inf, 0.0)
            if _cost(found, 0, mesh, v) < below:
                if count == most:
                    complete = False
                    break
                if count == len(cuts[0]):
                    cuts = _wider(cuts, 2 * count)
                    begins = _longer(begins, 2 * count + 1)
                _copy(found, 0, cuts, count)
                listing = _record(s, split, int(found[IN_FRONT][0]), listing, begins, count)
                mesh, vertices = _slice(mesh, vertices, cuts, count, v)
                count += 1
                continue
        mesh.ints[STAGE][v] = CONFIRMED
        v += 1
    return _packed(listing, begins, count), _wider(cuts, count), calls, complete


def _least(s: State, sizes: FloatTable, mesh: Mesh, v: int, best: float) -> int:
    """Bring the cheapest cut at vertex v to the front of order, if it costs less than best.

    Returns its position, or -1.  A block is opened only where its bound leaves room, and
    leaves a better bound.
    """
    a, b, x = mesh.floats[0][v], mesh.floats[1][v], mesh.floats[2][v]
    up = 1.0 / a if a > 0.0 else math.inf
    down = 1.0 / b if b > 0.0 else math.inf
    block_start, prefix, work = s.graph[BLOCK_START], s.floats[PREFIX], s.floats[WORK]
    price_prefixes(s, sizes, up, down, 0.0)
    split = -1
    for i in range(s.blocks + 1):
        p = block_start[i]
        if prefix[p] + x * work[p] < best:
            best = prefix[p] + x * work[p]
            split = p
    for i in range(s.wides):
        if mesh.bounds[i][v] < best:
            block = s.graph[WIDE][i]
            begin, stop = block_start[block], block_start[block + 1]
            price_block(s, sizes, block, up, down, 0.0)
            inner, base, behind = cut_block(s, block, begin, stop, x, work[stop], best)
            mesh.bounds[i][v] = base + x * behind
            if inner >= 0:
                best = base + x * behind
                split = inner
    return split


def _corners(box: FloatTable, cuts: FloatTable, wides: int) -> tuple[Mesh, int]:
    """The envelope of local-only alone: the corners of the box, and how many those are."""
    axes = 0
    for d in range(AXES):
        if box[1][d] > box[0][d]:
            axes += 1
    corners = 1 << axes
    ints, floats = int_table(MESH_INTS, 64), float_table(MESH_FLOATS, 64)
    bounds = float_table(wides, 64)
    for v in range(corners):
        j = 0
        for d in range(AXES):
            side = 0
            if box[1][d] > box[0][d]:
                side = (v >> j) & 1
                ints[TIE + j][v] = 2 * (d - AXES) + side
                ints[NEXT + j][v] = v ^ (1 << j)
                j += 1
            floats[d][v] = box[side][d]
        ints[TIE + axes][v] = 0
        ints[NEXT + axes][v] = DOWN
        floats[HEIGHT][v] = cuts[LOCAL_TIME][0]
        ints[STAGE][v] = UNSURE
        for i in range(wides):
            bounds[i][v] = 0.0
    return Mesh(axes, wides, 64, ints, floats, bounds), corners


def _cost(cuts: FloatTable, k: int, mesh: Mesh, v: int) -> float:
    """What cut k costs at vertex v."""
    a, b, x = mesh.floats[0][v], mesh.floats[1][v], mesh.floats[2][v]
    passing = a * cuts[UPLINK_BYTES][k] + b * cuts[DOWNLINK_BYTES][k]
    return cuts[LOCAL_TIME][k] + passing + x * cuts[SERVER_WORK][k]


def _slice(mesh: Mesh, count: int, cuts: FloatTable, new: int, first: int) -> tuple[Mesh, int]:
    """Slice off what cut ``new`` undercuts, vertex ``first`` and what it leads to.

    Returns the mesh, larger if need be, and how many vertices it has now.
    """
    axes, begin = mesh.axes, count
    mesh.ints[STAGE][first] = SLICED_OFF
    mesh.ints[GONE][0] = first
    gone = 1
    i = 0
    while i < gone:
        if count + axes + 1 > mesh.room:
            mesh = _roomier(mesh)
        ints, floats = mesh.ints, mesh.floats
        v = ints[GONE][i]
        i += 1
        under = floats[HEIGHT][v] - _cost(cuts, new, mesh, v)
        for j in range(axes + 1):
            w = ints[NEXT + j][v]
            over = 0.0
            if w >= 0:
                if ints[STAGE][w] == SLICED_OFF:
                    continue
                height = floats[HEIGHT][w]
                over = _cost(cuts, new, mesh, w) - height
                if over < -TOUCHES * height:
                    ints[STAGE][w] = SLICED_OFF
                    ints[GONE][gone] = w
                    gone += 1
                    continue
            _meet(mesh, count, v, j, w, under, max(over, 0.0), cuts, new)
            if w < 0:  # straight below, where the new cut was found or not
                ints[STAGE][count] = CONFIRMED if v == first else UNSURE
            count += 1
    _join(mesh, begin, count)
    return mesh, count


def _meet(
    mesh: Mesh, n: int, v: int, j: int, w: int, under: float, over: float,
    cuts: FloatTable, new: int,
) -> None:  # fmt: skip
    """Make vertex n where cut new meets the edge from v without its j-th tie to w."""
    axes, ints, floats = mesh.axes, mesh.ints, mesh.floats
    here = 0
    for i in range(axes + 1):
        if i != j:
            ints[TIE + here][n] = ints[TIE + i][v]
            ints[NEXT + here][n] = NOT_YET
            here += 1
    ints[TIE + axes][n] = new
    ints[NEXT + axes][n] = w
    ints[STAGE][n] = UNSURE
    if w < 0:
        w = v
    else:
        for i in range(axes + 1):
            if ints[NEXT + i][w] == v:
                ints[NEXT + i][w] = n
                break
    if over == 0.0:
        ints[STAGE][n] = ints[STAGE][w]
    # Both parts are positive: what is small stays accurate.
    far, near = under / (under + over), over / (under + over)
    for d in range(AXES):
        if floats[d][v] == floats[d][w]:
            floats[d][n] = floats[d][w]
        else:
            floats[d][n] = far * floats[d][w] + near * floats[d][v]
    # What blocks cost is concave as well.
    for i in range(mesh.wides):
        mesh.bounds[i][n] = far * mesh.bounds[i][w] + near * mesh.bounds[i][v]
    floats[HEIGHT][n] = _cost(cuts, new, mesh, n)


def _join(mesh: Mesh, begin: int, end: int) -> None:
    """Lead the edges of the new vertices along the new facet to each other.

    Such an edge has all ties of its vertex but one, and so has exactly one other.
    """
    axes, ints = mesh.axes, mesh.ints
    for n in range(begin, end):
        for j in range(axes):
            if ints[NEXT + j][n] != NOT_YET:
                continue
            for m in range(n + 1, end):
                i = _shares_edge(ints, axes, n, j, m)
                if i >= 0:
                    ints[NEXT + j][n] = m
                    ints[NEXT + i][m] = n
                    break


def _shares_edge(ints: IntTable, axes: int, n: int, j: int, m: int) -> int:
    """The tie without which vertex m has the ties that n has without its j-th, else -1."""
    for i in range(axes):
        if ints[NEXT + i][m] == NOT_YET:
            alike = True
            for k in range(axes - 1):
                p = k if k < j else k + 1
                q = k if k < i else k + 1
                if ints[TIE + p][n] != ints[TIE + q][m]:
                    alike = False
            if alike:
                return i
    return -1


def _roomier(mesh: Mesh) -> Mesh:
    """The mesh with twice the room."""
    room = 2 * mesh.room
    ints, floats = int_table(MESH_INTS, room), float_table(MESH_FLOATS, room)
    bounds = float_table(mesh.wides, room)
    for v in range(mesh.room):
        for i in range(MESH_INTS):
            ints[i][v] = mesh.ints[i][v]
        for i in range(MESH_FLOATS):
            floats[i][v] = mesh.floats[i][v]
        for i in range(mesh.wides):
            bounds[i][v] = mesh.bounds[i][v]
    return Mesh(mesh.axes, mesh.wides, room, ints, floats, bounds)


def _record(s: State, split: int, front: int, listing: Ints, begins: Ints, k: int) -> Ints:
    """Append to the listing what cut k keeps of its own block; returns it, maybe longer."""
    at = begins[k]
    if at + split - front > len(listing):
        listing = _longer(listing, 2 * (at + split - front))
    for i in range(front, split):
        listing[at] = s.ints[ORDER][i]
        at += 1
    begins[k + 1] = at
    return listing


def _packed(listing: Ints, begins: Ints, count: int) -> Ints:
    """The listing of :func:`envelope`: where the cuts begin, then all they keep."""
    packed = int_table(1, count + 1 + begins[count])[0]
    for k in range(count + 1):
        packed[k] = count + 1 + begins[k]
    for i in range(begins[count]):
        packed[count + 1 + i] = listing[i]
    return packed


def _copy(source: FloatTable, k: int, target: FloatTable, to: int) -> None:
    for i in range(6):
        target[i][to] = source[i][k]


def _wider(cuts: FloatTable, size: int) -> FloatTable:
    """A table of ``size`` cuts with as many of these as fit."""
    wider = float_table(6, size)
    for k in range(min(size, len(cuts[BASE_LATENCY]))):
        _copy(cuts, k, wider, k)
    return wider


def _longer(column: Ints, size: int) -> Ints:
    longer = int_table(1, size)[0]
    for i in range(len(column)):
        longer[i] = column[i]
    return longer
