"""Small ONNX models, written as text (needs onnx alone; imported by its own name)."""

from __future__ import annotations

import hashlib

import onnx.parser

__all__ = ["digest_of", "text_model"]


def text_model(text: str, *, domains: tuple[str, ...] = ()) -> bytes:
    """ONNX bytes of a graph in the syntax of ``onnx.parser``, opset 17.

    domains: further operator sets that it uses, version 1 of each.
    Raises ``onnx.parser.ParseError``, which names line and column.

    >>> double = text_model("(float[4] x) => (float[4] y) {y = Add(x, x)}")
    >>> from dds import load_model
    >>> [operator.kind for operator in load_model(double).operators]
    ['Add']
    """
    sets = ", ".join(f'"{domain}": {1 if domain else 17}' for domain in ("", *domains))
    header = f"<ir_version: 8, opset_import: [{sets}]>"
    return bytes(onnx.parser.parse_model(f"{header} model {text}").SerializeToString())


def digest_of(model: bytes) -> str:
    """The name that a model goes by on servers: its SHA-256 in hexadecimal."""
    return hashlib.sha256(model).hexdigest()
