"""Arrow and Parquet: what goes out comes back, whatever holds it; one line for what cannot."""

from __future__ import annotations

import math
import os
import tempfile
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dds.errors import InvalidInput
from dds.market import arrow
from dds.market.arrow import allocations
from dds.market.document import Instance, report, solve
from dds.market.table import ClientTable
from dds.testing import markets

quick = settings(deadline=None, derandomize=True, max_examples=60)

COLUMNS = ("value", "low", "high", "local_base", "local_piece", "rate")
SCHEMA = [
    ("name", pa.string()),
    ("value_of_time", pa.float64()),
    ("min_share", pa.float64()),
    ("max_share", pa.float64()),
    ("rate", pa.float64()),
    ("base_latency_s", pa.list_(pa.float64())),
    ("server_work_s", pa.list_(pa.float64())),
]


@st.composite
def tables(draw: st.DrawFn) -> ClientTable:
    """A table in which any piece may be missing, but nobody lacks all of them."""
    depth, count = draw(st.integers(1, 4)), draw(st.integers(0, 6))
    base, work = np.full((depth, count), math.inf), np.ones((depth, count))
    for i in range(count):
        has = draw(st.sets(st.integers(0, depth - 1), min_size=1))
        for k in has:
            base[k, i], work[k, i] = draw(st.floats(0.0, 9.0)), draw(st.floats(1e-3, 9.0))
        if draw(st.booleans()):
            work[draw(st.sampled_from(sorted(has))), i] = 0.0
    numbers = st.lists(st.floats(0.5, 9.0), min_size=count, max_size=count)
    texts = st.lists(st.text(max_size=3), min_size=count, max_size=count)
    return ClientTable.from_arrays(
        np.where(base < 1e-9, 0.0, base),
        work,
        draw(numbers),
        min_share=draw(st.sampled_from([0.0, 0.5])),
        max_share=[draw(st.sampled_from([2.0, math.inf])) for _ in range(count)],
        rate=draw(numbers),
        names=draw(st.none() | texts),
    )


def same(one: ClientTable, other: ClientTable) -> None:
    """Equal in every number and in names; rows of no piece at the end count for nothing."""
    assert one.names == other.names
    depth = min(one.depth, other.depth)
    for table in (one, other):
        assert np.isinf(table.base[depth:]).all()
        assert (table.work[depth:] == 1.0).all()
    np.testing.assert_array_equal(one.base[:depth], other.base[:depth])
    np.testing.assert_array_equal(one.work[:depth], other.work[:depth])
    for column in COLUMNS:
        np.testing.assert_array_equal(getattr(one, column), getattr(other, column), column)


# --- out and back -------------------------------------------------------------------------------


@quick
@given(tables())
def test_what_goes_out_comes_back(table: ClientTable) -> None:
    written = table.to_arrow()
    written.validate(full=True)
    assert written.schema == pa.schema(SCHEMA if table.names is not None else SCHEMA[1:])
    same(ClientTable.from_arrow(written), table)


@quick
@given(tables())
def test_a_row_says_what_its_client_is(table: ClientTable) -> None:
    rows = table.to_arrow().to_pylist()
    assert len(rows) == len(table)
    for i, row in enumerate(rows):
        client = table.client(i)
        listed = list(zip(row["base_latency_s"], row["server_work_s"], strict=True))
        assert [pair for pair in listed if pair != (None, None)] == [
            (piece.base_latency, piece.server_work) for piece in client.frontier.pieces
        ]
        assert listed[-1] != (None, None)
        numbers = [row[name] for name in ("value_of_time", "min_share", "max_share", "rate")]
        assert numbers == [
            client.value_of_time,
            client.min_share,
            client.max_share,
            client.rate,
        ]
        assert row.get("name", "") == (table.names[i] if table.names else "")


@settings(deadline=None, derandomize=True, max_examples=20)
@given(tables())
def test_a_file_holds_the_table(table: ClientTable) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clients.parquet"
        table.write_parquet(path)
        same(ClientTable.read_parquet(path), table)
        same(ClientTable.read_parquet(str(path)), table)
        assert os.listdir(folder) == ["clients.parquet"]


@pytest.fixture(scope="module")
def large() -> ClientTable:
    """More clients than are written at a time, of one to five pieces each."""
    count = 2 * arrow._ROWS + 5
    generator = np.random.default_rng(3)
    base, work = generator.uniform(0.1, 1.0, (2, 5, count))
    base[generator.random((5, count)) < 0.2] = math.inf
    base[1] = 0.5
    work[4, ::3] = 0.0
    return ClientTable.from_arrays(base, work, generator.uniform(1, 2, count))


def test_large_tables_go_out_in_parts(large: ClientTable, tmp_path: Path) -> None:
    written = large.to_arrow()
    assert written.column("value_of_time").num_chunks == 3
    same(ClientTable.from_arrow(written), large)
    pq.write_table(written, tmp_path / "groups.parquet", row_group_size=10_000)
    same(ClientTable.read_parquet(tmp_path / "groups.parquet"), large)


def test_a_wrong_row_far_down_is_named(large: ClientTable) -> None:
    rows = large.to_arrow().drop_columns(["server_work_s"])
    lists = large.to_arrow().column("server_work_s").to_pylist()
    far = 2 * arrow._ROWS + 3
    lists[far] = [None] * len(lists[far])
    with pytest.raises(InvalidInput, match=rf"clients\[{far}\]: server_work_s is null for a"):
        ClientTable.from_arrow(rows.append_column("server_work_s", pa.array(lists)))


def test_any_part_of_a_table_is_a_table(large: ClientTable) -> None:
    for start, stop in ((5, 17_000), (16_384, 16_385), (32_770, 32_773), (9, 9)):
        part = large.to_arrow().slice(start, stop - start)
        same(ClientTable.from_arrow(part), large.slice(slice(start, stop)))


# --- whatever holds it --------------------------------------------------------------------------

BASE, WORK = [[0.5, 1.0], [0.25, None, 2.0], [4.0]], [[0.5, 0.0], [1.5, None, 0.0], [0.75]]
COLUMN: dict[str, Any] = {
    "value_of_time": pa.array([1.0, 2.0, 4.0]),
    "min_share": pa.array([0.0, 0.5, 1.0]),
    "max_share": pa.array([2.0, 8.0, math.inf]),
    "rate": pa.array([1.0, 2.0, 0.5]),
    "base_latency_s": pa.array(BASE, pa.list_(pa.float64())),
    "server_work_s": pa.array(WORK, pa.list_(pa.float64())),
    "name": pa.array(["a", "b", "a c"]),
}
PADDED = [[0.5, 1.0, None], [0.25, None, 2.0], [4.0, None, None]]
PADDED_WORK = [[0.5, 0.0, None], [1.5, None, 0.0], [0.75, None, None]]
INF = [[a or math.inf for a in row] for row in PADDED]
ONES = [[1.0 if w is None else w for w in row] for row in PADDED_WORK]


def lists(kind: Any) -> dict[str, Any]:
    return {"base_latency_s": pa.array(BASE, kind), "server_work_s": pa.array(WORK, kind)}


FORMS: dict[str, dict[str, Any]] = {
    "single precision": {name: COLUMN[name].cast(pa.float32()) for name in ("max_share", "rate")},
    "integers": {"value_of_time": pa.array([1, 2, 4], pa.uint8())},
    "decimals": {"value_of_time": pa.array([Decimal("1.0"), Decimal("2.0"), Decimal("4.0")])},
    "dictionary of numbers": {"rate": COLUMN["rate"].dictionary_encode()},
    "dictionary of names": {"name": COLUMN["name"].dictionary_encode()},
    "dictionary of text views": {
        "name": pa.DictionaryArray.from_arrays(
            pa.array([2, 0, 1], pa.uint32()), pa.array(["b", "a c", "a"], pa.string_view())
        )
    },
    "decimals of many digits": {"rate": COLUMN["rate"].cast(pa.decimal256(40, 6))},
    "half precision": {"rate": COLUMN["rate"].cast(pa.float16())},
    "large text": {"name": COLUMN["name"].cast(pa.large_string())},
    "text views": {"name": COLUMN["name"].cast(pa.string_view())},
    "chunks": {
        name: pa.chunked_array([COLUMN[name][:1], COLUMN[name][1:]])
        for name in ("name", "rate", "base_latency_s")
    },
    "large lists": lists(pa.large_list(pa.float64())),
    "lists of single precision": lists(pa.list_(pa.float32())),
    "list views": lists(pa.list_view(pa.float64())),
    "lists with another name inside": lists(pa.list_(pa.field("element", pa.float64()))),
    "lists of one size": {
        "base_latency_s": pa.array(PADDED, pa.list_(pa.float64(), 3)),
        "server_work_s": pa.array(PADDED_WORK, pa.list_(pa.float64(), 3)),
    },
    "inf for no piece": {
        "base_latency_s": pa.array(INF),
        "server_work_s": pa.array(ONES),
    },
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_columns_of_any_width_say_the_same(form: dict[str, Any]) -> None:
    table, plain = pa.table(COLUMN | form), pa.table(COLUMN)
    same(ClientTable.from_arrow(table), ClientTable.from_arrow(plain))
    for first in (1, 2, 3):
        rest = plain.take(pa.array(range(first, 3), pa.int64()))
        same(ClientTable.from_arrow(table.slice(first)), ClientTable.from_arrow(rest))


class Exporter:
    """What a data frame of another library looks like from here."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        return self._table.__arrow_c_stream__(requested_schema)


def test_anything_that_exports_arrow_is_a_table() -> None:
    table = pa.table(COLUMN)
    for holder in (table.to_batches()[0], table.to_reader(max_chunksize=2), Exporter(table)):
        same(ClientTable.from_arrow(holder), ClientTable.from_arrow(table))


def test_what_is_left_out_has_a_default() -> None:
    needed = ["value_of_time", "base_latency_s", "server_work_s"]
    least = ClientTable.from_arrow(pa.table(COLUMN).select(needed))
    assert least.names is None
    for column, default in (("low", 0.0), ("high", math.inf), ("rate", 1.0)):
        assert getattr(least, column).tolist() == [default] * 3
    same(
        ClientTable.from_arrow(
            pa.table(
                COLUMN
                | dict.fromkeys(("min_share", "max_share", "rate"), pa.nulls(3))
                | {"name": pa.nulls(3, pa.string())}
            )
        ),
        replace(least, names=("", "", "")),
    )


# --- what cannot be placed ----------------------------------------------------------------------


def without(*names: str) -> Any:
    return pa.table(COLUMN).drop_columns(list(names))


NO_TABLE = (
    "is not an Arrow table of clients; need a pyarrow.Table, or a data frame that exports one"
)
OTHER_HALF = "is null for a piece whose other number is not; need null in both, or neither"
DICTIONARY = "dictionary<values=double, indices=int32, ordered=0>"
KNOWN = "name, value_of_time, min_share, max_share, rate, base_latency_s, server_work_s"
WRONG: list[tuple[Any, str]] = [
    (
        3,
        f"int {NO_TABLE}",
    ),
    (
        pa.array([1.0]),
        f"DoubleArray {NO_TABLE}",
    ),
    (without("value_of_time"), "column 'value_of_time': missing"),
    (without("server_work_s"), "column 'server_work_s': missing"),
    ({"max_shares": COLUMN["rate"]}, f"column 'max_shares': unknown, drop it; there are {KNOWN}"),
    (
        pa.Table.from_arrays([*COLUMN.values(), COLUMN["rate"]], [*COLUMN, "rate"]),
        "column 'rate': occurs twice, keep one",
    ),
    ({"rate": pa.array(["1", "2", "3"])}, "column 'rate': need numbers, not string"),
    ({"rate": pa.array([True] * 3)}, "column 'rate': need numbers, not bool"),
    ({"rate": COLUMN["base_latency_s"]}, "column 'rate': need numbers, not list<item: double>"),
    ({"name": pa.array([1, 2, 3])}, "column 'name': need text, not int64"),
    (
        {"name": pa.array([b"a", b"\xff", b"c"]).view(pa.string())},
        "clients[1]: name is not UTF-8 text",
    ),
    (
        {"name": pa.array([1, 2, 3]).dictionary_encode()},
        "column 'name': need text, not dictionary<values=int64, indices=int32, ordered=0>",
    ),
    (
        {"server_work_s": COLUMN["rate"]},
        "column 'server_work_s': need lists of numbers, not double",
    ),
    (
        {"server_work_s": pa.array([["a"], ["b"], []])},
        "column 'server_work_s': need lists of numbers, not list<item: string>",
    ),
    (
        {"server_work_s": COLUMN["rate"].dictionary_encode()},
        f"column 'server_work_s': need lists of numbers, not {DICTIONARY}",
    ),
    (
        {"server_work_s": pa.array([[(1, 2.0)]] * 3, pa.map_(pa.int8(), pa.float64()))},
        "column 'server_work_s': need lists of numbers, not map<int8, double>",
    ),
    (
        {"value_of_time": pa.array([1.0, 2.0, None])},
        "clients[2]: value_of_time is null; need a number",
    ),
    (
        {"base_latency_s": pa.array([[1.0, 2.0], None, [1.0]])},
        "clients[1]: base_latency_s is null; need a list",
    ),
    (
        {"base_latency_s": pa.array([[1.0, 2.0], [1.0, 2.0], [1.0]])},
        "clients[1]: base_latency_s lists 2 pieces and server_work_s 3; need as many",
    ),
    (
        {"server_work_s": pa.array([[1.0, 0.0], [1.0, None, None], [1.0]])},
        f"clients[1]: server_work_s {OTHER_HALF}",
    ),
    (
        {"base_latency_s": pa.array([[1.0, 1.0], [1.0, None, 1.0], [None]])},
        f"clients[2]: base_latency_s {OTHER_HALF}",
    ),
    (
        {"base_latency_s": pa.array([[], [], []], pa.list_(pa.float64()))}
        | {"server_work_s": pa.array([[], [], []], pa.list_(pa.float64()))},
        "clients[0] (a): piece is []; see dds.Client",
    ),
    (
        {"rate": pa.array([1.0, math.nan, 1.0])},
        "clients[1] (b): rate is nan; see dds.Client",
    ),
    (
        {"base_latency_s": pa.array([[1.0, 1.0], [1.0, None, 1.0], [math.nan]])},
        "clients[2] (a c): base_latency_s is [nan, inf, inf]; see dds.Client",
    ),
]


@pytest.mark.parametrize(("wrong", "message"), WRONG, ids=[m[:60] for _, m in WRONG])
def test_what_is_no_table_of_clients_is_one_line(wrong: Any, message: str) -> None:
    data = pa.table(COLUMN | wrong) if isinstance(wrong, dict) else wrong
    with pytest.raises(InvalidInput) as caught:
        ClientTable.from_arrow(data)
    assert str(caught.value) == message


def test_lists_outside_their_memory_are_refused() -> None:
    lists = pa.ListArray.from_arrays(pa.array([0, 3, 1], pa.int32()), pa.array([0.1] * 3))
    data = {"value_of_time": [1.0, 1.0], "base_latency_s": lists, "server_work_s": lists}
    with pytest.raises(InvalidInput, match=r"^column 'base_latency_s': not valid: .*$"):
        ClientTable.from_arrow(pa.table(data))


# --- shares -------------------------------------------------------------------------------------


@settings(deadline=None, derandomize=True, max_examples=30)
@given(markets())
def test_allocations_are_the_report_as_columns(market: Instance) -> None:
    found = solve(market)
    written = allocations(found)
    written.validate(full=True)
    assert written.to_pylist() == report(found)["clients"]
    nameless = replace(found, table=replace(found.table, names=None))
    assert allocations(nameless).equals(written.drop_columns(["name"]))
