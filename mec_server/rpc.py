"""gRPC in and out: protobuf to dataclasses, errors to status codes.  Decides nothing.

Serves ``dds.market.v1.Market``, the KServe Open Inference Protocol, health and reflection.
The lease that pays for an inference is named in the request metadata, under ``dds-lease``; calls
that go further, to this server's upstream, do not get past :class:`mec_server.upstream.Relay`.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from typing import Any

import grpc
import numpy as np
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from dds.errors import DdsError, InvalidInput
from dds.session.messages import Code, Refusal, ServerMessage
from dds.session.refusals import UnknownModel
from dds.wire import codec, market_pb2, market_pb2_grpc, open_inference_pb2, profiles, tensors
from dds.wire import open_inference_pb2_grpc as oip_grpc
from dds.wire.serving import answer, bind, refuse, take_model
from mec_server.chaining import Chained
from mec_server.executor import Execution
from mec_server.handlers import Handlers
from mec_server.stored import TensorSpec
from mec_server.upstream import Relay, Upstream

__all__ = ["RpcServer"]

#: Messages that may wait for a client that does not read; further ones are dropped, which the
#: protocol allows.
_LONGEST_BACKLOG = 256


def _lease(context: Any, wanted: str = tensors.LEASE_KEY) -> str:
    for key, value in context.invocation_metadata() or ():
        if key == wanted and isinstance(value, str):
            return value
    return ""


class _Market(market_pb2_grpc.MarketServicer):
    """``dds.market.v1.Market``."""

    def __init__(self, handlers: Handlers) -> None:
        self._handlers = handlers
        self._backlogs: set[asyncio.Queue[ServerMessage | None]] = set()

    async def Play(  # noqa: N802 -- named by the .proto file
        self, request_iterator: AsyncIterator[market_pb2.ClientMessage], _context: Any
    ) -> AsyncIterator[market_pb2.ServerMessage]:
        """One client's stream: its messages in, the market's messages to it out."""
        backlog: asyncio.Queue[ServerMessage | None] = asyncio.Queue()

        def deliver(message: ServerMessage) -> None:
            if backlog.qsize() < _LONGEST_BACKLOG:
                backlog.put_nowait(message)

        peer = object()
        self._handlers.connect(peer, deliver)
        self._backlogs.add(backlog)
        reader = asyncio.create_task(self._read(peer, request_iterator, backlog))
        try:
            while (message := await backlog.get()) is not None:
                yield codec.server_message_to_proto(message)
        finally:
            reader.cancel()
            self._backlogs.discard(backlog)
            self._handlers.disconnect(peer)

    async def _read(
        self,
        peer: object,
        requests: AsyncIterator[market_pb2.ClientMessage],
        backlog: asyncio.Queue[ServerMessage | None],
    ) -> None:
        try:
            async for request in requests:
                try:
                    self._handlers.receive(peer, codec.client_message_from_proto(request))
                except InvalidInput as error:
                    backlog.put_nowait(Refusal(Code.MALFORMED, str(error)[:1000]))
                    return
        finally:
            backlog.put_nowait(None)

    async def PutModel(  # noqa: N802
        self, request_iterator: AsyncIterator[market_pb2.ModelChunk], context: Any
    ) -> market_pb2.PutModelReply:
        """A model, once, in chunks, under its digest."""
        taking = take_model(request_iterator, context, self._handlers.put_model)
        return await answer(context, taking)

    async def ProfileModel(  # noqa: N802
        self, request: market_pb2.ProfileModelRequest, context: Any
    ) -> market_pb2.ProfileModelReply:
        """How long the parts of an uploaded model take here."""

        async def profile() -> market_pb2.ProfileModelReply:
            wanted = profiles.request_from_proto(request)
            measured, known = await self._handlers.profile_model(wanted)
            return profiles.profile_to_proto(measured, known=known)

        return await answer(context, profile())

    async def Status(  # noqa: N802
        self, _request: market_pb2.StatusRequest, _context: Any
    ) -> market_pb2.StatusReply:
        """Public facts about the market."""
        return codec.status_to_proto(self._handlers.status())

    def end_streams(self) -> None:
        """Let every stream end once its last message is sent."""
        for backlog in self._backlogs:
            backlog.put_nowait(None)


class _Inference(oip_grpc.GRPCInferenceServiceServicer):
    """The Open Inference Protocol; a model's name is the digest of its bytes."""

    def __init__(self, handlers: Handlers, version: str) -> None:
        self._handlers = handlers
        self._version = version

    async def ServerLive(  # noqa: N802
        self, _request: open_inference_pb2.ServerLiveRequest, _context: Any
    ) -> open_inference_pb2.ServerLiveResponse:
        """The process is up."""
        return open_inference_pb2.ServerLiveResponse(live=True)

    async def ServerReady(  # noqa: N802
        self, _request: open_inference_pb2.ServerReadyRequest, _context: Any
    ) -> open_inference_pb2.ServerReadyResponse:
        """It accepts inference."""
        return open_inference_pb2.ServerReadyResponse(ready=True)

    async def ServerMetadata(  # noqa: N802
        self, _request: open_inference_pb2.ServerMetadataRequest, _context: Any
    ) -> open_inference_pb2.ServerMetadataResponse:
        """Who is serving."""
        return open_inference_pb2.ServerMetadataResponse(name="mec-server", version=self._version)

    async def ModelReady(  # noqa: N802
        self, request: open_inference_pb2.ModelReadyRequest, context: Any
    ) -> open_inference_pb2.ModelReadyResponse:
        """Whether the caller's lease has uploaded the model."""
        try:
            self._handlers.model(request.name, _lease(context))
        except UnknownModel:
            return open_inference_pb2.ModelReadyResponse(ready=False)
        except DdsError as error:
            await refuse(context, error)
        return open_inference_pb2.ModelReadyResponse(ready=True)

    async def ModelMetadata(  # noqa: N802
        self, request: open_inference_pb2.ModelMetadataRequest, context: Any
    ) -> open_inference_pb2.ModelMetadataResponse:
        """Names, types and shapes of the model's tensors."""
        try:
            model = self._handlers.model(request.name, _lease(context))
        except DdsError as error:
            await refuse(context, error)
        return open_inference_pb2.ModelMetadataResponse(
            name=model.digest,
            versions=["1"],
            platform="onnxruntime_onnx",
            inputs=[_metadata(spec) for spec in model.inputs],
            outputs=[_metadata(spec) for spec in model.outputs],
        )

    async def ModelInfer(  # noqa: N802
        self, request: open_inference_pb2.ModelInferRequest, context: Any
    ) -> open_inference_pb2.ModelInferResponse:
        """One inference at the lease's share; the reply's parameters say how long it took.

        A request that names a next part is answered when that has run as well, upstream.
        """

        async def infer() -> open_inference_pb2.ModelInferResponse:
            inputs, wanted = tensors.request_from_proto(request)
            then = tensors.then_from_proto(request)
            remaining = context.time_remaining()
            timeout = math.inf if remaining is None else remaining
            call = _lease(context), request.model_name, inputs, wanted
            done: Execution | Chained
            if then is None:
                done = await self._handlers.infer(*call, timeout=timeout)
            else:
                then_lease = _lease(context, tensors.THEN_LEASE_KEY)
                done = await self._handlers.infer_chained(
                    *call, then=then, then_lease=then_lease, timeout=timeout
                )
            return tensors.response_to_proto(
                request.model_name, done.outputs, request_id=request.id, seconds=done.seconds
            )

        return await answer(context, infer())


def _metadata(spec: TensorSpec) -> open_inference_pb2.ModelMetadataResponse.TensorMetadata:
    return open_inference_pb2.ModelMetadataResponse.TensorMetadata(
        name=spec.name,
        datatype=tensors.datatype_of(np.empty(0, spec.dtype)),
        shape=spec.shape,
    )


class RpcServer:
    """The handlers behind a gRPC port; start, then stop.

    upstream: the server that calls for others are passed to, if there is one.
    """

    def __init__(
        self, handlers: Handlers, upstream: Upstream | None = None, *, version: str
    ) -> None:
        self._handlers = handlers
        self._relay = Relay(upstream)
        size = handlers.config.limits.message_bytes
        self._server = grpc.aio.server(
            interceptors=[self._relay],
            options=[
                ("grpc.max_receive_message_length", size),
                ("grpc.max_send_message_length", size),
                # Without it a second server would silently share a port that is in use.
                ("grpc.so_reuseport", 0),
            ],
        )
        self._market = _Market(handlers)
        self._health = health.aio.HealthServicer()
        market_pb2_grpc.add_MarketServicer_to_server(self._market, self._server)  # type: ignore[no-untyped-call]
        oip_grpc.add_GRPCInferenceServiceServicer_to_server(  # type: ignore[no-untyped-call]
            _Inference(handlers, version), self._server
        )
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        self._services = [
            market_pb2.DESCRIPTOR.services_by_name["Market"].full_name,
            open_inference_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name,
        ]
        reflection.enable_server_reflection(
            [*self._services, health.SERVICE_NAME, reflection.SERVICE_NAME], self._server
        )

    async def start(self) -> str:
        """Listen; returns the address with the port that was chosen.

        Raises InvalidInput when the address cannot be bound.
        """
        address = bind(self._server, self._handlers.config.listen)
        await self._server.start()
        for service in ("", *self._services):
            await self._health.set(service, health_pb2.HealthCheckResponse.SERVING)
        return address

    async def stop(self, grace: float) -> None:
        """Refuse new work, tell everybody, and let running calls finish for `grace` seconds."""
        await self._health.enter_graceful_shutdown()
        self._handlers.refuse_all()
        self._market.end_streams()
        self._relay.end_streams()
        await self._server.stop(grace)
        self._handlers.close()
