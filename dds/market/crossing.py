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
from typing import TypeAlias

import numpy as np

from dds.errors import InvalidInput
from dds.market.numbers import Floats, Ints
from dds.market.replies import BOUNDLESS, Quote

__all__ = ["Asking", "Bracket", "Crossing", "End", "NotMonotone", "Path", "jumping"]

#: An answer that changes by more than this, relative, between neighbouring quotes jumps.
JUMP = 1e-6
#: How many rounds more than bisection a search may take.
LEAD = 2
#: Two quotes closer than this, relative, may get answers that differ by rounding alone.
NOISE = 1e-9


class NotMonotone(InvalidInput):
    """A client asked for more at a higher price or load; ``index`` says who.

    No truthful client does (Lemma A); the auction cannot go on with its answers.
    """

    def __init__(self, index: int, text: str) -> None:
        super().__init__(f"clients[{index}]: {text}")
        self.index = index


@dataclass(frozen=True, slots=True, eq=False)
class End:
    """One question and its answers.

    at: its place t on the path; answers: in cores, or in quanta; demand: their sum;
    supply: what is for sale at t; excess: demand - supply, its sign exact.
    """

    at: float
    answers: Floats
    demand: float
    supply: float
    excess: float

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
    path begins at ``above``.
    """

    below: End | None
    above: End
    met: bool


Crossing: TypeAlias = Generator[Quote, Floats, Bracket]
Asking: TypeAlias = Generator[Quote, Floats, End]


@dataclass(frozen=True, eq=False)
class Path:
    """Quotes by rising t, along which answers fall and supply does not.

    quote: t -> question; supply: t -> cores (or quanta) for sale; count: answers (cores) ->
    the unit of demand; precision: demand within this part of supply meets it; point: a
    bracket this narrow, relative, is one place; whole: t counts quanta; priced: whether an end
    where demand meets supply is also right in price.
    """

    quote: Callable[[float], Quote]
    supply: Callable[[float], float]
    count: Callable[[Floats], Floats]
    precision: float
    point: float = 2.0**-42
    whole: bool = False
    priced: Callable[[End], bool] = lambda _: True  # a field's default

    def ask(self, at: float, below: End | None = None, above: End | None = None) -> Asking:
        """Post the question at ``at`` and check the answers against those on either side."""
        answers = self.count((yield self.quote(at)))
        for other, sign in ((below, 1.0), (above, -1.0)):
            if other is not None:
                answers = _monotone(answers, other, sign, at)
        supply = self.supply(at)
        demand = math.fsum(answers.tolist())
        excess = demand - supply
        if abs(excess) <= 1e-9 * demand and math.isfinite(supply):
            excess = math.fsum((*answers.tolist(), -supply))
        return End(at, answers, demand, supply, excess)

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
        return Bracket(below, above, met)

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
        if not (math.isfinite(more) and math.isfinite(less)):
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
        return width <= 2.0**-51 * above.at or jumping(below, above).size > 0


def jumping(below: End, above: End) -> Ints:
    """The clients whose answers differ by more than neighbouring quotes explain."""
    more = below.answers - above.answers
    return np.flatnonzero(more > JUMP * below.answers)


def _monotone(answers: Floats, other: End, sign: float, at: float) -> Floats:
    """Answers no larger (sign 1) or no smaller (sign -1) than at ``other``.

    Where the two quotes differ by rounding alone, or the answers do, they are aligned.
    """
    rises = sign * (answers - other.answers)
    if abs(at - other.at) > NOISE * at:
        wrong = rises > NOISE * np.maximum(answers, other.answers)
        if wrong.any():
            i = int(wrong.argmax())
            low, high = sorted((at, other.at))
            asked, before = answers[i], other.answers[i]
            raise NotMonotone(
                i,
                f"answered {asked:g} at {at:g} and {before:g} at {other.at:g}; demand must not "
                f"rise from quote {low:g} to quote {high:g}",
            )
    aligned: Floats = np.where(rises > 0.0, other.answers, answers)
    return aligned
