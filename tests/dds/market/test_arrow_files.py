"""Parquet files, whole or not there, and pyarrow, there or not: one line for what is missing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dds.errors import InvalidInput
from dds.market.table import ClientTable

TABLE = pa.table(
    {
        "value_of_time": [1.0, 2.0],
        "base_latency_s": [[0.5, 1.0], [0.25, None]],
        "server_work_s": [[0.5, 0.0], [1.5, None]],
        "name": ["a", "b"],
    }
)


def refused(path: Path) -> str:
    with pytest.raises(InvalidInput) as caught:
        ClientTable.read_parquet(path)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "none.parquet"
    assert refused(path) == f"{str(path)!r}: cannot be read: No such file or directory"
    assert refused(tmp_path) == f"{str(tmp_path)!r}: cannot be read: Is a directory"


def test_a_file_that_is_not_parquet(tmp_path: Path) -> None:
    path = tmp_path / "clients.parquet"
    for content in (b"", b"name,rate\n", b"PAR1 and no more of it PAR1"):
        path.write_bytes(content)
        assert refused(path).startswith(f"{str(path)!r}: cannot be read: ")


def test_a_file_cut_off_anywhere(tmp_path: Path) -> None:
    path = tmp_path / "clients.parquet"
    ClientTable.from_arrow(TABLE).write_parquet(path)
    whole = path.read_bytes()
    for end in range(0, len(whole) - 1, 97):
        path.write_bytes(whole[:end])
        refused(path)


def test_what_is_wrong_in_a_file_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "clients.parquet"
    pq.write_table(TABLE.drop_columns(["value_of_time"]), path)
    assert refused(path) == f"{str(path)!r}: column 'value_of_time': missing"


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    table = ClientTable.from_arrow(TABLE)
    (tmp_path / "folder").mkdir()
    for path, reason in (
        (tmp_path / "none" / "clients.parquet", "No such file or directory"),
        (tmp_path / "folder", "Is a directory"),
    ):
        with pytest.raises(InvalidInput) as caught:
            table.write_parquet(path)
        assert str(caught.value) == f"{str(path)!r}: cannot be written: {reason}"
    assert os.listdir(tmp_path) == ["folder"]


def test_a_file_is_replaced_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "clients.parquet"
    table = ClientTable.from_arrow(TABLE)
    table.write_parquet(path)
    before = path.read_bytes()

    def full(_: Any, where: Path) -> None:
        where.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(pq, "write_table", full)
        with pytest.raises(InvalidInput, match="cannot be written: No space left on device"):
            table.write_parquet(path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["clients.parquet"]
    table.take(np.array([0])).write_parquet(path)
    assert len(ClientTable.read_parquet(path)) == 1


def test_without_pyarrow_each_call_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    table = ClientTable.from_arrow(TABLE)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    for call in (
        table.to_arrow,
        lambda: ClientTable.from_arrow(3),
        lambda: table.write_parquet(tmp_path / "clients.parquet"),
        lambda: ClientTable.read_parquet(tmp_path / "clients.parquet"),
    ):
        with pytest.raises(InvalidInput) as caught:
            call()
        message = "Arrow and Parquet need pyarrow; install it: pip install 'dds[arrow]'"
        assert str(caught.value) == message


def test_pyarrow_loads_when_it_is_used() -> None:
    code = "import sys, dds.market.arrow; print('pyarrow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
