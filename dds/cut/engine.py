"""Where the search for cuts runs: compiled by numba, or as plain Python.

Both run the very same functions (of the modules in ``_MODULES``) and take the same
decisions; compiled code works on numpy arrays, plain Python on lists.  numba is
imported by :func:`prepare` alone.
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
from dds.cut import block, crossing, kernel, layout, parametric
from dds.cut.network import Network
from dds.errors import InvalidInput

__all__ = ["Found", "numba_installed", "prepare", "ready", "run", "use_compiled"]

#: What is compiled together, callees first.
_MODULES = (kernel, layout, block, crossing, parametric)

#: What a search returns (see dds.cut.crossing.describe): the count, then columns.
Found: TypeAlias = tuple[int, Any, Any, Any, Any, Any]


@cache
def numba_installed() -> bool:
    """Whether numba (the extra ``fast``) can be imported."""
    return importlib.util.find_spec("numba") is not None


def ready() -> bool:
    """Whether this process has the compiled search."""
    return prepare.cache_info().currsize > 0


def use_compiled(engine: str | None) -> bool:
    """What ``engine`` asks for: "numba", "python", or None to never wait for a compiler.

    None is the compiled search once :func:`prepare` or engine "numba" has made it
    ready in this process, plain Python before.
    Raises InvalidInput for another name, and for "numba" where it is not installed.
    """
    if engine is None:
        return ready()
    if engine == "numba" and not numba_installed():
        raise InvalidInput("engine 'numba' is not installed; pip install 'dds[fast]'")
    if engine not in ("numba", "python"):
        raise InvalidInput(f"engine is {engine!r}; use 'numba', 'python' or None")
    return engine == "numba"


def run(
    net: Network,
    local: NDArray[np.float64],
    work: NDArray[np.float64],
    link: Link,
    x: float,
    every: bool,
    engine: str | None,
) -> Found:
    """The search of :mod:`dds.cut.parametric`; engine: see :func:`use_compiled`.

    Columns are numpy arrays or lists, as the engine has it.
    """
    if use_compiled(engine):
        return prepare()(*net.arrays, local, work, link.uplink, link.downlink, link.rtt, x, every)
    return parametric.search(
        net.graph, net.sizes, local.tolist(), work.tolist(),
        link.uplink, link.downlink, link.rtt, x, every,
    )  # fmt: skip


@cache
def prepare() -> Callable[..., Found]:
    """Make the compiled search ready, so that from now on None uses it; returns it.

    Compiling takes seconds, the first time ever; then it is cached on disk, and
    loading takes a fraction of a second, most of it to import numba.  A plain search
    of a common model takes about a millisecond: prepare where hundreds of frontiers
    are to come, as in a scheduler.  Raises InvalidInput where numba is not installed.

    Each function is given a copy of its globals in which its siblings are compiled
    too: the modules themselves stay plain Python.
    """
    use_compiled("numba")
    import numba

    scope: dict[str, Any] = {"__name__": parametric.__name__}
    plain: dict[str, Any] = {}
    for module in _MODULES:
        for name, value in vars(module).items():
            if isinstance(value, FunctionType):
                plain[name] = FunctionType(value.__code__, scope, name)
            else:
                scope.setdefault(name, value)
    plain["int_table"] = _int_table
    plain["float_table"] = _float_table
    entry = plain.pop(parametric.search.__name__)
    for name, function in plain.items():
        scope[name] = numba.njit(error_model="numpy", no_cpython_wrapper=True)(function)
    # numba's cache notices a change of the file a function is in, not of one it calls
    # into; a digest of all of them in the name does.
    sources = "".join(inspect.getsource(module) for module in _MODULES)
    entry.__qualname__ = f"search_{hashlib.sha256(sources.encode()).hexdigest()[:16]}"
    column, table = numba.float64[::1], numba.float64[:, ::1]
    seconds = [numba.float64] * 4
    signature = (numba.int64[:, ::1], table, column, column, *seconds, numba.boolean)
    try:
        compiled = numba.njit(signature, error_model="numpy", cache=True)(entry)
    except RuntimeError:  # nowhere to write: compile anew in each process
        compiled = numba.njit(signature, error_model="numpy")(entry)
    search: Callable[..., Found] = compiled
    return search


def _int_table(columns: int, size: int) -> NDArray[np.int64]:
    return np.empty((columns, size), np.int64)


def _float_table(columns: int, size: int) -> NDArray[np.float64]:
    return np.empty((columns, size), np.float64)
