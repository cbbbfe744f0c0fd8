"""Columns side by side."""

from hypothesis import given
from hypothesis import strategies as st

from dds.cli.tables import aligned, short_kind

words = st.text("abc.%", min_size=1, max_size=9)
tables = st.integers(1, 5).flatmap(
    lambda columns: st.lists(st.lists(words, min_size=columns, max_size=columns), min_size=1)
)


@given(tables, st.sets(st.integers(0, 4)))
def test_every_column_begins_or_ends_at_one_place(rows: list[list[str]], left: set[int]) -> None:
    lines = aligned(rows, left)
    assert [line.split() for line in lines] == rows
    assert all(line == line.rstrip() for line in lines)
    start = 0
    for k, column in enumerate(zip(*rows, strict=True)):
        end = start + max(map(len, column))
        for line, cell in zip(lines, column, strict=True):
            assert line[start:end].rstrip() == cell if k in left else line[:end].endswith(cell)
        start = end + 2


def test_long_kinds_are_cut_in_the_middle() -> None:
    assert short_kind("Conv") == "Conv"
    assert short_kind("Conv+BatchNormalization+Relu") == "Conv + BatchNorm + Relu"
    assert short_kind("+".join("ABCDEFG")) == "A + B + 4 more + G"


def test_a_name_cannot_write_over_the_table() -> None:
    assert aligned([["a\nb", "1"], ["\x1b[2Jé", "2"]]) == ["a\\nb      1", "\\x1b[2Jé  2"]
