"""A measured profile: seconds of CPU time per operator of one model on one platform."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dds.errors import InvalidInput
from dds.model.graph import ModelGraph

__all__ = ["RESOLUTION", "Profile"]

#: Shortest time a profile states, s: onnxruntime's profiler counts whole microseconds.
RESOLUTION = 1e-6

_FORMAT = "dds-profile/1"


@dataclass(frozen=True)
class Profile:
    """Seconds per operator, measured.

    digest: SHA-256 of the model's bytes; platform: fingerprint of the machine and its
    runtime; threads: of onnxruntime; operators: their names, in graph order;
    seconds: CPU time of each, s, >= RESOLUTION, scaled to sum to `whole`; whole: median
    CPU time of a plain run of the whole model, s; kernels: what the profiled kernel times
    summed to before scaling, s; spread: (max - min) / median of the plain runs;
    repeats: runs behind each number.

    Raises InvalidInput when the lengths differ or a number is out of range.
    """

    digest: str
    platform: str
    threads: int
    operators: tuple[str, ...]
    seconds: tuple[float, ...]
    whole: float
    kernels: float
    spread: float
    repeats: int

    def __post_init__(self) -> None:
        if len(self.operators) != len(self.seconds):
            raise InvalidInput(
                f"profile: {len(self.seconds)} times for {len(self.operators)} operators"
            )
        for name, seconds in zip(self.operators, self.seconds, strict=True):
            if not (math.isfinite(seconds) and seconds > 0.0):
                raise InvalidInput(f"profile: operator {name!r} takes {seconds!r} s; need > 0")

    def operator_times(self, graph: ModelGraph) -> NDArray[np.float64]:
        """Seconds per operator of `graph`; raises InvalidInput if it is another model."""
        if tuple(operator.name for operator in graph.operators) != self.operators:
            raise InvalidInput(
                f"the profile of model {self.digest[:12]} does not list the operators of "
                f"model {graph.digest[:12] or graph.name!r}; measure this model"
            )
        return np.array(self.seconds, dtype=np.float64)

    def scaled(self, slowdown: float) -> Profile:
        """The profile of a machine that takes `slowdown` seconds where this one takes one."""
        if not (math.isfinite(slowdown) and slowdown > 0.0):
            raise InvalidInput(f"slowdown is {slowdown!r}; need a finite number > 0")
        return replace(
            self,
            seconds=tuple(slowdown * seconds for seconds in self.seconds),
            whole=slowdown * self.whole,
            kernels=slowdown * self.kernels,
        )

    def to_json(self) -> str:
        """The profile as one JSON object; :meth:`from_json` is the inverse."""
        return json.dumps({"format": _FORMAT, **asdict(self)})

    @classmethod
    def from_json(cls, text: str) -> Profile:
        """Read what :meth:`to_json` wrote; raises InvalidInput if it is anything else."""
        try:
            fields = json.loads(text)
            if fields.pop("format") != _FORMAT:
                raise ValueError("another format")
            return cls(
                digest=str(fields["digest"]),
                platform=str(fields["platform"]),
                threads=int(fields["threads"]),
                operators=tuple(str(name) for name in fields["operators"]),
                seconds=tuple(float(seconds) for seconds in fields["seconds"]),
                whole=float(fields["whole"]),
                kernels=float(fields["kernels"]),
                spread=float(fields["spread"]),
                repeats=int(fields["repeats"]),
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise InvalidInput(f"not a {_FORMAT} file: {error}") from error
