"""Units are parsed at the edge, once, and refused clearly."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dds.errors import InvalidInput
from dds.units import (
    format_bytes,
    format_seconds,
    parse_address,
    parse_bandwidth,
    parse_bytes,
    parse_number,
    parse_round_trip,
    parse_seconds,
)


@pytest.mark.parametrize(
    ("text", "bytes_per_second"),
    [
        ("5.85", 731250.0),
        ("5.85Mbit/s", 731250.0),
        ("5.85 Mbps", 731250.0),
        ("1Gbit/s", 125e6),
        ("100kbit/s", 12500.0),
        ("731kB/s", 731e3),
        ("2 MB/s", 2e6),
    ],
)
def test_bandwidth(text: str, bytes_per_second: float) -> None:
    assert parse_bandwidth(text) == pytest.approx(bytes_per_second, rel=1e-12)


@pytest.mark.parametrize(
    ("text", "seconds"), [("0.02", 0.02), ("20ms", 0.02), ("150us", 150e-6), ("1.5 s", 1.5)]
)
def test_seconds(text: str, seconds: float) -> None:
    assert parse_seconds(text) == pytest.approx(seconds, rel=1e-12)


def test_a_round_trip_of_ten_seconds_is_meant_when_it_says_so() -> None:
    assert parse_round_trip("9.9") == 9.9
    assert parse_round_trip("20 s") == 20.0
    assert parse_round_trip("20ms") == 0.02
    with pytest.raises(InvalidInput, match="'20': in s or in ms"):
        parse_round_trip("20")


@pytest.mark.parametrize(
    ("text", "count"), [("602112", 602112), ("25MB", 25e6), ("4MiB", 2**22), ("4Ki", 4096)]
)
def test_bytes(text: str, count: float) -> None:
    assert parse_bytes(text) == count


def test_numbers_take_suffixes() -> None:
    assert parse_number("2.5k") == 2500
    assert parse_number("1m") == 1e-3
    assert parse_number("4Mi") == 4 * 2**20


@pytest.mark.parametrize("parse", [parse_bandwidth, parse_seconds, parse_bytes, parse_number])
@pytest.mark.parametrize(
    "text", ["", "fast", "5.85 furlongs", "nan", "inf", "1e999", "--5", "1 2", "٣kg"]
)
def test_nonsense_is_refused_with_its_text(parse, text: str) -> None:
    with pytest.raises(InvalidInput, match=r"write for example|use "):
        parse(text)


@given(st.text(max_size=20))
def test_no_text_makes_another_error(text: str) -> None:
    for parse in (parse_bandwidth, parse_seconds, parse_bytes, parse_number):
        try:
            assert isinstance(parse(text), float)
        except InvalidInput:
            continue
    with contextlib.suppress(InvalidInput):
        host, port = parse_address(text)
        assert text.startswith(f"{host}:")
        assert 0 <= port < 2**16


@given(st.floats(min_value=1e-7, max_value=1e6))
def test_formatted_seconds_parse_back(seconds: float) -> None:
    assert parse_seconds(format_seconds(seconds)) == pytest.approx(seconds, rel=6e-3)


def test_formatting() -> None:
    assert format_seconds(0.0) == "0 s"
    assert format_seconds(float("inf")) == "-"
    assert format_seconds(1.234) == "1.23 s"
    assert format_seconds(0.0456) == "45.6 ms"
    assert format_bytes(602112) == "602 kB"
    assert format_bytes(12) == "12 B"


@given(st.from_regex(r"[a-z0-9.-]{1,40}|\[::1\]", fullmatch=True), st.integers(0, 65535))
def test_addresses_come_back(host: str, port: int) -> None:
    assert parse_address(f"{host}:{port}") == (host, port)


@pytest.mark.parametrize(
    "text",
    [
        *("", "host", ":1", "host:", "host:65536", "host:-1", "host:٣", "a b:1", "h\n:1", "h:1e3"),
        # gRPC would follow these.
        *("unix:/tmp/socket:1", "unix-abstract:name:1", "vsock:2:1", "dns:///host:1", "::1:1"),
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="need HOST:PORT"):
        parse_address(text)
