"""Where the search for cuts runs: compiled by numba, or as plain Python.

Both run the very same functions (of ``kernel``, ``block`` and ``parametric``) and
take the same decisions; compiled code works on numpy arrays, plain Python on
lists.  numba is imported at the first cut, never before.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
from collections.abc import Callable
from functools import cache
from types import FunctionType
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dds.costs.link import Link
from dds.cut import block, kernel, parametric
from dds.cut.network import Network
from dds.errors import InvalidInput

__all__ = ["numba_installed", "run", "use_compiled"]

#: What is compiled together.
_MODULES = (kernel, block, parametric)
#: one_cut and all_cuts of dds.cut.parametric.
Search: TypeAlias = Callable[..., tuple[int, Any, Any]]


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


def run(
    search: Search,
    net: Network,
    local: NDArray[np.float64],
    work: NDArray[np.float64],
    link: Link,
    x: float,
    engine: str | None,
) -> tuple[NDArray[np.int64], list[int]]:
    """(order, splits) of a search of :mod:`dds.cut.parametric`; engine: :func:`use_compiled`."""
    price = (link.uplink, link.downlink, link.rtt)
    if use_compiled(engine):
        count, order, splits = _compiled()[search.__name__](net.arrays, local, work, price, x)
        return order, splits[:count].tolist()
    count, order, splits = search(net.lists, local.tolist(), work.tolist(), price, x)
    return np.array(order, np.int64), splits[:count]


@cache
def _compiled() -> dict[str, Search]:
    """The functions of both modules, compiled: once per process, cached on disk.

    Each is given a copy of its globals in which its siblings are compiled too:
    the modules themselves stay plain Python.
    """
    import numba

    scope: dict[str, Any] = {"__name__": parametric.__name__}
    plain: dict[str, Any] = {}
    for module in _MODULES:
        for name, value in vars(module).items():
            if isinstance(value, FunctionType):
                plain[name] = FunctionType(value.__code__, scope, name)
            else:
                scope.setdefault(name, value)
    plain["_new_ints"] = _int_array
    plain["_new_floats"] = _float_array
    # numba's cache notices a change of the file a function is in, not of one it calls
    # into; a digest of all of them in the name does.
    sources = "".join(inspect.getsource(module) for module in _MODULES)
    digest = hashlib.sha256(sources.encode()).hexdigest()[:16]
    for name, function in plain.items():
        function.__qualname__ = f"{name}_{digest}"
        try:
            scope[name] = numba.njit(cache=True)(function)
        except RuntimeError:  # nowhere to write: compile anew in each process
            scope[name] = numba.njit(function)
    return scope


def _int_array(size: int) -> NDArray[np.int64]:
    return np.empty(size, np.int64)


def _float_array(size: int) -> NDArray[np.float64]:
    return np.empty(size, np.float64)
