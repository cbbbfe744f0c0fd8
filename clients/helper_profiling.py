"""How long a model's operators take on a helper."""

from __future__ import annotations

import time
from dataclasses import replace
from statistics import median
from typing import Protocol

import numpy as np

from clients.helper_config import HelperConfig
from dds.engines import Engine
from dds.errors import Infeasible
from dds.model.graph import ModelGraph
from dds.profile.cache import measured_profile
from dds.profile.platform import Platform
from dds.profile.profile import Profile
from dds.profile.runtime import Runtime, platform_fingerprint, random_inputs
from dds.session.refusals import Busy

__all__ = ["Model", "measure_here", "platform_of"]

#: Runs to measure, of which the profile makes most.
_REPEATS, _ENGINE_RUNS = 40, 7


class Model(Protocol):
    """Bytes, and their graph."""

    @property
    def data(self) -> bytes:
        """ONNX."""
        ...

    @property
    def graph(self) -> ModelGraph:
        """Of it."""
        ...


def platform_of(engine: str, runtime: Runtime) -> str:
    """Fingerprint of this machine, its runtime, and the engine where it is not onnxruntime."""
    fingerprint = platform_fingerprint(runtime)
    return fingerprint if engine == "onnxruntime" else f"{fingerprint}, engine {engine}"


def measure_here(config: HelperConfig, engine: Engine, model: Model) -> Profile:
    """The model's profile on this machine.

    Operators are timed in onnxruntime.  On another engine the whole model is timed as well, and
    each operator takes its share of that.

    Raises Busy while another process measures, and InvalidInput for a model that fails.
    """
    seconds = config.limits.profile_seconds
    try:
        profile, _ = measured_profile(
            model.data,
            model.graph,
            cache=config.cache,
            repeats=_REPEATS,
            budget=seconds,
            patience=seconds,
            platform=Platform(config.runtime),
        )
    except Infeasible as error:
        raise Busy(str(error), retry_after=seconds / 2.0) from error
    if config.engine == "onnxruntime":
        return profile
    scaled = profile.scaled(_whole(engine, model, seconds) / profile.whole)
    return replace(scaled, platform=platform_of(config.engine, config.runtime))


def _whole(engine: Engine, model: Model, budget: float) -> float:
    """Seconds of the whole model on an engine: the median of a few runs, after a first one."""
    executable = engine.load(model.data)
    try:
        inputs = random_inputs(model.graph, np.random.default_rng(0))
        executable.run(inputs)
        runs: list[float] = []
        end = time.monotonic() + budget
        while len(runs) < _ENGINE_RUNS and (not runs or time.monotonic() < end):
            started = time.perf_counter()
            executable.run(inputs)
            runs.append(time.perf_counter() - started)
        return median(runs)
    finally:
        executable.close()
