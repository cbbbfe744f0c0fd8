"""The player against a real market session, over a stream that can be broken on purpose."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from clients.errors import CallFailed, Gone, MarketRefused
from clients.player import Player
from dds.cut.pieces import Frontier
from dds.market.client import Client
from dds.market.tariff import Clearing
from dds.session.client import ClientSession
from dds.session.effects import Send
from dds.session.messages import ClientMessage, Join, ReferenceCore, ServerMessage, Terms
from dds.session.server import MarketServer
from dds.session.states import ClientState
from dds.session.timing import Timing


class Market:
    """A market in memory, with the streams of a server; its clock follows the loop's."""

    address = "market:1"

    def __init__(self) -> None:
        terms = Terms(Clearing(1.0), 1.0, ReferenceCore("core", 1e10, 1e10, 0.0))
        leases = (f"lease-{n}" for n in itertools.count())
        self.server = MarketServer(terms, leases=leases, timing=Timing(batch=0.0))
        self.streams: dict[object, asyncio.Queue[ServerMessage | None]] = {}
        self.opened = 0
        self.refuses_streams = False

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def carry_out(self, effects: list[Any]) -> None:
        for effect in effects:
            if isinstance(effect, Send) and effect.peer in self.streams:
                self.streams[effect.peer].put_nowait(effect.message)

    def break_streams(self) -> None:
        for inbox in self.streams.values():
            inbox.put_nowait(None)

    async def play(self, outgoing: AsyncIterator[ClientMessage]) -> AsyncIterator[ServerMessage]:
        if self.refuses_streams:
            raise CallFailed("UNIMPLEMENTED", "no market here")
        self.opened += 1
        peer, inbox = object(), asyncio.Queue()
        self.streams[peer] = inbox

        async def read() -> None:
            async for message in outgoing:
                self.carry_out(self.server.receive(peer, message, self.now()))
                self.carry_out(self.server.tick(self.now()))

        reader = asyncio.create_task(read())
        try:
            while (message := await inbox.get()) is not None:
                yield message
            raise CallFailed("UNAVAILABLE", "the stream broke")
        finally:
            reader.cancel()
            del self.streams[peer]
            self.carry_out(self.server.disconnected(peer, self.now()))

    def others(self) -> Any:
        raise AssertionError("only the game is played here")

    put_model = infer = others


COSTS = Client(Frontier.from_points([(0.0, 1.0), (10.0, 0.0)]), 1.0, 0.0, 1.0, "anna")


def play(scene: Callable[[Market, Player], Awaitable[None]], **how: Any) -> tuple[Market, list]:
    bids: list[Any] = []
    market = Market()
    for name, value in how.items():
        setattr(market, name, value)

    async def go() -> None:
        session = ClientSession("anna", "nonce")
        async with Player(session, market, on_bid=lambda *said: bids.append(said)) as player:
            await scene(market, player)

    asyncio.run(go())
    return market, bids


async def buy(player: Player) -> None:
    await player.until(ClientState.ADMITTED)
    player.update(COSTS)
    await player.until(ClientState.HOLDING)


def test_a_player_joins_buys_and_leaves() -> None:
    async def scene(market: Market, player: Player) -> None:
        await buy(player)
        assert player.session.settlement is not None
        assert player.session.settlement.allocation.share == pytest.approx(1.0)
        assert market.server.holds("lease-0") > 0.0

    market, bids = play(scene)
    assert not market.server.knows("lease-0")
    rounds = [(post.epoch, post.round) for post, _ in bids]
    assert rounds == sorted(set(rounds))
    assert all(post.round == bid.round for post, bid in bids)


def test_messages_are_counted_both_ways() -> None:
    async def scene(_: Market, player: Player) -> None:
        await buy(player)
        assert player.received >= 3  # welcome, post, allocation
        assert player.sent >= 3  # join, renew, bid

    play(scene)


def test_a_broken_stream_is_opened_again_under_the_same_lease() -> None:
    async def scene(market: Market, player: Player) -> None:
        await buy(player)
        market.break_streams()
        while market.opened < 2:
            await asyncio.sleep(0.01)
        player.update(COSTS)
        before = player.received
        while player.received == before:
            await asyncio.sleep(0.01)
        assert player.session.lease == "lease-0"
        assert not player.ended

    market, _ = play(scene)
    assert market.opened == 2


def test_a_name_that_is_taken_is_refused() -> None:
    async def scene(market: Market, player: Player) -> None:
        await player.until(ClientState.ADMITTED)

    async def taken() -> None:
        market = Market()
        market.server.receive(object(), Join("anna", "another nonce"), market.now())
        async with Player(ClientSession("anna", "n"), market, on_bid=lambda *_: None) as player:
            await scene(market, player)

    with pytest.raises(MarketRefused, match="'anna' is taken"):
        asyncio.run(taken())


def test_a_market_that_closes_was_stopped() -> None:
    async def scene(market: Market, player: Player) -> None:
        await buy(player)
        market.carry_out(market.server.close(market.now()))
        while not player.ended:
            await asyncio.sleep(0.01)
        raise player.end()

    with pytest.raises(Gone, match="the server at market:1 is gone: it was stopped"):
        play(scene)


def test_leaving_a_server_that_is_no_longer_there_is_no_failure() -> None:
    async def scene(market: Market, player: Player) -> None:
        await buy(player)
        market.refuses_streams = True
        market.break_streams()

    play(scene)


def test_a_server_without_a_market_is_not_asked_again_and_again() -> None:
    async def scene(_: Market, player: Player) -> None:
        await player.until(ClientState.ADMITTED)

    with pytest.raises(CallFailed, match="no market here"):
        play(scene, refuses_streams=True)
