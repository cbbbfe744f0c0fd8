"""What selfishness costs in one equilibrium: its total latency cost over a bound on the best."""

from __future__ import annotations

import math
from dataclasses import dataclass

from dds.market.bound import dual_bound, ratio_of
from dds.market.equilibrium import Equilibrium
from dds.market.numbers import exact_sum

__all__ = ["Efficiency", "efficiency"]


@dataclass(frozen=True, slots=True)
class Efficiency:
    """One equilibrium's cost beside what no allocation of the same cores can be below.

    cost: sum of w T in the equilibrium, credits/s; bound: the dual bound, credits/s; cores:
    what the bound may hand out; hard: whether that is the tariff's capacity, else it is what
    the equilibrium sold, because the tariff has no capacity.
    """

    cost: float
    bound: float
    cores: float
    hard: bool

    @property
    def ratio(self) -> float:
        """``cost / bound`` >= 1: this equilibrium costs at most so many times the optimum."""
        return ratio_of(self.cost, self.bound)


def efficiency(equilibrium: Equilibrium) -> Efficiency:
    """A certified bound on the efficiency lost in this equilibrium.

        sum of w_i T_i(f_i)  <=  ratio x  min { sum of w_i T_i(f'_i) : sum of f'_i <= C }

    with the minimum replaced by its dual bound (``dds.market.bound``).  Payments are transfers
    and left out.  C is the tariff's capacity; for a tariff without one it is the cores that
    this equilibrium sold, and then the ratio says how well *those* are shared out, not whether
    selling more would have been better (``hard`` tells which).  Shares in quanta are compared
    with the best continuous ones.

    The ratio is about this equilibrium under this tariff.  It bounds the price of stability,
    the best equilibrium over the optimum, but not the price of anarchy, which is the worst
    equilibrium's ratio: a market may have others, and only this one was looked at.
    """
    cost = exact_sum(equilibrium.table.value * equilibrium.latencies)[0]
    hard = math.isfinite(equilibrium.tariff.capacity)
    # In quanta a capacity such as 0.3 may mean a little more than its float.
    cores = max(equilibrium.tariff.capacity, equilibrium.total) if hard else equilibrium.total
    if cores == 0.0:  # everybody computes locally, and without cores nothing else can be done
        return Efficiency(cost, cost, cores, hard)
    return Efficiency(cost, dual_bound(equilibrium.table, cores).value, cores, hard)
