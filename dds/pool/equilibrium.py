"""``pooled``: the equilibrium of clients who share a work-conserving server."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from dds.errors import InvalidInput
from dds.market.arguments import check_names, table_of
from dds.market.client import Client
from dds.market.numbers import Floats, Ints, exact_sum
from dds.market.table import ClientTable
from dds.pool.game import Game, descend, improved_by_pairs
from dds.pool.search import start
from dds.pool.server import Pool

if TYPE_CHECKING:
    from dds.market.certificate import Certificate

__all__ = ["PooledEquilibrium", "mean_latency", "pooled"]

#: Up to so many clients more is tried, because one of them may matter a lot.
FEW = 1024


@dataclass(frozen=True, eq=False)
class PooledEquilibrium:
    """Pieces from which no client gains by moving alone, exactly.

    table: the clients; server: the pool; per client, in order: pieces (index in its frontier),
    latencies (A + W x, s), payments (t, credits/s) and regret (credits/s: 0, see below).
    load: rho; slowdown: x(rho), s per core second; toll: tau = V x'(rho) / C, credits per core
    second, which payments approach as clients get small; cost: S = sum of w T, credits/s;
    passes: over all clients, until nobody had a move left.

    The regret is exactly 0 in rational arithmetic, for the clients' numbers as doubles.
    """

    table: ClientTable
    server: Pool
    pieces: Ints
    latencies: Floats
    payments: Floats
    regret: Floats
    load: float
    slowdown: float
    toll: float
    cost: float
    passes: int

    @property
    def mean_latency(self) -> float:
        """``sum of w T / sum of w``, s."""
        return mean_latency(self.table, self.latencies)

    @property
    def version(self) -> str:
        """Which slowdown curve this is an equilibrium of."""
        return self.server.slowdown.version

    @cached_property
    def certificate(self) -> Certificate:
        """The proof that this is an equilibrium, for ``proofs.pooled``; built when first read."""
        from dds.pool.certificate import certify

        return certify(self)


def mean_latency(table: ClientTable, latencies: Floats) -> float:
    """``sum of w T / sum of w``, s: latency as the clients value it.

    With w proportional to the rate it is the mean over inferences, with equal w over clients.
    """
    return exact_sum(table.value * latencies)[0] / exact_sum(table.value)[0]


def pooled(clients: Sequence[Client] | ClientTable, server: Pool) -> PooledEquilibrium:
    """A pure Nash equilibrium of clients who share ``server`` and pay what they do to others.

    Client i minimises ``w_i (A_k + W_k x(rho)) + t_i`` over its pieces k, where
    ``rho = sum of rate W / C`` and ``t_i = V_-i (x(rho) - x(rho_-i))``, V the sum of w W.  The
    sum of w T is an exact potential of this game (``dds.pool.game`` has the proof), so the
    social optimum is an equilibrium, and what is found here no single client can improve.
    Shares are not sold: min_share and max_share play no part; rate does.

    Raises InvalidInput for wrong arguments, Infeasible when clients without a local-only piece
    alone overload the server.

    >>> from dds import Client, Frontier
    >>> cameras = [
    ...     Client(Frontier.from_points([(0.1, 0.05), (0.4, 0.0)]), value_of_time=5.0, rate=5.0)
    ...     for _ in range(6)
    ... ]
    >>> found = pooled(cameras, Pool(1))
    >>> found.pieces.tolist(), found.load, found.latencies.round(3).tolist()
    ([0, 0, 1, 1, 1, 1], 0.5, [0.2, 0.2, 0.4, 0.4, 0.4, 0.4])
    """
    if not isinstance(server, Pool):
        raise InvalidInput(f"server is {server!r}; need one such as Pool(4)")
    table = table_of(clients)
    check_names(table)
    game = Game.of(table, server)
    rows, passes = _best_equilibrium(game)
    return _described(table, server, game, rows, passes)


def _best_equilibrium(game: Game) -> tuple[Ints, int]:
    """Where a good start leads; among few clients, several starts and pairs of moves."""
    rows, passes = descend(game, start(game))
    if len(game) > FEW:
        return rows, passes
    found = [rows]
    # Nobody there yet, and everybody as if the server were idle.
    for begin in (game.lightest, game.replies(float(game.slowdown(0.0)), 0.0)):
        if not math.isinf(game.cost(game.sums(begin))):
            rows, more = descend(game, begin)
            passes += more
            if not any(np.array_equal(rows, other) for other in found):
                found.append(rows)
    ends = []
    for rows in found:
        end, more = improved_by_pairs(game, rows)
        ends.append(end)
        passes += more
    return min(ends, key=lambda end: game.cost(game.sums(end))), passes


def _described(
    table: ClientTable, server: Pool, game: Game, rows: Ints, passes: int
) -> PooledEquilibrium:
    sums = game.sums(rows)
    rho = sums.busy / server.capacity
    x = float(server.slowdown(rho))
    base, work = game.chosen(rows)
    latencies = base + work * x
    weight = np.maximum(sums.weight - game.value * work, 0.0)
    without = server.slowdown(np.maximum(rho - game.rate * work / server.capacity, 0.0))
    payments = weight * (x - without)
    pieces = np.where(rows == table.depth, table.local_piece, rows)
    regret = np.zeros(len(table))
    for values in (pieces, latencies, payments, regret):
        values.setflags(write=False)
    return PooledEquilibrium(
        table, server, pieces, latencies, payments, regret, rho, x,
        sums.weight * float(server.slowdown.slope(rho)) / server.capacity,
        game.cost(sums), passes,
    )  # fmt: skip
