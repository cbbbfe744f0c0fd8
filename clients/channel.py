"""gRPC to one server: dataclasses to protobuf, status codes to errors, a deadline on every call."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from types import TracebackType
from typing import Any, ClassVar, Self, TypeVar

import grpc
from numpy.typing import NDArray

from clients.errors import CallFailed, Gone
from clients.server import ServerRun, Then, ThenRun
from dds.profile.profile import Profile
from dds.session.messages import ClientMessage, ServerMessage
from dds.session.profiling import ProfileRequest
from dds.session.status import MarketStatus
from dds.session.upload import ModelHeader, ModelReceipt
from dds.wire import codec, market_pb2, market_pb2_grpc, open_inference_pb2_grpc, profiles, tensors
from dds.wire.calling import start_upload, unanswered

__all__ = ["Caller", "Channel"]

#: Largest message either way, bytes; whole tensors travel in one.
_MESSAGE_BYTES = 2**28
#: Seconds for a short call, for measuring a model, and for one stream of the game (the player opens
#: another when it ends).
_SHORT, _MEASURING, _STREAM = 10.0, 120.0, 600.0
#: An upload may take `_SHORT` and as long as its bytes need at this rate, bytes/s.
_SLOWEST_UPLOAD = 2e6
#: What gRPC says of a method that no service there has.
_NO_METHOD = "Method not found!"
#: What it says of a call that nobody answered, and what that shows; a broken connection otherwise.
_HOW_GONE = {
    "ping timeout": "it does not answer",
    "before receiving SETTINGS": "it does not answer",
    "failed to connect": "it cannot be reached",
}

T = TypeVar("T")


class Caller:
    """Calls somebody over gRPC; what fails says who that was."""

    address: str
    #: What is called, for errors, and the command that should be running there.
    _who: ClassVar[str]
    _command: ClassVar[str]

    async def _reply(self, call: Awaitable[T]) -> T:
        try:
            return await call
        except grpc.aio.AioRpcError as error:
            raise self._failure(error) from error

    def _failure(self, error: grpc.aio.AioRpcError) -> CallFailed:
        """What a call that failed means; Gone where nobody answered it."""
        who = f"the {self._who} at {self.address}"
        status, details = error.code().name, error.details() or ""
        if unanswered(error):
            how = next((how for said, how in _HOW_GONE.items() if said in details), None)
            return Gone(who, how or "its connection broke")
        if error.code() is grpc.StatusCode.UNIMPLEMENTED and details == _NO_METHOD:
            return CallFailed(status, f"{who} is no {self._command}; what else is running there?")
        pause = profiles.pushback_from_trailers(error.trailing_metadata())
        return CallFailed(status, f"{who} answered {status}: {details}", retry_after=pause)


class Channel(Caller):
    """A connection to the server at `address`; use it as an async context manager.

    connect: seconds within which the server has to be reachable at first.
    """

    _who, _command = "server", "mec-server"

    def __init__(self, address: str, *, connect: float = 10.0) -> None:
        self.address = address
        self._connect = connect
        self._hops = 0

    def upstream(self) -> Channel:
        """The server behind this one, over the same open connection."""
        further = copy.copy(self)
        further._hops += 1
        return further

    async def __aenter__(self) -> Self:
        """Connect; raises CallFailed when nobody answers."""
        self._channel = grpc.aio.insecure_channel(
            self.address,
            options=[
                ("grpc.max_receive_message_length", _MESSAGE_BYTES),
                ("grpc.max_send_message_length", _MESSAGE_BYTES),
            ],
        )
        try:
            await asyncio.wait_for(self._channel.channel_ready(), self._connect)
        except TimeoutError:
            await self._channel.close()
            raise CallFailed(
                "UNAVAILABLE",
                f"no server answers at {self.address}; is mec-server running there?",
            ) from None
        self._market = market_pb2_grpc.MarketStub(self._channel)  # type: ignore[no-untyped-call]
        self._inference = open_inference_pb2_grpc.GRPCInferenceServiceStub(self._channel)  # type: ignore[no-untyped-call]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the connection."""
        await self._channel.close()

    async def play(self, outgoing: AsyncIterator[ClientMessage]) -> AsyncIterator[ServerMessage]:
        """One stream of the game; raises CallFailed when it breaks."""
        requests = (codec.client_message_to_proto(message) async for message in outgoing)
        call = self._market.Play(requests, timeout=_STREAM, metadata=self._metadata())
        try:
            async for reply in call:
                yield codec.server_message_from_proto(reply)
        except grpc.aio.AioRpcError as error:
            raise self._failure(error) from error
        finally:
            call.cancel()

    async def put_model(self, lease: str, digest: str, model: bytes) -> ModelReceipt:
        """Upload a model unless the server has it."""
        timeout = _SHORT + len(model) / _SLOWEST_UPLOAD
        header = ModelHeader(lease, digest, len(model))
        call = start_upload(
            self._market.PutModel, header, model, timeout=timeout, metadata=self._metadata()
        )
        return codec.receipt_from_proto(await self._reply(call))

    async def profile_model(self, request: ProfileRequest) -> tuple[Profile, bool]:
        """What the server measures of an uploaded model, and whether it had done so before."""
        message = profiles.request_to_proto(request)
        reply = await self._reply(
            self._market.ProfileModel(message, timeout=_MEASURING, metadata=self._metadata())
        )
        return profiles.profile_from_proto(reply)

    async def infer(
        self,
        lease: str,
        digest: str,
        inputs: Mapping[str, NDArray[Any]],
        outputs: Sequence[str] = (),
        *,
        timeout: float,
        then: Then | None = None,
    ) -> ServerRun:
        """Run an uploaded model at the share of the lease, and what comes then."""
        request = tensors.request_to_proto(
            digest, inputs, outputs=outputs, then=then.digest if then else None
        )
        payers = {tensors.LEASE_KEY: lease}
        if then:
            payers[tensors.THEN_LEASE_KEY] = then.lease
        reply = await self._reply(
            self._inference.ModelInfer(request, timeout=timeout, metadata=self._metadata(payers))
        )
        cpu, paced, wall = tensors.seconds_from_proto(reply, tensors.OWN_SECONDS)
        after = None
        if then:
            after = ThenRun(*tensors.seconds_from_proto(reply, tensors.THEN_SECONDS))
        return ServerRun(tensors.response_from_proto(reply), cpu, paced, wall, after)

    async def status(self) -> MarketStatus:
        """What the market looks like now."""
        reply = await self._reply(
            self._market.Status(
                market_pb2.StatusRequest(), timeout=_SHORT, metadata=self._metadata()
            )
        )
        return codec.status_from_proto(reply)

    def _metadata(self, payers: Mapping[str, str] | None = None) -> tuple[tuple[str, str], ...]:
        hops = {tensors.HOPS_KEY: str(self._hops)} if self._hops else {}
        return tuple({**hops, **(payers or {})}.items())
