"""Hypothesis strategies for frontiers, clients, tariffs and whole markets.

Everything drawn is valid by construction, has an equilibrium, and shrinks towards few
clients with small numbers.  The ranges reach the corners: one client, identical
clients, ties and jumps between pieces, clients that must offload, bounds, tiny and
huge values of time, prices that start at 0, kinks, and quanta coarser than any share
anybody would like.

>>> from hypothesis import given
>>> from dds.testing import assert_equilibrium, markets
>>> @given(markets())
... def test_my_solver(market): ...
"""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

from hypothesis import strategies as st

from dds.cut.pieces import Frontier
from dds.market.client import Client
from dds.market.document import Instance
from dds.market.numbers import snapped
from dds.market.tariff import Barrier, Clearing, Flat, Linear, PiecewiseLinear, Power
from dds.market.tariff_base import Tariff

__all__ = ["clients", "frontiers", "markets", "small_markets", "tariffs"]

_BASE = st.sampled_from([0.0, 0.25, 0.5, 1.0, 2.0]) | st.floats(1e-6, 10.0)
_WORK = st.sampled_from([0.25, 0.5, 1.0, 2.0]) | st.floats(1e-3, 10.0)
_VALUE = st.sampled_from([1.0, 0.5, 2.0]) | st.floats(1e-2, 1e2) | st.sampled_from([1e-9, 1e9])
_PRICE = st.sampled_from([0.1, 0.25, 1.0]) | st.floats(1e-3, 10.0)
_CAPACITY = st.sampled_from([1.0, 2.0, 0.5, 10.0]) | st.floats(0.1, 50.0)
_QUANTA = st.sampled_from([Fraction(1, 10), Fraction(1, 1000), Fraction(1, 3), Fraction(1, 4)])
_COARSE = st.sampled_from([Fraction(1), Fraction(1, 2), Fraction(1, 3), Fraction(1, 10)])


@st.composite
def frontiers(draw: st.DrawFn, *, max_pieces: int = 4, local: bool | None = None) -> Frontier:
    """A frontier of up to ``max_pieces`` pieces in any order, not thinned to its hull.

    local: whether it has a local-only piece; None draws that too.
    """
    has_local = draw(st.booleans()) if local is None else local
    least = 0 if has_local else 1
    count = draw(st.integers(least, max(least, max_pieces - has_local)))
    points = [(draw(_BASE), draw(_WORK)) for _ in range(count)]
    if has_local:
        points.insert(draw(st.integers(0, count)), (draw(_BASE), 0.0))
    return Frontier.from_points(points)


@st.composite
def clients(
    draw: st.DrawFn, *, name: str = "client", max_pieces: int = 4, max_min_share: float = 1.0
) -> Client:
    """A client; one without a local-only piece has a min_share of at most ``max_min_share``."""
    frontier = draw(frontiers(max_pieces=max_pieces))
    must_offload = all(piece.server_work > 0.0 for piece in frontier.pieces)
    roof = max_min_share if must_offload else 1.0
    least = draw(st.just(0.0) | st.sampled_from([roof, roof / 2.0]))
    most = draw(st.just(math.inf) | st.sampled_from([least + 0.5, least + 4.0]))
    return Client(frontier, draw(_VALUE), least, most, name)


@st.composite
def tariffs(draw: st.DrawFn, *, capacity: float | None = None) -> Tariff:
    """A tariff of any kind.  With ``capacity`` it sells that much, else what it likes.

    Without a capacity its price grows beyond any bound or starts above 0.
    """
    kind = draw(st.sampled_from(["clearing", "flat", "linear", "power", "barrier", "piecewise"]))
    hard = draw(_CAPACITY) if capacity is None else capacity
    limit = hard if capacity is not None or draw(st.booleans()) else math.inf
    if kind == "clearing":
        return Clearing(hard)
    if kind == "barrier":
        return Barrier(draw(_PRICE), hard)
    if kind == "flat":
        return Flat(draw(_PRICE), limit)
    start = draw(st.just(0.0) | _PRICE)
    if kind == "linear":
        return Linear(start, draw(_PRICE), limit)
    if kind == "power":
        return Power(start, draw(_PRICE), draw(st.integers(2, 4)), limit)
    # Three decimals: sums then print exactly, and equal slopes stay equal.
    loads, prices, slope = [0.0], [Fraction(str(round(start, 3)))], Fraction(0)
    for _ in range(draw(st.integers(1, 3))):
        step = draw(st.sampled_from([0.25, 0.5, 1.0]))
        slope += draw(st.sampled_from([Fraction(0), Fraction(1, 2), Fraction(4)]))
        loads.append(loads[-1] + step)
        prices.append(prices[-1] + slope * Fraction(step))
    prices.append(prices[-1] + slope + 1)
    loads.append(loads[-1] + 1.0)
    return PiecewiseLinear(tuple(loads), tuple(float(p) for p in prices), limit)


@st.composite
def markets(
    draw: st.DrawFn,
    *,
    max_clients: int = 6,
    max_pieces: int = 4,
    quantum: bool | None = None,
    concept: str | None = None,
) -> Instance:
    """A market with an equilibrium: up to ``max_clients`` clients, some of them identical.

    quantum: whether shares come in quanta; concept: "nash" or "competitive"; None draws it.
    """
    count = draw(st.integers(1, max_clients))
    quantised = draw(st.booleans()) if quantum is None else quantum
    unit = draw(_QUANTA) if quantised else None
    capacity = draw(_CAPACITY)
    # Those who must offload fit into half of the capacity, a quantum each at least.
    roof = capacity / (4.0 * count)
    if unit is not None:
        capacity = max(capacity, 4.0 * count * float(unit))
        roof = max(int(capacity / (4 * count) / unit), 1) * float(unit)
    players: list[Client] = []
    for i in range(count):
        copies = bool(players) and draw(st.booleans())
        if copies:
            twin = draw(st.sampled_from(players))
            player = replace(twin, name=f"client {i}")
        else:
            player = draw(clients(name=f"client {i}", max_pieces=max_pieces, max_min_share=roof))
        players.append(player)
    drawn = draw(st.sampled_from(["nash", "competitive"])) if concept is None else concept
    return Instance(drawn, draw(tariffs(capacity=capacity)), unit, tuple(players))


@st.composite
def small_markets(
    draw: st.DrawFn, *, max_clients: int = 4, max_quanta: int = 6, concept: str | None = None
) -> Instance:
    """A market in quanta with so few profiles that all of them can be looked at.

    Nobody may buy more than ``max_quanta``; those who must offload fit, sometimes barely.  Made
    for :func:`dds.testing.pure_equilibria`.  concept: "nash" or "competitive"; None draws it.
    """
    unit = draw(_COARSE)
    players: list[Client] = []
    needed = 0
    for i in range(draw(st.integers(1, max_clients))):
        twin = bool(players) and draw(st.booleans())
        if twin:
            player = replace(draw(st.sampled_from(tuple(players))), name=f"client {i}")
        else:
            most = draw(st.integers(1, max_quanta))
            least = draw(st.integers(0, most))
            player = Client(
                draw(frontiers(max_pieces=3)),
                draw(_VALUE),
                float(least * unit) * draw(st.sampled_from([1.0, 0.75])),
                float(most * unit),
                f"client {i}",
            )
        if all(piece.server_work > 0.0 for piece in player.frontier.pieces):
            needed += max(1, math.ceil(snapped(player.min_share, unit) / unit))
        players.append(player)
    capacity = float((needed + draw(st.integers(1, 2 * max_quanta))) * unit)
    drawn = draw(st.sampled_from(["nash", "competitive"])) if concept is None else concept
    return Instance(drawn, draw(tariffs(capacity=capacity)), unit, tuple(players))
