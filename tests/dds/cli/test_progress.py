"""What a bar on a terminal says."""

import io

import pytest

from dds.cli.progress import ProgressBar, bar_for_terminal, search_bar_for_terminal


def test_a_bar_says_how_much_is_done_and_leaves_nothing() -> None:
    stream = io.StringIO()
    bar = ProgressBar("cells", stream)
    bar.compiling()
    bar(1, 2)
    bar(2, 2)
    shown = stream.getvalue().split("\r\033[K")
    assert shown[1] == "cells: compiling machine code, once on this machine (half a minute)"
    assert shown[2].startswith("cells ")
    assert " 1/2" in shown[2]
    assert shown[-1] == ""


@pytest.mark.parametrize("bars", [bar_for_terminal, search_bar_for_terminal])
def test_bars_are_for_terminals(bars, monkeypatch, capsys) -> None:
    with bars("cells") as bar:
        assert bar is None
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with bars("cells") as bar:
        bar(1, 3)
    assert "cells" in capsys.readouterr().err
