"""What every gRPC server here does the same way: address, end, errors to statuses, uploads."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any, NoReturn, TypeVar

import grpc

from dds.errors import DdsError, InvalidInput
from dds.session.refusals import Busy
from dds.session.upload import ModelHeader, ModelReceipt
from dds.units import parse_address
from dds.wire import codec, market_pb2, tensors
from dds.wire.profiles import pushback_to_trailers

__all__ = ["answer", "bind", "refuse", "stop_signal", "take_model", "until_stopped"]

#: Characters of a status's details: they travel as metadata, of which clients take 8 KiB, and a
#: character takes up to 12 bytes there.
_LONGEST_DETAILS = 600

T = TypeVar("T")


async def refuse(context: Any, error: DdsError) -> NoReturn:
    """End the call with the status of an error, and what it says of when to ask again."""
    pause = getattr(error, "retry_after", None)
    if pause is not None:
        context.set_trailing_metadata(pushback_to_trailers(pause))
    await context.abort(grpc.StatusCode[error.status], str(error)[:_LONGEST_DETAILS])
    raise AssertionError("abort returned") from error


async def answer(context: Any, call: Awaitable[T]) -> T:
    """The call's result; an error of ours becomes its gRPC status."""
    try:
        return await call
    except DdsError as error:
        await refuse(context, error)
    except MemoryError:
        await refuse(context, Busy("there is too little memory for this here; ask for less"))


def bind(server: grpc.aio.Server, listen: str) -> str:
    """Have a server listen at ``HOST:PORT``; returns that, with the port that was chosen for 0.

    Raises InvalidInput when the address cannot be bound.
    """
    try:
        _try_to_bind(listen)
        port = server.add_insecure_port(listen)
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or "no address here"
        raise InvalidInput(f"cannot listen on {listen}: {why[0].lower()}{why[1:]}") from error
    except RuntimeError as error:
        raise InvalidInput(f"cannot listen on {listen}: in use, or no address here") from error
    return f"{listen.rpartition(':')[0]}:{port}"


def _try_to_bind(listen: str) -> None:
    """Raises OSError, and says why, where gRPC would write about it to standard error.

    Raises UnicodeError for what cannot be the name of a host.
    """
    host, port = parse_address(listen)
    # gRPC takes either wildcard for both; the machine may have no IPv6.
    name = "0.0.0.0" if host == "[::]" else host.strip("[]")  # noqa: S104 -- for a moment
    found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    family, kind, protocol, _, address = found[0]
    with socket.socket(family, kind, protocol) as trying:
        # As gRPC does it: what a process that ended has left is in nobody's way.
        trying.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        trying.bind(address)


def stop_signal() -> asyncio.Event:
    """What SIGINT and SIGTERM set from now on."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    return stop


async def until_stopped(
    stop: asyncio.Event, timers: Coroutine[Any, Any, None], *beside: Coroutine[Any, Any, None]
) -> None:
    """Keep time, and do other work beside it, until `stop` is set.

    Raises what `timers` raises, at once: they end only by failing, and a server without them must
    not go on; in the end, what the other work raised.  Nothing is at work any more then.
    """
    stopped, *working = (asyncio.create_task(each) for each in (stop.wait(), timers, *beside))
    try:
        await asyncio.wait({stopped, working[0]}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (stopped, *working):
            task.cancel()
        await asyncio.wait({stopped, *working})
    for task in working:
        if not task.cancelled():
            task.result()


async def take_model(
    chunks: AsyncIterator[market_pb2.ModelChunk],
    context: Any,
    put: Callable[[ModelHeader, AsyncIterator[bytes]], Awaitable[ModelReceipt]],
) -> market_pb2.PutModelReply:
    """A model upload.

    put: given what the upload announces, and its bytes, which are sent once it asks for the first.

    Raises InvalidInput when the header does not come first, and what `put` raises.
    """
    parts = (codec.chunk_from_proto(chunk) async for chunk in chunks)
    header = await anext(parts, None)
    if not isinstance(header, ModelHeader):
        raise InvalidInput("model upload: the header must come first")
    return codec.receipt_to_proto(await put(header, _data(parts, context)))


async def _data(parts: AsyncIterator[ModelHeader | bytes], context: Any) -> AsyncIterator[bytes]:
    await context.send_initial_metadata(((tensors.WANTED_KEY, "1"),))
    async for part in parts:
        if isinstance(part, ModelHeader):
            raise InvalidInput("model upload: a second header; send one model per call")
        yield part
