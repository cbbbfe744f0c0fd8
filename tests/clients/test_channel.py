"""What a client makes of how gRPC calls fail."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from clients.channel import Channel
from clients.errors import CallFailed
from clients.helper_channel import HelperChannel


class Ending:
    """A stream of the game, or of a run, that ends so."""

    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        nothing = grpc.aio.Metadata()
        self.error = grpc.aio.AioRpcError(code, nothing, nothing, details)

    def Play(self, *_: Any, **__: Any) -> "Ending":  # noqa: N802 -- as in the stub
        return self

    async def __aiter__(self) -> AsyncIterator[Any]:
        raise self.error
        yield

    def cancel(self) -> None: ...


async def play_the_game(ending: Ending) -> None:
    channel = Channel("nowhere:1")
    channel._market = ending

    async def nothing() -> AsyncIterator[Any]:
        return
        yield

    async for _ in channel.play(nothing()):
        pass


async def play_a_program(ending: Ending) -> None:
    channel = HelperChannel("nowhere:1")
    channel._helper = ending
    try:
        async for _ in channel.play("lease", "k" * 24, 0, 1.0):
            pass
    finally:
        await channel.close()


@pytest.mark.parametrize("play", [play_the_game, play_a_program])
@pytest.mark.parametrize(
    ("code", "details", "status"),
    [
        (grpc.StatusCode.UNAVAILABLE, "Socket closed", "UNAVAILABLE"),
        # What gRPC says when it has lost the status of a stream that broke.
        (grpc.StatusCode.INTERNAL, "Internal error from Core", "UNAVAILABLE"),
        (grpc.StatusCode.INTERNAL, "a bug", "INTERNAL"),
        (grpc.StatusCode.PERMISSION_DENIED, "no lease", "PERMISSION_DENIED"),
    ],
)
def test_a_stream_that_broke_can_be_told_from_one_that_was_refused(
    play, code, details, status
) -> None:
    with pytest.raises(CallFailed) as caught:
        asyncio.run(play(Ending(code, details)))
    assert caught.value.status == status
