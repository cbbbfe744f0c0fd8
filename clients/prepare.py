"""What an agent finds out before it meets a server: its model, and how fast it runs here."""

from __future__ import annotations

from dataclasses import dataclass

from clients.config import AgentConfig, Emit
from dds.model.graph import ModelGraph
from dds.profile.profile import Profile

__all__ = ["Prepared", "prepare"]

#: Seconds to wait for other processes that measure: many clients may start together.
_PATIENCE = 120.0


@dataclass(frozen=True)
class Prepared:
    """A model, its graph, and its profile on this machine at the device's runtime."""

    model: bytes
    graph: ModelGraph
    profile: Profile


def prepare(config: AgentConfig, emit: Emit) -> Prepared:
    """Read and profile the model; emits ``loaded`` and ``profiled``."""
    from dds.model import load_model, zoo
    from dds.profile.cache import measured_profile
    from dds.profile.platform import Platform

    model = zoo.read(config.model, seed=config.seed)
    graph = load_model(model)
    emit({"event": "loaded", "model": config.model, "operators": len(graph.operators),
          "bytes": len(model)})  # fmt: skip
    profile, cached = measured_profile(
        model,
        graph,
        cache=config.cache,
        repeats=config.repeats,
        budget=config.budget,
        patience=_PATIENCE,
        platform=Platform(config.runtime),
    )
    emit({"event": "profiled", "cached": cached, "cpu_s": profile.whole,
          "groups": len(profile.groups),
          "local_latency_s": config.slowdown.first * sum(profile.seconds)})  # fmt: skip
    return Prepared(model, graph, profile)
