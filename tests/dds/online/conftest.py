"""Both ways the loops can run."""

import importlib.util

import pytest

from dds.online import engine, runs, walk


def _uncompiled(name, monkeypatch):
    """A fresh copy of a module of kernels, as it is without numba."""
    monkeypatch.setattr("dds.compiled.numba_installed", lambda: False)
    spec = importlib.util.find_spec(f"dds.online.{name}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def without_numba(monkeypatch):
    """Run the online market as where numba is not installed."""
    kernels = {name: _uncompiled(name, monkeypatch) for name in ("walk_kernels", "run_kernels")}
    monkeypatch.setattr(walk, "walk_kernels", lambda: kernels["walk_kernels"])
    for user in ("dds.online.runs", "dds.online.index"):
        monkeypatch.setattr(f"{user}.run_kernels", lambda: kernels["run_kernels"])
    for user in (engine, runs, walk):
        monkeypatch.setattr(user, "compiled", lambda: False)
