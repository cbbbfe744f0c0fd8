"""gRPC onwards: calls for the one server behind this one.

A call whose metadata says ``dds-hops: N``, N >= 1, is not for this server.  :class:`Relay` passes
it on with N - 1, whatever its method, one message at a time and unread, both ways at once.  The
lease, what remains of the deadline, the status and the time to wait go along; other metadata does
not, and a client is not told the upstream's address.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import Any

import grpc
from numpy.typing import NDArray

from dds.errors import DdsError, InvalidInput
from dds.wire import open_inference_pb2 as oip
from dds.wire import open_inference_pb2_grpc as oip_grpc
from dds.wire import profiles, tensors
from mec_server.chaining import Boundary
from mec_server.errors import NoUpstream, UpstreamFailed
from mec_server.executor import Execution

__all__ = ["Relay", "Upstream"]

#: Boundaries of models at the upstream that are remembered.
_MOST_BOUNDARIES = 256
#: A restarted upstream is found again within so many ms.
_LONGEST_BACKOFF_MS = 2000
_SILENT = "the upstream does not answer; try again later"
_MILLISECONDS = re.compile("[0-9]{1,9}")
#: Metadata that concerns the server a call is for.
_PASSED = frozenset({tensors.LEASE_KEY, tensors.THEN_LEASE_KEY})

Metadata = tuple[tuple[str, str], ...]


class Upstream:
    """A connection to the server at `address`, made when first needed and again when it breaks.

    message_bytes: the largest message either way.  Needs a running event loop.
    """

    def __init__(self, address: str, message_bytes: int) -> None:
        self._channel = grpc.aio.insecure_channel(
            address,
            options=[
                ("grpc.max_receive_message_length", message_bytes),
                ("grpc.max_send_message_length", message_bytes),
                ("grpc.initial_reconnect_backoff_ms", 100),
                ("grpc.max_reconnect_backoff_ms", _LONGEST_BACKOFF_MS),
            ],
        )
        self._inference = oip_grpc.GRPCInferenceServiceStub(self._channel)  # type: ignore[no-untyped-call]
        self._boundaries: OrderedDict[tuple[str, str], Boundary] = OrderedDict()

    async def answers(self, timeout: float) -> bool:
        """Whether it is there, found out within `timeout` s."""
        try:
            await self._inference.ServerLive(oip.ServerLiveRequest(), timeout=timeout)
        except grpc.aio.AioRpcError:
            return False
        return True

    async def boundary(self, lease: str, digest: str, *, timeout: float) -> Boundary:
        """What a model of the lease reads and returns there; asked once, and remembered.

        Raises UpstreamFailed.
        """
        key = lease, digest
        if key in self._boundaries:
            self._boundaries.move_to_end(key)
            return self._boundaries[key]
        reply = await self._ask(
            self._inference.ModelMetadata, oip.ModelMetadataRequest(name=digest), lease, timeout
        )
        found = Boundary(
            tuple(tensor.name for tensor in reply.inputs),
            tuple(tensor.name for tensor in reply.outputs),
        )
        self._boundaries[key] = found
        if len(self._boundaries) > _MOST_BOUNDARIES:
            self._boundaries.popitem(last=False)
        return found

    async def infer(
        self,
        lease: str,
        digest: str,
        inputs: Mapping[str, NDArray[Any]],
        wanted: tuple[str, ...] = (),
        *,
        timeout: float,
    ) -> Execution:
        """Run a model of the lease there; `wanted` outputs only, or all.

        Raises UpstreamFailed, also for a reply that is not one.
        """
        request = tensors.request_to_proto(digest, inputs, outputs=wanted)
        reply = await self._ask(self._inference.ModelInfer, request, lease, timeout)
        try:
            outputs = tensors.response_from_proto(reply)
            done = Execution(outputs, *tensors.seconds_from_proto(reply, tensors.OWN_SECONDS))
        except InvalidInput as error:
            raise UpstreamFailed("INTERNAL", f"upstream: {error}") from error
        if missing := set(wanted).difference(outputs):
            raise UpstreamFailed("INTERNAL", f"upstream: its reply lacks {sorted(missing)}")
        return done

    async def _ask(
        self, method: Callable[..., Awaitable[Any]], request: Any, lease: str, timeout: float
    ) -> Any:
        try:
            return await method(
                request,
                timeout=None if math.isinf(timeout) else timeout,
                metadata=((tensors.LEASE_KEY, lease),),
            )
        except grpc.aio.AioRpcError as error:
            text, pause = f"upstream: {_details(error)}", _pushback(error)
            raise UpstreamFailed(error.code().name, text, pause) from error

    def call(
        self, method: str, requests: AsyncIterator[bytes], metadata: Metadata, timeout: float | None
    ) -> Any:
        """A call of any method: serialised messages in, serialised messages out.

        On the wire a single message is a stream of one, so this serves unary methods, too.
        """
        return self._channel.stream_stream(method)(requests, timeout=timeout, metadata=metadata)

    async def close(self) -> None:
        """Close the connection."""
        await self._channel.close()


class Relay(grpc.aio.ServerInterceptor):  # type: ignore[misc]
    """Passes calls on that are for a server further on; leaves the others alone.

    upstream: where to; without one such calls are refused.
    """

    def __init__(self, upstream: Upstream | None) -> None:
        self._upstream = upstream
        self._streams: set[Any] = set()
        self._ended = False

    async def intercept_service(
        self, continuation: Callable[[Any], Awaitable[Any]], details: Any
    ) -> Any:
        """The handler of a call: this server's own, or one that passes it on."""
        handler = await continuation(details)
        if handler is None:
            return None
        try:
            hops, metadata = _onwards(details.invocation_metadata or ())
            if hops == 0:
                return handler
            if self._upstream is None:
                raise NoUpstream
        except DdsError as error:
            return _refusal(error)
        endless = handler.request_streaming and handler.response_streaming
        upload = handler.request_streaming and not handler.response_streaming
        return self._passing(self._upstream, details.method, metadata, endless, upload)

    def _passing(
        self, upstream: Upstream, method: str, metadata: Metadata, endless: bool, upload: bool
    ) -> Any:
        async def pass_on(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
            # The generator starts when gRPC asks for the first message, and then there is a call.
            sent = _header_first(requests, context, lambda: call) if upload else requests
            call = upstream.call(method, sent, metadata, context.time_remaining())
            if endless:
                self._streams.add(call)
            try:
                async for reply in call:
                    yield reply
            except grpc.aio.AioRpcError as error:
                if pause := _trailers(error):
                    context.set_trailing_metadata(pause)
                await context.abort(error.code(), _details(error))
            except asyncio.CancelledError:
                if not (endless and self._ended):
                    raise
                await context.abort(grpc.StatusCode.UNAVAILABLE, "the server is shutting down")
            finally:
                call.cancel()
                self._streams.discard(call)

        return grpc.stream_stream_rpc_method_handler(pass_on)

    def end_streams(self) -> None:
        """End the calls that would not end by themselves."""
        self._ended = True
        for call in self._streams:
            call.cancel()


def _onwards(metadata: Iterable[tuple[str, str | bytes]]) -> tuple[int, Metadata]:
    """How far a call goes, and the metadata with which it goes on.

    Raises InvalidInput for hops that are no number, or too many.
    """
    hops = 0
    passed = []
    for key, value in metadata:
        if key == tensors.HOPS_KEY:
            hops = tensors.hops_from_text(str(value))
        elif key in _PASSED:
            passed.append((key, str(value)))
    return hops, (*passed, (tensors.HOPS_KEY, str(hops - 1)))


async def _header_first(
    requests: AsyncIterator[bytes], context: Any, call: Callable[[], Any]
) -> AsyncIterator[bytes]:
    """An upload, of which nothing but the header is sent before the upstream wants the rest.

    That spares the link what the upstream has or refuses.  Besides, gRPC forgets the status of a
    call that ended while something was being written to it (github.com/grpc/grpc/issues/36066).
    """
    async for header in requests:
        yield header
        break
    else:
        return
    if tensors.WANTED_KEY in dict(await call().initial_metadata()):
        await context.send_initial_metadata(((tensors.WANTED_KEY, "1"),))
        async for chunk in requests:
            yield chunk
    else:
        await call().code()


def _refusal(error: DdsError) -> Any:
    """A handler that only refuses."""

    async def refuse(_requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        await context.abort(grpc.StatusCode[error.status], str(error))
        yield b""

    return grpc.stream_stream_rpc_method_handler(refuse)


def _details(error: grpc.aio.AioRpcError) -> str:
    """What the upstream said; when nobody answered, gRPC says the address instead."""
    return _SILENT if error.code() is grpc.StatusCode.UNAVAILABLE else str(error.details())


def _trailers(error: grpc.aio.AioRpcError) -> Metadata:
    given = error.trailing_metadata() or ()
    return tuple((key, value) for key, value in given if key == profiles.PUSHBACK_KEY)


def _pushback(error: grpc.aio.AioRpcError) -> float | None:
    """The seconds a busy upstream asks to wait; None where it does not say so."""
    for _, value in _trailers(error):
        if _MILLISECONDS.fullmatch(value):
            return int(value) / 1000.0
    return None
