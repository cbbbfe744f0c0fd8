"""The device agent: profile, frontier, join, bid, upload, infer - once per strategy.

Strategies: ``dds`` plays the market with its whole frontier; ``edge-only`` plays the same market
with one piece, everything on the server, so both are priced by the same rule; ``local-only``
runs everything on the device and buys nothing.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clients.errors import CallFailed, MarketRefused
from clients.link import ShapedLink
from clients.offload import Offload
from clients.player import Player
from clients.results import certificate, compare, cut_summary, market_summary
from clients.runner import DeviceRunner
from clients.server import Server
from dds.costs import Device, Link, Timing, operator_times, server_times
from dds.cut.network import make_cut, score
from dds.cut.pieces import Frontier
from dds.cut.solver import frontier
from dds.errors import InvalidInput
from dds.market.client import Client
from dds.model.graph import ModelGraph
from dds.profile.profile import Profile
from dds.profile.runtime import random_inputs
from dds.session.answers import Settlement
from dds.session.client import ClientSession
from dds.session.messages import Bid, Post, Quotation, Terms
from dds.session.states import ClientState

__all__ = ["STRATEGIES", "Agent", "AgentConfig", "Prepared", "prepare"]

STRATEGIES = ("dds", "local-only", "edge-only")

Array = NDArray[Any]
#: Seconds within which news of another allocation arrives.
_NEWS = 0.5

#: Told of everything that happens, as one JSON object each.
Emit = Callable[[Mapping[str, Any]], None]
#: Waits until whoever runs several agents lets this one go on; told where it stands.
Pause = Callable[[str, str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class AgentConfig:
    """One ``mec-client``.

    model: ``zoo:NAME`` or a path; slowdown: seconds the device takes per second of CPU time
    here; value_of_time: w, credits/s per s; min_share, max_share: cores; inferences: per
    strategy; seed: of weights and inputs; repeats, budget: of the profile; cache: its folder.

    Raises InvalidInput for an unknown or repeated strategy and for numbers out of range.
    """

    name: str
    model: str
    slowdown: float
    link: Link
    value_of_time: float
    min_share: float = 0.0
    max_share: float = float("inf")
    inferences: int = 3
    strategies: tuple[str, ...] = ("dds",)
    seed: int = 0
    repeats: int = 40
    budget: float = 0.4
    cache: Path | None = None

    def __post_init__(self) -> None:
        for strategy in self.strategies:
            if strategy not in STRATEGIES:
                raise InvalidInput(f"strategy {strategy!r} is not one of {', '.join(STRATEGIES)}")
        if not self.strategies or len(set(self.strategies)) < len(self.strategies):
            raise InvalidInput("strategies: need at least one, and none twice")
        if self.inferences < 1:
            raise InvalidInput(f"inferences is {self.inferences}; need at least 1")
        if not 0.0 < self.slowdown < float("inf"):
            raise InvalidInput(f"device slowdown is {self.slowdown!r}; need a finite number > 0")


@dataclass(frozen=True)
class Prepared:
    """What an agent knows before it meets a server: its model, and how fast it runs here."""

    model: bytes
    graph: ModelGraph
    profile: Profile


def prepare(config: AgentConfig, emit: Emit) -> Prepared:
    """Read and profile the model; emits ``loaded`` and ``profiled``."""
    from dds.model import load_model, zoo
    from dds.profile.cache import measured_profile

    model = zoo.read(config.model, seed=config.seed)
    graph = load_model(model)
    emit({"event": "loaded", "model": config.model, "operators": len(graph.operators),
          "bytes": len(model)})  # fmt: skip
    profile, cached = measured_profile(
        model, graph, cache=config.cache, repeats=config.repeats, budget=config.budget
    )
    emit({"event": "profiled", "cached": cached, "cpu_s": profile.whole,
          "local_latency_s": config.slowdown * sum(profile.seconds)})  # fmt: skip
    return Prepared(model, graph, profile)


class Agent:
    """One client of one server; :meth:`run` plays its strategies one after another.

    emit: told of every event; pause(strategy, before): awaited before each strategy joins the
    market again, starts its inferences, and leaves.
    """

    def __init__(
        self, config: AgentConfig, prepared: Prepared, server: Server, emit: Emit, pause: Pause
    ) -> None:
        self._config = config
        self._model = prepared.model
        self._graph = prepared.graph
        self._device = prepared.profile.scaled(config.slowdown)
        self._profile = prepared.profile
        self._server = server
        self._emit = emit
        self._pause = pause
        self._outputs: dict[str, list[dict[str, Array]]] = {}

    async def run(self) -> dict[str, Any]:
        """Play every strategy; returns the ``done`` event, which it does not emit."""
        results: dict[str, dict[str, Any]] = {}
        for strategy in self._config.strategies:
            if strategy == "local-only":
                results[strategy] = await self._local_only()
            else:
                if results:
                    await self._pause(strategy, "join")
                results[strategy] = await self._market(strategy)
        references = self._outputs.get("local-only") or await self._references()
        for strategy, result in results.items():
            difference = compare(self._outputs[strategy], references)
            result["max_abs_difference"] = difference.absolute
            result["max_relative_difference"] = difference.relative
            result["outputs_match"] = difference.match
        return {"event": "done", "name": self._config.name, "model": self._config.model,
                "strategies": results}  # fmt: skip

    # ---- on the device alone ---------------------------------------------------------------

    async def _local_only(self) -> dict[str, Any]:
        everything = make_cut(
            self._graph, range(len(self._graph.operators)), self._device.operator_times(self._graph)
        )
        runner = await asyncio.to_thread(DeviceRunner, self._model, self._config.slowdown)
        try:
            # The first run of a session costs more than those that a device at work makes.
            await runner.run(self._inputs(0), paced=False)
            await self._pause("local-only", "infer")
            latencies = []
            for index in range(self._config.inferences):
                done = await runner.run(self._inputs(index))
                self._record("local-only", index, done.outputs, done.wall, device_cpu_s=done.cpu)
                latencies.append(done.wall)
        finally:
            runner.close()
        return {"predicted_latency_s": everything.local_time, "measured_latency_s": latencies,
                "cut": cut_summary(self._graph, everything)}  # fmt: skip

    async def _references(self) -> list[dict[str, Array]]:
        """Outputs of the whole model, computed at full speed."""
        runner = await asyncio.to_thread(DeviceRunner, self._model, 1.0)
        try:
            indices = range(self._config.inferences)
            runs = [await runner.run(self._inputs(index), paced=False) for index in indices]
        finally:
            runner.close()
        return [done.outputs for done in runs]

    # ---- in the market ---------------------------------------------------------------------

    async def _market(self, strategy: str) -> dict[str, Any]:
        config = self._config
        session = ClientSession(config.name, secrets.token_urlsafe(18))

        def on_bid(post: Post, bid: Bid) -> None:
            question = post.question
            asked = {"price": question.price} if isinstance(question, Quotation) else {}
            self._emit({"event": "round", "strategy": strategy, "epoch": bid.epoch,
                        "round": bid.round, "share": bid.share, **asked})  # fmt: skip

        async with Player(session, self._server, on_bid=on_bid) as player:
            await player.until(ClientState.ADMITTED)
            terms = session.terms
            assert terms is not None  # noqa: S101 -- an admitted session has its terms
            pieces = self._frontier(strategy, terms)
            client = Client(
                pieces, config.value_of_time, config.min_share, config.max_share, config.name
            )
            points = [[piece.base_latency, piece.server_work] for piece in pieces.pieces]
            self._emit({"event": "joined", "strategy": strategy, "capacity": terms.capacity,
                        "core": terms.core.name, "measured_core": self._measures(terms),
                        "pieces": points})  # fmt: skip
            player.update(client)
            await player.until(ClientState.HOLDING)
            messages = {"sent": player.sent, "received": player.received}
            link = ShapedLink(config.link)
            with Offload(self._model, self._graph, self._server, config.slowdown, link) as offload:
                result = await self._play_out(strategy, player, client, offload, terms)
        return {**result, "messages": messages["sent"], "messages_received": messages["received"]}

    def _measures(self, terms: Terms) -> bool:
        """Whether the server's core is this machine's, so that one profile serves both."""
        return terms.core.platform == self._profile.platform

    def _frontier(self, strategy: str, terms: Terms) -> Frontier:
        core = terms.core
        server: Timing = (
            self._profile.scaled(core.slowdown)
            if self._measures(terms)
            else Device(core.name, core.flops_per_s, core.bytes_per_s, core.overhead)
        )
        if strategy == "dds":
            # Once per client: importing numba would cost hundreds of times the search.
            link = self._config.link
            return frontier(self._graph, self._device, server, link, engine="python")
        nothing = make_cut(self._graph, (), operator_times(self._graph, self._device))
        return Frontier((score(nothing, server_times(self._graph, server), self._config.link),))

    async def _play_out(
        self, strategy: str, player: Player, client: Client, offload: Offload, terms: Terms
    ) -> dict[str, Any]:
        """Upload and infer at the allocation in force, which may change on the way."""
        latencies: list[float] = []
        epoch = -1
        while True:
            lease, held = _holding(player)
            cut = client.frontier.pieces[held.piece].cut
            assert cut is not None  # noqa: S101 -- this agent made every piece from a cut
            if held.allocation.epoch != epoch:
                epoch = held.allocation.epoch
                summary = {**market_summary(held), "cut": cut_summary(self._graph, cut)}
                self._emit({"event": "allocated", "strategy": strategy, **summary})
                upload = await offload.prepare(cut, lease, self._inputs(0))
                self._emit({"event": "uploaded", "strategy": strategy, "bytes": upload.bytes,
                            "known": upload.known})  # fmt: skip
            if not latencies:
                await self._pause(strategy, "infer")
            index = len(latencies)
            try:
                done = await offload.infer(self._inputs(index), lease, held.latency)
            except CallFailed:
                # The share may be another now, of which this side has not heard yet.
                await asyncio.sleep(_NEWS)
                if _holding(player) == (lease, held):
                    raise
                continue
            self._record(strategy, index, done.outputs, done.latency,
                         predicted_latency_s=held.latency, device_s=done.device,
                         device_cpu_s=done.device_cpu, network_s=done.network,
                         network_overhead_s=done.network_overhead, server_s=done.server,
                         server_cpu_s=done.server_cpu)  # fmt: skip
            latencies.append(done.latency)
            if len(latencies) == self._config.inferences:
                break
        await self._pause(strategy, "leave")
        return {**summary, **certificate(client, held, terms),
                "measured_latency_s": latencies}  # fmt: skip

    # ---- small parts -----------------------------------------------------------------------

    def _inputs(self, index: int) -> dict[str, Array]:
        """The same for every strategy."""
        return random_inputs(self._graph, np.random.default_rng([self._config.seed, index]))

    def _record(
        self, strategy: str, index: int, outputs: dict[str, Array], latency: float, **more: float
    ) -> None:
        self._outputs.setdefault(strategy, []).append(outputs)
        self._emit({"event": "inference", "strategy": strategy, "index": index,
                    "latency_s": latency, **more})  # fmt: skip


def _holding(player: Player) -> tuple[str, Settlement]:
    """The lease and what it holds; raises MarketRefused when the market has let go of it."""
    lease, settlement = player.session.lease, player.session.settlement
    if lease is None or settlement is None or player.ended:
        raise MarketRefused(f"the market let go of {player.session.name!r}; join again")
    return lease, settlement
