"""One strategy in the market: join, bid, upload, infer, and play again when costs have changed."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from clients.adapting import LEAST_SAVING, saving
from clients.cloud import CloudShare
from clients.config import IN_CLOUD, AgentConfig, Pause
from clients.course import Course, Switch, moved
from clients.errors import CallFailed
from clients.link import ShapedLink
from clients.logbook import Logbook
from clients.offload import Leases, Offload, Servers
from clients.planning import Options, Placement, Planner, TwoTiers
from clients.player import Player
from clients.prepare import Prepared
from clients.results import certificate, cut_summary, market_summary, placement_summary
from clients.served import server_costs
from clients.tiers import ThreeTiers
from dds.costs.link import Link
from dds.costs.trace import Steady
from dds.errors import DdsError
from dds.market.client import Client
from dds.session.answers import Settlement
from dds.session.client import ClientSession
from dds.session.messages import Bid, Post, Quotation, Terms
from dds.session.states import ClientState
from dds.tiers.links import TierLinks, relayed

if TYPE_CHECKING:
    from clients.parallel import Crew

__all__ = ["Trade"]

#: Seconds within which news of another allocation arrives.
_NEWS = 0.5


class Trade:
    """Plays one strategy from join to leave; :meth:`run` returns what is reported of it.

    crew: the device and its helpers, None without any.
    """

    def __init__(
        self,
        strategy: str,
        config: AgentConfig,
        prepared: Prepared,
        servers: Servers,
        log: Logbook,
        crew: Crew | None = None,
    ) -> None:
        self._crew = crew
        self._strategy = strategy
        self._config = config
        self._prepared = prepared
        self._servers = servers
        self._log = log
        self._link = ShapedLink(config.trace or Steady(config.link))
        #: Costs, and the link they are of, by revision: what an epoch plays may be older than the
        #: newest.
        self._played: dict[int, tuple[Client, Options, Link]] = {}

    async def run(self, pause: Pause) -> dict[str, Any]:
        """Join, play, infer and leave; pauses before inferring and leaving."""
        session = ClientSession(self._config.name, secrets.token_urlsafe(18))
        player = Player(session, self._servers.edge, on_bid=self._on_bid)
        async with player, AsyncExitStack() as stack:
            try:
                return await self._trade(player, stack, pause)
            except CallFailed as error:
                # It may have been the first sign of a server that stops, or of a lost lease.
                await asyncio.sleep(_NEWS)
                if player.ended:
                    raise player.end() from error
                raise

    async def _trade(self, player: Player, stack: AsyncExitStack, pause: Pause) -> dict[str, Any]:
        """What comes between joining and leaving."""
        config, prepared = self._config, self._prepared
        await player.until(ClientState.ADMITTED)
        terms = player.session.terms
        assert terms is not None  # noqa: S101 -- it is admitted
        cloud = await self._join_cloud(stack)
        self._planner, source = await self._plan(player, terms, cloud)
        client, options = self._client()
        points = [[p.base_latency, p.server_work] for p in client.frontier.pieces]
        self._emit("joined", capacity=terms.capacity, core=terms.core.name, server=source,
                   groups=self._planner.groups, pieces=points)  # fmt: skip
        self._enter(player, client, options)
        await player.until(ClientState.HOLDING)
        messages = {"messages": player.sent, "messages_received": player.received}
        offload = await stack.enter_async_context(
            Offload(prepared.model, prepared.graph, self._servers, self._link, config.runtime,
                    config.cloud,
                    open_runner=self._crew.open_part if self._crew else None)
        )  # fmt: skip

        async def prepare(placement: Placement) -> None:
            leases = _leases(player, cloud)
            upload = await offload.prepare(placement, leases, self._log.inputs(0))
            self._emit("uploaded", bytes=upload.bytes, known=upload.known)

        course = await stack.enter_async_context(
            Course(offload, prepare, cloud, self._on_switch, self._on_kept)
        )
        result = await self._play_out(player, offload, course, cloud, terms, pause)
        return {**result, **self._log.latencies(self._strategy), **messages}

    async def _join_cloud(self, stack: AsyncExitStack) -> CloudShare | None:
        """The share in the cloud, bought: what it costs is known then; None where none is used."""
        config, server = self._config, self._servers.cloud
        if config.cloud is None or server is None or self._strategy not in IN_CLOUD:
            return None
        cloud = CloudShare(config.name, config.cloud.share, server, self._log.emit)
        await stack.enter_async_context(cloud)
        return cloud

    async def _plan(
        self, player: Player, terms: Terms, cloud: CloudShare | None
    ) -> tuple[Planner, str]:
        """What to plan with, and where the servers' seconds come from."""
        config, prepared, log = self._config, self._prepared, self._log
        lease = player.session.lease or ""
        far = self._servers.cloud
        costs, source = await server_costs(
            config, prepared, self._servers.edge, lease, terms, log.emit,
            cuts=self._strategy == "dds" and cloud is None and self._crew is None,
        )  # fmt: skip
        all_there = self._strategy != "dds"
        planner: Planner = TwoTiers(costs, all_there=all_there)
        if self._crew is not None and not all_there:
            from clients.helped import HelpedTiers  # schedules load numba: half a second

            self._crew.preparing("looking for cuts, and for schedules of the device's part")
            planner = await asyncio.to_thread(
                HelpedTiers.of, costs, *self._crew.workers(prepared.graph)
            )
        if cloud is not None and far is not None and config.cloud is not None:
            link = relayed(TierLinks(config.link, config.cloud.link))
            there, behind = await server_costs(
                replace(config, link=link), prepared, far, cloud.lease, cloud.terms, log.emit,
                cuts=False,
            )  # fmt: skip
            offer = await cloud.hold()
            source = f"{source}, cloud: {behind}"
            planner = await asyncio.to_thread(
                ThreeTiers.of, costs, there, config.cloud.link, config.cloud.direct_rtt, offer,
                config.value_of_time, all_there=all_there,
            )  # fmt: skip
        if config.trace:
            # Whatever is made ready at the first choice is not there to be waited for later.
            await asyncio.to_thread(planner.best, 1.0, self._link.link, log.watch.correction)
        return planner, source

    def _client(self) -> tuple[Client, Options]:
        """This strategy's costs by what was learned so far, over the link there is now."""
        config = self._config
        options = self._planner.options(self._link.link, self._log.watch.correction)
        bounds = config.min_share, config.max_share
        return Client(options.frontier, config.value_of_time, *bounds, config.name), options

    def _enter(self, player: Player, client: Client, options: Options) -> None:
        """Enter the game with these costs, or another one with new costs."""
        player.update(client)
        self._played[player.session.revision] = client, options, self._link.link

    async def _play_out(
        self,
        player: Player,
        offload: Offload,
        course: Course,
        cloud: CloudShare | None,
        terms: Terms,
        pause: Pause,
    ) -> dict[str, Any]:
        """Upload and infer at the allocation in force, which may change on the way."""
        strategy, log, wanted = self._strategy, self._log, self._config.inferences
        epoch = -1
        while True:
            held = _holding(player)
            share = held.allocation.share
            client, options, link = self._played[held.allocation.revision]
            if held.allocation.epoch != epoch:
                epoch, planned = held.allocation.epoch, link
                placement = options.placements[held.piece]
                summary = self._summary(held, placement)
                self._emit("allocated", **summary)
                course.want(partial(_listed, placement), "allocation")
            link = self._link.link
            if moved(planned, link):
                planned = link
                course.want(partial(self._best, player), "link")
            placement = await course.follow(partial(_served, share))
            index = log.count(strategy)
            if index == 0:
                await pause(strategy, "infer")
                self._link.begin()
            predicted = self._planner.times(placement, share, self._link.link)
            try:
                done = await offload.infer(
                    log.inputs(index), _leases(player, cloud), self._config.slowdown.at(index),
                    predicted.total,
                )  # fmt: skip
            except CallFailed:
                # The share may be another now, of which this side has not heard yet.
                await asyncio.sleep(_NEWS)
                if _holding(player) == held:
                    raise
                continue
            log.record(strategy, done, predicted)
            if log.count(strategy) == wanted:
                break
            self._reconsider(player, placement, held, terms)
        await pause(strategy, "leave")
        return {**summary, **certificate(client, held, terms)}

    def _best(self, player: Player) -> Callable[[], Placement]:
        """The best placement over the link there is now, at the share there is now."""
        share = _holding(player).allocation.share
        return self._planner.best(share, self._link.link, self._log.watch.correction)

    def _summary(self, held: Settlement, placement: Placement) -> dict[str, Any]:
        """What was bought, and what for; the latency is without what the cloud costs."""
        return {
            **market_summary(held),
            "predicted_latency_s": held.latency - self._planner.rent(placement),
            "cut": self._cut_summary(placement),
        }

    def _cut_summary(self, placement: Placement) -> dict[str, Any]:
        graph = self._prepared.graph
        if self._config.cloud is None:
            return cut_summary(graph, placement.first)
        return placement_summary(graph, placement)

    def _reconsider(
        self, player: Player, placement: Placement, held: Settlement, terms: Terms
    ) -> None:
        """Play again, with what was learned, when that pays (clients/adapting.py says when)."""
        newest = held.allocation.revision == player.session.revision
        only = self._config.one_game or self._strategy != "dds"
        if only or not (newest and self._log.watch.due):
            return
        client, options = self._client()
        times = self._planner.times(placement, held.allocation.share, self._link.link)
        now = self._log.watch.correction.corrected(times).total + self._planner.rent(placement)
        saved = saving(client, now, held.allocation, terms)
        again = saved > LEAST_SAVING
        self._log.watch = self._log.watch.looked(again=again)
        self._emit("reconsidered", index=self._log.count(self._strategy) - 1, saving=saved,
                   again=again)  # fmt: skip
        if again:
            self._enter(player, client, options)

    def _on_switch(self, switch: Switch) -> None:
        """Another placement is in force from the next inference on."""
        if switch.before is not None:
            self._emit("recut", index=self._log.count(self._strategy), because=switch.why,
                       microseconds=1e6 * switch.seconds, before=self._cut_summary(switch.before),
                       after=self._cut_summary(switch.after))  # fmt: skip

    def _on_kept(self, error: DdsError) -> None:
        """The placement in force serves on."""
        self._emit("not recut", index=self._log.count(self._strategy), because=str(error))

    def _on_bid(self, post: Post, bid: Bid) -> None:
        question = post.question
        asked = {"price": question.price} if isinstance(question, Quotation) else {}
        self._emit("round", epoch=bid.epoch, round=bid.round, share=bid.share, **asked)

    def _emit(self, event: str, **details: Any) -> None:
        told: Mapping[str, Any] = {"event": event, "strategy": self._strategy, **details}
        self._log.emit(told)


def _listed(placement: Placement) -> Callable[[], Placement]:
    """A placement that needs no choosing."""
    return lambda: placement


def _served(share: float, placement: Placement) -> bool:
    """Whether the placement can run at this share of the edge."""
    return share > 0.0 or not placement.on_edge


def _leases(player: Player, cloud: CloudShare | None) -> Leases:
    return Leases(player.session.lease or "", cloud.lease if cloud else "")


def _holding(player: Player) -> Settlement:
    """What the lease holds; raises what :meth:`Player.end` says when the session is over."""
    settlement = player.session.settlement
    if player.session.lease is None or settlement is None or player.ended:
        raise player.end()
    return settlement
