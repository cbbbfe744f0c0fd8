"""What an engine is: something that loads ONNX models and runs them.

Whoever runs a piece of a model holds an :class:`Executable` and need not know which runtime is
behind it.  ``dds.testing.engines`` holds any engine to what is promised here.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dds.errors import InvalidInput
from dds.profile.runtime import DEFAULT_RUNTIME, Runtime

__all__ = ["ENGINES", "Engine", "Executable", "TensorSpec", "Wrapped", "check_feeds", "engine"]

Array = NDArray[Any]


@dataclass(frozen=True)
class TensorSpec:
    """An input or output of a model.

    dtype: numpy's name, ``"string"`` for text; shape: -1 where the model leaves it open.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]

    def __str__(self) -> str:
        sizes = ", ".join("?" if size < 0 else str(size) for size in self.shape)
        return f"{self.dtype} ({sizes})"


class Executable(Protocol):
    """A loaded model.

    Threads may share one: runs at the same time give what they give one after the other, though
    an engine may let them take turns.
    """

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """What :meth:`run` must be fed, in the model's order."""
        ...

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """What :meth:`run` returns, in the model's order."""
        ...

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """One inference: the outputs by name, in arrays that no later run writes to.

        feeds: one array per input, of its type and shape, in any memory order; only read.

        Raises InvalidInput, one line, for feeds that do not fit, when an operator fails on them,
        and after :meth:`close`.
        """
        ...

    def close(self) -> None:
        """Let its memory go; again does nothing.  Not while it runs."""
        ...


@dataclass(frozen=True)
class Wrapped:
    """An executable that is another one, but for what a subclass adds."""

    executable: Executable

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """See :class:`Executable`."""
        return self.executable.inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """See :class:`Executable`."""
        return self.executable.outputs

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """See :class:`Executable`."""
        return self.executable.run(feeds)

    def close(self) -> None:
        """See :class:`Executable`."""
        self.executable.close()


class Engine(Protocol):
    """A runtime, set in some way."""

    @property
    def name(self) -> str:
        """What ``--to`` and tables call it."""
        ...

    def load(self, model: bytes) -> Executable:
        """Make an ONNX model ready to run; its tensors keep their names.

        Raises InvalidInput, one line, when these bytes are no model or it cannot run them.
        """
        ...


@dataclass(frozen=True)
class _Place:
    """Where an engine's code is, and what it needs: the package it imports, the extra with it."""

    module: str
    maker: str
    package: str
    extra: str


_PLACES = MappingProxyType({
    "onnxruntime": _Place("dds.engines.on_onnxruntime", "OnnxRuntime", "onnxruntime", "server"),
    "openvino": _Place("dds.engines.on_openvino", "OpenVino", "openvino", "openvino"),
    "torch": _Place("dds.engines.on_torch", "Torch", "torch", "torch"),
})  # fmt: skip

#: Names of the engines that :func:`engine` knows; the first is what all are compared with.
ENGINES: tuple[str, ...] = tuple(_PLACES)


def engine(name: str, runtime: Runtime = DEFAULT_RUNTIME) -> Engine:
    """The engine of this name.

    runtime: its threads hold for every engine; its optimisation is onnxruntime's alone.

    Raises InvalidInput for a name that is not in :data:`ENGINES`, and, naming the extra to
    install, when its package is not here.
    """
    place = _PLACES.get(name)
    if place is None:
        raise InvalidInput(f"there is no engine {name!r}; choose {', '.join(ENGINES)}")
    try:
        importlib.import_module(place.package)
    except ImportError as error:
        raise InvalidInput(
            f"engine {name} needs the package {place.package}; pip install 'dds[{place.extra}]'"
        ) from error
    made: Engine = getattr(importlib.import_module(place.module), place.maker)(runtime)
    return made


def check_feeds(inputs: Sequence[TensorSpec], feeds: Mapping[str, Array]) -> None:
    """Refuse feeds that do not fit: one line, the same whatever the engine.

    Raises InvalidInput for an input that is missing or unknown, of another type or shape, and
    for feeds that are no mapping.
    """
    if not isinstance(feeds, Mapping):
        raise InvalidInput(f"inputs are a {type(feeds).__name__}; feed arrays by name")
    for spec in inputs:
        value = feeds.get(spec.name)
        if value is None:
            raise InvalidInput(f"input {spec.name!r} is missing; feed {spec}")
        if not isinstance(value, np.ndarray):
            raise InvalidInput(f"input {spec.name!r} is a {type(value).__name__}; feed an array")
        fits = value.shape == spec.shape or _fits(value.shape, spec.shape)
        if not fits or _name(value.dtype) != spec.dtype:
            found = TensorSpec(spec.name, _name(value.dtype), value.shape)
            raise InvalidInput(f"input {spec.name!r} is {found}; feed {spec}")
    if len(feeds) > len(inputs):
        unknown = min(feeds.keys() - {spec.name for spec in inputs})
        names = ", ".join(spec.name for spec in inputs) or "none"
        raise InvalidInput(f"the model has no input {unknown!r}; its inputs: {names}")


def _fits(shape: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    if len(shape) != len(wanted):
        return False
    return all(want in (-1, size) for size, want in zip(shape, wanted, strict=True))


@functools.lru_cache(maxsize=64)
def _name(dtype: np.dtype[Any]) -> str:
    # numpy puts a name together anew each time, in several microseconds.
    if dtype.kind in "OUST":
        return "string"
    # Runtimes read bytes as this machine orders them, and would take others for other numbers.
    return dtype.name if dtype.isnative else dtype.str
