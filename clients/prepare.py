"""What an agent finds out before it meets a server: its model, and how fast it runs here."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from clients.config import AgentConfig, Emit
from dds.errors import Infeasible
from dds.model.graph import ModelGraph
from dds.profile.profile import Profile

__all__ = ["Prepared", "prepare"]

#: Seconds to wait for other processes that measure: many clients may start together.
_PATIENCE = 120.0
#: How often to look meanwhile whether to stop, s.
_LOOK = 0.5


@dataclass(frozen=True)
class Prepared:
    """A model, its graph, and its profile on this machine at the device's runtime.

    original: the model as it was given, its shapes fixed; `model` may have been rewritten so that
    it can be sliced.
    """

    model: bytes
    graph: ModelGraph
    profile: Profile
    original: bytes


def prepare(config: AgentConfig, emit: Emit, stop: threading.Event | None = None) -> Prepared:
    """Read and profile the model; emits ``loaded``, ``preparing`` and ``profiled``.

    stop: once it is set nothing more is measured.  Raises Infeasible then, and when other processes
    measure on this machine for too long.
    """
    from dds.model import load_model, zoo
    from dds.model.fixing import fixed
    from dds.parallel.normalise import normalise

    # What is known of a model goes by its digest: shapes are part of it from here on.
    given = model = fixed(zoo.read(config.model, seed=config.seed), config.shapes)
    if config.helpers is not None:
        model = normalise(given)
    graph = load_model(model)
    emit({"event": "loaded", "model": config.model, "operators": len(graph.operators),
          "bytes": len(model)})  # fmt: skip
    profile, cached = _profile(config, model, graph, emit, stop or threading.Event())
    emit({"event": "profiled", "cached": cached, "cpu_s": profile.whole,
          "groups": len(profile.groups),
          "local_latency_s": config.slowdown.first * sum(profile.seconds)})  # fmt: skip
    return Prepared(model, graph, profile, given)


def _profile(
    config: AgentConfig, model: bytes, graph: ModelGraph, emit: Emit, stop: threading.Event
) -> tuple[Profile, bool]:
    from dds.profile.cache import measured_profile
    from dds.profile.platform import Platform

    def look(done: int, _total: int) -> None:
        if not done:
            emit({"event": "preparing", "what": "measuring the model on this device"})
        if stop.is_set():
            raise Infeasible("the client was told to stop while it measured its model")

    end = time.monotonic() + _PATIENCE
    while True:
        try:
            return measured_profile(
                model,
                graph,
                cache=config.cache,
                repeats=config.repeats,
                budget=config.budget,
                patience=_LOOK,
                platform=Platform(config.runtime),
                report=look,
            )
        except Infeasible:
            if stop.is_set() or time.monotonic() >= end:
                raise
