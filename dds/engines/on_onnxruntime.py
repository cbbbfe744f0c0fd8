"""The onnxruntime engine: sessions opened as everywhere in DDS, by :mod:`dds.profile.runtime`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dds.engines.engine import Array, TensorSpec, check_feeds
from dds.errors import InvalidInput
from dds.profile.runtime import DEFAULT_RUNTIME, Runtime, infer, open_session

__all__ = ["OnnxRuntime"]


@dataclass(frozen=True)
class OnnxRuntime:
    """The engine that the other ones are compared with."""

    runtime: Runtime = DEFAULT_RUNTIME

    @property
    def name(self) -> str:
        """``"onnxruntime"``."""
        return "onnxruntime"

    def load(self, model: bytes) -> _Session:
        """Open a session; InvalidInput when onnxruntime refuses the model."""
        return _Session(open_session(model, self.runtime))


class _Session:
    """One session.  onnxruntime runs several threads' calls of it at once."""

    def __init__(self, session: Any) -> None:
        self._session: Any = session
        self.inputs = tuple(_spec(node) for node in session.get_inputs())
        self.outputs = tuple(_spec(node) for node in session.get_outputs())

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """See :class:`~dds.engines.engine.Executable`."""
        if self._session is None:
            raise InvalidInput("the model is closed; load it again")
        check_feeds(self.inputs, feeds)
        return infer(self._session, feeds)

    def close(self) -> None:
        """See :class:`~dds.engines.engine.Executable`."""
        self._session = None


#: What onnxruntime calls types differently from numpy.
_RENAMED = {"float": "float32", "double": "float64"}


def _spec(node: Any) -> TensorSpec:
    """The form of an input or output; InvalidInput for a sequence or a map."""
    kind, _, rest = str(node.type).partition("(")
    if kind != "tensor":
        raise InvalidInput(
            f"{node.name!r} is a {node.type}, and DDS runs tensors; export the model without it "
            "(skl2onnx: zipmap=False)"
        )
    dtype = rest.removesuffix(")")
    shape = tuple(size if isinstance(size, int) else -1 for size in node.shape)
    return TensorSpec(node.name, _RENAMED.get(dtype, dtype), shape)
