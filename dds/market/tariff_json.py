"""Tariffs from plain JSON values: the inverse of :meth:`Tariff.to_json`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any

from dds.errors import InvalidInput
from dds.market.tariff import Barrier, Clearing, Flat, Linear, PiecewiseLinear, Power
from dds.market.tariff_base import Tariff

__all__ = ["TARIFFS", "tariff_from_json"]

#: Every kind of tariff by its name in files.
TARIFFS: dict[str, type[Tariff]] = {
    tariff.kind: tariff for tariff in (Clearing, Flat, Linear, Power, Barrier, PiecewiseLinear)
}


def tariff_from_json(data: Any) -> Tariff:
    """The tariff of ``{"kind": ..., parameters...}``; capacity null or absent means no limit.

    Raises InvalidInput naming the key that is missing, unknown or out of range, and
    Infeasible where the tariff is one that no theorem covers.
    """
    if not isinstance(data, Mapping):
        raise InvalidInput('tariff: need an object such as {"kind": "clearing", "capacity": 2.0}')
    kind = data.get("kind")
    tariff = TARIFFS.get(kind) if isinstance(kind, str) else None
    if tariff is None:
        raise InvalidInput(f"tariff.kind: need one of {', '.join(TARIFFS)}")
    known = {field.name: field for field in fields(tariff)}  # type: ignore[arg-type]
    for key in data:
        if key != "kind" and key not in known:
            raise InvalidInput(f"tariff.{key}: unknown key; a {kind} tariff has {', '.join(known)}")
    values: dict[str, Any] = {}
    for name, field in known.items():
        optional = field.default is not MISSING
        value = data.get(name)
        if value is None and not optional:
            raise InvalidInput(f"tariff.{name}: missing; a {kind} tariff needs it")
        values[name] = math.inf if value is None else _plain(name, value)
    return tariff(**values)


def _plain(name: str, value: Any) -> Any:
    """A JSON value as a constructor takes it; lists where the tariff has a table."""
    if name in ("loads", "prices"):
        if not isinstance(value, (list, tuple)) or not value:
            raise InvalidInput(f"tariff.{name}: need a list of numbers")
        return tuple(value)
    if isinstance(value, (str, list, dict, bool)):
        raise InvalidInput(f"tariff.{name}: need a number")
    if value == math.inf:
        raise InvalidInput(f"tariff.{name}: need a finite number")
    return value
