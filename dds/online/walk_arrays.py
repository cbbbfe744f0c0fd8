"""Many clients' walks at once, by numpy: what ``walk_kernels`` does client by client.

Every sum, product, quotient and root stands in the same order as there, so that both give
the same bits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dds.market.numbers import Floats, Ints

__all__ = ["Modes", "steps"]

_HIGH, _FREE, _LOW, _HOME = range(4)


@dataclass(frozen=True, slots=True, eq=False)
class Modes:
    """The costs of every mode of N clients (``walk`` says which there are).

    a, g: K x N; low, high: cores, N; home: the cost of local-only, top and bottom: at price 0
    of holding the largest and the least share, N.
    """

    a: Floats
    g: Floats
    low: Floats
    high: Floats
    home: Floats
    top: Floats
    bottom: Floats

    @classmethod
    def of(cls, a: Floats, g: Floats, low: Floats, high: Floats, home: Floats) -> Modes:
        """The modes of clients with these a and g."""
        square = g * g
        at_low = np.where(low > 0.0, a + square / low, math.inf)
        top = (a + square / high).min(axis=0, initial=math.inf)
        return cls(a, g, low, high, home, top, at_low.min(axis=0, initial=math.inf))

    def take(self, rows: Ints) -> Modes:
        """Those of some clients."""
        rest = (self.low, self.high, self.home, self.top, self.bottom)
        return Modes(self.a[:, rows], self.g[:, rows], *(column[rows] for column in rest))


@dataclass(slots=True, eq=False)
class _Places:
    """Where clients stand, or may go: s, the kind of mode, its a and g, its share, and own."""

    s: Floats
    kind: Ints
    a: Floats
    g: Floats
    share: Floats
    own: Floats

    @classmethod
    def nowhere(cls, count: int) -> _Places:
        """No place to go."""
        never = np.full(count, math.inf)
        none = np.zeros(count)
        return cls(never, np.full(count, _HOME), none, none.copy(), never.copy(), none.copy())

    def offer(
        self,
        s: Floats,
        share: Floats,
        allowed: NDArray[np.bool_],
        place: tuple[int, Floats, Floats],
    ) -> None:
        """Go to ``place`` (kind, a, g) where that is sooner, or as soon with a smaller share."""
        kind, a, g = place
        better = allowed & ((s < self.s) | ((s == self.s) & (share < self.share)))
        self.s[better], self.share[better], self.kind[better] = s[better], share[better], kind
        self.a[better], self.g[better] = a[better], g[better]
        self.own[better] = (g if kind == _FREE else 0.0 - share)[better]

    def take(self, chosen: NDArray[np.bool_]) -> _Places:
        """Those of some clients."""
        floats = (self.a, self.g, self.share, self.own)
        a, g, share, own = (column[chosen] for column in floats)
        return _Places(self.s[chosen], self.kind[chosen], a, g, share, own)


def steps(modes: Modes) -> list[tuple[Floats, Floats, Floats, Floats]]:
    """(at, before, after, client index) of everybody's first step, second step, and so on."""
    going = np.flatnonzero(~(modes.home <= modes.top))
    modes = modes.take(going)
    here = _start(modes)
    zero = np.zeros(len(going))
    found = [(zero, zero, here.own, going.astype(float))]
    while len(going):
        there = _next(modes, here)
        moved = there.s < math.inf
        there.s = np.maximum(there.s, here.s)
        found.append((there.s[moved], here.own[moved], there.own[moved], going[moved] + 0.0))
        on = moved & (there.kind != _HOME)
        going, modes, here = going[on], modes.take(np.flatnonzero(on)), there.take(on)
    return found


def _start(modes: Modes) -> _Places:
    """Where offloading clients stand at price 0."""
    count = len(modes.home)
    a = modes.a.min(axis=0, initial=math.inf)
    g = np.where(modes.a == a, modes.g, math.inf).min(axis=0, initial=math.inf)
    bounded = modes.high < math.inf
    own = np.where(bounded, 0.0 - modes.high, g)
    return _Places(np.zeros(count), np.where(bounded, _HIGH, _FREE), a, g, modes.high, own)


def _next(modes: Modes, here: _Places) -> _Places:
    """Where each client goes from here: the mode whose cost comes down to its own first."""
    there = _Places.nowhere(len(modes.home))
    low, high, top, bottom = modes.low, modes.high, modes.top, modes.bottom
    held, free = here.kind == _HIGH, here.kind == _FREE
    none = np.zeros(len(low))
    s = np.sqrt((modes.home - np.where(held, top, bottom)) / np.where(held, high, low))
    s = np.where(free, (modes.home - here.a) / (2.0 * here.g), s)
    there.offer(s, none, ~free | (s * low <= here.g), (_HOME, none, none))
    over = low * (here.a + here.g * here.g / low - bottom)
    s = np.where(over > 0.0, (bottom - here.a) / (here.g + np.sqrt(over)), here.g / low)
    s = np.where(held, np.sqrt((bottom - top) / (high - low)), s)
    there.offer(s, low, (low > 0.0) & (free | (held & (low < high))), (_LOW, none, none))
    for a, g in zip(modes.a, modes.g, strict=True):
        s = (a - here.a) / (2.0 * (here.g - g))
        s = np.where(held, (g + np.sqrt(high * (a + g * g / high - top))) / high, s)
        may = (held & (low < high)) | (free & (g < here.g))
        there.offer(s, g / s, may & (s * low <= g), (_FREE, a, g))
    return there
