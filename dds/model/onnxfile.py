"""ONNX bytes opened without touching the weights, and put together again.

Almost all of a model's bytes are weights, and neither its graph nor a cut needs
their values.  An ONNX file is a protobuf message, and protobuf is length-prefixed:
walking its top two levels finds where each initialiser lies, so the rest (kilobytes)
is all that has to be parsed, and a part of the model is the spans it needs, joined.
VGG-19, 574 MB, opens in milliseconds, and splits with one copy of the bytes it keeps.

Wire format: https://protobuf.dev/programming-guides/encoding; field numbers: onnx.proto.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import onnx
from google.protobuf.message import DecodeError, Message

from dds.errors import InvalidInput
from dds.model import dtypes

__all__ = ["OnnxFile", "Span", "Weight", "assemble", "open_onnx", "opset", "raw_weight", "text"]

#: Bytes, or a contiguous view of some.
Buffer = bytes | memoryview
#: A serialised message: its length in bytes, and the pieces it consists of.
Span = tuple[int, Iterable[Buffer]]

#: An initialiser up to this many bytes is parsed with the graph: shapes, axes and the like.
SMALL_BYTES = 4096

_M = TypeVar("_M", bound=Message)

_GRAPH, _INITIALISER, _SPARSE_INITIALISER = 7, 5, 15
#: Fields of TensorProto that hold values: float, int32, string, int64, raw, double, uint64.
_VALUES = frozenset({4, 5, 6, 7, 9, 10, 11})
_RAW = 9
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class _Field(NamedTuple):
    """One field of a message: number, wire type, and where tag, value and field end lie."""

    number: int
    wire: int
    start: int
    value: int
    end: int


@dataclass(frozen=True, slots=True)
class Weight:
    """An initialiser of the model, left where it lies.

    name: the tensor's; shape, dtype (numpy name), bytes: of its value;
    start, end: the span of its TensorProto inside the model's bytes; raw: where its
    values start, little-endian, -1 if they are stored in another way.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    bytes: int
    start: int
    end: int
    raw: int = -1


@dataclass(frozen=True)
class OnnxFile:
    """A model's bytes, its graph parsed without initialisers, and where those lie."""

    data: bytes
    model: onnx.ModelProto
    weights: dict[str, Weight]

    def tensor(self, weight: Weight) -> onnx.TensorProto:
        """The initialiser parsed, values included."""
        return _parse(onnx.TensorProto(), self.data[weight.start : weight.end], weight.name)


def open_onnx(data: bytes) -> OnnxFile:
    """Parse everything but the weights of an ONNX model.

    Raises InvalidInput for what is not bytes, for bytes that are no ONNX model, for external data
    and for sparse tensors (a 98-byte one unpacks to gigabytes).
    """
    if not isinstance(data, bytes | bytearray | memoryview):
        raise InvalidInput(
            f"the model is of type {type(data).__name__}; pass the bytes of an ONNX file"
        )
    if not data:
        raise InvalidInput("the model is empty (0 bytes); pass the bytes of an ONNX file")
    view = memoryview(data)
    head: list[memoryview] = []
    body: list[memoryview] = []
    weights: dict[str, Weight] = {}
    for outer in _fields(view, 0, len(view)):
        if outer.number != _GRAPH or outer.wire != _BYTES:
            head.append(view[outer.start : outer.end])
            continue
        for field in _fields(view, outer.value, outer.end):
            if field.number == _INITIALISER and field.wire == _BYTES:
                weight = _weight(view, field)
                if weight.name in weights:
                    raise InvalidInput(f"initialiser {weight.name!r} occurs twice")
                weights[weight.name] = weight
            elif field.number == _SPARSE_INITIALISER:
                raise InvalidInput(
                    "the model has a sparse initialiser; store it dense (DDS reads none)"
                )
            else:
                body.append(view[field.start : field.end])
    graph = b"".join(body)
    model = _parse(onnx.ModelProto(), b"".join(head), "model")
    if not model.ir_version or not (graph or weights):
        raise InvalidInput("this is no ONNX model (no ir_version or no graph)")
    _parse(model.graph, graph, "graph")
    return OnnxFile(data, model, weights)


def opset(model: onnx.ModelProto) -> int:
    """The version of ONNX's own operators that the model is written in; 1 if it says none."""
    return max((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), default=1)


def text(name: str | bytes, what: str) -> str:
    """A name read from a model; protobuf hands back bytes where it is not UTF-8.

    Raises InvalidInput, saying of ``what``, when it is empty or not text.
    """
    if isinstance(name, bytes):
        raise InvalidInput(f"a {what} has the name {name[:40]!r}, which is not UTF-8 text")
    if not name:
        raise InvalidInput(f"a {what} has no name; name it")
    return name


def assemble(model: onnx.ModelProto, weights: Sequence[Span]) -> bytes:
    """The bytes of ``model`` with serialised TensorProtos as further initialisers.

    Each weight is its length and its pieces, consumed one by one and copied once, into
    the result: at no time does memory hold the weights twice.
    """
    shell = onnx.ModelProto()
    shell.CopyFrom(model)
    shell.ClearField("graph")
    graph = model.graph.SerializeToString()
    heads = [_tag(_INITIALISER) + _varint(length) for length, _ in weights]
    size = len(graph) + sum(map(len, heads)) + sum(length for length, _ in weights)
    out = io.BytesIO()
    out.write(shell.SerializeToString() + _tag(_GRAPH) + _varint(size) + graph)
    for head, (_, pieces) in zip(heads, weights, strict=True):
        out.write(head)
        for piece in pieces:
            out.write(piece)
    return out.getvalue()


def raw_weight(
    name: str, shape: Sequence[int], pieces: Iterable[Buffer], dtype: str = "float32"
) -> Span:
    """An initialiser for :func:`assemble`, its values as little-endian pieces."""
    header = onnx.TensorProto(name=name, dims=shape, data_type=dtypes.code_of(dtype))
    size = dtypes.size_of(tuple(shape), dtype, f"initialiser {name!r}")
    head = header.SerializeToString() + _tag(_RAW) + _varint(size)
    return len(head) + size, itertools.chain((head,), pieces)


def _tag(number: int) -> bytes:
    return _varint(number << 3 | _BYTES)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _read_varint(view: memoryview, at: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while at < end and shift < 70:
        byte = view[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise InvalidInput(f"this is no ONNX model, or it is truncated (at byte {at})")


def _fields(view: memoryview, start: int, end: int) -> Iterator[_Field]:
    while start < end:
        key, at = _read_varint(view, start, end)
        number, wire = key >> 3, key & 7
        value = at
        if wire == _VARINT:
            _, at = _read_varint(view, at, end)
        elif wire == _BYTES:
            length, value = _read_varint(view, at, end)
            at = value + length
        elif wire in (_FIXED32, _FIXED64):
            at += 4 if wire == _FIXED32 else 8
        else:
            raise InvalidInput(f"this is no ONNX model (wire type {wire} at byte {start})")
        if at > end:
            raise InvalidInput(f"this is no ONNX model, or it is truncated (at byte {start})")
        yield _Field(number, wire, start, value, at)
        start = at


def _weight(view: memoryview, span: _Field) -> Weight:
    """Read an initialiser's name, shape and type; check that its values are there."""
    header = bytearray()
    stored = raw = 0
    at = -1
    for field in _fields(view, span.value, span.end):
        if field.number in _VALUES:
            stored += field.end - field.value
            if field.number == _RAW:
                raw += field.end - field.value
                at = field.value
        else:
            header += view[field.start : field.end]
    tensor = _parse(onnx.TensorProto(), bytes(header), "initialiser")
    name = text(tensor.name, "initialiser")
    where = f"initialiser {name!r}"
    if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
        raise InvalidInput(f"{where} has external data; save the model with its weights inside")
    shape = tuple(tensor.dims)
    dtype = dtypes.name_of(tensor.data_type, where)
    if dtype == dtypes.STRING:
        size = stored
    else:
        size = dtypes.size_of(shape, dtype, where)
        if raw != size if raw else bool(size) and not stored:
            raise InvalidInput(
                f"{where} needs {size} bytes for shape {shape} and holds {raw}; save it again"
            )
    return Weight(name, shape, dtype, size, span.value, span.end, at if raw else -1)


def _parse(message: _M, data: bytes, what: str) -> _M:
    try:
        message.ParseFromString(data)
    except DecodeError as error:
        raise InvalidInput(f"this is no ONNX model: its {what} does not parse") from error
    return message
