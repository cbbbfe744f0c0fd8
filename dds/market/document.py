"""The document that ``dds solve`` reads and the one it prints (docs/solve.md).

Reading is strict: what could mean two things, or is no number a market can have, is
refused with one line that names its place, such as ``clients[3].pieces[1][0]``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from dds.cut.pieces import Frontier
from dds.errors import InvalidInput
from dds.market.client import Client
from dds.market.equilibrium import Equilibrium, competitive, nash
from dds.market.numbers import LARGEST, SMALLEST, read_quantum
from dds.market.tariff_base import Tariff
from dds.market.tariff_json import tariff_from_json

__all__ = ["Instance", "read_market", "report", "solve"]

_MARKET = {"concept": True, "tariff": True, "clients": True, "quantum": False}
_CLIENT = {
    "name": True, "value_of_time": True, "pieces": True, "min_share": False, "max_share": False,
}  # fmt: skip


@dataclass(frozen=True)
class Instance:
    """A market as plain numbers: who plays, at which tariff, for which equilibrium."""

    concept: str
    tariff: Tariff
    quantum: Fraction | None
    clients: tuple[Client, ...]


def read_market(data: bytes) -> Instance:
    """The market of a JSON document.

    Raises InvalidInput, one line naming the place, for anything that is not one, and
    Infeasible for a tariff that no theorem covers.
    """
    document = _parse(data)
    _check_keys(document, _MARKET, "")
    concept = document["concept"]
    if concept not in ("nash", "competitive"):
        raise InvalidInput(f'concept: need "nash" or "competitive", not {_show(concept)}')
    tariff = tariff_from_json(document["tariff"])
    quantum = document.get("quantum")
    exact = None if quantum is None else read_quantum(_number(quantum, "quantum", positive=True))
    entries = document["clients"]
    if not isinstance(entries, list) or not entries:
        raise InvalidInput(f"clients: need a list of at least one client, not {_show(entries)}")
    seen: dict[str, int] = {}
    clients = []
    for i, entry in enumerate(entries):
        client = _client(entry, f"clients[{i}]")
        first = seen.setdefault(client.name, i)
        if first != i:
            raise InvalidInput(f"clients[{i}].name: {_show(client.name)} is clients[{first}]'s")
        clients.append(client)
    return Instance(concept, tariff, exact, tuple(clients))


def solve(market: Instance) -> Equilibrium:
    """The equilibrium of a market; raises as :func:`dds.nash` does."""
    find = nash if market.concept == "nash" else competitive
    return find(market.clients, market.tariff, quantum=market.quantum)


def report(equilibrium: Equilibrium) -> dict[str, Any]:
    """The equilibrium as the JSON document that ``dds solve --json`` prints."""
    columns = {
        "name": equilibrium.clients,
        "piece": equilibrium.pieces.tolist(),
        "share": equilibrium.shares.tolist(),
        "latency_s": equilibrium.latencies.tolist(),
        "payment": equilibrium.payments.tolist(),
        "regret": equilibrium.regret.tolist(),
    }
    return {
        "price": equilibrium.price,
        "total_demand": equilibrium.total,
        "clients": [
            dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)
        ],
        "max_regret": equilibrium.max_regret,
        "rounds": equilibrium.rounds,
    }


def _parse(data: bytes) -> Any:
    try:
        return json.loads(
            data.decode("utf-8-sig"),
            object_pairs_hook=_object,
            # int() is quadratic in the digits, and no market needs more than a double has.
            parse_int=lambda digits: int(digits) if len(digits) <= 18 else float(digits),
        )
    except UnicodeDecodeError as error:
        raise InvalidInput(f"not UTF-8 text: byte {error.start} is wrong") from None
    except json.JSONDecodeError as error:
        raise InvalidInput(
            f"not JSON: {error.msg} at line {error.lineno} column {error.colno}"
        ) from None
    except RecursionError:
        raise InvalidInput("not a market: the JSON is nested too deeply") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        whose = f" of client {_show(found['name'])}" if "name" in found else ""
        raise InvalidInput(f"key {_show(twice)}{whose} occurs twice in one object; keep one")
    return found


def _check_keys(holder: Any, known: Mapping[str, bool], place: str) -> None:
    """Every key is known, and those that must be there are."""
    if not isinstance(holder, dict):
        what = "an object with " + ", ".join(known)
        raise InvalidInput(f"{place or 'the document'}: need {what}, not {_show(holder)}")
    prefix = f"{place}." if place else ""
    for key in holder:
        if key not in known:
            raise InvalidInput(f"{prefix}{_plain(key)}: unknown key; there are {', '.join(known)}")
    for key, needed in known.items():
        if needed and key not in holder:
            raise InvalidInput(f"{prefix}{key}: missing")


def _client(entry: Any, place: str) -> Client:
    _check_keys(entry, _CLIENT, place)
    name = entry["name"]
    if not isinstance(name, str) or not name or not name.isprintable():
        raise InvalidInput(f"{place}.name: need printable text, not {_show(name)}")
    pieces = entry["pieces"]
    if not isinstance(pieces, list) or not pieces:
        raise InvalidInput(
            f"{place}.pieces: need a list of [base_latency_s, server_work_s], not {_show(pieces)}"
        )
    points = []
    for k, piece in enumerate(pieces):
        if not isinstance(piece, list) or len(piece) != 2:
            raise InvalidInput(
                f"{place}.pieces[{k}]: need [base_latency_s, server_work_s], not {_show(piece)}"
            )
        base, work = piece
        if type(base) is not float or not SMALLEST < base < LARGEST:
            base = _number(base, f"{place}.pieces[{k}][0]")
        if type(work) is not float or not SMALLEST < work < LARGEST:
            work = _number(work, f"{place}.pieces[{k}][1]")
        points.append((base, work))
    least, most = entry.get("min_share"), entry.get("max_share")
    value = _number(entry["value_of_time"], f"{place}.value_of_time", positive=True)
    low = 0.0 if least is None else _number(least, f"{place}.min_share")
    high = math.inf if most is None else _number(most, f"{place}.max_share", positive=True)
    try:
        return Client(Frontier.from_points(points), value, low, high, name)
    except InvalidInput as error:
        raise InvalidInput(f"{place}.{error}") from None


def _number(value: Any, place: str, *, positive: bool = False) -> float:
    """A finite float >= 0 (or > 0) of a sane magnitude."""
    number = float(value) if type(value) in (int, float) else math.nan
    if not 0.0 <= number <= LARGEST or 0.0 < number < SMALLEST or (positive and number == 0.0):
        least = "" if positive else "0 or "
        raise InvalidInput(
            f"{place}: need a number, {least}{SMALLEST:g} to {LARGEST:g}, not {_show(value)}"
        )
    return number


def _show(value: Any) -> str:
    """A short, printable form of any JSON value."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list" if value else "an empty list"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    shown = ascii(value)
    return shown if len(shown) <= 40 else f"{shown[:30]}..."


def _plain(key: str) -> str:
    """A key as it stands in a place, quoted if it is not a plain word."""
    return key if key.isidentifier() and key.isascii() and len(key) <= 40 else _show(key)
