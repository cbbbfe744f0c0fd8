"""A whole "dds-equilibrium/1" document: every row, the total, the price, the clearing.

Public entry: :func:`check_equilibrium`.  A document is read completely before
anything is checked; what cannot be read is reported and ends the check.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from proofs.document import Malformed, Reasons, close, entry, items, number, show, text
from proofs.rows import ROUNDING, Public, Row, check_below, check_row, read_row
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
class Checked:
    """What was read: the rows by name, and the public figures, exact."""

    concept: str
    tariff: Tariff
    price: Fraction
    demand: Fraction
    max_regret: Fraction
    largest_part: Fraction  # largest regret as a part of the client's own cost
    rows: dict[str, Row]


def check_equilibrium(
    document: Any, reasons: Reasons, tolerance: Fraction = TOLERANCE
) -> Checked | None:
    """Check a parsed document, collecting reasons; None if it cannot be read."""
    try:
        text(document, "format", "", (FORMAT,))
        concept = text(document, "concept", "", ("nash", "competitive"))
        quantum = None
        if entry(document, "quantum", "") is not None:
            quantum = number(document, "quantum", "", positive=True)
        tariff = read_tariff(document, quantum)
        price = number(document, "price", "")
        total = number(document, "total_demand", "")
        max_regret = number(document, "max_regret", "")
        price_below = None
        if entry(document, "price_below", "") is not None:
            price_below = number(document, "price_below", "")
        entries = items(document, "clients", "")
    except Malformed as error:
        reasons.add(str(error))
        return None
    rows = _read_rows(entries, quantum, price_below is not None, reasons)
    if reasons.count:
        return None

    demand = _sum(row.share for row in rows.values())
    if not close(total, demand, ROUNDING):
        reasons.add(f"total_demand {show(total)} is not the sum of the shares = {show(demand)}")
    if not tariff.admits(demand):
        reasons.add(_oversold(tariff, demand))
        return None
    taking = concept == "competitive" or tariff.kind == "clearing"
    fixed = price if taking else tariff.price(ZERO) if tariff.kind == "flat" else None
    public = Public(tariff, quantum, fixed, not taking, price, demand, tolerance)
    largest_part = ZERO
    for row in rows.values():
        cost = check_row(row, public, reasons)
        if cost:
            largest_part = max(largest_part, row.regret / cost)
    worst = max(row.regret for row in rows.values())
    if max_regret != worst:
        reasons.add(f"max_regret {show(max_regret)} is not the largest regret = {show(worst)}")
    if taking:
        _check_clearing(public, rows, price_below, reasons)
    else:
        _check_posted(public, price_below, reasons)
    return Checked(concept, tariff, price, demand, max_regret, largest_part, rows)


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


def _check_posted(public: Public, price_below: Fraction | None, reasons: Reasons) -> None:
    """A Nash game's price is the tariff's at the total demand."""
    posted = public.tariff.price(public.demand)
    if not close(public.declared, posted, PRICE):
        reasons.add(f"price {show(public.declared)} is not pi(total demand) = {show(posted)}")
    if price_below is not None:
        reasons.add("price_below is given, but only a cleared price has one")


def _check_clearing(
    public: Public, rows: dict[str, Row], price_below: Fraction | None, reasons: Reasons
) -> None:
    """[7] Neither oversold at this price, nor could a lower price have cleared the market."""
    tariff, price, demand = public.tariff, public.declared, public.demand
    posted = tariff.price(demand)
    if posted > price * (1 + PRICE):
        reasons.add(f"price {show(price)} is below pi(total demand) = {show(posted)}")
    met = price <= posted * (1 + PRICE)
    full = tariff.capacity is not None and demand >= tariff.capacity * (1 - SLACK)
    if price_below is not None:
        _check_tie(public, rows, price_below, reasons)
    elif not met and not full:
        reasons.add(
            f"price {show(price)} is above pi(total demand) = {show(posted)} although only "
            f"{show(demand)} is sold, and no price_below shows that a lower price sells too much"
        )


def _check_tie(
    public: Public, rows: dict[str, Row], price_below: Fraction, reasons: Reasons
) -> None:
    """[6, 7] Demand jumps past what may be sold at ``price_below``; all who fit are served."""
    tariff, price, demand = public.tariff, public.declared, public.demand
    if not price * (1 - SLACK) <= price_below < price:
        reasons.add(f"price_below {show(price_below)} is not just below price {show(price)}")
        return
    reached = _sum(check_below(row, price_below, public.quantum, reasons) for row in rows.values())
    if tariff.admits(reached) and tariff.price(reached) < price_below:
        reasons.add(
            f"demand {show(reached)} at price_below {show(price_below)} could be sold "
            f"there: pi is {show(tariff.price(reached))}"
        )
    for row in rows.values():
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
