"""The market's timers end when told to, whatever happens at that moment."""

import asyncio

import pytest

from mec_server.cli import build_parser, read_config
from mec_server.handlers import Handlers


async def pause(ticks: int) -> None:
    for _ in range(ticks):
        await asyncio.sleep(0)


@pytest.mark.parametrize("ticks", range(6))
def test_the_timers_end_even_if_something_happens_just_then(ticks: int) -> None:
    async def play() -> bool:
        handlers = Handlers(read_config(build_parser().parse_args([])), clock=lambda: 0.0)
        timers = asyncio.create_task(handlers.keep_time())
        await pause(5)
        # A stream that ends wakes them up.
        handlers.disconnect("nobody")
        await pause(ticks)
        timers.cancel()
        await pause(20)
        ended = timers.done()
        timers.cancel()
        handlers.close()
        return ended

    assert asyncio.run(play())
