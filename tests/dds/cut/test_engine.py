import os
import subprocess
import sys

import pytest

from dds.cut import engine
from dds.cut.engine import use_compiled
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


def test_the_plain_engine_never_imports_numba():
    assert run(TINY.format(engine="python")) == ["2", "False"]


def test_numba_is_imported_at_the_first_cut():
    assert run(TINY.format(engine=None)) == ["2", str(engine.numba_installed())]


@pytest.mark.parametrize(("name", "wanted"), [("python", False), (None, True), ("numba", True)])
def test_which_engine_runs(monkeypatch, name, wanted):
    monkeypatch.setattr(engine, "numba_installed", lambda: True)
    assert use_compiled(name) is wanted


def test_without_numba_plain_python_runs(monkeypatch):
    monkeypatch.setattr(engine, "numba_installed", lambda: False)
    assert use_compiled(None) is False
    with pytest.raises(InvalidInput, match="pip install"):
        use_compiled("numba")


def test_nowhere_to_cache_is_no_error(monkeypatch):
    # What numba does in a read-only installation without a home directory.
    compiled = []

    def njit(function=None, *, cache=False):
        if cache:

            def refuse(_):
                raise RuntimeError("cannot cache function: no locator available")

            return refuse
        compiled.append(function.__name__)
        return function

    monkeypatch.setitem(sys.modules, "numba", type(sys)("numba"))
    sys.modules["numba"].njit = njit
    scope = engine._compiled.__wrapped__()
    assert {"push_relabel", "one_cut", "all_cuts"} <= set(compiled)
    assert scope["all_cuts"] is not None
