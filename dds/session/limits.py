"""Bounds on what strangers may ask of a machine that runs their models."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from dds.errors import InvalidInput

__all__ = ["HostLimits"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HostLimits:
    """What servers and helpers bound alike; these, and all that they add, > 0.

    model_bytes: one model; store_bytes: all models together; tensor_bytes, flops: all tensors, and
    floating point operations, of one inference; message_bytes: one gRPC message; run_seconds: one
    inference; profile_seconds: of measuring one model.

    Raises InvalidInput, naming the bound, for one that is not a finite number > 0.
    """

    model_bytes: int = 2**30
    store_bytes: int = 8 * 2**30
    tensor_bytes: int = 2**31
    flops: float = 1e12
    message_bytes: int = 2**28
    run_seconds: float = 60.0
    profile_seconds: float = 10.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not (math.isfinite(value) and value > 0):
                raise InvalidInput(f"limits.{field.name} is {value!r}; need a finite number > 0")
