"""Numpy arrays to Open Inference tensors and back.

Raw contents are the elements in row-major order, little-endian, unpadded; BYTES elements are
preceded by their length as four bytes.  Reading trusts nothing: every size is checked against
shape and data type before an array is made, and arrays from raw contents are read-only views.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dds.errors import InvalidInput
from dds.wire import open_inference_pb2 as oip

__all__ = [
    "DATATYPES",
    "LEASE_KEY",
    "array_from_raw",
    "array_to_raw",
    "datatype_of",
    "request_from_proto",
    "request_to_proto",
    "response_from_proto",
    "response_to_proto",
]

Array = NDArray[Any]

#: Request metadata that names the lease an inference is paid by.
LEASE_KEY = "dds-lease"
#: Open Inference data types of fixed size, and the field of typed contents that holds them.
DATATYPES: Mapping[str, tuple[np.dtype[Any], str]] = {
    "BOOL": (np.dtype("?"), "bool_contents"),
    "INT8": (np.dtype("<i1"), "int_contents"),
    "INT16": (np.dtype("<i2"), "int_contents"),
    "INT32": (np.dtype("<i4"), "int_contents"),
    "INT64": (np.dtype("<i8"), "int64_contents"),
    "UINT8": (np.dtype("<u1"), "uint_contents"),
    "UINT16": (np.dtype("<u2"), "uint_contents"),
    "UINT32": (np.dtype("<u4"), "uint_contents"),
    "UINT64": (np.dtype("<u8"), "uint64_contents"),
    "FP16": (np.dtype("<f2"), ""),
    "FP32": (np.dtype("<f4"), "fp32_contents"),
    "FP64": (np.dtype("<f8"), "fp64_contents"),
}
_NAMES = {dtype: name for name, (dtype, _) in DATATYPES.items()}
_MOST_DIMENSIONS = 32


def datatype_of(array: Array) -> str:
    """The Open Inference name of an array's type: ``FP32``; text and bytes are ``BYTES``.

    Raises InvalidInput for a type the protocol has no name for.
    """
    if array.dtype.kind in "OSU":
        return "BYTES"
    name = _NAMES.get(array.dtype.newbyteorder("<"))
    if name is None:
        raise InvalidInput(f"numpy type {array.dtype} has no Open Inference data type")
    return name


def array_to_raw(array: Array) -> bytes:
    """The raw contents of an array; raises InvalidInput for types :func:`datatype_of` refuses."""
    if datatype_of(array) != "BYTES":
        return array.astype(array.dtype.newbyteorder("<"), order="C", copy=False).tobytes()
    parts: list[bytes] = []
    for element in array.ravel().tolist():
        data = element.encode() if isinstance(element, str) else element
        if not isinstance(data, bytes):
            raise InvalidInput(f"a BYTES tensor holds {type(element).__name__}; need str or bytes")
        parts += (struct.pack("<I", len(data)), data)
    return b"".join(parts)


def _count(where: str, shape: Sequence[int], itemsize: int) -> int:
    """Number of elements of a shape that memory could hold."""
    if len(shape) > _MOST_DIMENSIONS:
        raise InvalidInput(f"{where}: {len(shape)} dimensions; at most {_MOST_DIMENSIONS}")
    if any(size < 0 for size in shape):
        raise InvalidInput(f"{where}: shape {list(shape)} has a negative dimension")
    if math.prod(max(size, 1) for size in shape) * itemsize >= 2**62:
        raise InvalidInput(f"{where}: shape {list(shape)} is too large")
    return math.prod(shape)


def _fixed(where: str, datatype: str) -> tuple[np.dtype[Any], str]:
    if datatype not in DATATYPES:
        known = " ".join((*DATATYPES, "BYTES"))
        raise InvalidInput(f"{where}: unknown data type {datatype!r}; known are {known}")
    return DATATYPES[datatype]


def _bytes_array(elements: Iterable[bytes], shape: Sequence[int]) -> Array:
    items = list(elements)
    flat = np.empty(len(items), dtype=object)
    flat[:] = items
    return flat.reshape(tuple(shape))


def array_from_raw(datatype: str, shape: Sequence[int], raw: bytes, where: str = "tensor") -> Array:
    """The array that raw contents stand for; BYTES gives an object array of bytes.

    Raises InvalidInput, naming `where`, for an unknown type or bytes that do not fit the shape.
    """
    if datatype == "BYTES":
        count = _count(where, shape, 8)
        items: list[bytes] = []
        at = 0
        while at < len(raw):
            end = at + 4
            length = int.from_bytes(raw[at:end], "little")
            if end + length > len(raw) or len(items) == count:
                raise InvalidInput(f"{where}: BYTES contents do not fit shape {list(shape)}")
            items.append(raw[end : end + length])
            at = end + length
        if len(items) != count:
            raise InvalidInput(f"{where}: {len(items)} BYTES elements; shape needs {count}")
        return _bytes_array(items, shape)
    dtype, _ = _fixed(where, datatype)
    need = _count(where, shape, dtype.itemsize) * dtype.itemsize
    if len(raw) != need:
        raise InvalidInput(
            f"{where}: {len(raw)} bytes of {datatype}; shape {list(shape)} needs {need}"
        )
    if datatype == "BOOL" and np.frombuffer(raw, dtype=np.uint8).max(initial=0) > 1:
        raise InvalidInput(f"{where}: a BOOL byte is neither 0 nor 1")
    return np.frombuffer(raw, dtype=dtype).reshape(tuple(shape))


def _array_from_typed(
    datatype: str, shape: Sequence[int], contents: oip.InferTensorContents, where: str
) -> Array:
    """The array of the repeated field that belongs to a data type."""
    if datatype == "BYTES":
        values: Any = contents.bytes_contents
        count = _count(where, shape, 8)
    else:
        dtype, field = _fixed(where, datatype)
        if not field:
            raise InvalidInput(f"{where}: {datatype} travels in raw contents only")
        values = getattr(contents, field)
        count = _count(where, shape, dtype.itemsize)
    if len(values) != count:
        raise InvalidInput(f"{where}: {len(values)} values; shape {list(shape)} needs {count}")
    if datatype == "BYTES":
        return _bytes_array(values, shape)
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        if any(not info.min <= value <= info.max for value in values):
            raise InvalidInput(f"{where}: a value does not fit {datatype}")
    return np.array(values, dtype=dtype).reshape(tuple(shape))


def _arrays(kind: str, tensors: Iterable[Any], raws: Sequence[bytes]) -> dict[str, Array]:
    """Tensors of a request or response by name, from raw contents if there are any."""
    listed = list(tensors)
    if raws and len(raws) != len(listed):
        raise InvalidInput(f"{len(raws)} raw contents for {len(listed)} {kind}s; need one each")
    arrays: dict[str, Array] = {}
    for i, tensor in enumerate(listed):
        where = f"{kind} {tensor.name!r}"
        if not tensor.name or tensor.name in arrays:
            raise InvalidInput(f"{where}: the name is empty or comes twice")
        shape = tuple(tensor.shape)
        if not raws:
            arrays[tensor.name] = _array_from_typed(tensor.datatype, shape, tensor.contents, where)
        elif tensor.HasField("contents"):
            raise InvalidInput(f"{where}: both raw and typed contents; send one")
        else:
            arrays[tensor.name] = array_from_raw(tensor.datatype, shape, raws[i], where)
    return arrays


def request_to_proto(
    model: str, inputs: Mapping[str, Array], *, outputs: Iterable[str] = (), request_id: str = ""
) -> oip.ModelInferRequest:
    """A request to run `model` on arrays by input name; no `outputs` asks for all of them."""
    return oip.ModelInferRequest(
        model_name=model,
        id=request_id,
        inputs=[
            oip.ModelInferRequest.InferInputTensor(
                name=name, datatype=datatype_of(array), shape=array.shape
            )
            for name, array in inputs.items()
        ],
        outputs=[oip.ModelInferRequest.InferRequestedOutputTensor(name=name) for name in outputs],
        raw_input_contents=[array_to_raw(array) for array in inputs.values()],
    )


def request_from_proto(
    request: oip.ModelInferRequest,
) -> tuple[dict[str, Array], tuple[str, ...]]:
    """A request's arrays by input name, and the outputs it asks for (none: all).

    Raises InvalidInput naming the input whose contents do not fit its shape and data type.
    """
    inputs = _arrays("input", request.inputs, request.raw_input_contents)
    return inputs, tuple(output.name for output in request.outputs)


def response_to_proto(
    model: str, outputs: Mapping[str, Array], *, request_id: str = ""
) -> oip.ModelInferResponse:
    """The answer of `model`: arrays by output name."""
    return oip.ModelInferResponse(
        model_name=model,
        id=request_id,
        outputs=[
            oip.ModelInferResponse.InferOutputTensor(
                name=name, datatype=datatype_of(array), shape=array.shape
            )
            for name, array in outputs.items()
        ],
        raw_output_contents=[array_to_raw(array) for array in outputs.values()],
    )


def response_from_proto(response: oip.ModelInferResponse) -> dict[str, Array]:
    """A response's arrays by output name.

    Raises InvalidInput naming the output whose contents do not fit its shape and data type.
    """
    return _arrays("output", response.outputs, response.raw_output_contents)
