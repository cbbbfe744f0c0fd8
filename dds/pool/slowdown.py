"""How much slower a request runs on a busy server: the slowdown curve x(rho).

A request of W core seconds that arrives at a work-conserving server under load rho takes
``W x(rho)`` seconds there on average.  Any nondecreasing curve will do:

- :class:`ProcessorSharing` is the textbook one, for requests that arrive at random;
- :class:`Measured` is a table from your own server, with a version of its own.

Curves answer three times over: for arrays of floats, for their derivative, and exactly in
rationals, for ties and certificates.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike

from dds.errors import InvalidInput
from dds.market.numbers import LARGEST, SMALLEST, Floats

__all__ = ["Measured", "ProcessorSharing", "Slowdown"]

#: Lanes that exact arithmetic still handles at once.
MOST = 1024


@runtime_checkable
class Slowdown(Protocol):
    """A nondecreasing curve x(rho) > 0, s per core second; infinite beyond some load."""

    @property
    def version(self) -> str:
        """What tells this curve from another one."""
        ...

    @property
    def limit(self) -> float:
        """The load that is never exceeded."""
        ...

    def __call__(self, load: ArrayLike) -> Floats:
        """x, s per core second, at each load; inf where the server cannot keep up."""
        ...

    def slope(self, load: ArrayLike) -> Floats:
        """x'(rho), from the right at a kink; inf where x is."""
        ...

    def chords(self, load: float) -> tuple[float, float]:
        """Slopes (s, t) of lines through (load, x) that stay below the curve.

        ``x(r) >= x - s (load - r)`` for all r <= load, ``x(r) >= x + t (r - load)`` for r >= load.
        """
        ...

    def exact(self, load: Fraction) -> Fraction | None:
        """The slowdown exactly; None for infinity."""
        ...

    def to_json(self) -> Mapping[str, Any]:
        """The curve as it stands in a certificate."""
        ...


@dataclass(frozen=True)
class ProcessorSharing:
    """M/G/k processor sharing: ``x = (1 + C(k, k rho) / (k (1 - rho))) / width``.

    cores: of the server; width: the cores that one request can use, a divisor of ``cores``; so
    ``k = cores / width`` requests run side by side at full speed, and n > k of them get k/n of
    that each.  C(k, a) is Erlang's delay probability; for k = 1, ``x = 1 / ((1 - rho) width)``.

    Requests arrive as a Poisson process; of their sizes only the mean matters, and the time of
    one is proportional to its own size (a symmetric queue: Kelly, Reversibility and Stochastic
    Networks, 1979; Cohen, Acta Informatica 12, 1979).  So x is that of M/M/k: as many requests
    are present there, and Little's law does the rest.  It is convex in rho (Grassmann, Oper.
    Res. Lett. 2, 1983).

    Raises InvalidInput for numbers that are not whole, or more than 1024 lanes.

    >>> curve = ProcessorSharing(cores=2)
    >>> float(curve(0.0)), round(float(curve(0.5)), 4), float(curve(1.0))
    (1.0, 1.3333, inf)
    """

    cores: int = 1
    width: int = 1

    def __post_init__(self) -> None:
        for name in ("cores", "width"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
                raise InvalidInput(f"{name} is {value!r}; need a whole number of cores > 0")
            object.__setattr__(self, name, int(value))
        if self.cores % self.width or self.lanes > MOST:
            raise InvalidInput(
                f"width {self.width} does not divide {self.cores} cores into at most {MOST} lanes"
            )

    @property
    def lanes(self) -> int:
        """k, the requests that run side by side at full speed."""
        return self.cores // self.width

    @property
    def version(self) -> str:
        """The formula and its parameters."""
        return f"processor-sharing/1 cores={self.cores} width={self.width}"

    @property
    def limit(self) -> float:
        """1: beyond it, requests arrive faster than they are served."""
        return 1.0

    def __call__(self, load: ArrayLike) -> Floats:
        """x, s per core second, at each load; inf from load 1 on."""
        rho, delayed, _ = self._delay(load)
        with np.errstate(divide="ignore"):
            x: Floats = (1.0 + delayed / (self.lanes * (1.0 - rho))) / self.width
        return np.where(rho < 1.0, x, math.inf)

    def slope(self, load: ArrayLike) -> Floats:
        """x'(rho); inf from load 1 on."""
        rho, delayed, rise = self._delay(load)
        idle = 1.0 - rho
        with np.errstate(divide="ignore", invalid="ignore"):
            slope: Floats = (rise / idle + delayed / (self.lanes * idle * idle)) / self.width
        return np.where(rho < 1.0, slope, math.inf)

    def chords(self, load: float) -> tuple[float, float]:
        """The slope, twice: the curve is convex."""
        slope = float(self.slope(load))
        return slope, slope

    def _delay(self, load: ArrayLike) -> tuple[Floats, Floats, Floats]:
        """The loads, at most 1; Erlang's C(k, a) at a = k rho, and dC/da."""
        rho: Floats = np.minimum(np.asarray(load, float), 1.0)
        lanes, offered = self.lanes, self.lanes * rho
        lost = np.ones_like(offered)
        for j in range(1, lanes + 1):
            lost = offered * lost / (j + offered * lost)
        # B' = B (k/a - 1 + B); with one lane B = a / (1 + a), so that is (1 - B)^2.
        if lanes == 1:
            rise = (1.0 - lost) ** 2
        else:
            rise = lost * (lanes / np.maximum(offered, 1e-150) - 1.0 + lost)
        served = 1.0 - rho + rho * lost
        change = (lost - 1.0) / lanes + rho * rise
        return rho, lost / served, (rise * served - lost * change) / (served * served)

    def exact(self, load: Fraction) -> Fraction | None:
        """The slowdown exactly; None from load 1 on.

        With ``a = k rho = p/q`` and ``n_j = p^j + j q n_(j-1)``, n_0 = 1 (1/B_k = n_k / p^k),
        ``x = (1 + p^k q / (d (n_(k-1) d + p^k))) / width``, d = k q - p.
        """
        if load >= 1:
            return None
        offered = self.lanes * load
        p, q = offered.numerator, offered.denominator
        power, total = 1, 1
        for j in range(1, self.lanes):
            power *= p
            total = power + j * q * total
        power *= p
        idle = self.lanes * q - p
        below = idle * (total * idle + power)
        return Fraction(below + power * q, below * self.width)

    def to_json(self) -> Mapping[str, Any]:
        """kind, cores and width."""
        return {"kind": "processor-sharing", "cores": self.cores, "width": self.width}


@dataclass(frozen=True)
class Measured:
    """A measured table: straight lines between points, infinite beyond the last one.

    loads: rho, from 0 up; slowdowns: x there, s per core second, > 0 and nondecreasing (convex
    or not).  The server never runs above the last load: nothing is known there.

    Raises InvalidInput naming the entry that breaks a rule.

    >>> curve = Measured((0.0, 0.5, 0.8), (1.0, 1.5, 3.0))
    >>> curve([0.25, 0.8, 0.9]).tolist(), curve.version
    ([1.25, 3.0, inf], 'measured/1 ebe8a58adc62')
    """

    loads: tuple[float, ...]
    slowdowns: tuple[float, ...]

    def __post_init__(self) -> None:
        for name in ("loads", "slowdowns"):
            object.__setattr__(self, name, tuple(float(v) for v in getattr(self, name)))
        rho, x = self.loads, self.slowdowns
        if len(rho) < 2 or len(rho) != len(x):
            raise InvalidInput(
                f"loads has {len(rho)} entries and slowdowns {len(x)}; need as many, at least 2"
            )
        if rho[0] != 0.0:
            raise InvalidInput(f"loads[0] is {rho[0]!r}; need 0, the idle server")
        for j, (load, slow) in enumerate(zip(rho, x, strict=True)):
            if j and not max(rho[j - 1], SMALLEST) < load <= LARGEST:
                raise InvalidInput(f"loads[{j}] is {load!r}; need more than loads[{j - 1}]")
            if not SMALLEST <= slow <= LARGEST or (j and slow < x[j - 1]):
                raise InvalidInput(
                    f"slowdowns[{j}] is {slow!r}; need a number > 0 that does not fall"
                )

    @property
    def version(self) -> str:
        """The start of the SHA-256 of the table, which also stands in certificates."""
        return f"measured/1 {self.digest[:12]}"

    @property
    def digest(self) -> str:
        """SHA-256 of the table as JSON: ``[[loads], [slowdowns]]``, no blanks."""
        table = json.dumps([self.loads, self.slowdowns], separators=(",", ":"))
        return hashlib.sha256(table.encode()).hexdigest()

    @property
    def limit(self) -> float:
        """The last load of the table."""
        return self.loads[-1]

    def __call__(self, load: ArrayLike) -> Floats:
        """x, s per core second, at each load; inf beyond the table."""
        x: Floats = np.interp(np.asarray(load, float), self.loads, self.slowdowns, right=math.inf)
        return x

    def slope(self, load: ArrayLike) -> Floats:
        """x'(rho), from the right at a kink, from the left at the end; inf beyond."""
        rho = np.asarray(load, float)
        slopes = np.diff(self.slowdowns) / np.diff(self.loads)
        line = np.searchsorted(self.loads, rho, side="right") - 1
        return np.where(rho > self.limit, math.inf, slopes[np.clip(line, 0, len(slopes) - 1)])

    def chords(self, load: float) -> tuple[float, float]:
        """The steepest chord to a point of the table before, the flattest to one after.

        Between points the curve is straight, so no other chord is steeper or flatter.
        """
        loads, values = np.array(self.loads), np.array(self.slowdowns)
        x, ahead = float(self(load)), loads > load
        if math.isinf(x):
            return math.inf, 0.0
        behind = loads < load
        before = (x - values[behind]) / (load - loads[behind])
        after = (values[ahead] - x) / (loads[ahead] - load)
        # A little apart, so that rounding never lifts a line above the curve.
        return (
            float(before.max(initial=0.0)) * (1.0 + 1e-9),
            float(after.min(initial=math.inf)) * (1.0 - 1e-9) if len(after) else 0.0,
        )

    def exact(self, load: Fraction) -> Fraction | None:
        """The slowdown exactly; None beyond the table."""
        if load > Fraction(self.limit):
            return None
        line = max(j for j, rho in enumerate(self.loads[:-1]) if Fraction(rho) <= load)
        low, high = (Fraction(self.loads[j]) for j in (line, line + 1))
        start, end = (Fraction(self.slowdowns[j]) for j in (line, line + 1))
        return start + (end - start) * (load - low) / (high - low)

    def to_json(self) -> Mapping[str, Any]:
        """kind, the table and its SHA-256."""
        return {
            "kind": "measured",
            "loads": list(self.loads),
            "slowdowns": list(self.slowdowns),
            "sha256": self.digest,
        }
