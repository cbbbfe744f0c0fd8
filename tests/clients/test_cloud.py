"""A share of the cloud: bought whole, given back, refused where it is not for sale."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from fractions import Fraction
from typing import Any

import pytest

from clients.cloud import CloudShare
from clients.errors import CallFailed
from dds.errors import Infeasible
from dds.market.tariff import Flat, Linear
from dds.market.tariff_base import Tariff
from dds.session.effects import Send
from dds.session.messages import ClientMessage, ReferenceCore, ServerMessage, Terms
from dds.session.server import MarketServer
from dds.session.timing import Timing


class Cloud:
    """A market in memory, as far as a member of it needs one."""

    def __init__(self, tariff: Tariff, quantum: Fraction | None = Fraction(1, 1000)) -> None:
        terms = Terms(tariff, 4.0, ReferenceCore("core", 1e10, 1e10, 0.0), quantum)
        leases = (f"lease-{n}" for n in itertools.count())
        self.market = MarketServer(terms, leases=leases, timing=Timing(batch=0.0))
        self.inbox: asyncio.Queue[ServerMessage] = asyncio.Queue()
        self.answers = True

    def shares(self) -> list[float]:
        return [member.share for member in self.market.status().members]

    async def status(self) -> Any:
        if not self.answers:
            raise CallFailed("UNAVAILABLE", "the upstream does not answer; try again later")
        return self.market.status()

    async def play(self, outgoing: AsyncIterator[ClientMessage]) -> AsyncIterator[ServerMessage]:
        def carry(effects: Any) -> None:
            for effect in effects:
                if isinstance(effect, Send):
                    self.inbox.put_nowait(effect.message)

        async def read() -> None:
            async for message in outgoing:
                now = asyncio.get_running_loop().time()
                carry(self.market.receive(self, message, now))
                carry(self.market.tick(now))

        reader = asyncio.create_task(read())
        try:
            while True:
                yield await self.inbox.get()
        finally:
            reader.cancel()


def join(cloud: Any, share: float, told: list[Any]) -> CloudShare:
    return CloudShare("cam", share, cloud, told.append)


@pytest.mark.parametrize(("tariff", "price"), [(Flat(0.5, 4.0), 0.5), (Linear(0.1, 0.2, 4.0), 0.4)])
def test_it_is_held_while_it_is_wanted(tariff: Tariff, price: float) -> None:
    async def story() -> None:
        cloud, told = Cloud(tariff), []
        async with join(cloud, 1.5, told) as share:
            for _ in range(2):  # the second time it is there already
                offer = await share.hold()
                assert (offer.share, offer.price) == (1.5, pytest.approx(price))
                assert cloud.shares() == [1.5]
            for _ in range(2):
                await share.hold(wanted=False)
                assert cloud.shares() == [0.0]
            await share.hold()
        assert cloud.shares() == []
        assert [event["share"] for event in told] == [1.5, 0.0, 1.5]
        assert told[0]["payment"] == pytest.approx(1.5 * price)

    asyncio.run(asyncio.wait_for(story(), 60.0))


@pytest.mark.parametrize(
    ("share", "says"),
    [
        (4.5, "the cloud sells 4 cores at most"),
        (0.0005, "the cloud sells steps of 0.001 cores"),
        (1e-10, "the cloud sells steps of 0.001 cores"),
    ],
)
def test_what_is_not_for_sale_is_not_bid_for(share: float, says: str) -> None:
    async def story() -> None:
        cloud = Cloud(Flat(0.5, 4.0))
        with pytest.raises(Infeasible, match=f"--cloud-share is {share:g}; {says}"):
            await join(cloud, share, []).__aenter__()
        assert cloud.shares() == []

    asyncio.run(asyncio.wait_for(story(), 60.0))


def test_any_share_is_for_sale_where_there_are_no_steps() -> None:
    async def story() -> None:
        cloud = Cloud(Flat(0.5, 4.0), quantum=None)
        async with join(cloud, 1.0 / 3.0, []) as share:
            await share.hold()
            assert cloud.shares() == [pytest.approx(1.0 / 3.0)]

    asyncio.run(asyncio.wait_for(story(), 60.0))


def test_a_cloud_that_does_not_answer_is_not_waited_for() -> None:
    async def story() -> None:
        cloud = Cloud(Flat(0.5, 4.0))
        cloud.answers = False
        with pytest.raises(CallFailed, match="does not answer"):
            await join(cloud, 1.0, []).__aenter__()

    asyncio.run(asyncio.wait_for(story(), 60.0))
