"""Where the search for cuts runs: compiled by numba, or as plain Python.

Both run the very same functions (:mod:`dds.cut.kernel`, :mod:`dds.cut.parametric`)
and agree to the last bit; compiled code works on numpy arrays, plain Python on
lists.  numba is imported at the first cut, never before.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from functools import cache
from types import FunctionType
from typing import Any

from dds.cut import kernel, parametric
from dds.errors import InvalidInput

__all__ = ["compiled", "numba_installed", "use_compiled"]


@cache
def numba_installed() -> bool:
    """Whether numba (the extra ``fast``) can be imported."""
    return importlib.util.find_spec("numba") is not None


def use_compiled(engine: str | None) -> bool:
    """What ``engine`` asks for: "numba", "python", or None for the fastest there is.

    Raises InvalidInput for another name, and for "numba" where it is not installed.
    """
    if engine is None:
        return numba_installed()
    if engine == "numba" and not numba_installed():
        raise InvalidInput("engine 'numba' is not installed; pip install 'dds[fast]'")
    if engine not in ("numba", "python"):
        raise InvalidInput(f"engine is {engine!r}; use 'numba', 'python' or None")
    return engine == "numba"


def compiled(search: Callable[..., int]) -> Callable[..., int]:
    """A search of :mod:`dds.cut.parametric`, compiled (once per process, cached on disk)."""
    return _compile_all()[search.__name__]


@cache
def _compile_all() -> dict[str, Callable[..., int]]:
    """Every function of the two modules, compiled.

    Each is given a copy of its globals in which its siblings are compiled too:
    the modules themselves stay plain Python.
    """
    import numba

    scope: dict[str, Any] = {"__name__": parametric.__name__}
    functions: dict[str, FunctionType] = {}
    for module in (kernel, parametric):
        for name, value in vars(module).items():
            if isinstance(value, FunctionType):
                functions[name] = FunctionType(value.__code__, scope, name, value.__defaults__)
            else:
                scope.setdefault(name, value)
    for name, function in functions.items():
        try:
            scope[name] = numba.njit(cache=True)(function)
        except RuntimeError:  # nowhere to cache: compile anew in each process
            scope[name] = numba.njit(function)
    return {name: scope[name] for name in functions}
