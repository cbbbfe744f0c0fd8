"""Where the search for cuts runs: compiled by numba, or as plain Python.

Both run the very same functions (of the modules in ``_MODULES``) and take the same
decisions; compiled code works on numpy arrays, plain Python on lists.  numba is
imported by :func:`prepare` alone.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Sequence
from functools import cache
from types import FunctionType
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dds.compiled import numba_installed
from dds.costs.link import Link
from dds.cut import block, crossing, envelope, kernel, layout, parametric
from dds.cut.network import Network
from dds.errors import InvalidInput

__all__ = ["Found", "FoundHull", "prepare", "ready", "run", "run_envelope", "use_compiled"]

#: What is compiled together, callees first.
_MODULES = (kernel, layout, block, crossing, parametric, envelope)

#: The listing and values of :func:`dds.cut.crossing.describe`, the latter as lists.
Found: TypeAlias = tuple[Sequence[int], Sequence[Sequence[float]]]

#: What :func:`dds.cut.envelope.envelope` returns, as lists.
FoundHull: TypeAlias = tuple[Sequence[int], Sequence[Sequence[float]], int, bool]


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
    compiled: bool,
) -> Found:
    """Search (:mod:`dds.cut.parametric`), compiled or not.

    Returns the (listing, values) of :func:`dds.cut.crossing.describe`; times that are out
    of bounds have no cut.
    """
    up, down, rtt = float(link.uplink), float(link.downlink), float(link.rtt)
    if compiled:
        listing, values = prepare().search(*net.arrays, local, work, up, down, rtt, x, every)
        return listing, values.tolist()
    return parametric.search(
        net.graph, net.sizes, local.tolist(), work.tolist(), up, down, rtt, x, every
    )


def run_envelope(
    net: Network,
    local: NDArray[np.float64],
    work: NDArray[np.float64],
    box: NDArray[np.float64],
    most: int,
    compiled: bool,
) -> FoundHull:
    """:func:`dds.cut.envelope.envelope`, compiled or not."""
    if compiled:
        listing, values, calls, complete = prepare().envelope(*net.arrays, local, work, box, most)
        return listing.tolist(), values.tolist(), calls, complete
    return envelope.envelope(
        net.graph, net.sizes, local.tolist(), work.tolist(), box.tolist(), most
    )


class Compiled(NamedTuple):
    """What :func:`prepare` compiles, each to be called with numpy arrays."""

    search: Callable[..., Any]
    envelope: Callable[..., Any]


@cache
def prepare() -> Compiled:
    """Make the compiled searches ready, so that from now on None uses them; returns them.

    Compiling takes seconds, the first time ever; then it is cached on disk, and
    loading takes a fraction of a second, most of it to import numba.  A plain search
    of a common model takes about a millisecond: prepare where hundreds of frontiers
    or a few hulls are to come, as in a scheduler.  Raises InvalidInput where numba is
    not installed.

    Each function is given a copy of its globals in which its siblings are compiled
    too: the modules themselves stay plain Python.
    """
    use_compiled("numba")
    import numba

    scope: dict[str, Any] = {"__name__": parametric.__name__}
    plain: dict[str, Any] = {}
    for module in _MODULES:
        for name, value in vars(module).items():
            if isinstance(value, FunctionType) and value.__module__ == module.__name__:
                plain[name] = FunctionType(value.__code__, scope, name)
            else:
                scope.setdefault(name, value)
    plain["int_table"] = _int_table
    plain["float_table"] = _float_table
    entries = [plain.pop(name) for name in Compiled._fields]
    # Only compiled code calls these: without the wrappers for others they compile faster.
    inner: Any = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, "error_model": "numpy"}
    for name, function in plain.items():
        scope[name] = _for_any_number(numba.njit(**inner)(function))
    column, table = numba.float64[::1], numba.float64[:, ::1]
    graph, costs, seconds = numba.int64[:, ::1], (table, column, column), [numba.float64] * 4
    signatures = (
        (graph, *costs, *seconds, numba.boolean),
        (graph, *costs, table, numba.int64),
    )
    # numba's cache notices a change of the file a function is in, not of one it calls
    # into; a digest of all of them in the name does.
    sources = "".join(inspect.getsource(module) for module in _MODULES)
    digest = hashlib.sha256(sources.encode()).hexdigest()[:16]
    compiled = []
    for entry, signature in zip(entries, signatures, strict=True):
        entry.__qualname__ = f"{entry.__name__}_{digest}"
        try:
            compiled.append(numba.njit(signature, error_model="numpy", cache=True)(entry))
        except RuntimeError:  # nowhere to write: compile anew in each process
            compiled.append(numba.njit(signature, error_model="numpy")(entry))
    return Compiled(*compiled)


def _for_any_number(dispatcher: Any) -> Any:
    """The function, not compiled anew for each literal number that it is called with."""
    from numba.core.types import unliteral

    compile_for = dispatcher.compile
    dispatcher.compile = lambda kinds: compile_for(tuple(map(unliteral, kinds)))
    return dispatcher


def _int_table(columns: int, size: int) -> NDArray[np.int64]:
    return np.empty((columns, size), np.int64)


def _float_table(columns: int, size: int) -> NDArray[np.float64]:
    return np.empty((columns, size), np.float64)
