"""One strategy in the market: join, bid, upload, infer, and play again when costs have changed."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from typing import Any

from clients.adapting import LEAST_SAVING, saving
from clients.config import AgentConfig, Pause
from clients.errors import CallFailed, MarketRefused
from clients.link import ShapedLink
from clients.logbook import Logbook
from clients.offload import Offload
from clients.player import Player
from clients.prepare import Prepared
from clients.results import certificate, cut_summary, market_summary
from clients.served import server_costs
from clients.server import Server
from dds.cut.pieces import Cut, Frontier
from dds.market.client import Client
from dds.session.answers import Settlement
from dds.session.client import ClientSession
from dds.session.messages import Bid, Post, Quotation, Terms
from dds.session.states import ClientState

__all__ = ["Trade"]

#: Seconds within which news of another allocation arrives.
_NEWS = 0.5


class Trade:
    """Plays one strategy from join to leave; :meth:`run` returns what is reported of it."""

    def __init__(
        self,
        strategy: str,
        config: AgentConfig,
        prepared: Prepared,
        server: Server,
        log: Logbook,
    ) -> None:
        self._strategy = strategy
        self._config = config
        self._prepared = prepared
        self._server = server
        self._log = log
        #: Costs by revision: what an epoch plays may be older than the newest.
        self._played: dict[int, Client] = {}

    async def run(self, pause: Pause) -> dict[str, Any]:
        """Join, play, infer and leave; pauses before inferring and leaving."""
        config = self._config
        session = ClientSession(config.name, secrets.token_urlsafe(18))
        async with Player(session, self._server, on_bid=self._on_bid) as player:
            await player.until(ClientState.ADMITTED)
            lease, terms = session.lease, session.terms
            assert lease is not None and terms is not None  # noqa: S101, PT018 -- it is admitted
            self._costs, source = await server_costs(
                config, self._prepared, self._server, lease, terms, self._log.emit,
                cuts=self._strategy == "dds",
            )  # fmt: skip
            client = self._client()
            points = [[p.base_latency, p.server_work] for p in client.frontier.pieces]
            self._emit("joined", capacity=terms.capacity, core=terms.core.name, server=source,
                       groups=len(self._costs.fusion.groups), pieces=points)  # fmt: skip
            self._enter(player, client)
            await player.until(ClientState.HOLDING)
            messages = {"messages": player.sent, "messages_received": player.received}
            link = ShapedLink(config.link)
            prepared = self._prepared
            with Offload(
                prepared.model, prepared.graph, self._server, link, config.runtime
            ) as offload:
                result = await self._play_out(player, offload, terms, pause)
        return {**result, **self._log.latencies(self._strategy), **messages}

    def _client(self) -> Client:
        """This strategy's costs by what was learned so far."""
        config, correction = self._config, self._log.watch.correction
        pieces = (
            self._costs.frontier(correction)
            if self._strategy == "dds"
            else Frontier((self._costs.everything_on_server(correction),))
        )
        return Client(pieces, config.value_of_time, config.min_share, config.max_share, config.name)

    def _enter(self, player: Player, client: Client) -> None:
        """Enter the game with these costs, or another one with new costs."""
        player.update(client)
        self._played[player.session.revision] = client

    async def _play_out(
        self, player: Player, offload: Offload, terms: Terms, pause: Pause
    ) -> dict[str, Any]:
        """Upload and infer at the allocation in force, which may change on the way."""
        strategy, log, wanted = self._strategy, self._log, self._config.inferences
        epoch = -1
        while True:
            lease, held = _holding(player)
            client = self._played[held.allocation.revision]
            cut = _cut(client, held)
            if held.allocation.epoch != epoch:
                epoch = held.allocation.epoch
                summary = {
                    **market_summary(held),
                    "cut": cut_summary(self._prepared.graph, cut),
                }
                self._emit("allocated", **summary)
                if not offload.holds(cut):
                    upload = await offload.prepare(cut, lease, log.inputs(0))
                    self._emit("uploaded", bytes=upload.bytes, known=upload.known)
            index = log.count(strategy)
            if index == 0:
                await pause(strategy, "infer")
            try:
                done = await offload.infer(
                    log.inputs(index), lease, self._config.slowdown.at(index), held.latency
                )
            except CallFailed:
                # The share may be another now, of which this side has not heard yet.
                await asyncio.sleep(_NEWS)
                if _holding(player) == (lease, held):
                    raise
                continue
            log.record(strategy, done, self._costs.times(cut, held.allocation.share))
            if log.count(strategy) == wanted:
                break
            self._reconsider(player, cut, held, terms)
        await pause(strategy, "leave")
        return {**summary, **certificate(client, held, terms)}

    def _reconsider(self, player: Player, cut: Cut, held: Settlement, terms: Terms) -> None:
        """Play again, with what was learned, when that pays (clients/adapting.py says when)."""
        newest = held.allocation.revision == player.session.revision
        only = self._config.one_game or self._strategy != "dds"
        if only or not (newest and self._log.watch.due):
            return
        client = self._client()
        now = self._log.watch.correction.corrected(
            self._costs.times(cut, held.allocation.share)
        ).total
        saved = saving(client, now, held.allocation, terms)
        again = saved > LEAST_SAVING
        self._log.watch = self._log.watch.looked(again=again)
        self._emit("reconsidered", index=self._log.count(self._strategy) - 1, saving=saved,
                   again=again)  # fmt: skip
        if again:
            self._enter(player, client)

    def _on_bid(self, post: Post, bid: Bid) -> None:
        question = post.question
        asked = {"price": question.price} if isinstance(question, Quotation) else {}
        self._emit("round", epoch=bid.epoch, round=bid.round, share=bid.share, **asked)

    def _emit(self, event: str, **details: Any) -> None:
        told: Mapping[str, Any] = {"event": event, "strategy": self._strategy, **details}
        self._log.emit(told)


def _cut(client: Client, held: Settlement) -> Cut:
    cut = client.frontier.pieces[held.piece].cut
    assert cut is not None  # noqa: S101 -- this agent made every piece from a cut
    return cut


def _holding(player: Player) -> tuple[str, Settlement]:
    """The lease and what it holds; raises MarketRefused when the market has let go of it."""
    lease, settlement = player.session.lease, player.session.settlement
    if lease is None or settlement is None or player.ended:
        raise MarketRefused(f"the market let go of {player.session.name!r}; join again")
    return lease, settlement
