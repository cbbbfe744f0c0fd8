"""Element types: ONNX's numbers, numpy's names, and bytes per element.

Every type has a name and a width, so a tensor of fixed shape has a fixed size;
strings have a name only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import MappingProxyType

from onnx import TensorProto

from dds.errors import InvalidInput

__all__ = ["BITS", "LARGEST", "STRING", "code_of", "name_of", "size_of"]

STRING = "string"

#: Bits per element; types narrower than a byte are stored packed.
BITS = MappingProxyType({
    "float32": 32, "uint8": 8, "int8": 8, "uint16": 16, "int16": 16, "int32": 32, "int64": 64,
    "bool": 8, "float16": 16, "float64": 64, "uint32": 32, "uint64": 64, "complex64": 64,
    "complex128": 128, "bfloat16": 16, "float8e4m3fn": 8, "float8e4m3fnuz": 8, "float8e5m2": 8,
    "float8e5m2fnuz": 8, "uint4": 4, "int4": 4, "float4e2m1": 4, "float8e8m0": 8, "uint2": 2,
    "int2": 2,
})  # fmt: skip

#: A tensor larger than this (1 TiB) is a mistake or an attack, and near the end of int64.
LARGEST = 2**40

# ONNX names two of them differently from numpy.
_RENAMED = {"float": "float32", "double": "float64"}
_NAMES: dict[int, str] = {
    code: _RENAMED.get(name.lower(), name.lower())
    for name, code in TensorProto.DataType.items()
    if name != "UNDEFINED"
}
_CODES: dict[str, int] = {name: code for code, name in _NAMES.items()}


def name_of(code: int, where: str) -> str:
    """The numpy name of ONNX element type ``code``.

    Raises InvalidInput, naming ``where``, for a number ONNX does not define.
    """
    name = _NAMES.get(code)
    if name is None or (name not in BITS and name != STRING):
        raise InvalidInput(f"{where} has element type {code}, which DDS does not know")
    return name


def code_of(name: str) -> int:
    """ONNX's number of the element type numpy calls ``name``."""
    return _CODES[name]


def size_of(shape: Sequence[int], dtype: str, where: str) -> int:
    """Bytes of one value.

    Raises InvalidInput, naming ``where``, for strings, a negative dimension or
    more than :data:`LARGEST` bytes.
    """
    bits = BITS.get(dtype)
    if bits is None:
        raise InvalidInput(f"{where} has element type {dtype}, which has no fixed size")
    if any(d < 0 for d in shape):
        raise InvalidInput(f"{where} has the negative dimension {min(shape)} in {tuple(shape)}")
    # Judge the magnitude before multiplying: hostile shapes have thousands of dimensions.
    if len(shape) > 64 or math.prod(shape) * bits > 8 * LARGEST:
        raise InvalidInput(f"{where} is larger than 1 TiB; check its shape {tuple(shape[:8])}")
    return -(-math.prod(shape) * bits // 8)
