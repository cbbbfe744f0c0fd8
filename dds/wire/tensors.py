"""Numpy arrays to Open Inference tensors and back.

Raw contents are the elements in row-major order, little-endian, unpadded; BYTES elements are
preceded by their length as four bytes.  Reading trusts nothing: every size is checked against
shape and data type before an array is made, and arrays from raw contents are read-only views.

A request may name the part that runs next, one server further (:data:`THEN`); replies say in
their parameters how long each part took.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dds.errors import InvalidInput
from dds.session.upload import check_digest
from dds.wire import open_inference_pb2 as oip

__all__ = [
    "DATATYPES",
    "HOPS_KEY",
    "LEASE_KEY",
    "MOST_HOPS",
    "OWN_SECONDS",
    "THEN",
    "THEN_LEASE_KEY",
    "THEN_SECONDS",
    "WANTED_KEY",
    "array_from_raw",
    "array_to_raw",
    "datatype_of",
    "hops_from_text",
    "request_from_proto",
    "request_to_proto",
    "response_from_proto",
    "response_to_proto",
    "seconds_from_proto",
    "then_from_proto",
]

Array = NDArray[Any]

#: Request metadata that names the lease an inference is paid by.
LEASE_KEY = "dds-lease"
#: Request metadata that names the lease, at the next server, which the part run there is paid by.
THEN_LEASE_KEY = "dds-then-lease"
#: Request metadata: how many servers further a call is to go, a decimal digit; none means 0.
HOPS_KEY = "dds-hops"
#: Initial metadata of a server that wants the bytes of a model after having read their header:
#: who passes an upload on sends no more of it before.
WANTED_KEY = "dds-wanted"
#: No chain of servers is longer.
MOST_HOPS = 8
#: Parameter of a request: digest of the part that runs next, at the server's upstream.
THEN = "then"
#: What a reply says of the part that the server ran itself: parameters ``cpu_seconds``, ...
OWN_SECONDS = ("cpu", "paced", "wall")
#: What it adds about the part that ran next: the same, and the time its call spent outside it.
THEN_SECONDS = ("then_cpu", "then_paced", "then_wall", "then_network")
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
_HOPS = re.compile(f"[0-{MOST_HOPS}]")


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


def hops_from_text(text: str) -> int:
    """How many servers further a call is to go, from the value of :data:`HOPS_KEY`.

    Raises InvalidInput for anything but a number from 0 to :data:`MOST_HOPS`.
    """
    if not _HOPS.fullmatch(text):
        raise InvalidInput(
            f"metadata {HOPS_KEY} is {text[:20]!r}; need a number of servers from 0 to {MOST_HOPS}"
        )
    return int(text)


def request_to_proto(
    model: str,
    inputs: Mapping[str, Array],
    *,
    outputs: Iterable[str] = (),
    request_id: str = "",
    then: str | None = None,
) -> oip.ModelInferRequest:
    """A request to run `model` on arrays by input name; no `outputs` asks for all of them.

    then: digest of the part to run next, on what this one returns and what else is in `inputs`.
    """
    request = oip.ModelInferRequest(
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
    if then is not None:
        request.parameters[THEN].string_param = then
    return request


def request_from_proto(
    request: oip.ModelInferRequest,
) -> tuple[dict[str, Array], tuple[str, ...]]:
    """A request's arrays by input name, and the outputs it asks for (none: all).

    Raises InvalidInput naming the input whose contents do not fit its shape and data type.
    """
    inputs = _arrays("input", request.inputs, request.raw_input_contents)
    return inputs, tuple(output.name for output in request.outputs)


def then_from_proto(request: oip.ModelInferRequest) -> str | None:
    """The digest of the part that is to run next; None for a request that ends here.

    Raises InvalidInput when the parameter is not a digest.
    """
    if THEN not in request.parameters:
        return None
    digest: str = request.parameters[THEN].string_param
    check_digest(f"parameter {THEN!r}", digest)
    return digest


def response_to_proto(
    model: str,
    outputs: Mapping[str, Array],
    *,
    request_id: str = "",
    seconds: Mapping[str, float] | None = None,
) -> oip.ModelInferResponse:
    """The answer of `model`: arrays by output name.

    seconds: what took how long, s, by the names in :data:`OWN_SECONDS` and :data:`THEN_SECONDS`.
    """
    response = oip.ModelInferResponse(
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
    for name, value in (seconds or {}).items():
        response.parameters[f"{name}_seconds"].double_param = value
    return response


def response_from_proto(response: oip.ModelInferResponse) -> dict[str, Array]:
    """A response's arrays by output name.

    Raises InvalidInput naming the output whose contents do not fit its shape and data type.
    """
    return _arrays("output", response.outputs, response.raw_output_contents)


def seconds_from_proto(response: oip.ModelInferResponse, names: Iterable[str]) -> tuple[float, ...]:
    """The times of these names, s; e.g. those of :data:`OWN_SECONDS`.

    Raises InvalidInput for one that is missing, not a floating point number, negative or not
    finite.
    """
    times: list[float] = []
    for name in names:
        key = f"{name}_seconds"
        given = response.parameters.get(key)
        if given is None or given.WhichOneof("parameter_choice") != "double_param":
            raise InvalidInput(f"the reply does not say its {key}; need a double parameter")
        if not 0.0 <= given.double_param < math.inf:
            raise InvalidInput(f"the reply says {key} = {given.double_param!r}; need seconds >= 0")
        times.append(given.double_param)
    return tuple(times)
