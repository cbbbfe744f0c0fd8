"""Best replies in quanta, decided in rational arithmetic.

The vectorised solver compares floats and comes here for the few clients whose
choice is too close for them.  On one piece the cost ``w W / (n q) + payment(n)`` is
convex in n, so the smallest n whose successor is no cheaper is the best.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from dds.market.table import ClientTable
from dds.market.tariff_base import Tariff

__all__ = ["ExactClient", "exact_client", "tariff_payment"]

#: Stands for an infinite payment, beyond any cost there is.
UNPAYABLE = Fraction(2) ** 4000


@dataclass(frozen=True)
class ExactClient:
    """One client in rationals.

    pieces: (index, w A, w W) of every offloading piece, credits; local: (index, w A) or None;
    low, high: bounds in quanta, high None without one; quantum: q, cores.
    """

    pieces: tuple[tuple[int, Fraction, Fraction], ...]
    local: tuple[int, Fraction] | None
    low: int
    high: int | None
    quantum: Fraction

    def waiting(self, quanta: int) -> tuple[Fraction, int]:
        """``w T(n q)`` and the piece that attains it, the smaller index on a tie."""
        if quanta == 0 and self.local is not None:
            return self.local[1], self.local[0]
        share = quanta * self.quantum
        return min((start + work / share, index) for index, start, work in self.pieces)

    def reply(
        self, payment: Callable[[int], Fraction], guess: Callable[[Fraction], int]
    ) -> tuple[Fraction, int, int]:
        """The cheapest (cost, n, piece); on a tie the smaller share, then the smaller index.

        payment: credits/s for n quanta, convex in n and unbounded unless ``high`` is set;
        guess: about the best n for a given w W.
        """
        options = [(self.local[1], 0, self.local[0])] if self.local is not None else []
        if self.high is None or self.low <= self.high:
            for index, start, work in self.pieces:
                n = self.best(work, payment, guess(work))
                options.append((start + work / (n * self.quantum) + payment(n), n, index))
        return min(options)

    def best(self, work: Fraction, payment: Callable[[int], Fraction], guess: int) -> int:
        """The smallest n in [low, high] with cost(n + 1) >= cost(n); gallops from the guess."""

        def settled(n: int) -> bool:
            return (n + 1) * n * (payment(n + 1) - payment(n)) * self.quantum >= work

        def inside(n: int) -> int:
            return max(self.low, n if self.high is None else min(n, self.high))

        low, high, step = self.low, inside(guess), 1
        while high != self.high and not settled(high):
            low, high, step = high + 1, inside(high + step), 2 * step
        step = 1
        while low < high and settled(max(low, high - step)):
            high, step = max(low, high - step), 2 * step
        low = max(low, high - step + 1)
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if settled(middle) else (middle + 1, high)
        return high


def exact_client(
    table: ClientTable, row: int, low: float, high: float, quantum: Fraction
) -> ExactClient:
    """Row ``row`` of a table, exactly, with bounds in quanta."""
    value = Fraction(float(table.value[row]))
    pieces = tuple(
        (k, value * Fraction(a), value * Fraction(w))
        for k, (a, w) in enumerate(
            zip(table.base[:, row].tolist(), table.work[:, row].tolist(), strict=True)
        )
        if a != float("inf")
    )
    local = None
    if table.local_piece[row] >= 0:
        local = int(table.local_piece[row]), value * Fraction(float(table.local_base[row]))
    bound = None if high == float("inf") else int(high)
    return ExactClient(pieces, local, int(low), bound, quantum)


def tariff_payment(
    tariff: Tariff, others: Fraction, quantum: Fraction
) -> Callable[[int], Fraction]:
    """Payments ``f pi(X + f)`` in credits/s by f = n quanta; the tariff must be ``on_grid``."""

    def payment(n: int) -> Fraction:
        load = others + n * quantum
        if tariff.strict and load >= (tariff.exact_capacity or 0):
            return UNPAYABLE
        return n * quantum * tariff.exact_price(load)

    return payment
