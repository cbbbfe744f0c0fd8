"""Pools small enough to look at every profile, in rationals, by formulas of the tests' own."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from types import ModuleType

import pytest
from hypothesis import strategies as st

from dds.cut.pieces import Frontier
from dds.market.client import Client
from dds.pool import Measured, Pool, ProcessorSharing
from dds.testing import frontiers

Profile = tuple[int, ...]
RATES = st.sampled_from([0.1, 0.5, 1.0]) | st.floats(0.01, 3.0)
VALUES = st.sampled_from([1.0, 0.5, 2.0]) | st.floats(0.01, 10.0)
TABLES = (
    Measured((0.0, 0.5, 0.9), (1.0, 1.5, 6.0)),
    Measured((0.0, 0.25, 0.5, 2.0), (0.5, 2.0, 2.5, 2.5)),
)


@dataclass(frozen=True)
class Instance:
    """Clients and their server."""

    clients: tuple[Client, ...]
    server: Pool


@st.composite
def pools(draw: st.DrawFn, max_clients: int = 4, max_pieces: int = 3) -> Instance:
    """Up to four clients, some of them twins; those who must offload may overload the server."""
    players: list[Client] = []
    for i in range(draw(st.integers(1, max_clients))):
        if players and draw(st.booleans()):
            players.append(replace(draw(st.sampled_from(players)), name=f"client {i}"))
            continue
        local = draw(st.sampled_from([True, True, False]))
        drawn = draw(frontiers(max_pieces=max_pieces, local=local))
        points = [(p.base_latency, p.server_work / 4) for p in drawn.pieces]
        players.append(
            Client(Frontier.from_points(points), draw(VALUES), rate=draw(RATES), name=f"client {i}")
        )
    server = draw(
        st.sampled_from(
            [
                Pool(1),
                Pool(2),
                Pool(2, ProcessorSharing(2, width=2)),
                Pool(1.5, TABLES[0]),
                Pool(1, TABLES[1]),
            ]
        )
    )
    return Instance(tuple(players), server)


def slowdown(server: Pool, load: Fraction) -> Fraction | None:
    """x in closed form for one or two lanes, by hand for tables."""
    curve = server.slowdown
    if isinstance(curve, ProcessorSharing):
        if load >= 1:
            return None
        return {1: 1 / (1 - load), 2: 1 / (1 - load**2)}[curve.lanes] / curve.width
    assert isinstance(curve, Measured)
    points = list(zip(map(Fraction, curve.loads), map(Fraction, curve.slowdowns), strict=True))
    for (a, x), (b, y) in itertools.pairwise(points):
        if load <= b:
            return x + (y - x) * (load - a) / (b - a)
    return None


def total(instance: Instance, profile: Sequence[int]) -> Fraction | None:
    """The sum of w T of a profile of piece indices, exactly; None if it overloads."""
    chosen = [c.frontier.pieces[k] for c, k in zip(instance.clients, profile, strict=True)]
    load = sum(
        Fraction(c.rate) * Fraction(p.server_work)
        for c, p in zip(instance.clients, chosen, strict=True)
    )
    x = slowdown(instance.server, load / Fraction(instance.server.capacity))
    if x is None:
        return None
    return sum(
        (
            Fraction(c.value_of_time) * (Fraction(p.base_latency) + Fraction(p.server_work) * x)
            for c, p in zip(instance.clients, chosen, strict=True)
        ),
        Fraction(0),
    )


def latency(instance: Instance, profile: Sequence[int], i: int) -> Fraction | None:
    """T_i, exactly; None if the server is overloaded and client i uses it."""
    chosen = [c.frontier.pieces[k] for c, k in zip(instance.clients, profile, strict=True)]
    base, work = Fraction(chosen[i].base_latency), Fraction(chosen[i].server_work)
    if not work:
        return base
    load = sum(
        Fraction(c.rate) * Fraction(p.server_work)
        for c, p in zip(instance.clients, chosen, strict=True)
    )
    x = slowdown(instance.server, load / Fraction(instance.server.capacity))
    return None if x is None else base + work * x


def own_cost(instance: Instance, profile: Sequence[int], i: int) -> Fraction | None:
    """J_i: the client's own w T plus what the others' w T would fall by if it were not there."""
    whole = total(instance, profile)
    if whole is None:
        return None
    rest = replace(instance, clients=instance.clients[:i] + instance.clients[i + 1 :])
    alone = total(rest, [k for j, k in enumerate(profile) if j != i])
    assert alone is not None
    return whole - alone


def deviations(instance: Instance, profile: Sequence[int]) -> Iterator[tuple[int, Profile]]:
    """Every change of one client's piece."""
    for i, client in enumerate(instance.clients):
        for k in range(len(client.frontier.pieces)):
            if k != profile[i]:
                yield i, (*profile[:i], k, *profile[i + 1 :])


def profiles(instance: Instance) -> Iterator[Profile]:
    """All of them."""
    return itertools.product(*(range(len(c.frontier.pieces)) for c in instance.clients))


@pytest.fixture(scope="session")
def games() -> ModuleType:
    """This module: tests cannot import each other."""
    return sys.modules[__name__]
