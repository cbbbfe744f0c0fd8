"""What a client makes of how gRPC calls fail."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from clients.channel import Channel
from clients.errors import CallFailed, Gone
from clients.helper_channel import HelperChannel
from dds.wire.calling import SILENT_UPSTREAM

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE


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
    ("code", "details", "status", "said"),
    [
        (
            UNAVAILABLE,
            "Stream removed (Socket closed)",
            "UNAVAILABLE",
            "gone: its connection broke",
        ),
        (UNAVAILABLE, "Stream removed (ping timeout)", "UNAVAILABLE", "gone: it does not answer"),
        (UNAVAILABLE, "failed to connect to all", "UNAVAILABLE", "gone: it cannot be reached"),
        # One that answers is there.
        (UNAVAILABLE, f"upstream: {SILENT_UPSTREAM}", "UNAVAILABLE", "answered UNAVAILABLE: upst"),
        # What gRPC says when it has lost the status of a stream that broke.
        (grpc.StatusCode.INTERNAL, "Internal error from Core", "UNAVAILABLE", "gone: its con"),
        (grpc.StatusCode.INTERNAL, "a bug", "INTERNAL", "answered INTERNAL: a bug"),
        (
            grpc.StatusCode.PERMISSION_DENIED,
            "no lease",
            "PERMISSION_DENIED",
            "answered PERMISSION_DENIED",
        ),
        (grpc.StatusCode.UNIMPLEMENTED, "Method not found!", "UNIMPLEMENTED", "is no mec-"),
    ],
)
def test_a_stream_that_broke_can_be_told_from_one_that_was_refused(
    play, code, details, status, said
) -> None:
    with pytest.raises(CallFailed) as caught:
        asyncio.run(play(Ending(code, details)))
    assert caught.value.status == status
    assert f"at nowhere:1 {'is ' if said.startswith('gone') else ''}{said}" in str(caught.value)
    assert isinstance(caught.value, Gone) is said.startswith("gone")
