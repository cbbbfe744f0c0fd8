"""gRPC in and out of a helper: protobuf to dataclasses, errors to status codes.  Decides nothing.

Serves ``dds.helper.v1.Helper`` and health.
"""

from __future__ import annotations

import math
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from clients.helper_channel import HelperChannel
from clients.helper_handlers import HelperHandlers
from dds.errors import DdsError, InvalidInput
from dds.session.helping import VERSION, Delivery, PeerFailed
from dds.session.refusals import Busy
from dds.wire import helper_pb2, helper_pb2_grpc, helping, market_pb2, profiles
from dds.wire.serving import answer, bind, refuse, take_model

__all__ = ["HelperServer", "Peers"]

#: Connections to other helpers that are kept open.
_MOST_PEERS = 64
#: A client with a call under way that says nothing for so long is asked whether it is there, and
#: given up when it does not answer for so long, ms: so a run ends whose client has vanished.
_PING_MS, _PONG_MS = 10_000, 20_000
#: Largest answer to an echo, bytes, and longest name of a client.
_MOST_ECHO, _LONGEST_NAME = 2**24, 200


class Peers:
    """Connections to other helpers, by address; the one not used for longest makes way.

    connect: for tests.
    """

    def __init__(self, connect: Callable[[str], HelperChannel] = HelperChannel) -> None:
        self._connect = connect
        self._channels: OrderedDict[str, HelperChannel] = OrderedDict()
        self._sending: Counter[str] = Counter()

    async def post(self, address: str, delivery: Delivery) -> None:
        """Carry a part to the helper at an address.

        Raises CallFailed, and Busy where all connections that may be are in use.
        """
        old = None
        if address not in self._channels:
            old = self._make_way()
            self._channels[address] = self._connect(address)
        self._channels.move_to_end(address)
        self._sending[address] += 1
        try:
            if old:
                await old.close()
            await self._channels[address].deliver(delivery)
        finally:
            self._sending[address] -= 1

    def _make_way(self) -> HelperChannel | None:
        """The connection to close: closing one cancels what is on it, so it is idle."""
        if len(self._channels) < _MOST_PEERS:
            return None
        idle = next((each for each in self._channels if not self._sending[each]), None)
        if idle is None:
            raise Busy(f"this helper sends to {_MOST_PEERS} others; try again later")
        del self._sending[idle]
        return self._channels.pop(idle)

    async def close(self) -> None:
        """Close them all."""
        for channel in self._channels.values():
            await channel.close()
        self._channels.clear()


class _Helper(helper_pb2_grpc.HelperServicer):
    """``dds.helper.v1.Helper``; methods are named by the .proto file."""

    def __init__(self, handlers: HelperHandlers) -> None:
        self._handlers = handlers

    async def Describe(  # noqa: N802
        self, _request: helper_pb2.DescribeRequest, _context: Any
    ) -> helper_pb2.DescribeReply:
        """Who this is."""
        return helping.description_to_proto(self._handlers.describe())

    async def Join(  # noqa: N802
        self, request: helper_pb2.JoinRequest, context: Any
    ) -> helper_pb2.JoinReply:
        """Another client."""

        async def join() -> helper_pb2.JoinReply:
            if request.version != VERSION:
                raise InvalidInput(f"version {request.version}; this helper speaks {VERSION}")
            return helping.tenancy_to_proto(self._handlers.join(request.name[:_LONGEST_NAME]))

        return await answer(context, join())

    async def Renew(  # noqa: N802
        self, request: helper_pb2.RenewRequest, context: Any
    ) -> helper_pb2.RenewReply:
        """A client is still there."""

        async def renew() -> helper_pb2.RenewReply:
            self._handlers.renew(request.lease)
            return helper_pb2.RenewReply()

        return await answer(context, renew())

    async def Leave(  # noqa: N802
        self, request: helper_pb2.LeaveRequest, _context: Any
    ) -> helper_pb2.LeaveReply:
        """A client goes."""
        self._handlers.leave(request.lease)
        return helper_pb2.LeaveReply()

    async def Echo(  # noqa: N802
        self, request: helper_pb2.EchoRequest, context: Any
    ) -> helper_pb2.EchoReply:
        """As many bytes as wanted."""

        async def echo() -> helper_pb2.EchoReply:
            if request.wanted > _MOST_ECHO:
                raise InvalidInput(f"echo.wanted is {request.wanted}; at most {_MOST_ECHO}")
            return helper_pb2.EchoReply(data=bytes(request.wanted))

        return await answer(context, echo())

    async def PutModel(  # noqa: N802
        self, request_iterator: AsyncIterator[market_pb2.ModelChunk], context: Any
    ) -> market_pb2.PutModelReply:
        """A model, once, in chunks, under its digest."""
        taking = take_model(request_iterator, context, self._handlers.put_model)
        return await answer(context, taking)

    async def ProfileModel(  # noqa: N802
        self, request: market_pb2.ProfileModelRequest, context: Any
    ) -> market_pb2.ProfileModelReply:
        """How long the parts of a model take here."""

        async def profile() -> market_pb2.ProfileModelReply:
            wanted = profiles.request_from_proto(request)
            measured = await self._handlers.profile_model(wanted)
            return profiles.profile_to_proto(measured, known=False)

        return await answer(context, profile())

    async def LoadProgram(  # noqa: N802
        self, request: helper_pb2.LoadProgramRequest, context: Any
    ) -> helper_pb2.LoadProgramReply:
        """A program, made ready."""

        async def load() -> helper_pb2.LoadProgramReply:
            assignment = helping.assignment_from_proto(
                request, lambda digest: self._handlers.model_bytes(request.lease, digest)
            )
            remarks = await self._handlers.load_program(assignment)
            return helper_pb2.LoadProgramReply(remarks=remarks)

        return await answer(context, load())

    async def UnloadProgram(  # noqa: N802
        self, request: helper_pb2.UnloadProgramRequest, context: Any
    ) -> helper_pb2.UnloadProgramReply:
        """A program, forgotten."""

        async def unload() -> helper_pb2.UnloadProgramReply:
            self._handlers.unload_program(request.lease, request.key)
            return helper_pb2.UnloadProgramReply()

        return await answer(context, unload())

    async def Play(  # noqa: N802
        self, request: helper_pb2.PlayRequest, context: Any
    ) -> AsyncIterator[helper_pb2.PlayReply]:
        """One run of a program."""
        remaining = context.time_remaining()
        timeout = math.inf if remaining is None else remaining
        try:
            run = request.lease, request.key, request.run
            async with aclosing(self._handlers.play(*run, timeout)) as replies:
                async for reply in replies:
                    yield helping.play_reply_to_proto(reply)
        except DdsError as error:
            if isinstance(error, PeerFailed):
                context.set_trailing_metadata(helping.blame_to_trailers(error.worker))
            await refuse(context, error)

    async def Deliver(  # noqa: N802
        self, request: helper_pb2.Delivery, context: Any
    ) -> helper_pb2.DeliverReply:
        """A part of a tensor."""

        async def deliver() -> helper_pb2.DeliverReply:
            self._handlers.deliver(helping.delivery_from_proto(request))
            return helper_pb2.DeliverReply()

        return await answer(context, deliver())


class HelperServer:
    """The handlers behind a gRPC port; start, then stop."""

    def __init__(self, handlers: HelperHandlers) -> None:
        self._handlers = handlers
        limits = handlers.config.limits
        self._server = grpc.aio.server(
            maximum_concurrent_rpcs=limits.calls,
            options=[
                ("grpc.max_receive_message_length", limits.message_bytes),
                ("grpc.max_send_message_length", limits.message_bytes),
                # Without it a second helper would silently share a port that is in use.
                ("grpc.so_reuseport", 0),
                ("grpc.keepalive_time_ms", _PING_MS),
                # Both: without the second, gRPC was seen to wait a minute whatever the first says.
                ("grpc.keepalive_timeout_ms", _PONG_MS),
                ("grpc.http2.ping_timeout_ms", _PONG_MS),
                # Pings need no data between them: a client waits for long operators in silence.
                ("grpc.http2.max_pings_without_data", 0),
                # Nor do those of clients, who ask as often as they like.
                ("grpc.http2.max_ping_strikes", 0),
            ],
        )
        self._health = health.aio.HealthServicer()
        helper_pb2_grpc.add_HelperServicer_to_server(_Helper(handlers), self._server)  # type: ignore[no-untyped-call]
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)

    async def start(self) -> str:
        """Listen; returns the address with the port that was chosen.

        Raises InvalidInput when the address cannot be bound.
        """
        address = bind(self._server, self._handlers.config.listen)
        await self._server.start()
        service = helper_pb2.DESCRIPTOR.services_by_name["Helper"].full_name
        for name in ("", service):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        return address

    async def stop(self, grace: float) -> None:
        """Refuse new work, and let running calls finish for `grace` seconds."""
        await self._health.enter_graceful_shutdown()
        await self._server.stop(grace)
        self._handlers.close()
