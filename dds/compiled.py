"""Loops that numba compiles where it is installed (extra ``fast``) and Python runs elsewhere.

Importing numba takes half a second, so modules of kernels are imported inside the
functions that need them.  A kernel that calls one of another module is declared with
:func:`njit_calling`: by itself numba's cache on disk notices a change of the file a function is
in, not of one it calls into.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterator
from functools import cache
from types import ModuleType
from typing import Any, TypeVar, cast

__all__ = ["compiling_pays", "njit", "njit_calling", "numba_installed", "told_of_compiling"]

F = TypeVar("F", bound=Callable[..., Any])

#: From so many rows on, numpy takes longer than loading numba and its cached code.
MANY_ROWS = 20_000


@cache
def numba_installed() -> bool:
    """Whether numba can be imported."""
    return importlib.util.find_spec("numba") is not None


def compiling_pays(rows: int) -> bool:
    """Whether work on so many rows is worth compiled code: many rows, or numba is loaded anyway."""
    return numba_installed() and (rows >= MANY_ROWS or "numba" in sys.modules)


def njit(function: F) -> F:
    """The function compiled at its first call, kept on disk; as it is without numba.

    Divisions follow IEEE 754, as in numpy; other Python threads run meanwhile.
    """
    if not numba_installed():
        return function
    import numba

    options: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
    compiled: Any
    try:
        compiled = numba.njit(cache=True, **options)(function)
    except RuntimeError:  # nowhere to write: compile anew in each process
        compiled = numba.njit(**options)(function)
    return cast("F", compiled)


def njit_calling(*modules: ModuleType) -> Callable[[F], F]:
    """:func:`njit` for a function that calls kernels of these modules: kept until one changes.

    numba keeps machine code under a function's qualified name, so that is given a digest of the
    modules' sources.
    """

    def compiled(function: F) -> F:
        if numba_installed():
            digests = "".join(map(_digest, modules))
            function.__qualname__ = f"{function.__qualname__}_{digests}"
        return njit(function)

    return compiled


@cache
def _digest(module: ModuleType) -> str:
    return hashlib.sha256(inspect.getsource(module).encode()).hexdigest()[:8]


@contextlib.contextmanager
def told_of_compiling(say: Callable[[], None]) -> Iterator[None]:
    """Call `say` whenever, in the body, a loop is about to be compiled that is not on disk yet.

    All loops of a search take half a minute, once on a machine.  Without numba it is never called.
    """
    if not numba_installed():
        yield
        return
    from numba.core import event

    class Listener(event.Listener):
        def on_start(self, _: Any) -> None:
            say()

        def on_end(self, _: Any) -> None:
            """The next thing shown takes its place."""

    with event.install_listener("numba:compile", Listener()):
        yield
