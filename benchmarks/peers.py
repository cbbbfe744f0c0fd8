"""Other people's solvers on our game, as well as each can state it.

Every function here is called in a process of its own with the size of a market; it lets
the peer and DDS solve the market in turns and returns a :class:`Trial`.  The clock of a
peer covers what it needs for each new game: cvxpy's canonicalisation, nashopt's
compilation of residuals, pygambit's payoff tables as a game.  Importing, generating clients
and computing payoffs are free.

Nobody else's solver takes the minimum over pieces of ``A + W / f`` as it is; what was
solved instead is said in :attr:`Trial.note`.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, TypeAlias

import numpy as np
from instances import clients, regrets, tariffs
from measuring import interleaved

from dds import competitive, nash
from dds.market.numbers import Floats
from dds.market.replies import best_replies
from dds.market.table import ClientTable
from dds.market.tariff import Tariff

__all__ = ["Trial", "cvxpy_competitive", "cvxpy_nash", "nashopt_nash", "pygambit_nash"]

#: Cores per client: with fewer nobody offloads in the smallest of these markets.
CORES = 0.5
#: The market solved by both before the clock starts, so that everything is loaded.
WARM = 3
#: nashopt's own check compiles a function per client: larger answers are not checked by it.
CHECKED = 16
#: Largest share in pygambit's game, in quanta; the largest share itself, in cores.
QUANTA, MOST = 4, 0.8

Solver: TypeAlias = Callable[[ClientTable, Tariff], Any]


@dataclass(frozen=True)
class Trial:
    """One market, solved by a peer and by DDS.

    ours, theirs: seconds per round; says: the peer's verdict on its own answer; regret,
    our_regret: the largest, relative to the client's cost, by our check; note: how the
    peer's game differs.
    """

    ours: list[float]
    theirs: list[float]
    says: str
    regret: float
    our_regret: float
    note: str


@dataclass(frozen=True, eq=False)
class _Turns:
    """A market and what both solvers made of it."""

    table: ClientTable
    tariff: Tariff
    ours: list[float]
    theirs: list[float]
    found: Any
    answer: Any

    @classmethod
    def of(
        cls,
        kind: str,
        count: int,
        seed: int,
        repeats: int,
        ours: Solver,
        theirs: Solver,
        most: float = np.inf,
    ) -> _Turns:
        markets = []
        for size in (WARM, count):
            table = clients(size, seed)
            table = replace(table, high=np.minimum(table.high, most))
            markets.append((table, tariffs(size, CORES)[kind]))
        with contextlib.redirect_stdout(io.StringIO()):  # what they print is in no table
            for solve in (ours, theirs):
                solve(*markets[0])
            table, tariff = markets[1]
            ours(table, tariff)
            seconds, results = interleaved(
                {"ours": lambda: ours(table, tariff), "theirs": lambda: theirs(table, tariff)},
                repeats,
            )
        return cls(
            table, tariff, seconds["ours"], seconds["theirs"], results["ours"], results["theirs"]
        )

    def trial(self, shares: Floats, price: float, says: str, note: str) -> Trial:
        # A few ppm of a core, worse than none, are the solver's precision: call them none.
        useful = self.table.latencies(shares)[0] < self.table.local_base
        theirs = regrets(self.table, self.tariff, np.where(useful, shares, 0.0), price)
        ours = regrets(self.table, self.tariff, self.found.shares, self.found.price)
        return Trial(self.ours, self.theirs, says, float(theirs.max()), float(ours.max()), note)


def _envelope(table: ClientTable) -> tuple[Any, Any, list[Any]]:
    """Convexified w T for cvxpy: total cost, shares, constraints.

    Everybody mixes its pieces: weight x_k of piece k, given g_k cores, costs
    ``x_k A_k + x_k^2 W_k / g_k``, the perspective of ``A + W / f``.
    """
    import cvxpy as cp

    rows = np.isfinite(table.base).all(axis=1)  # local-only stands apart
    base, work = table.base[rows], table.work[rows]
    depth, count = base.shape
    mix, cores = cp.Variable((depth, count)), cp.Variable((depth, count))
    wait, alone = cp.Variable((depth, count)), cp.Variable(count)
    flat = [cp.vec(v, order="C") for v in (mix, cores, wait)]
    rules = [
        mix >= 0.0,
        alone >= 0.0,
        cp.sum(mix, axis=0) + alone == 1.0,
        # x^2 <= g h as a cone: |(2 x, g - h)| <= g + h.
        cp.SOC(flat[1] + flat[2], cp.vstack([2.0 * flat[0], flat[1] - flat[2]]), axis=0),
    ]
    seconds = cp.sum(cp.multiply(base, mix) + cp.multiply(work, wait), axis=0)
    seconds = seconds + cp.multiply(table.local_base, alone)
    return table.value @ seconds, cp.sum(cores, axis=0), rules


def cvxpy_nash(count: int, seed: int, repeats: int) -> Trial:
    """The convexified game: with a linear tariff its equilibrium minimises a potential."""
    import cvxpy as cp

    def solve(table: ClientTable, tariff: Any) -> tuple[str, Floats]:
        cost, shares, rules = _envelope(table)
        total = cp.sum(shares)
        paid = tariff.base_price * total + 0.5 * tariff.slope * (
            cp.square(total) + cp.sum_squares(shares)
        )
        problem = cp.Problem(cp.Minimize(cost + paid), rules)
        problem.solve(solver=cp.CLARABEL)
        return str(problem.status), np.maximum(shares.value, 0.0)

    turns = _Turns.of("linear", count, seed, repeats, nash, solve)
    says, shares = turns.answer
    return turns.trial(shares, np.nan, says, "convexified: a client may mix pieces")


def cvxpy_competitive(count: int, seed: int, repeats: int) -> Trial:
    """The convexified market, whose dual is the price."""
    import cvxpy as cp

    def solve(table: ClientTable, tariff: Tariff) -> tuple[str, float, Floats]:
        cost, shares, rules = _envelope(table)
        sold = cp.sum(shares) <= tariff.capacity
        problem = cp.Problem(cp.Minimize(cost), [*rules, sold])
        problem.solve(solver=cp.CLARABEL)
        return str(problem.status), float(sold.dual_value), np.maximum(shares.value, 0.0)

    turns = _Turns.of("clearing", count, seed, repeats, competitive, solve)
    says, price, shares = turns.answer
    shares = shares * min(1.0, turns.tariff.capacity / float(shares.sum()))
    off = abs(price / turns.found.price - 1.0)
    return turns.trial(shares, price, says, f"convexified; price {off:.0e} off")


def nashopt_nash(count: int, seed: int, repeats: int) -> Trial:
    """All clients' KKT conditions, solved as least squares, which gets furthest here.

    From four equal shares each; if that leaves a residual, again from one; the better is kept.
    """
    import jax

    jax.config.update("jax_enable_x64", True)
    import jax.numpy as jnp
    import nashopt

    def cost_of(table: ClientTable, tariff: Any, i: int) -> Callable[[Any], Any]:
        base, work = jnp.asarray(table.base[:, i]), jnp.asarray(table.work[:, i])
        w, alone = float(table.value[i]), float(table.local_base[i])

        def cost(f: Any) -> Any:
            latency = jnp.minimum(jnp.min(base + work / f[i]), alone)
            return w * latency + f[i] * (tariff.base_price + tariff.slope * jnp.sum(f))

        return cost

    def solve(table: ClientTable, tariff: Tariff) -> tuple[Any, Any]:
        size = len(table)
        game = nashopt.GNEP(
            sizes=[1] * size,
            f=[cost_of(table, tariff, i) for i in range(size)],
            lb=np.full(size, 1e-9),  # W / f must stay finite
            ub=np.full(size, CORES * size),
        )
        answers = []
        for each in (4.0 * CORES, CORES):
            answers.append(game.solve(np.full(size, each), solver="trf", verbose=0))
            if answers[-1].norm_residual < 1e-9:
                break
        return game, min(answers, key=lambda answer: float(answer.norm_residual))

    turns = _Turns.of("linear", count, seed, repeats, nash, solve)
    game, answer = turns.answer
    says = f"residual {float(answer.norm_residual):.0e}"
    if count <= CHECKED:
        with contextlib.redirect_stdout(io.StringIO()):
            _, gaps = game.check_equilibrium(answer.x, verbose=False)
        says += f", gap {float(np.abs(np.asarray(gaps)).max()):.0e}"
    shares = np.clip(np.asarray(answer.x, float), 0.0, None)
    return turns.trial(shares, np.nan, says, "f >= 1e-9; up to two starts")


def pygambit_nash(count: int, seed: int, repeats: int) -> Trial:
    """The game in quanta as payoff tables; all its pure equilibria, by enumeration."""
    import pygambit

    quantum = MOST / QUANTA

    def payoffs(table: ClientTable, tariff: Tariff) -> list[Floats]:
        size = len(table)
        grid = np.indices((QUANTA + 1,) * size)
        prices = tariff.prices_at(grid.sum(axis=0) * quantum)
        waits = np.array(
            [table.latencies(np.full(size, n * quantum))[0] for n in range(QUANTA + 1)]
        )
        return [-(table.value[i] * waits[n, i] + n * quantum * prices) for i, n in enumerate(grid)]

    prepared: dict[int, list[Floats]] = {}
    for size in (WARM, count):
        prepared[size] = payoffs(clients(size, seed), tariffs(size, CORES)["linear"])

    def theirs(table: ClientTable, _: Tariff) -> Any:
        game = pygambit.Game.from_arrays(*prepared[len(table)])
        return game, pygambit.nash.enumpure_solve(game)

    def ours(table: ClientTable, tariff: Tariff) -> Any:
        return nash(table, tariff, quantum=quantum)

    turns = _Turns.of("linear", count, seed, repeats, ours, theirs, most=MOST)
    game, answer = turns.answer
    profile = answer.equilibria[0]
    chosen = [
        [float(profile[strategy]) for strategy in player.strategies].index(1.0)
        for player in game.players
    ]

    def regret(shares: Floats) -> float:
        others = np.maximum(shares.sum() - shares, 0.0)
        best = best_replies(turns.table, turns.tariff, others, Fraction(quantum)).costs
        price = turns.tariff.price_at(float(shares.sum()))
        now = turns.table.value * turns.table.latencies(shares)[0] + shares * price
        return float((np.maximum(now - best, 0.0) / now).max())

    return Trial(
        turns.ours,
        turns.theirs,
        f"{len(answer.equilibria)} equilibria",
        regret(np.array(chosen) * quantum),
        regret(turns.found.shares),
        f"0 to {QUANTA} quanta each, for both",
    )
