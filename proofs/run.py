"""A saved demo, "dds-run/1": its equilibrium, and a table that must agree with it."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from proofs.document import Malformed, Reasons, close, entry, integer, items, number, show, text
from proofs.equilibrium import TOLERANCE, Checked, check_equilibrium
from proofs.rows import ROUNDING, Row

__all__ = ["FORMAT", "check_run"]

FORMAT = "dds-run/1"
#: How far a predicted latency may be from the certificate's, relative.
PREDICTED = Fraction(1, 10**9)
#: A count no real run reaches; it only bounds the arithmetic.
MANY = 10**15


def check_run(document: Any, reasons: Reasons, tolerance: Fraction = TOLERANCE) -> Checked | None:
    """Check the equilibrium of a run and that its client table repeats it faithfully."""
    try:
        text(document, "format", "", (FORMAT,))
        equilibrium = entry(document, "equilibrium", "")
        table = items(document, "clients", "")
    except Malformed as error:
        reasons.add(str(error))
        return None
    checked = check_equilibrium(equilibrium, reasons, tolerance)
    if checked is None:
        return None
    _check_header(document, checked, reasons)
    missing = dict(checked.stated.rows)
    for index, holder in enumerate(table):
        place = f"run clients[{index}]"
        try:
            name = text(holder, "name", place)
            row = missing.pop(name, None)
            if row is None:
                reasons.add(f"{place} {show(name)}: the certificate has no such row, or it is used")
                continue
            _check_line(holder, f"{place} {show(name)}", row, checked.stated.price, reasons)
        except Malformed as error:
            reasons.add(str(error))
    for row in missing.values():
        reasons.add(f"{row.place}: the run's client table has no line for it")
    return checked


def _check_header(document: Any, checked: Checked, reasons: Reasons) -> None:
    """Figures that the run repeats from its certificate, where it does."""
    stated = checked.stated
    for key, exact in (
        ("price", stated.price),
        ("total_demand", checked.demand),
        ("max_regret", stated.max_regret),
        ("capacity", stated.tariff.capacity),
    ):
        if key not in document or (exact is None and document[key] is None):
            continue
        try:
            found = number(document, key, "")
        except Malformed as error:
            reasons.add(f"run {error}")
            continue
        if exact is None or not close(found, exact, ROUNDING):
            shown = "null" if exact is None else show(exact)
            reasons.add(f"run {key} {show(found)} is not the certificate's {shown}")


def _check_line(holder: Any, place: str, row: Row, price: Fraction, reasons: Reasons) -> None:
    """One line of the run's table against the certificate's row of the same name."""
    for key, exact, allowed in (
        ("share", row.share, ROUNDING),
        ("price", price, ROUNDING),
        ("payment", row.payment, ROUNDING),
        ("predicted_latency_s", row.latency, PREDICTED),
    ):
        found = number(holder, key, place)
        if not close(found, exact, allowed):
            reasons.add(f"{place}: {key} {show(found)} is not the certificate's {show(exact)}")
    on_server = integer(holder, "operators_on_server", place, least=0, most=MANY)
    if (on_server > 0) != (row.share > 0):
        reasons.add(f"{place}: operators_on_server is {on_server} with share {show(row.share)}")
    for key in ("max_abs_difference", "max_relative_difference"):
        number(holder, key, place)
    if entry(holder, "outputs_match", place) is not True:
        shown = show(entry(holder, "max_abs_difference", place))
        reasons.add(f"{place}: outputs_match is not true (largest difference {shown})")
