"""Hypothesis strategies for the messages of the protocol: any that is well formed."""

from __future__ import annotations

import math
from fractions import Fraction

from hypothesis import strategies as st

from dds.market.tariff import Barrier, Clearing, Flat, Linear, PiecewiseLinear, Power
from dds.market.tariff_base import Tariff
from dds.session.messages import (
    Accept,
    Allocation,
    Below,
    Bid,
    ClientMessage,
    Code,
    Holding,
    Join,
    Post,
    Quotation,
    ReferenceCore,
    Refusal,
    Release,
    Released,
    Renew,
    Renewed,
    ServerMessage,
    Terms,
    Welcome,
)

__all__ = ["client_messages", "server_messages", "tariffs_within", "terms"]

_PRINTABLE = st.characters(codec="utf-8").filter(str.isprintable)
_ids = st.text(_PRINTABLE, min_size=1, max_size=128)
_texts = st.text(_PRINTABLE, max_size=200)
_counts = st.integers(0, 2**64 - 1)
_numbers = st.floats(0.0, allow_infinity=False, allow_nan=False)
_positive = st.floats(0.0, exclude_min=True, allow_infinity=False, allow_nan=False)
_sane = st.floats(1e-3, 1e3)


@st.composite
def tariffs_within(draw: st.DrawFn, capacity: float) -> Tariff:
    """A tariff of any kind that sells at most `capacity` cores."""
    limit = draw(st.floats(capacity / 8, capacity))
    base = draw(_sane)
    points = sorted(draw(st.lists(_sane, max_size=3, unique=True)))
    slopes = sorted(draw(st.lists(_sane, min_size=len(points), max_size=len(points))))
    loads, prices = [0.0], [base]
    for load, slope in zip(points, slopes, strict=True):
        prices.append(prices[-1] + slope * (load - loads[-1]))
        loads.append(load)
    # The table's corners are rounded: only a straight one is convex for sure.
    table = PiecewiseLinear(tuple(loads[:2]), tuple(prices[:2]), limit)
    return draw(
        st.sampled_from(
            [
                Clearing(limit),
                Flat(base, limit),
                Linear(base, draw(_sane), limit),
                Power(base, draw(_sane), draw(st.integers(1, 5)), limit),
                Barrier(base, limit),
                table,
            ]
        )
    )


@st.composite
def terms(draw: st.DrawFn) -> Terms:
    """What a server might sell."""
    capacity = draw(_sane)
    core = ReferenceCore(
        name=draw(_ids),
        flops_per_s=draw(_positive),
        bytes_per_s=draw(_positive),
        overhead=draw(_numbers),
        platform=draw(_texts),
        slowdown=draw(_positive),
    )
    quantum = draw(st.none() | st.integers(1, 10**6).map(lambda n: Fraction(1, n)))
    return Terms(draw(tariffs_within(capacity)), capacity, core, quantum)


def client_messages() -> st.SearchStrategy[ClientMessage]:
    """Anything a client may say."""
    return st.one_of(
        st.builds(Join, _ids, _ids, st.integers(0, 2**32 - 1)),
        st.builds(Bid, _ids, _counts, _counts, _numbers),
        st.builds(Accept, _ids, _counts),
        st.builds(Renew, _ids, _counts),
        st.builds(Release, _ids),
    )


def server_messages() -> st.SearchStrategy[ServerMessage]:
    """Anything a server may say."""
    bounds = _numbers | st.just(math.inf)
    quotes = st.builds(Quotation, bounds, _numbers, _numbers, _numbers, bounds)
    questions = quotes | st.builds(Holding, _numbers, _numbers)
    below = st.none() | st.builds(Below, _numbers, _numbers)
    return st.one_of(
        st.builds(Welcome, _ids, _ids, _positive, terms(), st.integers(0, 2**32 - 1)),
        st.builds(Post, _ids, _counts, _counts, questions, _counts),
        st.builds(Allocation, _ids, _counts, *([_numbers] * 5), _counts, below, _counts),
        st.builds(Renewed, _ids, _counts, _counts),
        st.builds(Released, _ids),
        st.builds(Refusal, st.sampled_from(Code), _texts, _ids | st.just("")),
    )
