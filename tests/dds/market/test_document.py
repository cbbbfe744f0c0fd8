"""Documents of ``dds solve``: whatever stands in one, an answer or one line that says where."""

from __future__ import annotations

import copy
import json
import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dds.errors import Infeasible, InvalidInput
from dds.market.document import Instance, read_market, report, solve
from dds.testing import markets

quick = settings(deadline=None, derandomize=True, max_examples=60)

MARKET: dict[str, Any] = {
    "concept": "nash",
    "tariff": {"kind": "piecewise", "loads": [0, 1, 2], "prices": [0.1, 0.2, 1], "capacity": 3},
    "quantum": 0.25,
    "clients": [
        {"name": "a", "value_of_time": 1, "pieces": [[0.1, 0.3], [0.8, 0]], "max_share": 2},
        {"name": "b", "value_of_time": 2, "pieces": [[0.1, 0.2]], "min_share": 0.25},
    ],
}


def text(document: Any) -> bytes:
    """As JSON, with NaN and Infinity where a lax writer leaves them."""
    return json.dumps(document).encode()


def written(market: Instance) -> dict[str, Any]:
    """The document of a market."""
    return {
        "concept": market.concept,
        "tariff": market.tariff.to_json(),
        "quantum": None if market.quantum is None else float(market.quantum),
        "clients": [
            {
                "name": client.name,
                "value_of_time": client.value_of_time,
                "pieces": [[p.base_latency, p.server_work] for p in client.frontier.pieces],
                "min_share": client.min_share,
                "max_share": None if math.isinf(client.max_share) else client.max_share,
            }
            for client in market.clients
        ],
    }


@quick
@given(markets().filter(lambda m: m.quantum != Fraction(1, 3)))
def test_a_market_is_what_its_document_says(market: Instance) -> None:
    """A third has no decimals, and a document cannot say it."""
    assert read_market(text(written(market))) == market


@settings(deadline=None, derandomize=True, max_examples=30)
@given(markets())
def test_a_report_is_json_that_adds_up(market: Instance) -> None:
    found = solve(market)
    answer = json.loads(json.dumps(report(found), allow_nan=False))
    rows = answer["clients"]
    assert [row["name"] for row in rows] == [client.name for client in market.clients]
    assert [row["share"] for row in rows] == found.shares.tolist()
    assert answer["total_demand"] == pytest.approx(math.fsum(row["share"] for row in rows))
    assert answer["max_regret"] == max(row["regret"] for row in rows)
    np.testing.assert_allclose(
        [row["payment"] for row in rows], found.shares * answer["price"], rtol=1e-15
    )


# --- whatever stands there ----------------------------------------------------------------------


def places(value: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place of a document, the document itself first."""
    inner: list[tuple[Any, ...]] = []
    if isinstance(value, dict):
        inner = [p for key, v in value.items() for p in places(v, (*place, key))]
    elif isinstance(value, list):
        inner = [p for k, v in enumerate(value) for p in places(v, (*place, k))]
    return [place, *inner]


def replaced(document: Any, place: tuple[Any, ...], value: Any) -> Any:
    if not place:
        return value
    changed = copy.deepcopy(document)
    holder = changed
    for key in place[:-1]:
        holder = holder[key]
    holder[place[-1]] = value
    return changed


numbers = st.sampled_from(
    [0, 1, -1, 0.5, 3.7, 1e-9, 1e9, 1e-100, 1e100, 1e-320, 1e308, 10**30, math.nan, math.inf, -0.0]
)
junk = st.recursive(
    st.none() | st.booleans() | numbers | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=2)
    ),
    max_leaves=4,
)


def assert_answered(data: bytes) -> None:
    """An equilibrium, or one line."""
    try:
        market = read_market(data)
        if market.quantum is None or market.quantum > Fraction(1, 10**6):
            solve(market)
    except (InvalidInput, Infeasible) as error:
        said = str(error)
        assert said
        assert said.isprintable(), "not one line"
        assert len(said) < 300


@settings(deadline=None, derandomize=True, max_examples=180)
@given(st.sampled_from(places(MARKET)), junk)
def test_any_value_anywhere_is_an_answer_or_one_line(place: tuple[Any, ...], value: Any) -> None:
    assert_answered(text(replaced(MARKET, place, value)))


@quick
@given(st.data())
def test_numbers_anywhere_are_an_answer_or_one_line(data: st.DataObject) -> None:
    tariff = {"kind": "linear", "base_price": 0.1, "slope": 0.2, "capacity": 3}
    document: Any = {**MARKET, "tariff": tariff}
    spots = [p for p in places(document) if p and isinstance(p[-1], int | str)]
    for place in data.draw(st.lists(st.sampled_from(spots), min_size=1, max_size=3)):
        try:
            document = replaced(document, place, data.draw(numbers))
        except (TypeError, IndexError, KeyError):
            continue  # an earlier number took the place of what held this one
    assert_answered(text(document))


@quick
@given(st.sampled_from([p for p in places(MARKET) if p]))
def test_a_key_or_element_that_is_missing_is_an_answer_or_one_line(place: tuple[Any, ...]) -> None:
    document = copy.deepcopy(MARKET)
    holder: Any = document
    for key in place[:-1]:
        holder = holder[key]
    del holder[place[-1]]
    assert_answered(text(document))


@quick
@given(st.binary(max_size=40))
def test_any_bytes_are_refused_in_one_line(data: bytes) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_market(data)
    assert str(caught.value).isprintable()


@quick
@given(st.integers(0, len(text(MARKET))), st.binary(max_size=3))
def test_bytes_lost_or_slipped_in_are_an_answer_or_one_line(at: int, slipped: bytes) -> None:
    whole = text(MARKET)
    assert_answered(whole[:at] + slipped + whole[at + 1 :])


# --- and where ----------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["x", [], {}, None, True, -1, math.nan, math.inf, 1e101, 1e-101])
@pytest.mark.parametrize(
    ("place", "named"),
    [
        (("clients", 1, "value_of_time"), "clients[1].value_of_time"),
        (("clients", 0, "pieces", 1, 0), "clients[0].pieces[1][0]"),
        (("clients", 0, "pieces", 1, 1), "clients[0].pieces[1][1]"),
        (("clients", 1, "min_share"), "clients[1].min_share"),
        (("clients", 0, "max_share"), "clients[0].max_share"),
        (("quantum",), "quantum"),
    ],
)
def test_a_number_that_is_none_is_named(place: tuple[Any, ...], named: str, value: Any) -> None:
    if value is None and place[-1] in ("min_share", "max_share", "quantum"):
        assert read_market(text(replaced(MARKET, place, value))), "null means none"
        return
    with pytest.raises(InvalidInput) as caught:
        read_market(text(replaced(MARKET, place, value)))
    assert str(caught.value).startswith(named)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\xff\xfe", "not UTF-8 text: byte 0"),
        (b'{"concept": "nash",}', "not JSON"),
        (b'{"concept": "nash", "concept": "nash"}', "key 'concept' occurs twice"),
        (b"[" * 100_000, "nested too deeply"),
        (b"1" * 100_000, "need an object"),
        (b"null", "the document: need an object"),
    ],
)
def test_what_is_no_document_is_said(data: bytes, said: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_market(data)
    assert said in str(caught.value)


def test_a_byte_order_mark_is_no_mistake() -> None:
    assert read_market(b"\xef\xbb\xbf" + text(MARKET)) == read_market(text(MARKET))


def test_bounds_that_exclude_each_other_are_named_with_their_client() -> None:
    with pytest.raises(InvalidInput, match=r"^clients\[0\].max_share 2.0 is below min_share 3.0"):
        read_market(text(replaced(MARKET, ("clients", 0, "min_share"), 3)))
