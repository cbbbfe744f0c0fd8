"""A helper's connections to others: as many as may be, and none closed that is in use."""

import asyncio
from typing import cast

import numpy as np
import pytest

from clients import helper_rpc
from clients.helper_channel import HelperChannel
from clients.helper_rpc import Peers
from dds.parallel.program import Part
from dds.parallel.tiles import WHOLE
from dds.session.helping import Delivery
from dds.session.refusals import Busy

PART = Delivery("k" * 24, 0, 1, Part("x", WHOLE), np.ones(1, np.float32))


class Slow:
    """A connection on which deliveries wait to be let through."""

    def __init__(self) -> None:
        self.open = True
        self.through = asyncio.Event()
        self.delivered = 0

    async def deliver(self, _delivery: Delivery) -> None:
        await self.through.wait()
        assert self.open
        self.delivered += 1

    async def close(self) -> None:
        self.open = False


def test_an_idle_connection_makes_way_and_a_busy_one_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(helper_rpc, "_MOST_PEERS", 2)

    async def go() -> None:
        made: dict[str, Slow] = {}

        def connect(address: str) -> HelperChannel:
            made[address] = Slow()
            return cast("HelperChannel", made[address])

        peers = Peers(connect)
        sends = [asyncio.create_task(peers.post(to, PART)) for to in ("a", "b")]
        await asyncio.sleep(0)
        with pytest.raises(Busy, match="2 others"):
            await peers.post("c", PART)
        made["b"].through.set()
        await sends[1]
        last = asyncio.create_task(peers.post("c", PART))
        await asyncio.sleep(0)
        assert (made["a"].open, made["b"].open) == (True, False)
        for to in ("a", "c"):
            made[to].through.set()
        await asyncio.gather(sends[0], last)
        assert [each.delivered for each in made.values()] == [1, 1, 1]
        await peers.close()
        assert not any(each.open for each in made.values())

    asyncio.run(go())
