"""A "dds-pooled/1" document: clients on a shared server, none of whom gains by moving alone.

    python -m proofs.pooled FILE.json [--json]        the same as proofs.check

Client i on a piece (A, W) of a server of C cores under load ``rho = sum of rate W / C`` bears

    J_i = w_i (A_i + W_i x(rho)) + V_-i (x(rho) - x(rho_-i))        V = sum of w W

the second term being what its presence costs the others.  With another piece (A', W') the load
is rho' and the saving ``J_i - J_i' = w_i (A_i - A_i') + V x(rho) - V' x(rho')``: everything is a
sum of products of stated numbers and x at a rational load, so each deviation of each client is
simply tried, in rationals.  Nothing is rounded and nothing is assumed about the curve.

Erlang's formulas at a rational load are ratios of integers (:func:`slowdown`); a measured
table is straight lines between stated points.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any

from proofs.document import (
    Malformed,
    Reasons,
    close,
    entry,
    exact,
    integer,
    items,
    number,
    numbers,
    show,
    text,
)

__all__ = ["FORMAT", "Checked", "check_pooled", "erlang", "slowdown"]

FORMAT = "dds-pooled/1"
#: How far a rounded restatement may be from the exact value, relative; below TINY it is 0.
ROUNDING = Fraction(1, 10**9)
TINY = Fraction(1, 10**90)
ZERO = Fraction(0)

#: x(rho), None for infinity; and the least and largest slope that may be stated there.
Curve = Callable[[Fraction], Fraction | None]
Slopes = Callable[[Fraction], tuple[Fraction, Fraction]]


@dataclass(frozen=True)
class Checked:
    """What was checked: how many clients and deviations, and where the server stands."""

    clients: int
    deviations: int
    load: Fraction
    slowdown: Fraction
    toll: Fraction

    def summary(self) -> str:
        """One line for people."""
        return (
            f"certificate verified: {self.clients} clients on a shared server, no gain in "
            f"{self.deviations} deviations, load {show(self.load)}, slowdown "
            f"{show(self.slowdown)}, toll {show(self.toll)}"
        )

    def to_json(self) -> dict[str, Any]:
        """The same as plain data."""
        return {
            "concept": "pooled",
            "clients": self.clients,
            "deviations": self.deviations,
            "load": float(self.load),
            "slowdown": float(self.slowdown),
            "toll": float(self.toll),
            "max_regret": 0.0,
        }


@dataclass(frozen=True)
class _Row:
    """A client's line, read but not yet believed."""

    place: str
    value: Fraction
    rate: Fraction
    pieces: tuple[tuple[Fraction, Fraction], ...]
    piece: int
    latency: Fraction
    payment: Fraction

    @property
    def base(self) -> Fraction:
        return self.pieces[self.piece][0]

    @property
    def work(self) -> Fraction:
        return self.pieces[self.piece][1]


def erlang(lanes: int, load: Fraction) -> tuple[Fraction, Fraction]:
    """Erlang's delay probability C(k, k rho) for 0 <= rho < 1, and its derivative in rho.

    B_j = a B_(j-1) / (j + a B_(j-1)), B_0 = 1, with a = p/q: as integers ``n / d`` this is
    n <- p n, d <- j q d + p n.  Their derivatives in p go along by the product rule, and
    p = q k rho.  Then C = B / (1 - rho (1 - B)).
    """
    offered = lanes * load
    p, q = offered.numerator, offered.denominator
    n, d, n_rise, d_rise = 1, 1, 0, 0
    for j in range(1, lanes + 1):
        n, n_rise = p * n, n + p * n_rise
        d, d_rise = j * q * d + n, j * q * d_rise + n_rise
    lost = Fraction(n, d)
    rise = Fraction((n_rise * d - n * d_rise) * q * lanes, d * d)
    served = 1 - load + load * lost
    change = lost - 1 + load * rise
    return lost / served, (rise * served - lost * change) / (served * served)


def slowdown(lanes: int, width: int, load: Fraction) -> Fraction | None:
    """The slowdown x = (1 + C(k, k rho) / (k (1 - rho))) / width; None (infinite) from rho = 1."""
    if load >= 1:
        return None
    offered = lanes * load
    p, q = offered.numerator, offered.denominator
    n, d = 1, 1
    for j in range(1, lanes + 1):
        n = p * n
        d = j * q * d + n
    # With rho = p / (k q) and B = n / d: C = n k q / (d (k q - p) + p n).
    full = lanes * q
    idle = full - p
    waiting = d * idle + p * n
    return Fraction(waiting * idle + n * full * q, waiting * idle * width)


def check_pooled(document: Any, reasons: Reasons) -> Checked | None:
    """Check a parsed document, collecting reasons; None if it could not be checked."""
    try:
        text(document, "format", "", (FORMAT,))
        capacity = number(document, "capacity", "", positive=True)
        curve, slopes = _read_curve(entry(document, "slowdown_curve", ""), capacity)
        entries = items(document, "clients", "")
        rows = [_read_row(holder, index) for index, holder in enumerate(entries)]
        stated = {key: number(document, key, "") for key in ("load", "slowdown", "toll", "cost")}
    except Malformed as error:
        reasons.add(str(error))
        return None
    names = [holder["name"] for holder in entries]
    if len(set(names)) < len(names):
        reasons.add("two clients have the same name")
    cores, weight = _sum(r.rate * r.work for r in rows), _sum(r.value * r.work for r in rows)
    load = cores / capacity
    x = curve(load)
    if x is None:
        reasons.add(f"the load {show(load)} is more than the server bears")
        return None
    _check_public(stated, rows, load, x, weight, slopes(load), capacity, reasons)
    deviations = 0
    for row in rows:
        deviations += len(row.pieces) - 1
        _check_row(row, cores, weight, capacity, curve, x, reasons)
    return Checked(len(rows), deviations, load, x, stated["toll"])


def _check_public(
    stated: dict[str, Fraction],
    rows: list[_Row],
    load: Fraction,
    x: Fraction,
    weight: Fraction,
    slopes: tuple[Fraction, Fraction],
    capacity: Fraction,
    reasons: Reasons,
) -> None:
    """The figures that sum the clients up are roundings of the exact ones."""
    cost = _sum(row.value * row.base for row in rows) + weight * x
    for key, value in (("load", load), ("slowdown", x), ("cost", cost)):
        if not _near(stated[key], value):
            reasons.add(f"{key} is {show(stated[key])}, not {show(value)}")
    low, high = (weight * slope / capacity for slope in slopes)
    toll = stated["toll"]
    if not (_near(toll, low) or _near(toll, high) or low <= toll <= high):
        reasons.add(f"toll is {show(toll)}, not V x'(load) / C = {show(low)}")


def _check_row(
    row: _Row,
    cores: Fraction,
    weight: Fraction,
    capacity: Fraction,
    curve: Curve,
    x: Fraction,
    reasons: Reasons,
) -> None:
    """One client: its latency, its payment, and that no other piece costs it less."""
    latency = row.base + row.work * x
    if not _near(row.latency, latency):
        reasons.add(f"{row.place}: latency_s {show(row.latency)} is not A + W x = {show(latency)}")
    own_cores, own_weight = row.rate * row.work, row.value * row.work
    before = curve((cores - own_cores) / capacity)
    # Without the client the load is no larger, and curves do not fall.
    payment = ZERO if before is None else (weight - own_weight) * (x - before)
    if not _near(row.payment, payment):
        reasons.add(
            f"{row.place}: payment {show(row.payment)} is not what it costs the others = "
            f"{show(payment)}"
        )
    for j, (base, work) in enumerate(row.pieces):
        moved = curve((cores - own_cores + row.rate * work) / capacity)
        if j == row.piece or moved is None:
            continue
        saving = row.value * (row.base - base) + weight * x
        saving -= (weight - own_weight + row.value * work) * moved
        if saving > 0:
            reasons.add(f"{row.place}: piece {j} would save it {show(saving)} credits/s")


def _read_row(holder: Any, index: int) -> _Row:
    place = f"clients[{index}]"
    name = text(holder, "name", place)
    if not name:
        raise Malformed(f"{place}.name is empty")
    pieces = []
    for j, pair in enumerate(items(holder, "pieces", place)):
        if not isinstance(pair, list) or len(pair) != 2:
            raise Malformed(f"{place}.pieces[{j}] is {show(pair)}, not [base_latency_s, work_s]")
        pieces.append(
            (exact(pair[0], f"{place}.pieces[{j}][0]"), exact(pair[1], f"{place}.pieces[{j}][1]"))
        )
    if sum(work == 0 for _, work in pieces) > 1:
        raise Malformed(f"{place}.pieces: only local-only has no server work")
    return _Row(
        f"{place} {show(name)}",
        number(holder, "value_of_time", place, positive=True),
        number(holder, "rate", place, positive=True),
        tuple(pieces),
        integer(holder, "piece", place, least=0, most=len(pieces) - 1),
        number(holder, "latency_s", place),
        number(holder, "payment", place),
    )


def _read_curve(holder: Any, capacity: Fraction) -> tuple[Curve, Slopes]:
    kind = text(holder, "kind", "slowdown_curve", ("processor-sharing", "measured"))
    if kind == "measured":
        return _read_table(holder)
    place = "slowdown_curve"
    cores = integer(holder, "cores", place, least=1, most=1 << 20)
    width = integer(holder, "width", place, least=1, most=cores)
    lanes = cores // width
    if cores != capacity or lanes * width != cores or lanes > 1024:
        raise Malformed(f"{place}: need cores = capacity = at most 1024 times width")

    def slopes(load: Fraction) -> tuple[Fraction, Fraction]:
        delayed, rise = erlang(lanes, load)
        idle = lanes * (1 - load)
        slope = (rise / idle + lanes * delayed / (idle * idle)) / width
        return slope, slope

    return lru_cache(maxsize=4096)(lambda load: slowdown(lanes, width, load)), slopes


def _read_table(holder: Any) -> tuple[Curve, Slopes]:
    place = "slowdown_curve"
    loads, values = numbers(holder, "loads", place), numbers(holder, "slowdowns", place)
    if len(loads) < 2 or len(loads) != len(values) or loads[0] != 0:
        raise Malformed(f"{place}: need as many slowdowns as loads, two or more, from load 0 on")
    steps = list(zip(loads, loads[1:], values, values[1:], strict=False))
    if any(a >= b or x > y for a, b, x, y in steps) or values[0] <= 0:
        raise Malformed(f"{place}: loads must rise, slowdowns be above 0 and not fall")
    table = [[float(v) for v in column] for column in (loads, values)]
    digest = hashlib.sha256(json.dumps(table, separators=(",", ":")).encode()).hexdigest()
    if text(holder, "sha256", place) != digest:
        raise Malformed(f"{place}.sha256 is not that of this table, {digest}")

    def curve(load: Fraction) -> Fraction | None:
        for a, b, x, y in steps:
            if load <= b:
                return x + (y - x) * (load - a) / (b - a)
        return None

    def slopes(load: Fraction) -> tuple[Fraction, Fraction]:
        near = load * ROUNDING
        touched = [(y - x) / (b - a) for a, b, x, y in steps if a - near <= load <= b + near]
        return min(touched), max(touched)

    return curve, slopes


def _near(stated: Fraction, value: Fraction) -> bool:
    return close(stated, value, ROUNDING) or max(abs(stated), abs(value)) <= TINY


def _sum(values: Any) -> Fraction:
    """An exact sum that adds numerators of equal denominators first: it stays linear."""
    parts: dict[int, int] = {}
    for value in values:
        parts[value.denominator] = parts.get(value.denominator, 0) + value.numerator
    return sum((Fraction(above, below) for below, above in parts.items()), ZERO)


if __name__ == "__main__":
    from proofs.check import main

    sys.exit(main())
