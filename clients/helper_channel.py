"""gRPC to one helper, for its clients and for other helpers: a deadline on every call."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator

import grpc

from clients.channel import Caller
from dds.profile.profile import Profile
from dds.session.helping import (
    VERSION,
    Assignment,
    Delivery,
    Description,
    PeerFailed,
    Played,
    Tenancy,
)
from dds.session.profiling import ProfileRequest
from dds.session.upload import ModelHeader, ModelReceipt
from dds.wire import codec, helper_pb2, helper_pb2_grpc, helping, profiles
from dds.wire.calling import start_upload

__all__ = ["HelperChannel"]

#: Largest message either way, bytes; whole tensors travel in one.
_MESSAGE_BYTES = 2**28
#: Seconds for a short call, for measuring or loading models.
_SHORT, _LONG = 10.0, 120.0
#: Whatever travels may take so long, and as long as its bytes need at this rate, bytes/s.
_SLOWEST = 2e6
#: A helper that comes back is found again within so many ms.
_LONGEST_BACKOFF_MS = 2000
#: With a call under way a helper is asked so often whether it is there, and has to answer within so
#: long, ms.  Both are done by threads of gRPC: a Python that stands still, here or there, is not
#: gone (protobuf takes seconds for a large model, and holds the GIL).
_PING_MS, _PONG_MS = 1000, 3000


class HelperChannel(Caller):
    """A connection to the helper at `address`, made when first needed; close it at the end.

    Every call raises CallFailed; needs a running event loop.
    """

    _who, _command = "helper", "mec-client --helper"

    def __init__(self, address: str) -> None:
        self.address = address
        self._channel = grpc.aio.insecure_channel(
            address,
            options=[
                ("grpc.max_receive_message_length", _MESSAGE_BYTES),
                ("grpc.max_send_message_length", _MESSAGE_BYTES),
                ("grpc.initial_reconnect_backoff_ms", 100),
                ("grpc.max_reconnect_backoff_ms", _LONGEST_BACKOFF_MS),
                # The least that an attempt to connect takes is also the most.
                ("grpc.min_reconnect_backoff_ms", _PONG_MS),
                ("grpc.keepalive_time_ms", _PING_MS),
                # Both: without the second, gRPC was seen to wait a minute whatever the first says.
                ("grpc.keepalive_timeout_ms", _PONG_MS),
                ("grpc.http2.ping_timeout_ms", _PONG_MS),
                # A long operator sends nothing between two pings.
                ("grpc.http2.max_pings_without_data", 0),
                # Helpers of the same address are different processes, one after another.
                ("grpc.use_local_subchannel_pool", 1),
            ],
        )
        self._helper = helper_pb2_grpc.HelperStub(self._channel)  # type: ignore[no-untyped-call]

    async def close(self) -> None:
        """Close the connection; calls under way end."""
        await self._channel.close()

    async def describe(self, timeout: float = _SHORT) -> Description:
        """Who it is."""
        reply = await self._reply(
            self._helper.Describe(helper_pb2.DescribeRequest(), timeout=timeout)
        )
        return helping.description_from_proto(reply)

    async def join(self, name: str) -> Tenancy:
        """A lease."""
        request = helper_pb2.JoinRequest(name=name, version=VERSION)
        return helping.tenancy_from_proto(
            await self._reply(self._helper.Join(request, timeout=_SHORT))
        )

    async def renew(self, lease: str) -> None:
        """Say that the client is still there."""
        await self._reply(self._helper.Renew(helper_pb2.RenewRequest(lease=lease), timeout=_SHORT))

    async def leave(self, lease: str, timeout: float = _SHORT) -> None:
        """Say that it goes."""
        await self._reply(self._helper.Leave(helper_pb2.LeaveRequest(lease=lease), timeout=timeout))

    async def echo(self, data: bytes, wanted: int) -> None:
        """Send some bytes, and get so many back."""
        request = helper_pb2.EchoRequest(data=data, wanted=wanted)
        await self._reply(self._helper.Echo(request, timeout=_SHORT + len(data) / _SLOWEST))

    async def put_model(self, lease: str, digest: str, model: bytes) -> ModelReceipt:
        """Upload a model unless the helper has it."""
        header = ModelHeader(lease, digest, len(model))
        timeout = _LONG + len(model) / _SLOWEST
        call = start_upload(self._helper.PutModel, header, model, timeout=timeout)
        return codec.receipt_from_proto(await self._reply(call))

    async def profile_model(self, request: ProfileRequest) -> Profile:
        """What the helper measures of a model that it was brought."""
        message = profiles.request_to_proto(request)
        reply = await self._reply(self._helper.ProfileModel(message, timeout=_LONG))
        profile, _ = profiles.profile_from_proto(reply)
        return profile

    async def load_program(self, assignment: Assignment) -> tuple[str, ...]:
        """Make a program ready, whose models it was brought; remarks on some of them."""
        message = helping.assignment_to_proto(assignment, _digest)
        reply = await self._reply(self._helper.LoadProgram(message, timeout=_LONG))
        return tuple(reply.remarks)

    async def unload_program(self, lease: str, key: str) -> None:
        """Have a program forgotten."""
        request = helper_pb2.UnloadProgramRequest(lease=lease, key=key)
        await self._reply(self._helper.UnloadProgram(request, timeout=_SHORT))

    async def play(
        self, lease: str, key: str, run: int, timeout: float
    ) -> AsyncGenerator[Delivery | Played, None]:
        """One run: parts for the client, and `Played` at last; closing it cancels the run.

        Raises PeerFailed where the helper says that another worker is to blame.
        """
        request = helper_pb2.PlayRequest(lease=lease, key=key, run=run)
        call = self._helper.Play(request, timeout=timeout)
        try:
            async for reply in call:
                yield helping.play_reply_from_proto(reply)
        except grpc.aio.AioRpcError as error:
            blamed = helping.blame_from_trailers(error.trailing_metadata())
            if blamed is not None:
                raise PeerFailed(blamed, str(error.details())) from error
            raise self._failure(error) from error
        finally:
            call.cancel()

    async def deliver(self, delivery: Delivery) -> None:
        """Hand over a part of a tensor."""
        message = helping.delivery_to_proto(delivery)
        timeout = _SHORT + delivery.values.nbytes / _SLOWEST
        await self._reply(self._helper.Deliver(message, timeout=timeout))


def _digest(model: bytes) -> str:
    return hashlib.sha256(model).hexdigest()
