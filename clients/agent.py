"""The device agent: join, bid, upload, infer - once per strategy - and compare the outputs.

Strategies: ``dds`` plays the market with its whole frontier; ``edge-only`` plays the same market
with one piece, everything on the server, so both are priced by the same rule; ``cloud-only`` runs
everything in the cloud, by the faster way; ``local-only`` runs everything on the device and buys
nothing.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from clients.adapting import Watch
from clients.config import AgentConfig, Emit, Pause
from clients.costs import per_operator
from clients.logbook import Logbook, Outputs
from clients.offload import Inference, Servers
from clients.prepare import Prepared
from clients.results import compare, cut_summary
from clients.runner import DeviceRunner, Runner
from clients.trade import Trade
from dds.cut.network import make_cut
from dds.errors import InvalidInput
from dds.predict.correction import Segment, Times

if TYPE_CHECKING:
    from clients.parallel import Crew

__all__ = ["Agent"]


class Agent:
    """One client of one server, of the cloud behind it where it uses one, and of its helpers.

    :meth:`run` plays its strategies one after another.

    servers: None where every strategy does without; crew: the device and its helpers, None
    without; emit: told of every event; pause(strategy, before): awaited before each strategy
    joins the market again, starts its inferences, and leaves.
    """

    def __init__(
        self,
        config: AgentConfig,
        prepared: Prepared,
        servers: Servers | None,
        emit: Emit,
        pause: Pause,
        crew: Crew | None = None,
    ) -> None:
        self._crew = crew
        self._config = config
        self._prepared = prepared
        self._servers = servers
        self._pause = pause
        self._log = Logbook(config, prepared.graph, emit)

    async def run(self) -> dict[str, Any]:
        """Play every strategy; returns the ``done`` event, which it does not emit."""
        results: dict[str, dict[str, Any]] = {}
        for strategy in self._config.strategies:
            if strategy == "local-only":
                results[strategy] = await self._local_only()
            else:
                if results:
                    await self._pause(strategy, "join")
                trade = Trade(
                    strategy, self._config, self._prepared, self._market(strategy), self._log,
                    self._crew,
                )  # fmt: skip
                results[strategy] = await trade.run(self._pause)
        alone = None if self._crew else self._log.outputs.get("local-only")
        references = alone or await self._references()
        for strategy, result in results.items():
            difference = compare(self._log.outputs[strategy], references)
            result["max_abs_difference"] = difference.absolute
            result["max_relative_difference"] = difference.relative
            result["outputs_match"] = difference.match
        return {"event": "done", "name": self._config.name, "model": self._config.model,
                "strategies": results}  # fmt: skip

    def _market(self, strategy: str) -> Servers:
        if self._servers is None:
            raise InvalidInput(f"strategy {strategy}: needs a server; only local-only does without")
        return self._servers

    async def _local_only(self) -> dict[str, Any]:
        graph, slowdown = self._prepared.graph, self._config.slowdown
        profile = self._prepared.profile.scaled(slowdown.first)
        everything = make_cut(graph, range(len(graph.operators)), per_operator(graph, profile))
        runner: Runner
        if self._crew:
            # Learned of one plan, a factor says little about another.
            self._log.watch = Watch()
            runner = promising = await self._crew.open(self._prepared.model)
        else:
            runner, promising = await self._alone(self._prepared.model), None

        def predicted() -> Times:
            """What the plan in force promises: helpers that are lost make it longer."""
            seconds = promising.latency if promising else everything.local_time
            return Times(seconds, 0.0, 0.0)

        promised = predicted().device * self._log.watch.correction.factor(Segment.DEVICE)
        try:
            # The first run of a session costs more than those that a device at work makes.
            await runner.run(self._log.inputs(0))
            await self._pause("local-only", "infer")
            for index in range(self._config.inferences):
                expected = predicted()
                done = await runner.run(self._log.inputs(index), slowdown.at(index))
                inference = Inference(
                    done.outputs, done.wall, device=done.wall, device_cpu=done.cpu
                )
                self._log.record("local-only", inference, expected)
            team = {"parallel": promising.summary()} if promising else {}
        finally:
            await asyncio.to_thread(runner.close)
        return {"predicted_latency_s": promised, **self._log.latencies("local-only"),
                "cut": cut_summary(graph, everything), **team}  # fmt: skip

    async def _references(self) -> list[Outputs]:
        """Outputs of the whole model as it was given, computed here at full speed."""
        runner = await self._alone(self._prepared.original)
        try:
            indices = range(self._config.inferences)
            runs = [await runner.run(self._log.inputs(index)) for index in indices]
        finally:
            runner.close()
        return [done.outputs for done in runs]

    async def _alone(self, model: bytes) -> DeviceRunner:
        """A whole model on the device."""
        return await asyncio.to_thread(DeviceRunner, model, self._config.runtime)
