"""The game that clients of a pooled server play, and the potential that all of them lower.

Client i picks a piece; the others' pieces and its own make the load, and the load makes
everybody slower.  With ``R = sum of rate W`` (cores), ``rho = R / C``, ``V = sum of w W`` and
x = x(rho), the total cost is

    S = sum of w (A + W x(rho)) = sum of w A + V x(rho)            credits/s

A client is charged what its presence costs the others (the *pivot* payment),

    t_i = V_-i (x(rho) - x(rho_-i))    V_-i, rho_-i: the same sums without client i,

and bears ``J_i = w_i (A_i + W_i x(rho)) + t_i``.

**Theorem.** S is an exact potential: when a client changes its piece, J_i changes by what S
changes by.  *Proof.* ``S - J_i = sum over j != i of w_j A_j + V_-i x(rho_-i)`` does not depend
on the piece of i.  So (1) every profile of least S, the social optimum, is a pure Nash
equilibrium; (2) the equilibria are the profiles where no client alone can lower S; (3) moves
that lower the mover's cost lower S, so they end, for there are finitely many profiles.

**The posted toll.**  ``tau = V x'(rho) / C``, credits per core second, is the price of a little
more load.  For convex x the pivot payment never exceeds it:
``t_i = V_-i (x(rho) - x(rho_-i)) <= V x'(rho) (rho - rho_-i) = tau rate_i W_i``; and for a client
that is a small part of the load the two agree to second order.  Charging tau itself would make
a large client pay for the time that it takes from itself twice: then S is no potential (one
client alone shows it).

Everything here is a pass over arrays; what floats cannot decide is compared in rationals.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np

from dds.errors import Infeasible
from dds.market.numbers import Floats, Ints, exact_sum
from dds.market.table import ClientTable
from dds.pooled.server import Pool
from dds.pooled.slowdown import Slowdown

__all__ = ["Game", "Sums", "descend", "improved_by_pairs"]

#: What a handful of roundings may add to a cost, relative to the largest number in it.
ROUNDING = 64.0 * 2.0**-53
#: First moves of a pair that are tried, those that cost least first.
PAIRS = 48


@dataclass(frozen=True)
class Sums:
    """A profile in three numbers: sum of w A (credits/s), R (cores) and V (credits)."""

    waits: float
    load: float
    weight: float


@dataclass(frozen=True, eq=False)
class Game:
    """N clients who share ``capacity`` cores.

    base, work: A in s and W in core s, (K+1) x N; row K is the local-only piece, base inf where
    a client lacks a piece; value: w; rate: lambda; N each.  A profile is N rows.
    """

    base: Floats
    work: Floats
    value: Floats
    rate: Floats
    capacity: float
    slowdown: Slowdown

    @classmethod
    def of(cls, table: ClientTable, server: Pool) -> Game:
        """The game of a table's clients."""
        count = len(table)
        base = np.concatenate((table.base, table.local_base[None]))
        work = np.concatenate((table.work, np.zeros((1, count))))
        return cls(base, work, table.value, table.rate, server.capacity, server.slowdown)

    def __len__(self) -> int:
        return len(self.value)

    def sample(self, step: int) -> Game:
        """Every ``step``-th client, on as much less capacity as there are fewer clients."""
        few = slice(None, None, step)
        rate = self.rate[few]
        return Game(
            self.base[:, few], self.work[:, few], self.value[few], rate,
            self.capacity * len(rate) / len(self), self.slowdown,
        )  # fmt: skip

    # Profiles

    def chosen(self, rows: Ints) -> tuple[Floats, Floats]:
        """A and W of everybody's piece."""
        every = np.arange(len(self))
        return self.base[rows, every], self.work[rows, every]

    def sums(self, rows: Ints) -> Sums:
        """The three sums of a profile."""
        base, work = self.chosen(rows)
        return Sums(
            exact_sum(self.value * base)[0],
            exact_sum(self.rate * work)[0],
            exact_sum(self.value * work)[0],
        )

    def cost(self, sums: Sums) -> float:
        """S, credits/s; inf above the load the server can bear."""
        x = float(self.slowdown(sums.load / self.capacity))
        if math.isinf(x):
            return math.inf
        return sums.waits + sums.weight * x

    @cached_property
    def lightest(self) -> Ints:
        """The profile of least load: local-only where a client can, else the least work.

        Raises Infeasible when even this is more than the server can bear.
        """
        rows: Ints = np.where(np.isfinite(self.base), self.work, math.inf).argmin(axis=0)
        load = self.sums(rows).load / self.capacity
        if math.isinf(float(self.slowdown(load))):
            raise Infeasible(
                f"clients without a local-only piece bring a load of {load:.4g} at least, and "
                f"the server bears {self.slowdown.limit:g}: more cores or fewer clients"
            )
        return rows

    def replies(self, slowdown: float, toll: float) -> Ints:
        """Everybody's best piece at x s per core second and a toll in credits per core second.

        The frontier's piece at an effective slowdown of ``x + toll rate / w``.
        """
        price = self.value * slowdown + self.rate * toll
        best = self.value * self.base[-1]
        rows = np.full(len(self), len(self.base) - 1)
        for k in range(len(self.base) - 1):
            cost = self.value * self.base[k] + price * self.work[k]
            better = cost < best
            best, rows = np.where(better, cost, best), np.where(better, k, rows)
        return rows

    # Changes of one client

    def changes(self, sums: Sums, who: Ints, now: Ints, then: Ints) -> tuple[Floats, Floats]:
        """What S (and the mover's cost) changes by when ``who`` alone moves, and its rounding."""
        base, work = self.base[then, who], self.work[then, who]
        old_base, old_work = self.base[now, who], self.work[now, who]
        value, rate = self.value[who], self.rate[who]
        rho = sums.load / self.capacity
        after = rho + rate * (work - old_work) / self.capacity
        x, moved = self.slowdown(rho), self.slowdown(after)
        with np.errstate(invalid="ignore"):
            change = (
                value * (base - old_base)
                + value * (work - old_work) * moved
                + sums.weight * (moved - x)
            )
            size = value * (base + old_base + (work + old_work) * moved) + sums.weight * (
                moved + x + np.maximum(self.slowdown.slope(after), self.slowdown.slope(rho)) * rho
            )
        lost = np.isinf(moved) | np.isinf(base)
        return np.where(lost, math.inf, change), np.where(lost, 0.0, ROUNDING * size)

    def exact_sums(self, rows: Ints) -> tuple[Fraction, Fraction]:
        """R and V, exactly."""
        _, work = self.chosen(rows)
        return _dot(self.rate, work), _dot(self.value, work)

    def exact_change(
        self, sums: tuple[Fraction, Fraction], x: Fraction, who: int, now: int, then: int
    ) -> Fraction | None:
        """What S changes by, exactly; None if the server could not bear it."""
        load, weight = sums
        work = Fraction(self.work[then, who]) - Fraction(self.work[now, who])
        wait = Fraction(self.base[then, who]) - Fraction(self.base[now, who])
        value = Fraction(self.value[who])
        after = (load + Fraction(self.rate[who]) * work) / Fraction(self.capacity)
        moved = self.slowdown.exact(after)
        if moved is None:
            return None
        return value * (wait + work * moved) + weight * (moved - x)


def _dot(a: Floats, b: Floats) -> Fraction:
    """An exact sum of products of doubles, numerators of equal denominators first."""
    parts: dict[int, int] = {}
    for left, right in zip(a.tolist(), b.tolist(), strict=True):
        if right:
            (n, d), (m, e) = left.as_integer_ratio(), right.as_integer_ratio()
            parts[d * e] = parts.get(d * e, 0) + n * m
    return sum((Fraction(n, d) for d, n in parts.items()), Fraction(0))


def descend(game: Game, rows: Ints) -> tuple[Ints, int]:
    """Moves that lower S until no client has one left, exactly; and how many passes it took.

    Each pass finds everybody's best move and makes, in order of what they save, as many of
    them as together lower S most.  Costs too close for floats are compared in rationals.
    """
    rows, passes = rows.copy(), 0
    while True:
        passes += 1
        sums = game.sums(rows)
        best, rounding, then, close = _moves(game, sums, rows)
        movers = np.flatnonzero(best < -rounding)
        if len(movers):
            movers = movers[np.argsort(best[movers], kind="stable")]
            movers = movers[: _together(game, sums, rows, movers, then[movers])]
            rows[movers] = then[movers]
        elif (move := _exact_move(game, rows, close)) is not None:
            rows[move[0]] = move[1]
        else:
            return rows, passes


def improved_by_pairs(game: Game, rows: Ints) -> tuple[Ints, int]:
    """From an equilibrium to one of lower S, by pairs of moves, until none is found; and passes.

    One client makes room for another: no single move sees that.  Of first moves only the
    ``PAIRS`` cheapest are tried, each with everybody's best second move.
    """
    passes = 0
    while (pair := _best_pair(game, rows)) is not None:
        rows, taken = descend(game, pair)
        passes += taken
    return rows, passes


def _best_pair(game: Game, rows: Ints) -> Ints | None:
    """The profile after the best pair of moves, if that lowers S."""
    sums, every = game.sums(rows), np.arange(len(game))
    costs = np.full(game.base.shape, math.inf)
    for k in range(len(game.base)):
        costs[k] = np.where(rows == k, math.inf, game.changes(sums, every, rows, every * 0 + k)[0])
    best, least = None, 0.0
    for index in np.argsort(costs, axis=None, kind="stable")[:PAIRS].tolist():
        k, first = divmod(index, len(game))
        if math.isinf(costs[k, first]):
            break
        after = rows.copy()
        after[first] = k
        change, rounding, then, _ = _moves(game, game.sums(after), after)
        second = int(change.argmin())
        total = float(costs[k, first] + change[second])
        if total < min(least, -4.0 * float(rounding[second])):
            least, best = total, after.copy()
            best[second] = then[second]
    return best


def _moves(
    game: Game, sums: Sums, rows: Ints
) -> tuple[Floats, Floats, Ints, list[tuple[Ints, int]]]:
    """Everybody's best change of S, its rounding, the row it takes; and the undecided ones."""
    count = len(game)
    every = np.arange(count)
    best, rounding = np.full(count, math.inf), np.zeros(count)
    then = rows.copy()
    close: list[tuple[Ints, int]] = []
    for k in range(len(game.base)):
        who = _promising(game, sums, rows, k) if game.slowdown.convex else every[rows != k]
        change, error = game.changes(sums, who, rows[who], np.full(len(who), k))
        better = change < best[who]
        take = who[better]
        best[take], rounding[take], then[take] = change[better], error[better], k
        undecided = np.abs(change) <= error
        if undecided.any():
            close.append((who[undecided], k))
    return best, rounding, then, close


def _promising(game: Game, sums: Sums, rows: Ints, k: int) -> Ints:
    """Who may save by taking piece k, as far as the tangent of x can tell."""
    rho = sums.load / game.capacity
    x, slope = float(game.slowdown(rho)), float(game.slowdown.slope(rho))
    base, work = game.chosen(rows)
    with np.errstate(invalid="ignore"):
        gained = game.work[k] - work
        wait = game.value * (game.base[k] - base)
        rise = slope * game.rate * gained / game.capacity
        least = wait + game.value * gained * (x + rise) + sums.weight * rise
        size = game.value * (base + work * x) + sums.weight * (x + slope * rho)
    return np.flatnonzero((least <= ROUNDING * (size + np.abs(wait))) & (rows != k))


def _together(game: Game, sums: Sums, rows: Ints, movers: Ints, then: Ints) -> int:
    """How many of the movers, in their order, lower S most together: at least the first."""
    now = rows[movers]
    value, rate = game.value[movers], game.rate[movers]
    work = game.work[then, movers] - game.work[now, movers]
    wait = np.cumsum(value * (game.base[then, movers] - game.base[now, movers]))
    weight, load = np.cumsum(value * work), np.cumsum(rate * work)
    rho = sums.load / game.capacity
    moved = game.slowdown(rho + load / game.capacity)
    with np.errstate(invalid="ignore"):
        cost = wait + weight * moved + sums.weight * (moved - game.slowdown(rho))
    cost = np.where(np.isinf(moved), math.inf, cost)
    return int(cost.argmin()) + 1


def _exact_move(
    game: Game, rows: Ints, close: list[tuple[Ints, int]]
) -> tuple[int, int] | None:
    """A move among the undecided ones that lowers S in exact arithmetic, if there is one."""
    if not close:
        return None
    sums = game.exact_sums(rows)
    x = game.slowdown.exact(sums[0] / Fraction(game.capacity))
    if x is None:
        raise Infeasible("the load is too close to what the server bears to be computed")
    for who, k in close:
        now = rows[who]
        # Clients that are alike have the same answer.
        alike = np.stack((game.value[who], game.rate[who], game.base[now, who],
                          game.work[now, who], game.base[k, who], game.work[k, who]))  # fmt: skip
        _, first = np.unique(alike, axis=1, return_index=True)
        for i in who[np.sort(first)].tolist():
            change = game.exact_change(sums, x, i, int(rows[i]), k)
            if change is not None and change < 0:
                return i, k
    return None
