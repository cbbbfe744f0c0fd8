"""Snapshots: what comes back is the same market, or one InvalidInput."""

import hashlib
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dds import Clearing, Client, Frontier, InvalidInput, Linear, PiecewiseLinear
from dds.online import Market

PHONE = Client(Frontier.from_points([(0.0, 1.0), (1.0, 0.0)]), 1.0)
ROBOT = Client(Frontier.from_points([(0.1, 2.0), (0.4, 0.5)]), 2.0, 0.1, 4.0)

MARKETS = [
    (Clearing(3.5), "competitive", None),
    (Linear(0.1, 0.5), "competitive", None),
    (PiecewiseLinear((0.0, 1.0), (0.1, 0.6)), "nash", None),
    (Linear(0.0, 1.0, 4.0), "nash", 0.125),
]


def busy(tariff, concept, quantum):
    market = Market(tariff, concept=concept, quantum=quantum)
    market.join_many([PHONE, ROBOT, PHONE, PHONE])
    market.leave(0)
    market.clear()
    market.update(1, PHONE)
    market.update(1, ROBOT)
    market.leave(2)
    market.join(PHONE)
    return market


def rows_of(found):
    return [(a.id, a.share, a.piece, a.latency, a.payment) for a in found]


@pytest.mark.parametrize(("tariff", "concept", "quantum"), MARKETS)
def test_a_market_comes_back_as_it_was(tariff, concept, quantum):
    market = busy(tariff, concept, quantum)
    twin = Market.from_bytes(market.to_bytes())
    for name in ("tariff", "concept", "quantum", "revision", "cleared"):
        assert getattr(twin, name) == getattr(market, name)
    assert twin.to_bytes() == market.to_bytes()
    assert twin.ids().tolist() == market.ids().tolist() == [1, 3, 4]
    assert rows_of(twin.allocations()) == rows_of(market.allocations())
    since = market.cleared.revision
    assert twin.join(ROBOT) == market.join(ROBOT) == 5
    assert twin.clear().price == pytest.approx(market.clear().price, rel=1e-9)
    assert twin.changes(since).left.tolist() == market.changes(since).left.tolist() == [2]
    np.testing.assert_allclose(twin.allocations().shares, market.allocations().shares, rtol=1e-9)


def test_an_empty_market_comes_back():
    twin = Market.from_bytes(Market(2.0).to_bytes())
    assert (len(twin), twin.revision, twin.cleared) == (0, 0, None)
    assert twin.join(PHONE) == 0


def refused(data):
    with pytest.raises(InvalidInput, match=r"^snapshot: [^\n]+$"):
        Market.from_bytes(data)


GOOD = busy(*MARKETS[0]).to_bytes()
MAGIC = GOOD[: GOOD.index(b"\n") + 1]


def split(data):
    start = len(MAGIC) + 4
    size = int.from_bytes(data[len(MAGIC) : start], "little")
    return json.loads(data[start : start + size]), data[start + size : -32]


def sealed(header, arrays):
    """Bytes with a right checksum, whatever they say."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    body = MAGIC + len(text).to_bytes(4, "little") + text + arrays
    return body + hashlib.sha256(body).digest()


@given(st.binary(max_size=80))
@settings(max_examples=50, deadline=None)
def test_other_bytes_are_refused(data):
    refused(data)
    refused(MAGIC + data)
    refused(sealed(data, b""))


@given(st.integers(0, len(GOOD) - 1), st.integers(1, 255))
@settings(max_examples=60, deadline=None)
def test_any_damage_is_noticed(place, change):
    refused(GOOD[:place])
    refused(GOOD[:place] + bytes([GOOD[place] ^ change]) + GOOD[place + 1 :])


HOSTILE = [
    *(None, True, -1, 0, 1, 7, 2**61, 2**63, 10**400, 1.5, math.nan, math.inf, "x", [], {}),
    *([1, 0], [0, 1], [10**4000, 1], {"kind": "linear", "base_price": 1, "slope": -1}),
]


@pytest.mark.parametrize(
    "key", [*split(GOOD)[0], *(f"cleared.{k}" for k in split(GOOD)[0]["cleared"])]
)
def test_a_header_that_lies_is_refused_or_is_a_market(key):
    """With a right checksum too; what is taken in must clear and be written again."""
    for value in HOSTILE:
        header, arrays = split(GOOD)
        place = header["cleared"] if "." in key else header
        place[key.removeprefix("cleared.")] = value
        assert_refused_or_sound(sealed(header, arrays))


@given(
    st.integers(0, len(split(GOOD)[1]) // 8 - 1),
    st.binary(min_size=8, max_size=8)
    | st.sampled_from(
        [np.float64(x).tobytes() for x in (math.nan, math.inf, -1.0, 0.0, 1e300)]
        + [np.int64(x).tobytes() for x in (-1, 0, 1, 2, 9, 2**62)]
    ),
)
@settings(max_examples=120, deadline=None)
def test_arrays_that_lie_are_refused_or_are_a_market(place, word):
    header, arrays = split(GOOD)
    assert_refused_or_sound(sealed(header, arrays[: 8 * place] + word + arrays[8 * place + 8 :]))


def assert_refused_or_sound(data):
    try:
        market = Market.from_bytes(data)
    except InvalidInput:
        refused(data)
        return
    assert Market.from_bytes(market.to_bytes()).to_bytes() == market.to_bytes()
    assert len(market.allocations()) <= len(market.ids()) == len(market)
    market.leave(market.join(PHONE))
