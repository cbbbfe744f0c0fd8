"""One client's claim: its share is allowed, its figures add up, its regret is true.

A row can be checked alone, given the public part (:class:`Public`), so a client
can keep its own row private.  Regret is shown piece by piece: piece j cannot cost
less than ``goal`` = own cost - regret at any allowed share f.  With the work
``a = w W_j`` and a line ``o + s f`` below the payment, that is one inequality,
``a/f + s f >= goal - w A_j - o`` on an interval: a quadratic, decided exactly
(:mod:`proofs.bounds`).
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from proofs.bounds import Claim, at_fixed_price, at_tariff, prunes
from proofs.document import (
    Malformed,
    Reasons,
    close,
    entry,
    exact,
    integer,
    items,
    number,
    show,
    text,
)
from proofs.tariffs import SNAP, ZERO, Tariff, snapped

__all__ = ["Public", "Row", "check_below", "check_figures", "check_regret", "read_row"]

#: Declared latency, payment and total may differ from the exact ones by this much, relative.
ROUNDING = Fraction(1, 10**12)
#: More quanta than these a double does not count exactly.
EXACT = 2**50


@dataclass(frozen=True)
class Public:
    """What every client knows.

    fixed: the unit price if it does not depend on demand (price-taking), else None;
    limited: whether a deviation must fit into the capacity the others leave;
    demand: the exact F; tolerance: largest regret that is accepted, as a part of the
    client's own cost.
    """

    tariff: Tariff
    quantum: Fraction | None
    fixed: Fraction | None
    limited: bool
    demand: Fraction
    tolerance: Fraction


@dataclass(frozen=True)
class Row:
    """One entry of "clients", read: numbers exact, shares and bounds snapped to the quantum."""

    place: str
    name: str
    value_of_time: Fraction
    low: Fraction
    high: Fraction | None
    pieces: tuple[tuple[Fraction, Fraction], ...]
    piece: int
    share: Fraction
    latency: Fraction
    payment: Fraction
    regret: Fraction
    witness: tuple[Fraction | None, ...]
    below: tuple[Fraction, int] | None  # share and piece at the document's price_below

    def cost(self, piece: int, share: Fraction, price: Fraction) -> Fraction:
        """``J = w (A + W/f) + f price`` of a piece at an allowed share."""
        base, work = self.pieces[piece]
        wait = base + work / share if work else base
        return self.value_of_time * wait + share * price


def read_row(holder: Any, index: int, quantum: Fraction | None, with_below: bool) -> Row:
    """Entry ``index`` of "clients"; raises Malformed naming the place."""
    place = f"clients[{index}]"
    name = text(holder, "name", place)
    place = f"{place} {show(name)}"
    pieces = tuple(_piece(pair, f"{place}: pieces[{j}]")
                   for j, pair in enumerate(items(holder, "pieces", place)))  # fmt: skip
    last = len(pieces) - 1
    high = entry(holder, "max_share", place)
    if high is not None:
        high = snapped(number(holder, "max_share", place, positive=True), quantum)
    low = snapped(number(holder, "min_share", place), quantum)
    if high is not None and high < low:
        raise Malformed(f"{place}.max_share {show(high)} is below min_share {show(low)}")
    return Row(
        place=place,
        name=name,
        value_of_time=number(holder, "value_of_time", place, positive=True),
        low=low,
        high=high,
        pieces=pieces,
        piece=integer(holder, "piece", place, least=0, most=last),
        share=_share(holder, "share", place, quantum),
        latency=number(holder, "latency_s", place),
        payment=number(holder, "payment", place),
        regret=number(holder, "regret", place),
        witness=_witness(holder, place, len(pieces), quantum),
        below=_below(holder, place, last, quantum, with_below),
    )


def _piece(pair: Any, place: str) -> tuple[Fraction, Fraction]:
    if not isinstance(pair, list) or len(pair) != 2:
        raise Malformed(f"{place} is {show(pair)}, not [base_latency_s, server_work_s]")
    return exact(pair[0], f"{place}[0]"), exact(pair[1], f"{place}[1]")


def _share(holder: Any, key: str, place: str, quantum: Fraction | None) -> Fraction:
    found = number(holder, key, place)
    share = snapped(found, quantum)
    if quantum is not None and share % quantum:
        raise Malformed(f"{place}.{key} is {show(found)}, not a multiple of {show(quantum)}")
    if quantum is None and share.denominator & (share.denominator - 1):
        # Sums of doubles stay short; sums of arbitrary fractions do not.
        raise Malformed(f"{place}.{key} is {show(found)} as a fraction; write a plain number")
    return share


def _witness(
    holder: Any, place: str, size: int, quantum: Fraction | None
) -> tuple[Fraction | None, ...]:
    if holder.get("witness") is None:
        return (None,) * size
    found = items(holder, "witness", place)
    if len(found) != size:
        raise Malformed(f"{place}.witness has {len(found)} entries for {size} pieces")
    named = {f"witness[{j}]": value for j, value in enumerate(found)}
    return tuple(
        None if value is None else _share(named, key, place, quantum)
        for key, value in named.items()
    )


def _below(
    holder: Any, place: str, last: int, quantum: Fraction | None, wanted: bool
) -> tuple[Fraction, int] | None:
    if not wanted:
        for key in ("share_below", "piece_below"):
            if holder.get(key) is not None:
                raise Malformed(f"{place}.{key} is given, but price_below is null")
        return None
    share = _share(holder, "share_below", place, quantum)
    return share, integer(holder, "piece_below", place, least=0, most=last)


def check_figures(row: Row, price: Fraction, reasons: Reasons) -> bool:
    """Check that latency and payment follow from the share; returns if it is an allowed share."""
    fault = _not_allowed(row, row.share, row.piece)
    if fault:
        reasons.add(f"{row.place}: share {fault}")
        return False
    base, work = row.pieces[row.piece]
    wait = base + work / row.share if work else base
    if not close(row.latency, wait, ROUNDING):
        reasons.add(f"{row.place}: latency_s {show(row.latency)} is not A + W/f = {show(wait)}")
    due = row.share * price
    if not close(row.payment, due, ROUNDING):
        reasons.add(f"{row.place}: payment {show(row.payment)} is not share x price = {show(due)}")
    return True


def check_regret(row: Row, public: Public, reasons: Reasons) -> Fraction:
    """Check that no deviation saves more than the regret; returns regret / own cost.

    The share must be an allowed one (:func:`check_figures`) and F not beyond capacity.
    """
    price = public.tariff.price(public.demand) if public.fixed is None else public.fixed
    own = row.cost(row.piece, row.share, price)
    if row.regret > public.tolerance * own:
        reasons.add(
            f"{row.place}: regret {show(row.regret)} is more than "
            f"{show(public.tolerance)} x its cost {show(own)}"
        )
    _check_pieces(row, public, own - row.regret, reasons)
    return row.regret / own if own else ZERO


def _not_allowed(row: Row, share: Fraction, piece: int) -> str | None:
    """Why (share, piece) is not an action of the client, if it is not."""
    if not row.pieces[piece][1]:
        return f"is {show(share)}, not 0, on local-only piece {piece}" if share else None
    if not share:
        return f"is 0 on piece {piece}, which has server work {show(row.pieces[piece][1])}"
    if share < row.low:
        return f"is {show(share)}, below min_share {show(row.low)}"
    if row.high is not None and share > row.high:
        return f"is {show(share)}, above max_share {show(row.high)}"
    return None


def _check_pieces(row: Row, public: Public, goal: Fraction, reasons: Reasons) -> None:
    """No piece at any allowed share costs less than ``goal``."""
    others = public.demand - row.share
    high = row.high
    room = public.tariff.room(others, public.quantum) if public.limited else None
    if room is not None:
        high = room if high is None else min(high, room)
    lowest = public.tariff.price(others) if public.fixed is None else public.fixed
    for j, (base, work) in enumerate(row.pieces):
        if prunes(goal, row.value_of_time, base, work, lowest):
            continue
        start = row.value_of_time * base
        doubt: str | None = f"it costs only {show(start)}"
        if work:
            scaled = row.value_of_time * work
            claim = Claim(start, goal - start, scaled, row.low, high, public.quantum)
            if public.fixed is None:
                doubt = at_tariff(claim, public.tariff, others, row.witness[j])
            else:
                doubt = at_fixed_price(claim, public.fixed)
        if doubt:
            reasons.add(
                f"{row.place}: piece {j} is not shown to cost at least "
                f"cost - regret = {show(goal)}: {doubt}"
            )


def check_below(row: Row, price: Fraction, quantum: Fraction | None, reasons: Reasons) -> Fraction:
    """A share that the client's demand reaches at every unit price below ``price``.

    [6] It is "share_below" (less its rounding, unless that is exact quanta) if nothing at or below
    it is cheaper at ``price``; otherwise 0, and the reason is recorded.
    """
    share, piece = row.below or (ZERO, 0)
    fault = _not_allowed(row, share, piece)
    if fault:
        reasons.add(f"{row.place}: share_below {fault}")
        return ZERO
    if not share:
        return ZERO
    if share != row.high and (quantum is None or share > EXACT * quantum):
        share = max(share * (1 - SNAP), row.low)  # inside its bounds it is a root, rounded
        share = share if quantum is None else share // quantum * quantum
    goal = row.cost(piece, share, price)
    for j, (base, work) in enumerate(row.pieces):
        if prunes(goal, row.value_of_time, base, work, price):
            continue
        start = row.value_of_time * base
        doubt: str | None = f"it costs only {show(start)}"
        if work:
            scaled = row.value_of_time * work
            claim = Claim(start, goal - start, scaled, row.low, share, quantum)
            doubt = at_fixed_price(claim, price)
        if doubt:
            reasons.add(
                f"{row.place}: share_below {show(share)} costs {show(goal)} at price_below, "
                f"but for piece {j} {doubt}"
            )
            return ZERO
    return share
