"""About where a search will end, from a look at some of the clients."""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import replace
from typing import Any

import numpy as np

from dds.errors import Infeasible
from dds.market.anticipating import rough_load
from dds.market.crossing import Given
from dds.market.numbers import Floats
from dds.market.passes import answer_all
from dds.market.replies import BOUNDLESS, Quote
from dds.market.sale import Sale, Start
from dds.market.table import ClientTable
from dds.market.taking import rough_price

__all__ = ["SAMPLE", "look", "window"]

#: So many clients tell about where the search should begin.
SAMPLE = 16_384
#: They come in groups of so many.
GROUP = 8
#: How many standard errors off a look may be, and the most it may be at all.
SIGMAS, MOST = 2.0, 0.5
#: How much a slope at capacity moves for one in demand, about.
LEVER = 3.0
#: How much wider than its start's spread the quotes of a search may lie.
WIDER = 1.25


def look(table: ClientTable, sale: Sale, *, taking: bool) -> Start | None:
    """Where a search among SAMPLE of the clients ends, each standing for several.

    None where those cannot be served: all of them perhaps can.
    """
    # Eight doubles come from memory at a time, so neighbours cost nothing more.
    groups = np.arange(0, len(table) - GROUP, GROUP * -(-len(table) // SAMPLE))
    rows = (groups[:, None] + np.arange(GROUP)).ravel()
    few, weight = table.take(rows), len(table) / len(rows)
    part = Sale(sale.tariff, len(rows), None)
    search: Generator[Quote, Any, Start] = rough_price(part) if taking else rough_load(part)
    shares = np.zeros(len(rows))
    try:
        quote = next(search)
        while True:
            shares = answer_all(few, quote).shares
            quote = search.send(Given(shares * weight))
    except StopIteration as end:
        found: Start = end.value
    except Infeasible:
        return None
    error = SIGMAS * _standard_error(shares)
    if found.cut_off:
        error *= LEVER
    elif not taking:  # where the price rises steeply with F, F hardly differs
        error /= 1.0 + (found.slope * found.load / found.price if found.price > 0.0 else 0.0)
    return replace(found, spread=min(found.spread + error, MOST))


def _standard_error(shares: Floats) -> float:
    """The relative standard error of the sum that they stand for."""
    groups = shares.reshape(-1, GROUP).sum(axis=1)
    total = float(groups.sum())
    return float(groups.std()) * math.sqrt(len(groups)) / total if total > 0.0 else 0.0


def window(sale: Sale, start: Start, *, taking: bool) -> tuple[Quote, Quote] | None:
    """The quotes between which a search from ``start`` should end, None if there are none."""
    spread = WIDER * start.spread
    if not 0.0 < spread < 1.0:
        return None
    if taking:
        low, high = start.price * (1.0 - spread), start.price * (1.0 + spread)
        return Quote(BOUNDLESS, low, 0.0), Quote(BOUNDLESS, high, 0.0)
    cap = sale.tariff.capacity if math.isfinite(sale.room) else BOUNDLESS
    if start.cut_off:
        low, high = start.slope * (1.0 - spread), start.slope * (1.0 + spread)
        price = sale.price(sale.most)
        return Quote(cap, price, low), Quote(cap, price, high)
    ends = (start.load * (1.0 - spread), min(start.load * (1.0 + spread), sale.most))
    low_quote, high_quote = (
        Quote(cap, sale.price(load), float(sale.tariff.exact_slope(sale.load(load))))
        for load in ends
    )
    return low_quote, high_quote
