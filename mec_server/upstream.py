"""gRPC onwards: calls for the one server behind this one.

A call whose metadata says ``dds-hops: N``, N >= 1, is not for this server.  :class:`Relay` passes
it on with N - 1, whatever its method, one message at a time and unread, both ways at once.  The
lease, what remains of the deadline, the status and the time to wait go along; other metadata does
not, and a client is not told the upstream's address.
"""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import Any

import grpc
from numpy.typing import NDArray

from dds.errors import DdsError, InvalidInput
from dds.wire import open_inference_pb2 as oip
from dds.wire import open_inference_pb2_grpc as oip_grpc
from dds.wire import profiles, tensors
from dds.wire.calling import SILENT_UPSTREAM, unanswered
from mec_server.chaining import Boundary
from mec_server.errors import NoUpstream, UpstreamFailed
from mec_server.executor import Execution

__all__ = ["Relay", "Upstream"]

#: Boundaries of models at the upstream that are remembered.
_MOST_BOUNDARIES = 256
#: A restarted upstream is found again within so many ms.
_LONGEST_BACKOFF_MS = 2000
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

    async def missed(self, timeout: float) -> str:
        """What is wrong with it, found out within `timeout` s; "" where it is there."""
        try:
            await self._inference.ServerLive(oip.ServerLiveRequest(), timeout=timeout)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.UNIMPLEMENTED:
                return "is no mec-server; what else is running there?"
            return "does not answer yet; is mec-server running there?"
        return ""

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
            code, text = _status(error)
            pause = profiles.pushback_from_trailers(error.trailing_metadata())
            raise UpstreamFailed(code.name, f"upstream: {text}", pause) from error

    def pass_on(self, method: str, message: bytes, **how: Any) -> Any:
        """A call of any method that takes one message: serialised there and back.

        To the wire a single answer is a stream of one.  how: timeout and metadata.
        """
        return self._channel.unary_stream(method)(message, **how)

    def pass_stream(self, method: str, messages: AsyncIterator[bytes], **how: Any) -> Any:
        """The same of any method that takes a stream of messages."""
        return self._channel.stream_stream(method)(messages, **how)

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
        return self._passing(self._upstream, handler, details.method, metadata)

    def _passing(self, upstream: Upstream, own: Any, method: str, metadata: Metadata) -> Any:
        """A handler that passes calls on; own: the one this server has for that method."""
        endless = own.request_streaming and own.response_streaming

        async def pass_on(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
            how = {"timeout": context.time_remaining(), "metadata": metadata}
            # Nothing ends this call before the caller has written to it: see _status.
            first = await _first(requests)
            if not own.request_streaming:
                call = upstream.pass_on(method, first or b"", **how)
            elif endless:
                call = upstream.pass_stream(method, _with(first, requests), **how)
            else:
                # It is asked for its first message when there is a call.
                upload = _upload(first, requests, context, lambda: call)
                call = upstream.pass_stream(method, upload, **how)
            if endless:
                self._streams.add(call)
            try:
                async for reply in call:
                    yield reply
            except grpc.aio.AioRpcError as error:
                if pause := _trailers(error):
                    context.set_trailing_metadata(pause)
                await context.abort(*_status(error))
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


async def _first(messages: AsyncIterator[bytes]) -> bytes | None:
    async for message in messages:
        return message
    return None


async def _with(first: bytes | None, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    if first is not None:
        yield first
    async for message in rest:
        yield message


async def _upload(
    header: bytes | None, chunks: AsyncIterator[bytes], context: Any, call: Callable[[], Any]
) -> AsyncIterator[bytes]:
    """An upload, of which nothing but the header is sent before the upstream wants the rest.

    That spares the link what the upstream has or refuses.
    """
    if header is None:
        return
    yield header
    if tensors.WANTED_KEY in dict(await call().initial_metadata()):
        await context.send_initial_metadata(((tensors.WANTED_KEY, "1"),))
        async for chunk in chunks:
            yield chunk
    else:
        # Its status is on the way.
        await call().code()


def _refusal(error: DdsError) -> Any:
    """A handler that only refuses."""

    async def refuse(requests: AsyncIterator[bytes], context: Any) -> None:
        await _first(requests)
        await context.abort(grpc.StatusCode[error.status], str(error))

    return grpc.stream_stream_rpc_method_handler(refuse)


def _status(error: grpc.aio.AioRpcError) -> tuple[grpc.StatusCode, str]:
    """What the upstream said; when nobody answered, gRPC says the address instead.

    gRPC forgets the status of a call that ends while something is written to it.  Care is taken
    that this happens only to streams that break in the middle.
    """
    if unanswered(error):
        return grpc.StatusCode.UNAVAILABLE, SILENT_UPSTREAM
    return error.code(), error.details() or ""


def _trailers(error: grpc.aio.AioRpcError) -> Metadata:
    given = error.trailing_metadata() or ()
    return tuple((key, value) for key, value in given if key == profiles.PUSHBACK_KEY)
