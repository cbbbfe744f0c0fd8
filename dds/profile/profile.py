"""A measured profile: seconds per group of operators of one model on one platform."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from dds.errors import InvalidInput
from dds.model.fusion import Fusion
from dds.model.graph import ModelGraph
from dds.profile.runtime import Runtime

__all__ = ["RESOLUTION", "Profile"]

#: Shortest time a profile states, s: the unit of onnxruntime's profiler, which adds more than twice
#: as much to every kernel by itself.
RESOLUTION = 1e-6

_FORMAT = "dds-profile/2"


@dataclass(frozen=True)
class Profile:
    """Seconds per group of operators that run as one, measured.

    digest: SHA-256 of the model's bytes; platform: fingerprint of the machine, its runtime and
    what slows it; runtime: how onnxruntime is set; groups: the operators that run as one, as
    in :class:`~dds.model.fusion.Fusion`; operators: the name of each group;
    seconds: what each takes, s, >= RESOLUTION, scaled to sum to `whole`; noise: relative
    standard error of each; whole: median of a plain run of the whole model, s, of CPU time with
    one thread, else of wall time; kernels: what the profiled kernel times
    summed to before scaling, s; spread: (max - min) / median of the plain runs;
    repeats: runs behind each number.

    Raises InvalidInput when the lengths differ or a number is out of range.
    """

    digest: str
    platform: str
    runtime: Runtime
    operators: tuple[str, ...]
    groups: tuple[tuple[int, ...], ...]
    seconds: tuple[float, ...]
    noise: tuple[float, ...]
    whole: float
    kernels: float
    spread: float
    repeats: int

    def __post_init__(self) -> None:
        lengths = {len(self.operators), len(self.groups), len(self.seconds), len(self.noise)}
        if len(lengths) != 1:
            raise InvalidInput(
                f"profile: {len(self.seconds)} times and {len(self.noise)} noises for "
                f"{len(self.operators)} operators in {len(self.groups)} groups"
            )
        for name, seconds, noise in zip(self.operators, self.seconds, self.noise, strict=True):
            if not (math.isfinite(seconds) and seconds > 0.0):
                raise InvalidInput(f"profile: operator {name!r} takes {seconds!r} s; need > 0")
            if not (math.isfinite(noise) and noise >= 0.0):
                raise InvalidInput(f"profile: operator {name!r} has noise {noise!r}; need >= 0")
        for name in ("whole", "kernels", "spread"):
            value = getattr(self, name)
            if not (math.isfinite(value) and (value > 0.0 or (value == 0.0 and name != "whole"))):
                least = "> 0" if name == "whole" else ">= 0"
                raise InvalidInput(f"profile.{name} is {value!r}; need a finite number {least}")
        if self.repeats < 1:
            raise InvalidInput(f"profile.repeats is {self.repeats!r}; need at least 1")

    @cached_property
    def fusion(self) -> Fusion:
        """Which operators run as one; ``profile.fusion.fused(graph)`` is the graph to cut."""
        return Fusion(self.groups)

    def operator_times(self, graph: ModelGraph) -> NDArray[np.float64]:
        """Seconds per operator of `graph`: the fused graph, or the model's if nothing is fused.

        Raises InvalidInput if it is another model, or the model's graph where operators are
        fused: what one of them takes by itself was not measured.
        """
        names = tuple(operator.name for operator in graph.operators)
        if names == self.operators:
            return np.array(self.seconds, dtype=np.float64)
        if len(names) == self.fusion.size and self._is_fused_from(names):
            raise InvalidInput(
                f"{self.runtime}: the {len(names)} operators of {graph.name!r} run as "
                f"{len(self.groups)}; fuse first: profile.fusion.fused(graph)"
            )
        raise InvalidInput(
            f"the profile of model {self.digest[:12]} does not list the operators of "
            f"model {graph.digest[:12] or graph.name!r}; measure this model"
        )

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
                runtime=Runtime.from_fields(fields["runtime"]),
                operators=tuple(str(name) for name in fields["operators"]),
                groups=tuple(tuple(int(v) for v in group) for group in fields["groups"]),
                seconds=tuple(float(seconds) for seconds in fields["seconds"]),
                noise=tuple(float(noise) for noise in fields["noise"]),
                whole=float(fields["whole"]),
                kernels=float(fields["kernels"]),
                spread=float(fields["spread"]),
                repeats=int(fields["repeats"]),
            )
        except (
            AttributeError,
            KeyError,
            OverflowError,
            RecursionError,
            TypeError,
            ValueError,
        ) as e:
            raise InvalidInput(f"not a {_FORMAT} file: {e}") from e

    def _is_fused_from(self, names: tuple[str, ...]) -> bool:
        return all(
            0 <= group[-1] < len(names) and names[group[-1]] == name
            for group, name in zip(self.groups, self.operators, strict=True)
            if group
        )
