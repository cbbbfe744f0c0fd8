"""What must hold of an equilibrium, checked from its definition and not from a solver.

Every client's alternatives are searched anew: on each piece the cost is convex in
the share, so a ternary search (or, in quanta, a bisection in rational arithmetic)
finds the best one without any formula of the library but the tariff's price.
"""

# ruff: noqa: S101 - to assert is what this module is for

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction

from dds.market.client import Client
from dds.market.equilibrium import Equilibrium
from dds.market.numbers import exact_share, read_quantum, snapped
from dds.market.tariff import Clearing
from dds.market.tariff_base import Tariff

__all__ = ["assert_equilibrium", "cheapest"]

#: Shares, prices and sums may differ by rounding, relative.
ROUNDING = 1e-9


def assert_equilibrium(
    clients: Sequence[Client],
    tariff: Tariff,
    equilibrium: Equilibrium,
    quantum: float | Fraction | None = None,
    *,
    tolerance: float = 1e-7,
) -> None:
    """Check shares, sums, price and that no client gains by moving alone.

    A Nash equilibrium in quanta must have no gain at all, in rational arithmetic; otherwise a
    gain is at most ``tolerance`` of the client's own cost.  Raises AssertionError saying what is
    wrong.
    """
    unit = read_quantum(quantum)
    shares = [exact_share(float(share), unit) for share in equilibrium.shares]
    total = sum(shares, Fraction(0))
    assert tariff.admits(total, unit), f"{float(total)} cores oversold"
    assert _close(equilibrium.total, float(total)), "total is not the sum of the shares"
    taking = equilibrium.concept == "competitive" or isinstance(tariff, Clearing)
    grid = tariff.on_grid(unit)
    for i, client in enumerate(clients):
        share, place = shares[i], f"client {i}"
        _assert_allowed(client, share, unit, place)
        piece = client.frontier.pieces[int(equilibrium.pieces[i])]
        assert (piece.server_work == 0.0) == (share == 0), f"{place}: piece and share disagree"
        latency = piece.latency(float(share))
        assert _close(equilibrium.latencies[i], latency), f"{place}: latency"
        assert _close(equilibrium.payments[i], float(share) * equilibrium.price), f"{place}: pays"
        assert equilibrium.regret[i] >= 0.0, f"{place}: negative regret"
        others = total - share
        price = _fixed(Fraction(equilibrium.price)) if taking else _anticipated(grid, others)
        room = None if taking else _room(tariff, unit, others)
        own = _cost(client, share, price(share))
        best, at = cheapest(client, price, room, unit)
        slack = Fraction(0) if unit is not None and not taking else Fraction(tolerance) * own
        assert best >= own - slack, (
            f"{place} has {float(share)} at cost {float(own)}, but {float(at)} costs {float(best)}"
        )
    if taking:
        _assert_cleared(clients, tariff, equilibrium, unit, total)
    else:
        assert _close(equilibrium.price, float(grid.exact_price(total))), "price is not pi(F)"


def cheapest(
    client: Client,
    price: Callable[[Fraction], Fraction],
    room: Fraction | None,
    quantum: Fraction | None = None,
) -> tuple[Fraction, Fraction]:
    """The least cost (credits/s) and a share (cores) that attains it, by search.

    price: unit price at an own share f, such that ``f price(f)`` is convex; room: the most there
    is, cores.  Infinite cost and share 0 when no share is allowed.
    """
    found = [(Fraction(10) ** 300, Fraction(0))]
    high = None if math.isinf(client.max_share) else snapped(client.max_share, quantum)
    if room is not None:
        high = room if high is None else min(high, room)
    for piece in client.frontier.pieces:
        start = Fraction(client.value_of_time) * Fraction(piece.base_latency)
        work = Fraction(client.value_of_time) * Fraction(piece.server_work)
        if not work:
            found.append((start, Fraction(0)))
            continue

        def cost(share: Fraction, start: Fraction = start, work: Fraction = work) -> Fraction:
            return start + work / share + share * price(share)

        low = snapped(client.min_share, quantum)
        share = (
            _best_share(cost, low, high)
            if quantum is None
            else _best_multiple(cost, low, high, quantum)
        )
        if share is not None:
            found.append((cost(share), share))
    return min(found)


def _fixed(price: Fraction) -> Callable[[Fraction], Fraction]:
    return lambda _: price


def _anticipated(tariff: Tariff, others: Fraction) -> Callable[[Fraction], Fraction]:
    return lambda share: tariff.exact_price(others + share)


def _best_multiple(
    cost: Callable[[Fraction], Fraction], low: Fraction, high: Fraction | None, unit: Fraction
) -> Fraction | None:
    """The multiple of ``unit`` in [low, high] with the least cost, a convex function."""
    least = max(1, math.ceil(low / unit))
    most = 2 * least if high is None else math.floor(high / unit)
    if most < least:
        return None
    while high is None and most < 2**200 and cost((most + 1) * unit) < cost(most * unit):
        most *= 2
    while least < most:
        middle = (least + most) // 2
        if cost((middle + 1) * unit) < cost(middle * unit):
            least = middle + 1
        else:
            most = middle
    return least * unit


def _best_share(
    cost: Callable[[Fraction], Fraction], low: Fraction, high: Fraction | None
) -> Fraction | None:
    """About the share in [low, high] with the least cost, a convex function."""
    left = float(low) or 1e-12
    right = left * 2.0 if high is None else float(high)
    while high is None and right < 1e30 and cost(Fraction(2.0 * right)) < cost(Fraction(right)):
        right *= 2.0
    if right < left:
        return None
    right *= 2.0 if high is None else 1.0
    x, y = math.log(left), math.log(right)
    for _ in range(90):
        a, b = x + (y - x) / 3.0, y - (y - x) / 3.0
        if cost(_within(a, low, high)) <= cost(_within(b, low, high)):
            y = b
        else:
            x = a
    ends = [_within(x, low, high), low or None, high]
    return min((share for share in ends if share), key=cost)


def _within(logarithm: float, low: Fraction, high: Fraction | None) -> Fraction:
    share = max(Fraction(math.exp(logarithm)), low)
    return share if high is None else min(share, high)


def _room(tariff: Tariff, unit: Fraction | None, others: Fraction) -> Fraction | None:
    """The most that one client may take; just short of a pole."""
    capacity = tariff.room(unit)
    if capacity is None:
        return None
    room = capacity - others
    if tariff.strict:
        room -= room / 2**40 if unit is None else 0
        if unit is not None and room % unit == 0:
            room -= unit
    return room


def _cost(client: Client, share: Fraction, price: Fraction) -> Fraction:
    """``w T(f) + f price`` on the fastest piece that may run at f."""
    waits = [
        Fraction(piece.base_latency) + (Fraction(piece.server_work) / share if share else 0)
        for piece in client.frontier.pieces
        if (piece.server_work == 0.0) == (share == 0)
    ]
    return Fraction(client.value_of_time) * min(waits) + share * price


def _assert_allowed(client: Client, share: Fraction, unit: Fraction | None, place: str) -> None:
    local = any(piece.server_work == 0.0 for piece in client.frontier.pieces)
    if not share:
        assert local, f"{place} must offload, and has share 0"
        return
    assert share >= snapped(client.min_share, unit), f"{place}: {float(share)} below min_share"
    if math.isfinite(client.max_share):
        assert share <= snapped(client.max_share, unit), f"{place}: {float(share)} above max_share"
    assert any(piece.server_work > 0.0 for piece in client.frontier.pieces), f"{place}: has a share"


def _assert_cleared(
    clients: Sequence[Client],
    tariff: Tariff,
    equilibrium: Equilibrium,
    unit: Fraction | None,
    total: Fraction,
) -> None:
    """A little below the price, more is demanded than the operator would sell there."""
    posted = float(tariff.on_grid(unit).exact_price(total))
    price = equilibrium.price
    assert posted <= price * (1.0 + ROUNDING), "more is sold than the price pays for"
    if price == float(tariff.exact_price(Fraction(0))):
        return
    lower = Fraction(price) * (1 - Fraction(1, 10**6))
    demand = sum((cheapest(c, _fixed(lower), None, unit)[1] for c in clients), Fraction(0))
    demand *= 1 + Fraction(1, 10**5)  # the search finds shares to rounding
    overfull = not tariff.admits(demand, unit)
    assert overfull or tariff.on_grid(unit).exact_price(demand) >= lower, (
        f"at price {float(lower)} only {float(demand)} cores are demanded, so it is too high"
    )


def _close(a: float, b: float) -> bool:
    return abs(a - b) <= ROUNDING * max(abs(a), abs(b))
