"""How slow the emulated device is, and from which inference on it is slower."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

from dds.errors import InvalidInput
from dds.units import parse_number

__all__ = ["Slowdown"]

#: Nobody makes as many inferences as a number of so many digits.
_MOST_DIGITS = 19


@dataclass(frozen=True, slots=True)
class Slowdown:
    """Seconds the device takes per second of CPU time on this machine.

    first: at the start; later: (i, s) for s from the i-th inference on (counted from 1, per
    strategy), ascending: a device that heats up, or gets other work.

    Raises InvalidInput for a slowdown that is not finite and > 0, or inferences out of order.

    >>> device = Slowdown.parse("6,12@20")
    >>> device.at(18), device.at(19)
    (6.0, 12.0)
    """

    first: float
    later: tuple[tuple[int, float], ...] = ()

    def __post_init__(self) -> None:
        for value in (self.first, *(value for _, value in self.later)):
            if not 0.0 < value < math.inf:
                raise InvalidInput(f"device slowdown is {value!r}; need a finite number > 0")
        starts = [1, *(start for start, _ in self.later)]
        if any(a >= b for a, b in itertools.pairwise(starts)):
            raise InvalidInput(
                f"device slowdown changes at inferences {starts[1:]}; need ascending numbers > 1"
            )

    @classmethod
    def parse(cls, text: str) -> Slowdown:
        """Read ``6`` or ``6,12@20``; raises InvalidInput for anything else."""
        first, *later = text.split(",")
        changes = []
        for change in later:
            value, separator, start = change.partition("@")
            if not (separator and start.isdecimal() and len(start) < _MOST_DIGITS):
                raise InvalidInput(f"{change!r}: need SLOWDOWN@INFERENCE, such as 12@20")
            changes.append((int(start), parse_number(value)))
        return cls(parse_number(first), tuple(changes))

    def at(self, index: int) -> float:
        """The slowdown of the inference with this index, counted from 0."""
        return [self.first, *(value for start, value in self.later if start <= index + 1)][-1]
