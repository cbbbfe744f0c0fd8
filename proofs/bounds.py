"""The inequalities behind "no deviation pays", each decided exactly.

A deviation to a piece with start cost ``b = w A`` and work ``a = w W > 0`` costs
``b + a/f + f pi(X + f)`` at a share f in [low, high], X being what the others buy.
Each function shows that this is at least a goal for every such f and returns None,
or says what it found instead.  The numbers in brackets are the theorems of
THEOREMS.md, where the proofs are.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor, isqrt

from proofs.document import show
from proofs.tariffs import Tariff

__all__ = ["Claim", "at_fixed_price", "at_tariff", "best_quanta", "prunes"]


def prunes(
    goal: Fraction, value: Fraction, base: Fraction, work: Fraction, price: Fraction
) -> bool:
    """[1] Whether ``goal <= w A + 2 sqrt(w W P)``: no share at unit prices >= P costs less.

    This decides most pieces.  It is written in bare integers because fractions, which
    reduce every result, are several times slower.
    """
    scale = value.denominator * base.denominator
    level = goal.numerator * scale - value.numerator * base.numerator * goal.denominator
    if level <= 0:
        return True
    root = value.numerator * work.numerator * price.numerator
    under = value.denominator * work.denominator * price.denominator
    return level**2 * under <= 4 * root * (goal.denominator * scale) ** 2


@dataclass(frozen=True, slots=True)
class Claim:
    """To be shown: ``work/f + payment(f) >= level`` for every allowed f > 0.

    start: w A of the piece, only for messages; level: goal - start; work: w W.
    Allowed: low <= f <= high, or f >= low if high is None; multiples of the quantum
    only, if there is one.
    """

    start: Fraction
    level: Fraction
    work: Fraction
    low: Fraction
    high: Fraction | None
    quantum: Fraction | None

    def above_line(self, offset: Fraction, slope: Fraction) -> bool:
        """[1] Whether ``work/f + slope f >= level - offset`` on [low, high].

        Times f it says ``slope f^2 - level f + work >= 0``: true everywhere if level <= 0
        or level^2 <= 4 slope work; otherwise true outside the two roots, so the interval
        must lie on one side of the vertex and its end nearest to it must satisfy it.
        """
        level, work, low, high = self.level - offset, self.work, self.low, self.high
        if level <= 0 or level * level <= 4 * slope * work:
            return True
        if high is not None and 2 * slope * high <= level:
            return slope * high * high - level * high + work >= 0
        return level <= 2 * slope * low and slope * low * low - level * low + work >= 0

    def quanta(self, quantum: Fraction) -> tuple[int, int | None]:
        """The allowed shares, counted in quanta: from at least one to None for any number."""
        high = None if self.high is None else floor(self.high / quantum)
        return max(1, ceil(self.low / quantum)), high

    def empty(self) -> bool:
        """Whether no share is allowed, so that there is nothing to show."""
        if self.quantum is not None:
            least, most = self.quanta(self.quantum)
            return most is not None and most < least
        return self.high is not None and (self.high < self.low or self.high <= 0)

    def shown(self, offset: Fraction, slope: Fraction) -> str:
        """The smallest cost above a line, for a message (not exact)."""
        best = self.high
        if slope:
            best = Fraction(float(min(self.work / slope, Fraction(10**300))) ** 0.5)
            best = max(best, self.low)
            best = best if self.high is None else min(best, self.high)
        if not best:
            return f"it costs only {show(self.start + offset)} at ever larger shares"
        bound = self.start + offset + self.work / best + slope * best
        return f"it costs only {show(bound)} at share {show(best)}"


def at_fixed_price(claim: Claim, price: Fraction) -> str | None:
    """[2, 5] The payment is ``f price``, whatever the others buy."""
    if claim.above_line(Fraction(0), price) or claim.empty():
        return None
    if claim.quantum is None:
        return claim.shown(Fraction(0), price)
    least, most = claim.quanta(claim.quantum)
    best = best_quanta(claim.work, price, claim.quantum)
    if best is None or (most is not None and best > most):
        best = most
    if best is None:
        return claim.shown(Fraction(0), price)
    share = max(best, least) * claim.quantum
    cost = claim.work / share + price * share
    if claim.level <= cost:
        return None
    return f"it costs {show(claim.start + cost)} at share {show(share)}"


def best_quanta(work: Fraction, price: Fraction, quantum: Fraction) -> int | None:
    """[5] The n >= 1 that minimises ``work/(n q) + price n q``; None if more is always better.

    The cost falls from n to n + 1 exactly while ``n (n + 1) q^2 price < work``.
    """
    if not price:
        return None
    products = ceil(work / (quantum * quantum * price))  # n (n + 1) is an integer
    return max(1, (isqrt(4 * products - 3) + 1) // 2)


def at_tariff(
    claim: Claim, tariff: Tariff, others: Fraction, witness: Fraction | None
) -> str | None:
    """[3, 4] The payment is ``f pi(others + f)``; the witness is a share near the best one."""
    price = tariff.price(others)
    if claim.above_line(Fraction(0), price) or claim.empty():
        return None
    if not witness:
        return f"no witness is given, and pi(X) alone shows that {claim.shown(Fraction(0), price)}"
    if not tariff.admits(others + witness):
        return f"witness {show(witness)} leaves capacity behind"
    if claim.quantum is None:
        return _by_tangent(claim, tariff, others, witness)
    return _by_neighbours(claim, claim.quantum, tariff, others, witness)


def _by_tangent(claim: Claim, tariff: Tariff, others: Fraction, witness: Fraction) -> str | None:
    """[3] A line below the payment: ``f pi(X + f) >= g pi(X + g) + s (f - g)`` for all f >= 0.

    Here s = pi(X + g) + g d with d a subgradient of pi at X + g.  Any witness g will do;
    at a kink the d that suits the piece best is taken, s as near to work/g^2 as it can be.
    A witness near a kink is tried as it is and as the kink it may stand for.
    """
    load = others + witness
    doubt = _below_tangent(claim, tariff, others, load)
    kink = tariff.kink_near(load)
    if doubt is None or kink == load or kink <= others:
        return doubt
    return _below_tangent(claim, tariff, others, kink)


def _below_tangent(claim: Claim, tariff: Tariff, others: Fraction, load: Fraction) -> str | None:
    """[3] The line at g = load - others, g > 0."""
    witness = load - others
    price = tariff.price(load)
    left, right = tariff.slopes(load)
    slope = price + witness * left
    if left != right:
        slope = max(slope, min(claim.work / witness**2, price + witness * right))
    offset = witness * (price - slope)
    if claim.above_line(offset, slope):
        return None
    return f"witness {show(witness)} shows no more than that {claim.shown(offset, slope)}"


def _by_neighbours(
    claim: Claim, quantum: Fraction, tariff: Tariff, others: Fraction, witness: Fraction
) -> str | None:
    """[4] In quanta the cost is discretely convex, so a local minimum is the global one."""
    least, most = claim.quanta(quantum)

    def cost(n: int) -> Fraction:
        share = n * quantum
        return claim.work / share + share * tariff.price(others + share)

    def allowed(n: int) -> bool:
        fits = tariff.admits(others + n * quantum)
        return n >= least and (most is None or n <= most) and fits

    n = int(witness / quantum)
    if not allowed(n):
        return f"witness {show(witness)} is not an allowed share"
    found = cost(n)
    if found < claim.level:
        return f"it costs {show(claim.start + found)} at share {show(witness)}"
    for other in (n - 1, n + 1):
        if allowed(other) and cost(other) < found:
            return (
                f"witness {show(witness)} costs {show(claim.start + found)}, its neighbour "
                f"{show(other * quantum)} only {show(claim.start + cost(other))}"
            )
    return None
