"""A whole "dds-equilibrium/1" document: every row, the total, the price, the clearing.

Public entry: :func:`check_equilibrium`.  A document is read completely before
anything is checked; what cannot be read is reported and ends the check.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from proofs.document import Malformed, Reasons, close, entry, items, number, show, text
from proofs.rows import (
    ROUNDING,
    Public,
    Row,
    check_below,
    check_figures,
    check_regret,
    read_row,
)
from proofs.tariffs import ZERO, Tariff, read_tariff

__all__ = ["FORMAT", "TOLERANCE", "Checked", "check_equilibrium"]

FORMAT = "dds-equilibrium/1"
#: Largest regret accepted by default, as a part of the client's own cost.
TOLERANCE = Fraction(1, 10**6)
#: How far the price may be from pi(F), relative.
PRICE = Fraction(1, 10**9)
#: How much of the capacity may stay unsold at a positive price, how far below the price
#: its lower neighbour may be, and how much a share may grow there without being a jump.
SLACK = Fraction(1, 10**6)


@dataclass(frozen=True)
class Stated:
    """What a document states, read but not yet believed; rows by name."""

    concept: str
    quantum: Fraction | None
    tariff: Tariff
    price: Fraction
    total: Fraction
    max_regret: Fraction
    price_below: Fraction | None
    rows: dict[str, Row]


@dataclass(frozen=True)
class Checked:
    """What was checked: the statement, the exact F, and the largest regret / own cost."""

    stated: Stated
    demand: Fraction
    largest_part: Fraction


def check_equilibrium(
    document: Any, reasons: Reasons, tolerance: Fraction = TOLERANCE
) -> Checked | None:
    """Check a parsed document, collecting reasons; None if the rows could not be checked."""
    stated = _read(document, reasons)
    if stated is None:
        return None
    rows, tariff, price = stated.rows.values(), stated.tariff, stated.price
    demand = _sum(row.share for row in rows)
    if not close(stated.total, demand, ROUNDING):
        total = show(stated.total)
        reasons.add(f"total_demand {total} is not the sum of the shares = {show(demand)}")
    worst = max(row.regret for row in rows)
    if stated.max_regret != worst:
        stated_worst = show(stated.max_regret)
        reasons.add(f"max_regret {stated_worst} is not the largest regret = {show(worst)}")
    sound = [row for row in rows if check_figures(row, price, reasons)]
    if not tariff.admits(demand):
        reasons.add(_oversold(tariff, demand))
        return None
    taking = stated.concept == "competitive" or tariff.kind == "clearing"
    fixed = price if taking else tariff.price(ZERO) if tariff.kind == "flat" else None
    public = Public(tariff, stated.quantum, fixed, not taking, demand, tolerance)
    largest_part = max((check_regret(row, public, reasons) for row in sound), default=ZERO)
    if taking:
        _check_clearing(stated, demand, reasons)
    else:
        _check_posted(stated, demand, reasons)
    return Checked(stated, demand, largest_part)


def _read(document: Any, reasons: Reasons) -> Stated | None:
    """Read everything; None, with every reason, if something cannot be read."""
    try:
        text(document, "format", "", (FORMAT,))
        concept = text(document, "concept", "", ("nash", "competitive"))
        quantum, below = (
            None if entry(document, key, "") is None else number(document, key, "", positive=True)
            for key in ("quantum", "price_below")
        )
        tariff = read_tariff(document, quantum)
        price, total, worst = (
            number(document, key, "") for key in ("price", "total_demand", "max_regret")
        )
        entries = items(document, "clients", "")
    except Malformed as error:
        reasons.add(str(error))
        return None
    rows = _read_rows(entries, quantum, below is not None, reasons)
    if reasons.count:
        return None
    return Stated(concept, quantum, tariff, price, total, worst, below, rows)


def _read_rows(
    entries: list[Any], quantum: Fraction | None, with_below: bool, reasons: Reasons
) -> dict[str, Row]:
    rows: dict[str, Row] = {}
    for index, holder in enumerate(entries):
        try:
            row = read_row(holder, index, quantum, with_below)
        except Malformed as error:
            reasons.add(str(error))
            continue
        if row.name in rows:
            reasons.add(f"{row.place}: the name is taken by {rows[row.name].place.split()[0]}")
        rows[row.name] = row
    return rows


def _sum(values: Any) -> Fraction:
    """An exact sum that adds numerators of equal denominators first: it stays linear."""
    parts: dict[int, int] = {}
    for value in values:
        parts[value.denominator] = parts.get(value.denominator, 0) + value.numerator
    return sum((Fraction(above, below) for below, above in parts.items()), ZERO)


def _oversold(tariff: Tariff, demand: Fraction) -> str:
    assert tariff.capacity is not None  # noqa: S101 -- without capacity every demand is admitted
    excess = demand - tariff.capacity
    return (
        f"the shares sum to {show(demand)}, {show(excess)} more than capacity "
        f"{show(tariff.capacity)}" + (" (a barrier sells less than all)" if not excess else "")
    )


def _check_posted(stated: Stated, demand: Fraction, reasons: Reasons) -> None:
    """A Nash game's price is the tariff's at the total demand."""
    posted = stated.tariff.price(demand)
    if not close(stated.price, posted, PRICE):
        reasons.add(f"price {show(stated.price)} is not pi(total demand) = {show(posted)}")
    if stated.price_below is not None:
        reasons.add("price_below is given, but only a cleared price has one")


def _check_clearing(stated: Stated, demand: Fraction, reasons: Reasons) -> None:
    """[7] Neither oversold at this price, nor could a lower price have cleared the market."""
    tariff, price = stated.tariff, stated.price
    posted = tariff.price(demand)
    if posted > price * (1 + PRICE):
        reasons.add(f"price {show(price)} is below pi(total demand) = {show(posted)}")
    met = price <= posted * (1 + PRICE)
    full = tariff.capacity is not None and demand >= tariff.capacity * (1 - SLACK)
    if stated.price_below is not None:
        _check_tie(stated, stated.price_below, demand, reasons)
    elif not met and not full:
        reasons.add(
            f"price {show(price)} is above pi(total demand) = {show(posted)} although only "
            f"{show(demand)} is sold, and no price_below shows that a lower price sells too much"
        )


def _check_tie(stated: Stated, below: Fraction, demand: Fraction, reasons: Reasons) -> None:
    """[6, 7] At price_below demand jumps past what may be sold; here all who fit are served."""
    tariff, price, rows = stated.tariff, stated.price, stated.rows.values()
    if not price * (1 - SLACK) <= below < price:
        reasons.add(f"price_below {show(below)} is not just below price {show(price)}")
        return
    before = reasons.count
    reached = _sum(check_below(row, below, stated.quantum, reasons) for row in rows)
    if reasons.count > before:
        return
    if tariff.admits(reached) and tariff.price(reached) < below:
        reasons.add(
            f"demand {show(reached)} at price_below {show(below)} could be sold "
            f"there: pi is {show(tariff.price(reached))}"
        )
    for row in rows:
        larger = row.below[0] if row.below else ZERO
        if larger <= row.share * (1 + SLACK):
            continue
        served = demand + larger - row.share
        fits = tariff.capacity is None or served <= tariff.capacity * (1 - PRICE)
        if fits and tariff.price(served) <= price * (1 - PRICE):
            reasons.add(
                f"{row.place}: is indifferent and would take share_below {show(larger)}, which "
                f"still fits: total demand would be {show(served)}"
            )
