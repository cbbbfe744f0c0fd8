import json
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proofs.document import (
    Malformed,
    NotJson,
    Reasons,
    close,
    exact,
    integer,
    items,
    number,
    parse,
    show,
    text,
)


@settings(deadline=None)
@given(st.floats(1e-100, 1e100) | st.just(0.0))
def test_a_number_means_its_double_exactly(value: float) -> None:
    read = parse(json.dumps({"x": value}).encode())
    assert number(read, "x", "") == Fraction(value)


@settings(deadline=None)
@given(st.integers(0, 10**60))
def test_a_long_integer_means_its_nearest_double(value: int) -> None:
    assert exact(parse(str(value).encode()), "x") == Fraction(float(value))


@settings(deadline=None)
@given(st.fractions(0, 10**9, max_denominator=10**40))
def test_a_string_means_its_ratio(value: Fraction) -> None:
    assert exact(f"{value.numerator}/{value.denominator}", "x") == value


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (b"", "Expecting value"),
        (b"{", "Expecting property name"),
        (b"[NaN]", "NaN is not a JSON number"),
        (b"[-Infinity]", "-Infinity is not a JSON number"),
        (b'{"a": 1, "b": 2, "a": 1}', "key 'a' appears twice"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a":' * 100_000, "nested too deeply"),
        (b"\xff\xfe{}", "not UTF-8"),
        (b"{} {}", "Extra data"),
    ],
)
def test_what_is_not_strict_json(source: bytes, reason: str) -> None:
    with pytest.raises(NotJson, match=reason):
        parse(source)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (True, "is true, not a number"),
        (None, "is null, not a number"),
        ([1], "is a list of 1, not a number"),
        ({}, "is an object of 0, not a number"),
        (float("inf"), "between 1e-100 and 1e100"),
        (1e101, "between 1e-100 and 1e100"),
        (1e-101, "between 1e-100 and 1e100"),
        ("1" + "0" * 101, "between 1e-100 and 1e100"),
        ("1/0", "division by zero"),
        ("1/000", "division by zero"),
        ("1e5", "not a number or a string"),
        ("1.5", "not a number or a string"),
        (" 1", "not a number or a string"),
        ("1/-2", "not a number or a string"),
        ("²", "not a number or a string"),
        ("1" * 201, "not a number or a string"),
        ("-1/2", "below 0"),
        (-0.5, "below 0"),
    ],
)
def test_what_is_not_a_number(value: Any, reason: str) -> None:
    with pytest.raises(Malformed, match=f"^here .*{reason}"):
        exact(value, "here")


def test_huge_exponents_and_digits_are_refused_before_any_arithmetic() -> None:
    for source in (b"1e400", b"9" * 100_000, b"1e999999999"):
        with pytest.raises(Malformed, match="between 1e-100 and 1e100"):
            exact(parse(source), "x")


def test_places_are_named() -> None:
    with pytest.raises(Malformed, match=r"^tariff\.capacity is missing$"):
        number({}, "capacity", "tariff")
    with pytest.raises(Malformed, match=r"^price is missing$"):
        number({}, "price", "")
    with pytest.raises(Malformed, match=r"^tariff is 3, not an object$"):
        number(3, "capacity", "tariff")
    with pytest.raises(Malformed, match=r"^a\.k is 1.5, not one of 0..3$"):
        integer({"k": 1.5}, "k", "a", least=0, most=3)
    with pytest.raises(Malformed, match=r"^a\.k is 4.0, not one of 0..3$"):
        integer({"k": 4}, "k", "a", least=0, most=3)
    with pytest.raises(Malformed, match=r"^concept is 'x', not one of nash, competitive$"):
        text({"concept": "x"}, "concept", "", ("nash", "competitive"))
    with pytest.raises(Malformed, match=r"^name is 3, not a string$"):
        text({"name": 3}, "name", "")
    with pytest.raises(Malformed, match=r"^clients is a list of 0, not a list with entries$"):
        items({"clients": []}, "clients", "")
    with pytest.raises(Malformed, match=r"^w is 0.0, not above 0$"):
        number({"w": 0}, "w", "", positive=True)


def test_only_the_first_reasons_are_kept_but_all_are_counted() -> None:
    reasons = Reasons(limit=2)
    for n in range(5):
        reasons.add(str(n))
    assert (reasons.shown, reasons.count) == (["0", "1"], 5)


@settings(deadline=None)
@given(
    st.fractions(-1, 1, max_denominator=10**6),
    st.fractions(-1, 1, max_denominator=10**6),
    st.fractions(0, 1, max_denominator=1000),
)
def test_close_is_its_definition(a: Fraction, b: Fraction, relative: Fraction) -> None:
    assert close(a, b, relative) == (abs(a - b) <= relative * abs(b))


@settings(deadline=None)
@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists))
def test_whatever_is_shown_is_short_ascii(value: Any) -> None:
    assert show(value).isascii()
    assert len(show(value)) <= 60


def test_show_survives_numbers_beyond_doubles() -> None:
    assert show(Fraction(10**400)) == "more than 1e308 in size"
