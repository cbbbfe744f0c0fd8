"""Where demand meets supply: one monotone crossing, found by asking.

Along a path of quotes indexed by t the clients' total demand falls and what is for
sale does not, so there is at most one crossing.  It is bracketed and narrowed until
demand fits exactly or the bracket is as narrow as numbers are: then demand jumps there.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, TypeAlias

import numpy as np

from dds.errors import InvalidInput
from dds.market.numbers import Floats, Ints, exact_sum
from dds.market.replies import BOUNDLESS, Quote

__all__ = [
    "JUMP",
    "Answers",
    "Asking",
    "Bracket",
    "Crossing",
    "End",
    "Given",
    "NotMonotone",
    "Path",
]

#: An answer that changes by more than this, relative, between neighbouring quotes jumps.
JUMP = 1e-6
#: How many rounds more than bisection a search may take, once for the order of magnitude of
#: what it looks for and once for its digits.
LEAD = 2
#: So many doubles are of one order of magnitude.
BINADE = 2**52
#: Two quotes closer than this, relative, may get answers that differ by rounding alone.
NOISE = 1e-9


class NotMonotone(InvalidInput):
    """A client asked for more at a higher price or load; ``index`` says who.

    No truthful client does (Lemma A); the auction cannot go on with its answers.
    """

    def __init__(self, index: int, text: str) -> None:
        super().__init__(f"clients[{index}]: {text}")
        self.index = index


class Answers(Protocol):
    """Everybody's answers to one quote, as counted: in cores, or in quanta."""

    @property
    def demand(self) -> float:
        """Their sum, rounded."""

    def excess(self, supply: float) -> float:
        """Demand - supply, its sign exact."""

    @property
    def shares(self) -> Floats:
        """One per client."""

    def of(self, rows: Ints) -> Floats:
        """Those of some clients."""

    def turning(self, other: Answers) -> Ints:
        """The clients that may answer the other quote on another piece, and others maybe."""


@dataclass(frozen=True, eq=False)
class Given:
    """Answers that came as an array, from clients that nobody vouches for."""

    shares: Floats

    @cached_property
    def _sum(self) -> tuple[float, float]:
        return exact_sum(self.shares)

    @property
    def demand(self) -> float:
        """Their sum, rounded."""
        return self._sum[0]

    def excess(self, supply: float) -> float:
        """Demand - supply, its sign exact."""
        return (self._sum[0] - supply) + self._sum[1]

    def of(self, rows: Ints) -> Floats:
        """Those of some clients."""
        return self.shares[rows]

    def turning(self, other: Answers) -> Ints:  # noqa: ARG002 - an array does not say who turns
        """Everybody may."""
        return np.arange(len(self.shares))


@dataclass(frozen=True, slots=True, eq=False)
class End:
    """One question and its answers.

    at: its place t on the path; supply: what is for sale at t, as counted; excess: demand -
    supply, its sign exact.
    """

    at: float
    answers: Answers
    supply: float
    excess: float

    @property
    def demand(self) -> float:
        """What everybody asks for together, as counted."""
        return self.answers.demand

    @property
    def gap(self) -> float:
        """log(demand / supply)."""
        if self.excess == 0.0:
            return 0.0
        if self.demand <= 0.0 or self.supply <= 0.0:
            return math.copysign(math.inf, self.excess)
        return math.log(self.demand / self.supply)


@dataclass(frozen=True, slots=True, eq=False)
class Bracket:
    """Neighbouring ends: demand does not fit at ``below`` and fits at ``above``.

    met: demand equals supply at ``above``, so nothing jumps; below is None where the
    path begins at ``above``; jump: what changes by more than this, relative, jumps.
    """

    below: End | None
    above: End
    met: bool
    jump: float = JUMP

    @property
    def jumping(self) -> Ints:
        """The clients whose answers differ by more than neighbouring quotes explain."""
        if self.below is None:
            return np.zeros(0, np.int64)
        rows = self.below.answers.turning(self.above.answers)
        below, above = self.below.answers.of(rows), self.above.answers.of(rows)
        return rows[below - above > self.jump * below]


Crossing: TypeAlias = Generator[Quote, Answers, Bracket]
Asking: TypeAlias = Generator[Quote, Answers, End]


@dataclass(frozen=True, eq=False)
class Path:
    """Quotes by rising t, along which answers fall and supply does not.

    quote: t -> question; supply: t -> cores (or quanta) for sale; precision: demand within
    this part of supply meets it; point: a bracket this narrow, relative, is one place; whole: t
    counts quanta; priced: whether an end where demand meets supply is also right in price;
    jump: an answer that changes by more than this, relative, between neighbours jumps.
    """

    quote: Callable[[float], Quote]
    supply: Callable[[float], float]
    precision: float
    point: float = 2.0**-42
    whole: bool = False
    priced: Callable[[End], bool] = lambda _: True  # a field's default
    jump: float = JUMP

    def ask(self, at: float, below: End | None = None, above: End | None = None) -> Asking:
        """Post the question at ``at`` and check the answers against those on either side."""
        answers = yield self.quote(at)
        if isinstance(answers, Given):
            for other, sign in ((below, 1.0), (above, -1.0)):
                if other is not None:
                    answers = Given(_monotone(answers.shares, other, sign, at))
        supply = self.supply(at)
        return End(at, answers, supply, answers.excess(supply))

    def narrow(self, below: End, above: End) -> Crossing:
        """Shrink a bracket with ``below.excess > 0 >= above.excess`` to a point.

        The ITP method (Oliveira and Takahashi, 2020): regula falsi, drawn towards the middle
        and never so far from it that bisection would have been more than LEAD rounds faster.
        """
        low, high = self._place(below.at), self._place(above.at)
        width = high - low
        final = 1 if self.whole else int(self.point * 2.0**52)
        left = max(width // final, 1).bit_length() + LEAD
        while not (met := self._meets(above)) and not self._is_point(below, above):
            if high - low <= BINADE < width:  # the order of magnitude is known: begin anew
                width = high - low
                left = max(width // final, 1).bit_length() + LEAD
            if high - low <= final and final > 1:  # nothing jumps: on, to the last digit
                final, left = 1, (high - low).bit_length() + LEAD
            middle, reach = (low + high) // 2, (final << max(left, 0)) // 2 - (high - low) // 2
            aim = self._aim(low, high, below.gap, above.gap)
            drawn = (high - low) ** 2 // (5 * width) + 1
            aim = (
                middle if abs(middle - aim) <= drawn else aim + (drawn if aim < middle else -drawn)
            )
            aim = min(max(aim, middle - max(reach, 0)), middle + max(reach, 0))
            place = min(max(aim, low + 1), high - 1)
            end = yield from self.ask(self._at(place), below, above)
            if end.excess > 0.0:
                below, low = end, place
            else:
                above, high = end, place
            left -= 1
        return Bracket(below, above, met, self.jump)

    def _place(self, at: float) -> int:
        """A place as an integer: the quanta, or how many doubles lie below it."""
        return int(at) if self.whole else int(struct.unpack("<q", struct.pack("<d", at))[0])

    def _at(self, place: int) -> float:
        if self.whole:
            return float(place)
        return float(struct.unpack("<d", struct.pack("<q", place))[0])

    @staticmethod
    def _aim(low: int, high: int, more: float, less: float) -> int:
        """Where a line between the gaps crosses a hair under 0."""
        if not (math.isfinite(more) and math.isfinite(less) and more > less):
            return (low + high) // 2
        return low + int((high - low) * min((more + 2.0**-50) / (more - less), 1.0))

    def _meets(self, above: End) -> bool:
        return -above.excess <= self.precision * above.supply and self.priced(above)

    def _is_point(self, below: End, above: End) -> bool:
        if self.whole:
            return above.at - below.at <= 1.0
        width = above.at - below.at
        if width > self.point * above.at:
            return above.at <= 1.0 / BOUNDLESS
        return (
            width <= 2.0**-51 * above.at or Bracket(below, above, False, self.jump).jumping.size > 0
        )


def _monotone(answers: Floats, other: End, sign: float, at: float) -> Floats:
    """Answers no larger (sign 1) or no smaller (sign -1) than at ``other``.

    Where the two quotes differ by rounding alone, or the answers do, they are aligned.
    """
    before = other.answers.shares
    rises = sign * (answers - before)
    if abs(at - other.at) > NOISE * at:
        wrong = rises > NOISE * np.maximum(answers, before)
        if wrong.any():
            i = int(wrong.argmax())
            low, high = sorted((at, other.at))
            asked, told = answers[i], before[i]
            raise NotMonotone(
                i,
                f"answered {asked:g} at {at:g} and {told:g} at {other.at:g}; demand must not "
                f"rise from quote {low:g} to quote {high:g}",
            )
    aligned: Floats = np.where(rises > 0.0, before, answers)
    return aligned
