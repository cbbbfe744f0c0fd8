"""What an agent keeps over its strategies: what every inference returned, and what it taught."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clients.adapting import Watch
from clients.config import AgentConfig, Emit
from clients.offload import Inference
from dds.model.graph import ModelGraph
from dds.predict.correction import Times
from dds.profile.runtime import random_inputs

__all__ = ["Logbook"]

Outputs = dict[str, NDArray[Any]]


class Logbook:
    """Inputs by number; outputs, latencies and predictions by strategy; what was learned.

    The correction is of the device, the link and the server, so it is carried from one strategy
    to the next.
    """

    def __init__(self, config: AgentConfig, graph: ModelGraph, emit: Emit) -> None:
        self.emit = emit
        self.watch = Watch()
        self.outputs: dict[str, list[Outputs]] = {}
        self._latencies: dict[str, dict[str, list[float]]] = {}
        self._config = config
        self._graph = graph

    def inputs(self, index: int) -> Outputs:
        """The inputs of an inference, the same for every strategy."""
        return random_inputs(self._graph, np.random.default_rng([self._config.seed, index]))

    def count(self, strategy: str) -> int:
        """Inferences of the strategy so far."""
        return len(self.outputs.get(strategy, ()))

    def latencies(self, strategy: str) -> Mapping[str, list[float]]:
        """Seconds of its inferences: predicted without and with correction, and measured."""
        return self._latencies[strategy]

    def record(self, strategy: str, done: Inference, predicted: Times) -> None:
        """Note an inference and learn from it; emits ``inference``, and ``changed`` if it did.

        predicted: what uncorrected costs said it would take.
        """
        index = self.count(strategy)
        corrected = self.watch.correction.corrected(predicted).total
        latencies = {
            "uncorrected_latency_s": predicted.total,
            "corrected_latency_s": corrected,
            "measured_latency_s": done.latency,
        }
        kept = self._latencies.setdefault(strategy, {name: [] for name in latencies})
        for name, seconds in latencies.items():
            kept[name].append(seconds)
        self.outputs.setdefault(strategy, []).append(done.outputs)
        self.emit({"event": "inference", "strategy": strategy, "index": index,
                   "latency_s": done.latency, "uncorrected_latency_s": predicted.total,
                   "corrected_latency_s": corrected, "device_s": done.device,
                   "device_cpu_s": done.device_cpu, "network_s": done.network,
                   "network_overhead_s": done.network_overhead, "server_s": done.server,
                   "server_cpu_s": done.server_cpu, "hop_s": done.hop, "cloud_s": done.cloud,
                   "cloud_cpu_s": done.cloud_cpu})  # fmt: skip
        # Behind the device there are one link and one server, or two of each.
        measured = Times(done.device, done.network + done.hop, done.server + done.cloud)
        self.watch = self.watch.observe(measured, predicted)
        for change in self.watch.correction.changes:
            self.emit({"event": "changed", "strategy": strategy, "index": index,
                       "segment": change.segment.value, "before": change.before,
                       "after": change.after})  # fmt: skip
