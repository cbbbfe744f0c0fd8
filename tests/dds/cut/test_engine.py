import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from dds.cut import engine
from dds.cut.engine import prepare, use_compiled
from dds.errors import InvalidInput

TINY = """
import sys
from dds.cut import frontier
from dds.costs import Link
from dds.model.graph import ModelGraph, Operator, Tensor
assert "numba" not in sys.modules
graph = ModelGraph((Operator("f", "F", (0,), (1,)),),
                   (Tensor("a", (), "float32", 1), Tensor("b", (), "float32", 1)), (0,), (1,))
found = frontier(graph, [5.0], [1.0], Link(1.0, 1.0), engine={engine!r})
print(len(found.pieces), "numba" in sys.modules)
"""


def run(code, **environment):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**os.environ, **environment}, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_the_default_engine_never_imports_numba():
    assert run(TINY.format(engine=None)) == ["2", "False"]


def test_the_default_engine_is_the_compiled_one_once_that_is_ready(monkeypatch):
    for prepared in (False, True):
        monkeypatch.setattr(engine, "ready", lambda prepared=prepared: prepared)
        assert use_compiled(None) is prepared


def test_prepare_makes_the_compiled_search_ready():
    search = prepare()
    assert engine.ready()
    assert use_compiled(None)
    assert prepare() is search


@pytest.mark.parametrize(("name", "wanted"), [("python", False), ("numba", True)])
def test_who_insists_gets_that_engine(monkeypatch, name, wanted):
    monkeypatch.setattr(engine, "numba_installed", lambda: True)
    assert use_compiled(name) is wanted


def test_an_unknown_engine_is_refused():
    with pytest.raises(InvalidInput, match="use 'numba', 'python' or None"):
        use_compiled("fortran")


def test_without_numba_plain_python_runs(monkeypatch):
    monkeypatch.setattr(engine, "numba_installed", lambda: False)
    with pytest.raises(InvalidInput, match="pip install"):
        use_compiled("numba")
    with pytest.raises(InvalidInput, match="pip install"):
        prepare.__wrapped__()


def test_nowhere_to_cache_is_no_error(monkeypatch):
    # What numba does in a read-only installation without a home directory.
    compiled = []

    def njit(*signature, cache=False, **_):
        def compile_or_refuse(function):
            if cache:
                raise RuntimeError("cannot cache function: no locator available")
            compiled.append(function.__name__)
            return function

        return compile_or_refuse

    kind = np.zeros((2, 2))
    fake = SimpleNamespace(njit=njit, int64=kind, float64=kind, boolean=kind)
    monkeypatch.setitem(sys.modules, "numba", fake)
    monkeypatch.setattr(engine, "_for_any_number", lambda dispatcher: dispatcher)
    monkeypatch.setattr(engine, "numba_installed", lambda: True)
    entries = prepare.__wrapped__()
    assert [entry.__name__ for entry in entries] == ["search", "envelope"]
    assert compiled[-2:] == ["search", "envelope"]
    assert "NamedTuple" not in compiled  # nothing that the modules only import
    assert {"push_relabel", "describe", "_int_table"} <= set(compiled)


def test_what_is_compiled_together_has_one_meaning_per_name():
    # The modules share one scope there: a name that two of them define must be the same thing.
    meanings = {}
    for module in engine._MODULES:
        for name, value in vars(module).items():
            if not name.startswith("__"):
                assert meanings.setdefault(name, value) is value or meanings[name] == value, name
