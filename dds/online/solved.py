"""Clearing by a solver over the table of all clients: Nash markets, and shares in quanta.

Nothing is indexed here; each search starts where the last one ended.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

from dds.market import equilibrium
from dds.market.equilibrium import Equilibrium, competitive
from dds.market.numbers import Floats
from dds.market.replies import BOUNDLESS, Quote, respond_all
from dds.market.sale import Start
from dds.market.table import ClientTable
from dds.market.tariff import Clearing
from dds.market.tariff_base import Tariff

__all__ = ["Rule", "demand_of", "nobody", "price_for", "solve"]


@dataclass(frozen=True, slots=True)
class Rule:
    """What a market sells and how: concept "competitive" or "nash", quantum in cores or None."""

    concept: str
    tariff: Tariff
    quantum: Fraction | None

    @property
    def indexed(self) -> bool:
        """Whether everybody takes the price as given, in shares of any size."""
        taking = self.concept == "competitive" or isinstance(self.tariff, Clearing)
        return taking and self.quantum is None

    @property
    def near(self) -> bool:
        """Whether a small change may be worked out near the last equilibrium (``near``)."""
        return not self.indexed and self.quantum is None


def solve(rule: Rule, table: ClientTable, start: Start | None) -> Equilibrium:
    """The equilibrium of the clients in a table; start: where it may be."""
    return equilibrium.solve(rule.concept, table.contiguous(), rule.tariff, rule.quantum, start)


def price_for(rule: Rule, table: ClientTable, capacity: float) -> float:
    """The price at which price-takers would clear ``capacity`` cores, by one solve."""
    return competitive(table, Clearing(capacity), quantum=rule.quantum).price


def demand_of(rule: Rule, table: ClientTable, price: float) -> float:
    """What price-takers would demand at a price, cores, by one pass."""
    shares: Floats = respond_all(table, Quote(BOUNDLESS, price, 0.0), rule.quantum).shares
    total = math.fsum(shares.tolist())
    return total if total < math.sqrt(BOUNDLESS) else math.inf


def nobody(rule: Rule) -> float:
    """The price of a market without clients."""
    return float(rule.tariff.exact_price(Fraction(0)))
