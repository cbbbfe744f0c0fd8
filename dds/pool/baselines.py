"""What clients do without a market, under the enforcement of either product.

Rules of thumb for the pieces, the same for both products:

- ``local-only``    everybody computes alone;
- ``edge-only``     everybody sends its input and computes nothing;
- ``full-speed``    everybody cuts as if the server were its own (min-cut);
- ``equal-share``   everybody cuts for a share of C/N cores (min-cut);
- ``selfish``       everybody cuts again for what it finds, until nobody would, or for
  ``ROUNDS`` rounds.

:func:`pooled_baselines` runs them on a :class:`Pool`: all requests meet on one work-conserving
server, nobody pays.  :func:`reserved_baselines` gives leases: ``edge-only``, ``full-speed`` and
``selfish`` split C equally among those who offload, ``equal-share`` gives C/N to everybody.
Compare a mechanism with the baselines of its own product only: one that is enforced
differently is another server.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dds.market.arguments import read_capacity, table_of
from dds.market.client import Client
from dds.market.numbers import Floats, Ints
from dds.market.table import ClientTable
from dds.pool.equilibrium import mean_latency
from dds.pool.game import Game
from dds.pool.server import Pool

__all__ = ["Baseline", "pooled_baselines", "reserved_baselines"]

#: Rounds of re-cutting before a selfish dynamic that goes on is stopped.
ROUNDS = 100


@dataclass(frozen=True, eq=False)
class Baseline:
    """Where a rule of thumb ends.

    latencies: s, N; inf where the server is overloaded or the client gets no share;
    mean_latency: sum of w T / sum of w, s; settled: False for a dynamic that was stopped.
    """

    latencies: Floats
    mean_latency: float
    settled: bool = True


def pooled_baselines(
    clients: Sequence[Client] | ClientTable, server: Pool
) -> Mapping[str, Baseline]:
    """Every baseline on a shared server, by name.

    A selfish client anticipates the load that it brings itself, and pays nothing.
    """
    table = table_of(clients)
    game = Game.of(table, server)
    idle = float(server.slowdown(0.0))
    selfish, settled = _selfish(game)
    share = max(idle, len(table) / server.capacity)
    profiles = {
        "local-only": _furthest(game, local=True),
        "edge-only": _furthest(game, local=False),
        "full-speed": game.replies(idle, 0.0),
        "equal-share": game.replies(share, 0.0),
        "selfish": selfish,
    }
    found = {}
    for name, rows in profiles.items():
        base, work = game.chosen(rows)
        x = game.point(rows).x
        served = work > 0.0  # else x, which may be inf, does not matter
        latencies = np.where(served, base + np.where(served, work, 1.0) * x, base)
        mean = mean_latency(table, latencies) if np.all(np.isfinite(latencies)) else math.inf
        found[name] = Baseline(latencies, mean, settled or name != "selfish")
    return found


def _furthest(game: Game, *, local: bool) -> Ints:
    """Everybody's piece of least server work, or of most."""
    there = np.isfinite(game.base)
    rows: Ints = (
        np.where(there, game.work, math.inf).argmin(axis=0)
        if local
        else np.where(there, game.work, -1.0).argmax(axis=0)
    )
    return rows


def _selfish(game: Game) -> tuple[Ints, bool]:
    """Clients take turns to take the piece that is fastest for themselves, load included."""
    rows = _furthest(game, local=True).copy()
    _, work = game.chosen(rows)
    busy = float((game.rate * work).sum())
    for _ in range(ROUNDS):
        moved = False
        for i in range(len(game)):
            now = rows[i]
            others = busy - game.rate[i] * game.work[now, i]
            x = game.slowdown((others + game.rate[i] * game.work[:, i]) / game.capacity)
            served = game.work[:, i] > 0.0
            latency = game.base[:, i] + game.work[:, i] * np.where(served, x, 1.0)
            best = int(latency.argmin())
            if latency[best] < latency[now] * (1.0 - 1e-12):
                rows[i], moved = best, True
                busy = others + game.rate[i] * game.work[best, i]
        if not moved:
            return rows, True
    return rows, False


def reserved_baselines(
    clients: Sequence[Client] | ClientTable, capacity: float
) -> Mapping[str, Baseline]:
    """Every baseline with leases of ``capacity`` cores in all, by name: T = A + W / f.

    Shares never exceed a client's max_share; one below its min_share is none at all.
    """
    cores, table = read_capacity(capacity), table_of(clients)
    game = _Leases(table, cores)
    count = len(table)
    local, edge = (game.furthest(local=flag) for flag in (True, False))
    alone = game.cut(np.full(count, cores))
    selfish, settled = game.selfish(alone)
    found = {}
    for name, (rows, shares) in {
        "local-only": (local, game.split(local)),
        "edge-only": (edge, game.split(edge)),
        "full-speed": (alone, game.split(alone)),
        "equal-share": (game.cut(np.full(count, cores / count)), np.full(count, cores / count)),
        "selfish": (selfish, game.split(selfish)),
    }.items():
        latencies = game.latencies(rows, shares)
        mean = mean_latency(table, latencies) if np.all(np.isfinite(latencies)) else math.inf
        found[name] = Baseline(latencies, mean, settled or name != "selfish")
    return found


@dataclass(frozen=True, eq=False)
class _Leases:
    """Clients with leases; a profile is a row of the table per client, the last one local."""

    table: ClientTable
    capacity: float

    def _times(self, shares: Floats) -> Floats:
        """T by piece, (K+1) x N; local-only last."""
        table = self.table
        held = np.minimum(shares, table.high)
        with np.errstate(divide="ignore"):
            there = table.base + table.work / np.where(held >= table.low, held, 0.0)
        times: Floats = np.concatenate((there, table.local_base[None]))
        return times

    def cut(self, shares: Floats) -> Ints:
        """Everybody's fastest piece."""
        rows: Ints = self._times(shares).argmin(axis=0)
        return rows

    def latencies(self, rows: Ints, shares: Floats) -> Floats:
        """T of everybody's piece."""
        times: Floats = self._times(shares)[rows, np.arange(len(rows))]
        return times

    def split(self, rows: Ints) -> Floats:
        """C equally among those who offload; who does not counts itself in when it thinks of it."""
        offloads = rows < self.table.depth
        shares: Floats = self.capacity / (offloads.sum() + ~offloads)
        return shares

    def furthest(self, *, local: bool) -> Ints:
        """Everybody's piece of least server work, or of most."""
        table = self.table
        there = np.isfinite(table.base)
        if local:
            least = np.where(there, table.work, math.inf)
            return np.where(table.must_offload, _row(least, True), table.depth)
        return np.where(
            there.any(axis=0), _row(np.where(there, table.work, -1.0), False), table.depth
        )

    def selfish(self, rows: Ints) -> tuple[Ints, bool]:
        """Everybody cuts again for its part of C, one after another."""
        rows = rows.copy()
        for _ in range(ROUNDS):
            moved = False
            offloading = int((rows < self.table.depth).sum())
            for i in range(len(rows)):
                others = offloading - int(rows[i] < self.table.depth)
                one = _Leases(self.table.slice(slice(i, i + 1)), self.capacity)
                times = one._times(np.array([self.capacity / (others + 1)]))[:, 0]
                best = int(times.argmin())
                if times[best] < times[rows[i]] * (1.0 - 1e-12):
                    rows[i], moved = best, True
                    offloading = others + int(best < self.table.depth)
            if not moved:
                return rows, True
        return rows, False


def _row(values: Floats, least: bool) -> Ints:
    """The row of each column's extreme value; 0 in an empty table."""
    if not len(values):
        return np.zeros(values.shape[1], np.int64)
    rows: Ints = values.argmin(axis=0) if least else values.argmax(axis=0)
    return rows
