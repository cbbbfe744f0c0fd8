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
from dds.pool.server import Pool
from dds.pool.slowdown import Slowdown

__all__ = ["Game", "Sums", "descend", "improved_by_pairs"]

#: What a handful of roundings may add to a cost, relative to the largest number in it.
ROUNDING = 64.0 * 2.0**-53
#: First moves of a pair that are tried, those that cost least first.
PAIRS = 48
#: Numbers per pass over several pieces at once.
BLOCK = 1 << 16


@dataclass(frozen=True)
class Sums:
    """A profile in three numbers: sum of w A (credits/s), R (cores) and V (credits core/s)."""

    waits: float
    busy: float
    weight: float


@dataclass(frozen=True)
class Point:
    """Where a profile stands: its sums, its load rho, x(rho) and x'(rho)."""

    sums: Sums
    rho: float
    x: float
    slope: float


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
        x = float(self.slowdown(sums.busy / self.capacity))
        if math.isinf(x):
            return math.inf
        return sums.waits + sums.weight * x

    @cached_property
    def lightest(self) -> Ints:
        """The profile of least load: local-only where a client can, else the least work.

        Raises Infeasible when even this is more than the server can bear.
        """
        rows: Ints = np.where(np.isfinite(self.base), self.work, math.inf).argmin(axis=0)
        load = self.sums(rows).busy / self.capacity
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

    def point(self, rows: Ints) -> Point:
        """Where a profile stands."""
        sums = self.sums(rows)
        rho = sums.busy / self.capacity
        return Point(sums, rho, float(self.slowdown(rho)), float(self.slowdown.slope(rho)))

    def changes(self, at: Point, who: Ints, now: Ints, then: Ints) -> tuple[Floats, Floats]:
        """What S (and the mover's cost) changes by when ``who`` alone moves, and its rounding."""
        base, work = self.base[then, who], self.work[then, who]
        old_base, old_work = self.base[now, who], self.work[now, who]
        value, gained = self.value[who], work - old_work
        after = at.rho + self.rate[who] * gained / self.capacity
        moved = self.slowdown(after)
        steep = np.maximum(self.slowdown.slope(after), at.slope)
        with np.errstate(invalid="ignore"):
            change = value * (base - old_base + gained * moved) + at.sums.weight * (moved - at.x)
            size = value * (base + old_base + (work + old_work) * moved)
            size += at.sums.weight * (moved + at.x + steep * at.rho)
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
        busy, weight = sums
        work = Fraction(self.work[then, who]) - Fraction(self.work[now, who])
        wait = Fraction(self.base[then, who]) - Fraction(self.base[now, who])
        value = Fraction(self.value[who])
        after = (busy + Fraction(self.rate[who]) * work) / Fraction(self.capacity)
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
        at = game.point(rows)
        found = _moves(game, at, rows)
        movers = np.flatnonzero(found.change < -found.rounding)
        if len(movers):
            movers = movers[np.argsort(found.change[movers], kind="stable")]
            movers = movers[: _together(game, at, rows, movers, found.then[movers])]
            rows[movers] = found.then[movers]
        elif (move := _exact_move(game, rows, found.close)) is not None:
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
    then, who = np.nonzero(np.isfinite(game.base) & (np.arange(len(game.base))[:, None] != rows))
    costs, _ = game.changes(game.point(rows), who, rows[who], then)
    best, least = None, 0.0
    for m in np.argsort(costs, kind="stable")[:PAIRS].tolist():
        if math.isinf(costs[m]):
            break
        after = rows.copy()
        after[who[m]] = then[m]
        found = _moves(game, game.point(after), after)
        second = int(found.change.argmin())
        total = float(costs[m] + found.change[second])
        if total < min(least, -4.0 * float(found.rounding[second])):
            least, best = total, after
            best[second] = found.then[second]
    return best


@dataclass(frozen=True, eq=False)
class _Moves:
    """Everybody's best change of S, its rounding, the row it takes; and what is undecided.

    A change of inf means that no other piece looked better; close: clients and rows.
    """

    change: Floats
    rounding: Floats
    then: Ints
    close: tuple[Ints, Ints]


def _moves(game: Game, at: Point, rows: Ints) -> _Moves:
    count = len(game)
    best, rounding, then = np.full(count, math.inf), np.zeros(count), rows.copy()
    close: list[tuple[Ints, Ints]] = []
    block = max(1, BLOCK // count)
    for first in range(0, len(game.base), block):
        who, row = _promising(game, at, rows, first, first + block)
        change, error = game.changes(at, who, rows[who], row)
        undecided = np.abs(change) <= error
        close.append((who[undecided], row[undecided]))
        # The best one of each client is written last.
        order = np.argsort(-change, kind="stable")
        order = order[change[order] < best[who[order]]]
        best[who[order]], rounding[who[order]] = change[order], error[order]
        then[who[order]] = row[order]
    clients, pieces = (np.concatenate(part) for part in zip(*close, strict=True))
    return _Moves(best, rounding, then, (clients, pieces))


def _promising(game: Game, at: Point, rows: Ints, first: int, end: int) -> tuple[Ints, Ints]:
    """Who may save by which of the rows first..end, as far as a line below x can tell."""
    base, work = game.chosen(rows)
    gained = game.work[first:end] - work
    wait = game.value * (game.base[first:end] - base)
    below, above = game.slowdown.chords(at.rho)
    rise = np.where(gained > 0.0, above, below) * (game.rate * gained / game.capacity)
    least = wait + game.value * gained * (at.x + rise) + at.sums.weight * rise
    size = game.value * (base + work * at.x) + at.sums.weight * (at.x + below * at.rho)
    # A piece that a client lacks has wait = inf.
    other = (least <= ROUNDING * (size + np.abs(wait))) & np.isfinite(wait)
    other &= np.arange(first, min(end, len(game.base)))[:, None] != rows
    row, who = np.nonzero(other)
    return who, row + first


def _together(game: Game, at: Point, rows: Ints, movers: Ints, then: Ints) -> int:
    """How many of the movers, in their order, lower S most together: at least the first."""
    now = rows[movers]
    value, rate = game.value[movers], game.rate[movers]
    work = game.work[then, movers] - game.work[now, movers]
    wait = np.cumsum(value * (game.base[then, movers] - game.base[now, movers]))
    weight, busy = np.cumsum(value * work), np.cumsum(rate * work)
    moved = game.slowdown(at.rho + busy / game.capacity)
    with np.errstate(invalid="ignore"):
        cost = wait + weight * moved + at.sums.weight * (moved - at.x)
    cost = np.where(np.isinf(moved), math.inf, cost)
    best = int(cost.argmin())
    # The first alone saves for sure, so that descents end.
    noise = ROUNDING * (at.sums.waits + at.sums.weight * at.x)
    return best + 1 if cost[best] < cost[0] - noise else 1


def _exact_move(game: Game, rows: Ints, close: tuple[Ints, Ints]) -> tuple[int, int] | None:
    """A move among the undecided ones that lowers S in exact arithmetic, if there is one."""
    who, then = close
    if not len(who):
        return None
    sums = game.exact_sums(rows)
    x = game.slowdown.exact(sums[0] / Fraction(game.capacity))
    if x is None:
        raise Infeasible("the load is closer to what the server bears than floats can tell")
    # Clients that are alike have the same answer.
    now = rows[who]
    alike = np.stack((game.value[who], game.rate[who], game.base[now, who], game.work[now, who],
                      game.base[then, who], game.work[then, who]))  # fmt: skip
    _, first = np.unique(alike, axis=1, return_index=True)
    for m in np.sort(first).tolist():
        i, k = int(who[m]), int(then[m])
        change = game.exact_change(sums, x, i, int(rows[i]), k)
        if change is not None and change < 0:
            return i, k
    return None
