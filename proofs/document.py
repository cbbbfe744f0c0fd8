"""Strict reading: JSON text to plain data, and its numbers to exact rationals.

A JSON number stands for the exact value of the nearest double, a string "a/b"
for that rational.  What could be read in two ways (a repeated key, NaN) or could
make exact arithmetic slow (huge exponents, endless digits) is refused here, so
that every later module works on numbers of at most a few hundred digits.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from fractions import Fraction
from typing import Any, NoReturn

__all__ = [
    "Malformed",
    "NotJson",
    "Reasons",
    "close",
    "entry",
    "exact",
    "integer",
    "items",
    "number",
    "numbers",
    "parse",
    "show",
    "text",
]

#: Largest file that is read: room for half a million clients.
MAX_BYTES = 1 << 28
#: Every number is 0 or has a magnitude in [SMALLEST, LARGEST].
LARGEST = Fraction(10**100)
SMALLEST = 1 / LARGEST
SIZE = "a number is 0 or between 1e-100 and 1e100 in size"

_RATIONAL = re.compile(r"-?[0-9]{1,200}(?:/[0-9]{1,200})?")


class NotJson(ValueError):
    """The text is not one unambiguous JSON value."""


class Malformed(ValueError):
    """A value is missing, of the wrong type or out of range; the text names its place."""


class Reasons:
    """Why a document is refused: the first ``limit`` reasons, and how many there were."""

    def __init__(self, limit: int = 50) -> None:
        self.limit = limit
        self.count = 0
        self.shown: list[str] = []

    def add(self, reason: str) -> None:
        """Record one reason."""
        self.count += 1
        if len(self.shown) < self.limit:
            self.shown.append(reason)


def parse(data: bytes) -> Any:
    """One JSON value from UTF-8 bytes; raises NotJson for NaN, repeated keys, deep nesting."""
    if len(data) > MAX_BYTES:
        raise NotJson(f"the file is larger than {MAX_BYTES} bytes")
    try:
        return json.loads(
            data.decode("utf-8-sig"),
            object_pairs_hook=_object,
            parse_constant=_constant,
            # int() is quadratic in the digits; beyond 2^53 a number means its nearest double.
            parse_int=lambda digits: int(digits) if len(digits) <= 15 else float(digits),
        )
    except UnicodeDecodeError as error:
        raise NotJson(f"not UTF-8 text: {error.reason} at byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise NotJson(f"{error.msg} at line {error.lineno} column {error.colno}") from None
    except RecursionError:
        raise NotJson("nested too deeply") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise NotJson(f"key {show(key)} appears twice in one object")
            seen.add(key)
    return found


def _constant(name: str) -> NoReturn:
    raise NotJson(f"{name} is not a JSON number; write null for no bound")


def entry(holder: Any, key: str, place: str) -> Any:
    """``holder[key]`` of a JSON object at ``place`` ("" for the document itself)."""
    if not isinstance(holder, dict):
        raise Malformed(f"{place or 'the document'} is {show(holder)}, not an object")
    if key not in holder:
        raise Malformed(f"{_join(place, key)} is missing")
    return holder[key]


def _join(place: str, key: str) -> str:
    return f"{place}.{key}" if place else key


def number(
    holder: Any,
    key: str,
    place: str,
    *,
    least: int | None = 0,
    positive: bool = False,
) -> Fraction:
    """The exact number ``holder[key]``, at least ``least`` (or above 0 if ``positive``)."""
    return exact(entry(holder, key, place), _join(place, key), least=least, positive=positive)


def exact(value: Any, place: str, *, least: int | None = 0, positive: bool = False) -> Fraction:
    """The exact number that a JSON value at ``place`` stands for, in range."""
    if type(value) is str:
        found = _rational(value, place)
        if found and not SMALLEST <= abs(found) <= LARGEST:
            raise Malformed(f"{place} is {show(found)}; {SIZE}")
    elif type(value) is float or type(value) is int:
        # Comparing the double is exact too, and much faster than comparing fractions.
        if value and not 1e-100 <= abs(value) <= 1e100:
            raise Malformed(f"{place} is {show(value)}; {SIZE}")
        found = Fraction(value)
    else:
        raise Malformed(f"{place} is {show(value)}, not a number")
    if positive and found <= 0:
        raise Malformed(f"{place} is {show(found)}, not above 0")
    if least is not None and found.numerator < least * found.denominator:
        raise Malformed(f"{place} is {show(found)}, below {least}")
    return found


def _rational(value: str, place: str) -> Fraction:
    if not _RATIONAL.fullmatch(value):
        raise Malformed(f"{place} is {show(value)}, not a number or a string 'a/b'")
    above, _, below = value.partition("/")
    if below and not int(below):
        raise Malformed(f"{place} is {show(value)}: division by zero")
    return Fraction(int(above), int(below or "1"))


def numbers(holder: Any, key: str, place: str) -> list[Fraction]:
    """The non-empty list ``holder[key]`` of exact numbers >= 0."""
    found = items(holder, key, place)
    return [exact(value, f"{_join(place, key)}[{m}]") for m, value in enumerate(found)]


def integer(holder: Any, key: str, place: str, *, least: int, most: int) -> int:
    """The whole number ``holder[key]`` in [least, most]."""
    found = number(holder, key, place, least=None)
    if found.denominator != 1 or not least <= found <= most:
        raise Malformed(f"{_join(place, key)} is {show(found)}, not one of {least}..{most}")
    return int(found)


def text(holder: Any, key: str, place: str, choices: Iterable[str] = ()) -> str:
    """The string ``holder[key]``, one of ``choices`` if any are given."""
    found = entry(holder, key, place)
    if not isinstance(found, str):
        raise Malformed(f"{_join(place, key)} is {show(found)}, not a string")
    choices = tuple(choices)
    if choices and found not in choices:
        raise Malformed(f"{_join(place, key)} is {show(found)}, not one of {', '.join(choices)}")
    return found


def items(holder: Any, key: str, place: str) -> list[Any]:
    """The non-empty list ``holder[key]``."""
    found = entry(holder, key, place)
    if not isinstance(found, list) or not found:
        raise Malformed(f"{_join(place, key)} is {show(found)}, not a list with entries")
    return found


def close(a: Fraction, b: Fraction, relative: Fraction) -> bool:
    """Whether ``|a - b| <= relative |b|``, in plain integers because every row asks."""
    gap = abs(a.numerator * b.denominator - b.numerator * a.denominator)
    return gap * relative.denominator <= relative.numerator * abs(b.numerator) * a.denominator


def show(value: Any) -> str:
    """A short, printable form of any value, safe on every terminal."""
    if isinstance(value, Fraction):
        try:
            return repr(float(value))
        except OverflowError:
            return "more than 1e308 in size"
    if isinstance(value, (dict, list)):
        return f"{'an object' if isinstance(value, dict) else 'a list'} of {len(value)}"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    shown = ascii(value)
    return shown if len(shown) <= 60 else f"{shown[:40]}...{shown[-1]}"
