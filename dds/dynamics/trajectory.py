"""What a rule of play did, round by round."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from dds.errors import InvalidInput
from dds.market.numbers import Floats, Ints

__all__ = ["Round", "Seen", "Trajectory", "follow", "read_rounds"]


class Round(NamedTuple):
    """One row of a trajectory."""

    round: int
    price: float
    total: float
    excess: float
    regret: float
    movers: int


@dataclass(frozen=True, eq=False)
class Trajectory:
    """The states of a market from its start on, one per round.

    rule: its name; prices: credits/s per core, inf where more is sold than there is; totals: F,
    cores; excess: cores asked for and not for sale (negative: the other way round); regrets: the
    largest best saving of any client, credits/s, inf where somebody cannot have what it holds;
    movers: how many changed in the round before; R + 1 each.  shares: everybody's last, cores,
    N; history: all of them, R + 1 x N, or None unless asked for.  converged: nobody wants to
    move; cycle: the period, in rounds, if a state came back exactly, and then it does for ever.
    """

    rule: str
    prices: Floats
    totals: Floats
    excess: Floats
    regrets: Floats
    movers: Ints
    shares: Floats
    history: Floats | None
    converged: bool
    cycle: int | None

    @property
    def rounds(self) -> int:
        """R, how many times everybody could move."""
        return len(self.prices) - 1

    @property
    def rows(self) -> tuple[Round, ...]:
        """Round by round, for tables."""
        columns = (self.prices, self.totals, self.excess, self.regrets, self.movers)
        table = zip(range(len(self.prices)), *(c.tolist() for c in columns), strict=True)
        return tuple(Round(*row) for row in table)

    def to_csv(self) -> str:
        """The rows as CSV text, a header first."""
        lines = [",".join(Round._fields)]
        lines += [",".join(map(repr, row)) for row in self.rows]
        return "\n".join(lines) + "\n"


class Seen(NamedTuple):
    """A state as it looks from within.

    price, total, excess, regret: as in a trajectory; settled: whether nobody wants to move.
    """

    price: float
    total: float
    excess: float
    regret: float
    settled: bool


def follow(
    rule: str,
    start: Floats,
    look: Callable[[Floats], Seen],
    step: Callable[[Floats], Floats],
    shares: Callable[[Floats], Floats],
    rounds: int,
    *,
    keep: bool,
) -> Trajectory:
    """Apply ``step`` until a state is settled, comes back, or ``rounds`` are over.

    A state that comes back is noticed with one old state in memory (Brent, 1980): it is replaced
    at rounds 1, 2, 4, 8, ..., so at last it is one of the cycle and stays for a whole period.
    """
    state, mark, age, span = start, start, 0, 1
    seen, movers, history = [look(start)], [0], [shares(start)]
    cycle = None
    while not seen[-1].settled and len(seen) <= rounds and cycle is None:
        after = step(state)
        age += 1
        if np.array_equal(after, mark):
            cycle = age
        elif age == span:
            mark, age, span = after, 0, 2 * span
        seen.append(look(after))
        here = shares(after)
        movers.append(int(np.count_nonzero(here != history[-1])))
        history = [*history, here] if keep else [here]
        state = after
    prices, totals, excess, regrets = (
        np.array([row[column] for row in seen], float) for column in range(4)
    )
    found = Trajectory(
        rule,
        prices,
        totals,
        excess,
        regrets,
        np.array(movers, np.int64),
        history[-1],
        np.array(history) if keep else None,
        seen[-1].settled,
        cycle,
    )
    for values in (prices, totals, excess, regrets, found.movers, found.shares, found.history):
        if values is not None:
            values.setflags(write=False)
    return found


def read_tolerance(tolerance: float) -> float:
    """A relative tolerance, or InvalidInput."""
    number = isinstance(tolerance, (int, float)) and not isinstance(tolerance, bool)
    if not number or not 0.0 <= tolerance < 1.0:
        raise InvalidInput(f"tolerance is {tolerance!r}; need 0 <= tolerance < 1")
    return float(tolerance)


def read_rounds(rounds: int) -> int:
    """How many rounds, or InvalidInput."""
    if isinstance(rounds, bool) or not isinstance(rounds, (int, np.integer)) or rounds < 0:
        raise InvalidInput(f"rounds is {rounds!r}; need an integer >= 0")
    return int(rounds)
