"""The allocation game played by rules of thumb: one at a time, all at once, half of the way.

Everybody knows the tariff and what the others hold together, and answers with its exact best
response, the one that the solvers use (``dds.market.replies``).  Only the order differs:

    sequential     f_i <- R_i(sum of f_j, j != i), one client after the other
    simultaneous   f   <- R(f), all at once
    damped         f   <- (1 - a) f + a R(f)

One at a time, play ends: it stops within tolerance of an equilibrium after finitely many moves,
and exactly in one where shares come in quanta (docs/dynamics.md says why).  All at once it may
cycle, and so may half of the way: :func:`dds.dynamics.cycling_market` does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike

from dds.dynamics.trajectory import Seen, Trajectory, follow, read_rounds, read_tolerance
from dds.errors import Infeasible, InvalidInput
from dds.market.arguments import table_of
from dds.market.client import Client
from dds.market.numbers import LARGEST, Floats, exact_sum, read_quantum, to_quanta, to_shares
from dds.market.replies import Replies, best_replies
from dds.market.table import ClientTable
from dds.market.tariff import Clearing
from dds.market.tariff_base import Tariff

__all__ = ["damped", "sequential", "simultaneous"]

#: Continuous totals above capacity by no more than this, relative, are rounding.
ROUNDING = 1e-12
#: Who goes home by damped steps lets go of a share below this part of total demand.
CRUMB = 1e-6
#: A share this large means that nothing limits it.
LIMITLESS = 2.0**499


def sequential(
    clients: Sequence[Client] | ClientTable,
    tariff: Tariff,
    *,
    quantum: float | Fraction | None = None,
    start: ArrayLike | None = None,
    rounds: int = 1000,
    tolerance: float = 1e-9,
    keep: bool = False,
) -> Trajectory:
    """Best responses one client after the other, in order, until nobody moves.

    A round is one turn of everybody.  A client moves if that saves more than ``tolerance`` of its
    own cost; in quanta, if it saves anything at all, exactly.  start: shares in cores, N; by
    default all local-only, and clients that must offload at their min_share.  keep: remember
    everybody's shares of every round.

    Raises InvalidInput for wrong arguments (Clearing has no price for a load: use
    :func:`tatonnement`), Infeasible when a price of 0 leaves demand without a limit.
    """
    game = _Game.of(clients, tariff, quantum, tolerance)
    state = game.start(start)
    return follow(
        "sequential", state, game.look, game.turns, _itself, read_rounds(rounds), keep=keep
    )


def simultaneous(
    clients: Sequence[Client] | ClientTable,
    tariff: Tariff,
    *,
    quantum: float | Fraction | None = None,
    start: ArrayLike | None = None,
    rounds: int = 1000,
    tolerance: float = 1e-9,
    keep: bool = False,
) -> Trajectory:
    """Everybody's best response to the shares of the round before, all at once.

    Together they may ask for more than there is; then the price is inf, and whoever holds
    something regrets it infinitely.  Arguments and errors as in :func:`sequential`.
    """
    game = _Game.of(clients, tariff, quantum, tolerance)
    state = game.start(start)
    return follow(
        "simultaneous", state, game.look, game.answers, _itself, read_rounds(rounds), keep=keep
    )


def damped(
    clients: Sequence[Client] | ClientTable,
    tariff: Tariff,
    *,
    weight: float = 0.5,
    start: ArrayLike | None = None,
    rounds: int = 1000,
    tolerance: float = 1e-9,
    keep: bool = False,
) -> Trajectory:
    """Everybody goes ``weight`` of the way to its best response, all at once.

    Half of the way to local-only is a share that need not respect min_share, and on which
    offloading may be very slow; below a millionth of total demand it is let go.  In quanta there
    is no half of the way.  Other arguments and errors as in :func:`sequential`; InvalidInput
    unless 0 < weight <= 1.
    """
    if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not 0.0 < weight <= 1.0:
        raise InvalidInput(f"weight is {weight!r}; need 0 < weight <= 1")
    game = _Game.of(clients, tariff, None, tolerance)

    def step(shares: Floats) -> Floats:
        there = game.answers(shares)
        moved: Floats = np.where(there == shares, shares, shares + weight * (there - shares))
        moved[(there == 0.0) & (moved <= CRUMB * game.total(shares))] = 0.0
        return moved

    state = game.start(start)
    return follow("damped", state, game.look, step, _itself, read_rounds(rounds), keep=keep)


def _itself(shares: Floats) -> Floats:
    return shares


@dataclass(frozen=True, eq=False)
class _Game:
    """Clients, a tariff, and what counts as a gain."""

    table: ClientTable
    tariff: Tariff
    quantum: Fraction | None
    tolerance: float

    @classmethod
    def of(
        cls,
        clients: Sequence[Client] | ClientTable,
        tariff: Tariff,
        quantum: float | Fraction | None,
        tolerance: float,
    ) -> _Game:
        if not isinstance(tariff, Tariff):
            raise InvalidInput(f"tariff is {tariff!r}; need one such as Linear(0.0, 1.0)")
        if isinstance(tariff, Clearing):
            raise InvalidInput("tariff Clearing has no price for a load; use tatonnement")
        return cls(table_of(clients), tariff, read_quantum(quantum), read_tolerance(tolerance))

    def start(self, start: ArrayLike | None) -> Floats:
        """Where play begins."""
        low = self.table.bounds(self.quantum)[0]
        if start is None:
            least = low if self.quantum is None else to_shares(low, self.quantum)
            return np.where(self.table.must_offload, least, 0.0)
        need = f"start: need a share from 0 to {LARGEST:g} cores for each of {len(self.table)}"
        try:
            shares = np.array(start, float)
        except (TypeError, ValueError, OverflowError):
            raise InvalidInput(need) from None
        if shares.shape != (len(self.table),) or not np.all((shares >= 0.0) & (shares <= LARGEST)):
            raise InvalidInput(need)
        if self.quantum is None:
            return shares
        return to_shares(to_quanta(shares, self.quantum), self.quantum)

    def total(self, shares: Floats) -> float:
        """F, cores."""
        if self.quantum is None:
            return exact_sum(shares)[0]
        return float(int(exact_sum(to_quanta(shares, self.quantum))[0]) * self.quantum)

    def oversold(self, total: float) -> bool:
        """Whether the server has less than that."""
        capacity, quantum = self.tariff.capacity, self.quantum
        if quantum is not None:
            return float(to_quanta(np.array(total), quantum)) > self.tariff.room_quanta(quantum)
        return total >= capacity if self.tariff.strict else total > capacity * (1.0 + ROUNDING)

    def replies(self, shares: Floats, total: float) -> tuple[Replies, Floats]:
        """Everybody's reply, its own share if nothing is gained, and what it costs now."""
        if self.quantum is None:
            others = np.maximum(total - shares, 0.0)
        else:
            counted = to_quanta(shares, self.quantum)
            others = to_shares(to_quanta(np.array(total), self.quantum) - counted, self.quantum)
        return self.replies_of(self.table, shares, others, oversold=self.oversold(total))

    def replies_of(
        self, table: ClientTable, shares: Floats, others: Floats, *, oversold: bool
    ) -> tuple[Replies, Floats]:
        """The replies of some clients to the others' demand, and their present costs."""
        exact = self.quantum is not None and not oversold
        found = best_replies(table, self.tariff, others, self.quantum, shares if exact else None)
        if np.any(found.shares >= LIMITLESS):
            raise Infeasible("the price is 0 at any share, so no share is best; give a max_share")
        costs = table.value * table.latencies(shares, self.quantum)[0]
        held = shares > 0.0
        if oversold:
            costs[held] = math.inf
        else:
            costs[held] += (shares * self.tariff.prices_at(others + shares))[held]
        if self.quantum is None:
            content = costs * (1.0 - self.tolerance) <= found.costs
            content &= np.isfinite(costs)
            found = replace(found, shares=np.where(content, shares, found.shares))
        return found, costs

    def look(self, shares: Floats) -> Seen:
        """How the state looks to whoever asks what it could gain."""
        total = self.total(shares)
        over = self.oversold(total)
        found, costs = self.replies(shares, total)
        unserved = np.isinf(costs)
        with np.errstate(invalid="ignore"):
            savings = np.where(unserved, math.inf, np.maximum(costs - found.costs, 0.0))
        stays = found.shares == shares
        if self.quantum is not None:  # decided exactly, whatever floats say
            savings = np.where(stays & ~unserved, 0.0, savings)
        price = math.inf if over else float(self.tariff.prices_at(np.array([total]))[0])
        excess = max(total - self.tariff.capacity, 0.0) if over else 0.0
        settled = bool(np.all(stays & ~unserved))
        return Seen(price, total, excess, float(savings.max()), settled)

    def answers(self, shares: Floats) -> Floats:
        """Everybody's reply at once."""
        return self.replies(shares, self.total(shares))[0].shares

    def turns(self, shares: Floats) -> Floats:
        """Everybody's reply, one client after the other.

        Those who stay change nothing for the next, so as many as stayed before are asked at once.
        """
        shares, count = shares.copy(), len(shares)
        counted = shares if self.quantum is None else to_quanta(shares, self.quantum)
        total, i, ahead = exact_sum(counted)[0], 0, 1
        while i < count:
            rows = slice(i, min(i + ahead, count))
            others = np.maximum(total - counted[rows], 0.0)
            cores, load = others, total
            if self.quantum is not None:
                cores, load = to_shares(others, self.quantum), float(int(total) * self.quantum)
            reply = self.replies_of(
                self.table.slice(rows), shares[rows], cores, oversold=self.oversold(load)
            )[0].shares
            moving = np.flatnonzero(reply != shares[rows])
            if not len(moving):
                i, ahead = i + ahead, 2 * ahead
                continue
            first = int(moving[0])
            i, ahead = i + first + 1, max(first, 1)
            shares[i - 1] = reply[first]
            own = reply[first : first + 1]
            counted[i - 1] = own[0] if self.quantum is None else to_quanta(own, self.quantum)[0]
            total = float(others[first] + counted[i - 1])
        return shares
