"""Loops that are compiled: whoever waits for it is told."""

import importlib
import importlib.util
import linecache
import sys
from pathlib import Path

import pytest

from dds.compiled import numba_installed, told_of_compiling

LOOP = """
from dds.compiled import njit

@njit
def twice(x):
    return x + x
"""


@pytest.mark.parametrize(
    "numba",
    [
        False,
        pytest.param(
            True, marks=pytest.mark.skipif(not numba_installed(), reason="numba is not installed")
        ),
    ],
)
def test_compiling_is_told_once_per_machine(numba: bool, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("dds.compiled.numba_installed", lambda: numba)
    (tmp_path / "loop.py").write_text(LOOP)
    told: list[str] = []
    for process in ("the first", "the second"):
        spec = importlib.util.spec_from_file_location("loop", tmp_path / "loop.py")
        assert spec is not None
        assert spec.loader is not None
        loop = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, "loop", loop)
        spec.loader.exec_module(loop)
        with told_of_compiling(lambda: told.append(process)):  # noqa: B023 - called here only
            assert [loop.twice(x) for x in (1, 2)] == [2, 4]
    assert told == ["the first"] * numba


INNER = """
from dds.compiled import njit

@njit
def step():
    return {step}
"""
OUTER = """
import inner
from dds.compiled import njit_calling

@njit_calling(inner)
def twice():
    return 2 * inner.step()
"""


def test_a_kernel_is_compiled_anew_when_one_that_it_calls_changes(
    tmp_path: Path, monkeypatch
) -> None:
    (tmp_path / "outer.py").write_text(OUTER)
    monkeypatch.syspath_prepend(tmp_path)
    for step in (1, 30, 1):
        (tmp_path / "inner.py").write_text(INNER.format(step=step))
        for name in ("inner", "outer"):
            sys.modules.pop(name, None)
        importlib.invalidate_caches()
        linecache.clearcache()
        assert importlib.import_module("outer").twice() == 2 * step
    for name in ("inner", "outer"):
        monkeypatch.delitem(sys.modules, name)
