r"""An online market as bytes: its clients and its last clearing.

    b"dds.online.Market 1\n"      what this is, and the version
    length of the header          4 bytes, little-endian
    header                        JSON, UTF-8
    arrays                        little-endian, in the order of ``_layout``
    SHA-256 of all that           32 bytes

Only rows that hold, or held at the last clearing, are written.  Nothing is believed when
it is read: every number is checked, and what is wrong is one InvalidInput.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np

from dds.errors import Infeasible, InvalidInput
from dds.market.numbers import read_quantum
from dds.market.table import ClientTable
from dds.market.tariff_json import tariff_from_json
from dds.online.answers import Cleared
from dds.online.index import NOTHING
from dds.online.rows import OPEN, Rows
from dds.online.solved import Rule
from dds.online.state import Record, State

__all__ = ["dump", "load"]

MAGIC = b"dds.online.Market 1\n"
_DIGEST = 32
#: No share and no price's square root is smaller, or larger than its inverse, but 0.
TINY = 1e-200
_KEYS = {
    *("concept", "tariff", "quantum", "revision", "next_id", "pieces", "rows", "others"),
    "cleared",
}
_CLEARED = ("revision", "price", "total", "clients", "tied", "served")
_TABLE = ("value", "low", "high", "rate")


def _layout(pieces: int, rows: int, others: int) -> dict[str, tuple[tuple[int, ...], str]]:
    """Shape and type of every array, in order."""
    return {
        "base": ((pieces, rows), "<f8"),
        "work": ((pieces, rows), "<f8"),
        **dict.fromkeys(_TABLE, ((rows,), "<f8")),
        **dict.fromkeys(("ids", "since", "until"), ((rows,), "<i8")),
        "s": ((1,), "<f8"),
        "other_rows": ((others,), "<i8"),
        "other_shares": ((others,), "<f8"),
    }


def dump(state: State) -> bytes:
    """The bytes of a state."""
    kept, last, rule = state.kept, state.last, state.rule
    if last is not None:
        held = state.rows.holding(last.cleared.revision, state.count)
        last = last.whole(state.rows, held)
    rows = state.rows.without_rest(kept)
    # A writer closes rows before it publishes: until then they hold.
    rows.until[rows.until > state.revision] = OPEN
    places = np.cumsum(kept) - 1
    base, work = rows.base.copy(), rows.work.copy()
    local = np.flatnonzero(rows.local_piece >= 0)
    base[rows.local_piece[local], local] = rows.local_base[local]
    work[rows.local_piece[local], local] = 0.0
    nobody = np.zeros(0, np.int64)
    others = 0 if last is None else len(last.rows)
    header = {
        "concept": rule.concept,
        "tariff": rule.tariff.to_json(),
        "quantum": None if rule.quantum is None else list(rule.quantum.as_integer_ratio()),
        "revision": state.revision,
        "next_id": state.next_id,
        "pieces": len(base),
        "rows": rows.count,
        "others": others,
        "cleared": None
        if last is None
        else {name: getattr(last.cleared, name) for name in _CLEARED},
    }
    arrays = {
        "base": base,
        "work": work,
        **{name: getattr(rows, name) for name in (*_TABLE, "ids", "since", "until")},
        "s": np.array([0.0 if last is None else last.s]),
        "other_rows": nobody if last is None else places[last.rows],
        "other_shares": np.zeros(0) if last is None else last.shares,
    }
    text = json.dumps(header, allow_nan=False).encode()
    parts = [MAGIC, len(text).to_bytes(4, "little"), text]
    for name, (_, kind) in _layout(len(base), rows.count, others).items():
        parts.append(np.ascontiguousarray(arrays[name]).astype(kind, copy=False).tobytes())
    body = b"".join(parts)
    return body + hashlib.sha256(body).digest()


def load(data: bytes) -> State:
    """The state that :func:`dump` wrote, its index still to be made.

    Raises InvalidInput for anything else.
    """
    try:
        return _load(bytes(data))
    except (InvalidInput, Infeasible) as error:
        raise InvalidInput(f"snapshot: {error}") from None
    except (ValueError, TypeError, RecursionError, OverflowError, MemoryError) as error:
        raise InvalidInput(f"snapshot: not readable ({type(error).__name__})") from None


def _load(data: bytes) -> State:
    start = len(MAGIC) + 4
    _need(data[: len(MAGIC)] == MAGIC, "not a market of version 1; use bytes from to_bytes")
    _need(len(data) >= start + _DIGEST, "the bytes end too early")
    body = memoryview(data)[:-_DIGEST]
    _need(hashlib.sha256(body).digest() == data[-_DIGEST:], "damaged: the checksum differs")
    size = int.from_bytes(data[len(MAGIC) : start], "little")
    header = json.loads(bytes(body[start : start + size]).decode())
    _need(isinstance(header, dict) and set(header) == _KEYS, "the header has other keys")
    counts = [_count(header, name) for name in ("pieces", "rows", "others")]
    arrays, offset = {}, start + size
    for name, (shape, kind) in _layout(*counts).items():
        length = 8 * math.prod(shape)
        _need(offset + length <= len(body), f"{name} ends too early")
        array = np.frombuffer(body[offset : offset + length], kind).reshape(shape)
        arrays[name] = array.astype(kind[1:])
        offset += length
    _need(offset == len(body), "there are bytes after the last array")
    rule = _rule(header)
    revision, next_id = _count(header, "revision"), _count(header, "next_id")
    rows = _rows(arrays, revision, next_id)
    record = _record(header["cleared"], arrays, rows, revision, rule)
    return State(
        rule,
        revision,
        next_id,
        rows,
        rows.count,
        rows.births,
        int((rows.until == OPEN).sum()),
        NOTHING,
        [] if record is None else [record],
        0 if record is None else 1,
        0 if record is None else record.cleared.revision,
    )


def _rule(header: Mapping[str, Any]) -> Rule:
    concept, quantum = header["concept"], header["quantum"]
    _need(concept in ("competitive", "nash"), "concept is neither competitive nor nash")
    if quantum is not None:
        _need(
            isinstance(quantum, list)
            and len(quantum) == 2
            and all(type(n) is int and n > 0 for n in quantum),
            "quantum is no pair of integers > 0",
        )
        quantum = read_quantum(Fraction(*quantum))
    return Rule(concept, tariff_from_json(header["tariff"]), quantum)


def _rows(arrays: Mapping[str, Any], revision: int, next_id: int) -> Rows:
    """The rows, their clients checked as a table and their times as a history."""
    table = ClientTable.from_arrays(
        arrays["base"],
        arrays["work"],
        arrays["value"],
        min_share=arrays["low"],
        max_share=arrays["high"],
        rate=arrays["rate"],
    )
    ids, since, until = arrays["ids"], arrays["since"], arrays["until"]
    _need(bool(np.all((ids >= 0) & (ids < next_id))), "ids: one was never given")
    _need(
        bool(np.all((since >= 1) & (since < until) & (since <= revision))),
        "since, until: a row holds at no revision",
    )
    _need(bool(np.all((until <= revision) | (until == OPEN))), "until: after the revision")
    order = np.lexsort((since, ids))
    again = ids[order][1:] == ids[order][:-1]
    _need(
        bool(np.all(until[order][:-1][again] <= since[order][1:][again])),
        "ids: two rows of a client hold at once",
    )
    columns = {name: getattr(table, name) for name in (*_TABLE, "local_base", "local_piece")}
    return Rows.of(table.base, table.work, {**columns, "ids": ids, "since": since, "until": until})


def _record(
    data: Any, arrays: Mapping[str, Any], rows: Rows, revision: int, rule: Rule
) -> Record | None:
    others, shares, s = arrays["other_rows"], arrays["other_shares"], float(arrays["s"][0])
    if data is None:
        _need(not len(others), "there are shares without a clearing")
        return None
    _need(isinstance(data, dict) and set(data) == set(_CLEARED), "cleared has other keys")
    whole = {name: _count(data, name) for name in ("revision", "clients", "tied", "served")}
    price, total = data["price"], data["total"]
    for number in (price, total, s):
        _need(
            type(number) is float and 0.0 <= number < math.inf, "cleared: a number is out of range"
        )
    _need(whole["revision"] <= revision, "cleared: after the revision")
    held = rows.holding(whole["revision"], rows.count)
    _need(len(held) == whole["clients"], "cleared: the rows are not those of its clients")
    tied = whole["tied"] if rule.indexed else whole["clients"]
    _need(len(others) == tied <= whole["clients"], "cleared: not all shares are there")
    _need(whole["served"] <= whole["tied"] <= whole["clients"], "cleared: more served than tied")
    _need(bool(np.all(np.diff(others) > 0)), "cleared: rows are not ascending")
    _need(bool(np.isin(others, held).all()), "cleared: a row did not hold")
    record = Record(Cleared(price=price, total=total, **whole), s, others, shares, len(others))
    sane = (shares == 0.0) | ((shares >= TINY) & (shares <= 1.0 / TINY))
    _need(bool(sane.all()) and (s == 0.0 or TINY <= s <= 1.0 / TINY), "cleared: a share is absurd")
    sold = float(record.shares_of(rows, held).sum())
    _need(abs(sold - total) <= 1e-6 * total, "cleared: total is not the sum of the shares")
    return record


def _count(data: Mapping[str, Any], name: str) -> int:
    value = data[name]
    _need(type(value) is int and 0 <= value < OPEN, f"{name} is no count")
    return int(value)


def _need(holds: bool, text: str) -> None:
    if not holds:
        raise InvalidInput(text)
