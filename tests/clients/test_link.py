"""The shaped link on a virtual clock."""

import asyncio

import pytest

from clients.link import Delivery, ShapedLink
from dds.costs import Link
from dds.costs.trace import Steady


class VirtualTime:
    def __init__(self) -> None:
        self.now = 10.0
        self.naps: list[float] = []

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        self.now += seconds


def deliver(
    link: Link, up: float, down: float, *, network: float, server: float
) -> tuple[Delivery[str], VirtualTime]:
    """A call whose real network part and server part take these seconds."""
    time = VirtualTime()

    async def send() -> str:
        time.now += network + server
        return "reply"

    shaped = ShapedLink(Steady(link), clock=time.clock, sleep=time.sleep)
    return asyncio.run(shaped.call(send, up, down, lambda _: server)), time


LINK = Link(uplink=1000.0, downlink=4000.0, rtt=0.2)


@pytest.mark.parametrize("network", [0.0, 0.05, 0.3])
def test_a_call_takes_the_time_of_the_link_and_the_server(network: float) -> None:
    done, time = deliver(LINK, 500.0, 2000.0, network=network, server=2.0)
    wanted = 0.5 + 0.5 + 0.2
    assert done.reply == "reply"
    assert done.network == pytest.approx(wanted)
    assert done.overhead == pytest.approx(network)
    assert done.server == 2.0
    assert time.now - 10.0 == pytest.approx(wanted + 2.0)


def test_the_upload_passes_before_the_server_is_called() -> None:
    _, time = deliver(LINK, 500.0, 2000.0, network=0.0, server=0.0)
    assert time.naps == pytest.approx([0.5 + 0.1, 0.5 + 0.1])


def test_a_slow_real_network_is_not_hidden() -> None:
    done, time = deliver(LINK, 500.0, 0.0, network=3.0, server=1.0)
    assert done.network == pytest.approx(0.6 + 3.0)
    assert len(time.naps) == 1


def test_a_server_that_says_it_worked_for_years_is_not_waited_for() -> None:
    time = VirtualTime()

    async def send() -> str:
        time.now += 2.0
        return "reply"

    shaped = ShapedLink(Steady(LINK), clock=time.clock, sleep=time.sleep)
    done = asyncio.run(shaped.call(send, 500.0, 2000.0, lambda _: 1e9))
    assert done.server == 2.0
    assert time.now - 10.0 == pytest.approx(1.2 + 2.0)


def test_a_perfect_link_does_not_wait() -> None:
    free = Link(float("inf"), float("inf"), 0.0)
    done, time = deliver(free, 1e9, 1e9, network=0.25, server=1.0)
    assert done.network == pytest.approx(0.25)
    assert time.naps == []
