"""Clients in and shares out as Arrow tables and Parquet files (extra ``arrow``).

A table of clients has one row per client and these columns (``docs/tables.md``); those with
a default may be missing, and a null in one means its default:

=================  ==============  ========  ===========================================
column             type            default   meaning
=================  ==============  ========  ===========================================
name               string          none      for people and tables
value_of_time      double          --        w, credits/s per s
min_share          double          0         cores, of an offloading client
max_share          double          inf       cores, of an offloading client
rate               double          1         lambda, inferences/s
base_latency_s     list<double>    --        A of each piece, s
server_work_s      list<double>    --        W of each piece, core s; 0: local-only
=================  ==============  ========  ===========================================

Pieces keep their index: a null in both lists holds the place of one that the client lacks.
Reading takes whatever means the same: any width of number, any kind of list or text,
dictionaries, chunks.  What it cannot place it refuses, in one line.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dds.errors import InvalidInput
from dds.market.numbers import Floats, Ints
from dds.market.table import ClientTable

if TYPE_CHECKING:
    from dds.market.equilibrium import Equilibrium

__all__ = ["allocations", "from_arrow", "read_parquet", "to_arrow", "write_parquet"]

#: Clients converted at a time: their matrices fit into the cache while they are transposed.
_ROWS = 1 << 14
_PIECES = ("base_latency_s", "server_work_s")
#: Columns of one number per client; those that may be missing have a default.
_NUMBERS = {"value_of_time": None, "min_share": 0.0, "max_share": math.inf, "rate": 1.0}
_COLUMNS = ("name", *_NUMBERS, *_PIECES)


def to_arrow(clients: ClientTable) -> Any:
    """The clients as a ``pyarrow.Table``, without a name column if they have no names."""
    pa = _pyarrow()
    doubles = pa.list_(pa.float64())
    schema = pa.schema(
        ([("name", pa.string())] if clients.names is not None else [])
        + [(name, pa.float64()) for name in _NUMBERS]
        + [(name, doubles) for name in _PIECES]
    )
    batches = []
    for start in range(0, len(clients), _ROWS):
        rows = slice(start, start + _ROWS)
        part = clients.slice(rows)
        names = [] if clients.names is None else [pa.array(clients.names[rows], pa.string())]
        numbers = [pa.array(column) for column in (part.value, part.low, part.high, part.rate)]
        batches.append(pa.record_batch([*names, *numbers, *_piece_lists(pa, part)], schema=schema))
    return pa.Table.from_batches(batches, schema)


def from_arrow(data: Any) -> ClientTable:
    """The clients of a ``pyarrow.Table``, or of anything that exports the Arrow C stream.

    Data frames of pandas, polars and DuckDB do, record batches and their readers too.

    Raises InvalidInput naming the column, or the client and the number, that is wrong.
    """
    pa = _pyarrow()
    try:
        table = pa.table(data)
    except (TypeError, ValueError, pa.ArrowException):
        raise InvalidInput(
            f"{type(data).__name__} is not an Arrow table of clients; "
            "need a pyarrow.Table, or a data frame that exports one"
        ) from None
    _check_columns(table.column_names)
    _check_memory(pa, table)
    base, work = _pieces(pa, table)
    return ClientTable.from_arrays(
        base,
        work,
        names=_names(pa, table),
        copy=False,
        **{name: _numbers(pa, table, name, default) for name, default in _NUMBERS.items()},
    )


def write_parquet(clients: ClientTable, path: str | os.PathLike[str]) -> None:
    """Write a Parquet file of the clients; it appears, or is replaced, when it is whole.

    Raises InvalidInput if it cannot be written.
    """
    table = to_arrow(clients)
    import pyarrow.parquet as pq

    place = Path(path)
    try:
        with tempfile.TemporaryDirectory(dir=place.parent, prefix=f".{place.name}.") as folder:
            whole = Path(folder) / place.name
            pq.write_table(table, whole)
            whole.replace(place)
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{str(place)!r}: cannot be written: {_reason(error)}") from None


def read_parquet(path: str | os.PathLike[str]) -> ClientTable:
    """The clients of a Parquet file.

    Raises InvalidInput naming the file and what is wrong with it.
    """
    pa = _pyarrow()
    import pyarrow.parquet as pq

    try:
        with Path(path).open("rb") as file:
            table = pq.ParquetFile(file).read()
    except (OSError, ValueError, pa.ArrowException) as error:
        raise InvalidInput(f"{os.fspath(path)!r}: cannot be read: {_reason(error)}") from None
    try:
        return from_arrow(table)
    except InvalidInput as error:
        raise InvalidInput(f"{os.fspath(path)!r}: {error}") from None


def allocations(equilibrium: Equilibrium) -> Any:
    """Who got what, as a ``pyarrow.Table`` with one row per client, in their order.

    Columns, as in the report of ``dds solve``: name (if the clients have names), piece, share
    (cores), latency_s, payment and regret (credits/s).
    """
    pa = _pyarrow()
    named = equilibrium.table.names is not None
    return pa.table(
        ({"name": pa.array(equilibrium.clients, pa.string())} if named else {})
        | {
            "piece": pa.array(equilibrium.pieces, pa.int64()),
            "share": pa.array(equilibrium.shares),
            "latency_s": pa.array(equilibrium.latencies),
            "payment": pa.array(equilibrium.payments),
            "regret": pa.array(equilibrium.regret),
        }
    )


def _pyarrow() -> Any:
    try:
        import pyarrow
    except ModuleNotFoundError:
        raise InvalidInput(
            "Arrow and Parquet need pyarrow; install it: pip install 'dds[arrow]'"
        ) from None
    return pyarrow


def _piece_lists(pa: Any, part: ClientTable) -> tuple[Any, Any]:
    """Both columns of lists, local-only in its place and nothing after the last piece."""
    base, work = part.base.copy(), part.work.copy()
    local = np.flatnonzero(~part.must_offload)
    at = part.local_piece[local], local
    base[at], work[at] = part.local_base[local], 0.0
    present = base < math.inf
    sizes = part.depth - present[::-1].argmax(axis=0)
    kept = (np.arange(part.depth)[:, None] < sizes).T
    offsets = pa.array(np.concatenate(([0], np.cumsum(sizes))), pa.int32())
    lacks = ~present.T[kept]
    mask = lacks if lacks.any() else None
    first, second = (
        pa.ListArray.from_arrays(offsets, pa.array(matrix.T[kept], mask=mask))
        for matrix in (base, work)
    )
    return first, second


def _check_columns(found: Sequence[str]) -> None:
    for name in found:
        if name not in _COLUMNS:
            raise InvalidInput(
                f"column {name!r}: unknown, drop it; there are {', '.join(_COLUMNS)}"
            )
        if found.count(name) > 1:
            raise InvalidInput(f"column {name!r}: occurs twice, keep one")
    for name in _COLUMNS:
        if name not in found and name != "name" and _NUMBERS.get(name) is None:
            raise InvalidInput(f"column {name!r}: missing")


def _check_memory(pa: Any, table: Any) -> None:
    """Refuse lists and texts whose offsets point outside their column's memory."""
    for name in table.column_names:
        try:
            table.column(name).validate(full=True)
        except pa.ArrowException as error:
            if "UTF8" not in str(error):  # which client's name that is, is said where it is read
                raise InvalidInput(f"column {name!r}: not valid: {_reason(error)}") from None


def _numbers(pa: Any, table: Any, name: str, default: float | None) -> Floats:
    """One number per client."""
    if name not in table.column_names:
        return np.full(len(table), default)
    column = table.column(name)
    _need(name, column.type, "numbers", good=_is_number(pa, column.type))
    if column.null_count and default is None:
        raise InvalidInput(f"clients[{_first(column.is_null())}]: {name} is null; need a number")
    column = _cast(pa, column, pa.float64())
    values: Floats = (column.fill_null(default) if column.null_count else column).to_numpy()
    return values


def _names(pa: Any, table: Any) -> list[str] | None:
    """One name per client, empty for null; None for no names at all."""
    if "name" not in table.column_names:
        return None
    column = table.column("name")
    kind = _plain(pa, column.type)
    text = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    _need("name", column.type, "text", good=any(is_text(kind) for is_text in text))
    column = _cast(pa, column, pa.large_string()).fill_null("")
    try:
        names: list[str] = column.to_pylist()
    except UnicodeDecodeError:
        good = [_is_text(value) for value in column.cast(pa.large_binary()).to_pylist()]
        raise InvalidInput(f"clients[{good.index(False)}]: name is not UTF-8 text") from None
    return names


def _is_text(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def _pieces(pa: Any, table: Any) -> tuple[Floats, Floats]:
    """A and W of every piece, K x N, (inf, 1) where a client has none."""
    import pyarrow.compute as pc

    sizes, others = (_lengths(pa, table, name) for name in _PIECES)
    if not np.array_equal(sizes, others):
        i = int((sizes != others).argmax())
        raise InvalidInput(
            f"clients[{i}]: base_latency_s lists {sizes[i]} pieces and server_work_s {others[i]}; "
            "need as many"
        )
    shape = sizes.max(initial=0), len(sizes)
    base, work = np.full(shape, math.inf), np.ones(shape)
    start = 0
    for batch in table.select(_PIECES).to_batches(max_chunksize=_ROWS):
        rows = slice(start, start + len(batch))
        # Not a cast of the lists: that of pyarrow 26 gets the last list of a view wrong.
        values = [pc.list_flatten(lists).cast(pa.float64(), safe=False) for lists in batch.columns]
        if any(flat.null_count for flat in values):
            missing, also = (np.asarray(flat.is_null()) for flat in values)
            _check_nulls(missing, also, sizes[rows], start)
        for matrix, flat, filler in zip((base, work), values, (math.inf, 1.0), strict=True):
            _fill(matrix[:, rows], sizes[rows], flat.fill_null(filler).to_numpy())
        start = rows.stop
    return base, work


def _lengths(pa: Any, table: Any, name: str) -> Ints:
    """How many numbers each client lists in one column."""
    import pyarrow.compute as pc

    column = table.column(name)
    kinds = ("list", "large_list", "fixed_size_list", "list_view", "large_list_view")
    is_list = any(getattr(pa.types, f"is_{kind}")(column.type) for kind in kinds)
    good = is_list and _is_number(pa, column.type.value_type)
    _need(name, column.type, "lists of numbers", good=good)
    if column.null_count:
        raise InvalidInput(f"clients[{_first(column.is_null())}]: {name} is null; need a list")
    lengths: Ints = pc.list_value_length(column).to_numpy().astype(np.int64)
    return lengths


def _check_nulls(base: NDArray[np.bool_], work: NDArray[np.bool_], sizes: Ints, start: int) -> None:
    """Both numbers of a piece are null or neither is, from client ``start`` on."""
    if not np.array_equal(base, work):
        at = int((base != work).argmax())
        i = start + int(np.searchsorted(np.cumsum(sizes), at, side="right"))
        raise InvalidInput(
            f"clients[{i}]: {_PIECES[int(work[at])]} is null for a piece whose other number is "
            "not; need null in both, or neither"
        )


def _fill(matrix: Floats, sizes: Ints, flat: Floats) -> None:
    """Write lists, end to end, into the columns of a matrix."""
    starts = np.cumsum(sizes) - sizes
    for k, row in enumerate(matrix):
        rows = np.flatnonzero(sizes > k)
        row[rows] = flat[starts[rows] + k]


def _need(name: str, kind: Any, what: str, *, good: bool) -> None:
    if not good:
        raise InvalidInput(f"column {name!r}: need {what}, not {kind}")


def _cast(pa: Any, column: Any, kind: Any) -> Any:
    """A column as another type, and no longer a dictionary."""
    if not pa.types.is_dictionary(column.type):
        return column.cast(kind, safe=False)
    # Not a cast of the column: there is none for every type of text in a dictionary.
    return pa.chunked_array(
        [chunk.dictionary.cast(kind, safe=False).take(chunk.indices) for chunk in column.chunks],
        kind,
    )


def _plain(pa: Any, kind: Any) -> Any:
    """The type of what a dictionary holds."""
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _is_number(pa: Any, kind: Any) -> bool:
    kind = _plain(pa, kind)
    types = (pa.types.is_floating, pa.types.is_integer, pa.types.is_decimal, pa.types.is_null)
    return any(is_type(kind) for is_type in types)


def _first(flags: Any) -> int:
    return int(np.asarray(flags).argmax())


def _reason(error: Exception) -> str:
    """In one line, without a name of the file that the message already has."""
    return getattr(error, "strerror", None) or str(error).partition("\n")[0]
