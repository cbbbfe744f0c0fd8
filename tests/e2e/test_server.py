"""One server process, called directly: large tensors, hostile callers, standard services."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from clients.channel import Channel
from clients.errors import CallFailed, MarketRefused
from clients.player import Player
from dds.cut.pieces import Frontier
from dds.market.client import Client
from dds.model import zoo
from dds.session.client import ClientSession
from dds.session.messages import Bid, Join
from dds.session.profiling import ProfileRequest
from dds.session.states import ClientState, MarketState
from dds.session.upload import ModelHeader
from dds.testing.models import digest_of, text_model
from dds.wire import codec, market_pb2, market_pb2_grpc, open_inference_pb2, open_inference_pb2_grpc


@pytest.fixture(scope="module")
def address(talker: Callable[..., Any]) -> Iterator[str]:
    """A server that these tests share; each leaves the market as it found it."""
    server = talker("mec_server", "--json", "--listen", "127.0.0.1:0", "--max-model", "64MiB")
    yield server.next("listening")["address"]
    assert server.stop() == 0
    server.kill()


def doubling_model(count: int) -> bytes:
    return text_model(f"(float[{count}] x) => (float[{count}] y) {{y = Add(x, x)}}")


#: Buys a share (W = 1 core second) or computes alone (10 s): any share is worth having.
COSTS = Client(Frontier.from_points([(0.0, 1.0), (10.0, 0.0)]), 1.0, 0.0, 1.0, "tester")


def in_market(
    address: str, use: Callable[[Channel, str], Awaitable[Any]], *, buy: bool = True
) -> Any:
    """Join, buy a share unless told not to, and use the lease."""

    async def go() -> Any:
        session = ClientSession("tester", secrets.token_urlsafe(18))
        async with (
            Channel(address) as channel,
            Player(session, channel, on_bid=lambda *_: None) as player,
        ):
            await player.until(ClientState.ADMITTED)
            if buy:
                player.update(COSTS)
                await player.until(ClientState.HOLDING)
            assert session.lease is not None
            return await use(channel, session.lease)

    return asyncio.run(go())


def test_tensors_above_grpcs_default_limit_pass(address: str) -> None:
    count = 4 * 2**20
    model = doubling_model(count)
    x = np.arange(count, dtype=np.float32)

    async def use(channel: Channel, lease: str) -> None:
        receipt = await channel.put_model(lease, digest_of(model), model)
        assert not receipt.known
        assert (await channel.put_model(lease, digest_of(model), model)).known
        done = await channel.infer(lease, digest_of(model), {"x": x}, timeout=60.0)
        assert np.array_equal(done.outputs["y"], 2.0 * x)
        assert done.paced == pytest.approx(done.cpu)
        assert done.wall >= done.cpu

    assert x.nbytes == 16 * 2**20
    in_market(address, use)


def refused(address: str, use: Callable[[Channel, str], Awaitable[Any]], **how: bool) -> CallFailed:
    with pytest.raises(CallFailed) as caught:
        in_market(address, use, **how)
    assert "\n" not in str(caught.value)
    return caught.value


MODEL = doubling_model(4)
X = {"x": np.zeros(4, np.float32)}


def test_bytes_of_another_digest_are_refused(address: str) -> None:
    error = refused(address, lambda c, lease: c.put_model(lease, "0" * 64, MODEL))
    assert error.status == "INVALID_ARGUMENT"
    assert "model.digest" in str(error)


def test_what_is_no_model_is_refused(address: str) -> None:
    junk = b"junk" * 1000
    error = refused(address, lambda c, lease: c.put_model(lease, digest_of(junk), junk))
    assert error.status == "INVALID_ARGUMENT"


def test_too_large_a_model_is_refused_before_it_is_sent(address: str) -> None:
    async def announce(channel: Channel, lease: str) -> None:
        async def header_only() -> AsyncIterator[Any]:
            yield codec.chunk_to_proto(ModelHeader(lease, "0" * 64, 2**40))

        stub = market_pb2_grpc.MarketStub(channel._channel)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.PutModel(header_only(), timeout=60)
        assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert "at most 67108864 bytes" in caught.value.details()

    in_market(address, announce)


@pytest.mark.parametrize("lease", ["", "no-such-lease"])
def test_an_unknown_lease_is_refused_with_the_fix(address: str, lease: str) -> None:
    async def without_joining() -> tuple[CallFailed, CallFailed]:
        async with Channel(address) as channel:
            with pytest.raises(CallFailed) as infer:
                await channel.infer(lease, digest_of(MODEL), X, timeout=10.0)
            with pytest.raises(CallFailed) as put:
                await channel.put_model(lease or "none", digest_of(MODEL), MODEL)
        return infer.value, put.value

    for error in asyncio.run(without_joining()):
        assert error.status == "PERMISSION_DENIED"
        assert "join the market first" in str(error)


def test_a_lease_without_a_share_cannot_run(address: str) -> None:
    async def use(channel: Channel, lease: str) -> None:
        await channel.put_model(lease, digest_of(MODEL), MODEL)
        await channel.infer(lease, digest_of(MODEL), X, timeout=10.0)

    error = refused(address, use, buy=False)
    assert error.status == "PERMISSION_DENIED"
    assert "holds no cores" in str(error)


def test_a_lease_runs_only_what_it_uploaded(address: str) -> None:
    error = refused(address, lambda c, lease: c.infer(lease, digest_of(MODEL), X, timeout=10.0))
    assert error.status == "NOT_FOUND"
    assert "PutModel" in str(error)


@pytest.mark.parametrize(
    ("inputs", "complaint"),
    [
        ({}, "'x' is missing"),
        ({"x": np.zeros(5, np.float32)}, "send float32 [4]"),
        ({"x": np.zeros(4, np.float64)}, "send float32 [4]"),
        ({**X, "z": np.zeros(4, np.float32)}, "'z' is not one"),
    ],
)
def test_tensors_that_are_not_the_models_are_refused(
    address: str, inputs: dict[str, np.ndarray], complaint: str
) -> None:
    async def use(channel: Channel, lease: str) -> None:
        await channel.put_model(lease, digest_of(MODEL), MODEL)
        await channel.infer(lease, digest_of(MODEL), inputs, timeout=10.0)

    error = refused(address, use)
    assert error.status == "INVALID_ARGUMENT"
    assert complaint in str(error)


def test_a_released_lease_is_worth_nothing(address: str) -> None:
    async def remember(_: Channel, lease: str) -> str:
        return lease

    lease = in_market(address, remember)

    async def use_it() -> None:
        async with Channel(address) as channel:
            await channel.infer(lease, digest_of(MODEL), X, timeout=10.0)

    with pytest.raises(CallFailed, match="join the market first"):
        asyncio.run(use_it())


def test_a_bid_that_was_not_for_sale_ends_the_lease(address: str) -> None:
    async def cheat() -> None:
        session = ClientSession("cheat", secrets.token_urlsafe(18))
        async with (
            Channel(address) as channel,
            Player(session, channel, on_bid=lambda *_: None) as player,
        ):
            await player.until(ClientState.ADMITTED)
            player._send([Bid(session.lease or "", 9999, 1, 0.5)])
            await player.until(ClientState.HOLDING)

    with pytest.raises(MarketRefused, match="no such post"):
        asyncio.run(cheat())


def asked(channel: Channel, lease: str, data: bytes) -> Awaitable[Any]:
    return channel.profile_model(ProfileRequest(lease, digest_of(data)))


def test_a_model_that_was_brought_is_measured_once(address: str) -> None:
    model = doubling_model(1000)

    async def use(channel: Channel, lease: str) -> None:
        await channel.put_model(lease, digest_of(model), model)
        found, known = await asked(channel, lease, model)
        assert (found.digest, found.groups, known) == (digest_of(model), ((0,),), False)
        assert found.seconds[0] > 0.0
        assert await asked(channel, lease, model) == (found, True)
        status = await channel.status()
        assert found.platform == status.terms.core.platform

    # Who measures before buying does not need a share.
    in_market(address, use, buy=False)


def test_only_who_has_a_lease_and_brought_the_model_has_it_measured(address: str) -> None:
    stranger = refused(address, lambda c, _: asked(c, "no-such-lease", MODEL))
    assert stranger.status == "PERMISSION_DENIED"
    missing = refused(address, lambda c, lease: asked(c, lease, doubling_model(77)))
    assert missing.status == "NOT_FOUND"
    assert "call PutModel first" in str(missing)

    async def malformed(channel: Channel, lease: str) -> None:
        stub = market_pb2_grpc.MarketStub(channel._channel)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.ProfileModel(market_pb2.ProfileModelRequest(lease=lease, digest="?"))
        assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert "profile.digest" in caught.value.details()

    in_market(address, malformed)


def test_a_server_that_measures_another_model_says_when_to_ask_again(address: str) -> None:
    slow, other = zoo.build("inception_v1"), doubling_model(78)

    async def use(channel: Channel, lease: str) -> None:
        for model in (slow, other):
            await channel.put_model(lease, digest_of(model), model)
        measuring = asyncio.ensure_future(asked(channel, lease, slow))
        await asyncio.sleep(0.1)
        with pytest.raises(CallFailed) as caught:
            await asked(channel, lease, other)
        assert caught.value.status == "RESOURCE_EXHAUSTED"
        assert caught.value.retry_after == pytest.approx(5.0)
        assert (await measuring)[0].digest == digest_of(slow)
        assert (await asked(channel, lease, other))[0].digest == digest_of(other)

    in_market(address, use, buy=False)


def test_the_status_is_public(address: str) -> None:
    async def look(channel: Channel, _: str) -> Any:
        return await channel.status()

    status = in_market(address, look)
    assert status.state is MarketState.SETTLED
    assert [member.name for member in status.members] == ["tester"]
    assert status.total == pytest.approx(1.0)
    assert status.terms.core.name == "edge-core"


async def ask(address: str, call: Callable[[Any], Awaitable[Any]]) -> Any:
    async with grpc.aio.insecure_channel(address) as channel:
        return await call(channel)


@pytest.mark.parametrize("service", ["", "dds.market.v1.Market", "inference.GRPCInferenceService"])
def test_every_service_is_healthy(address: str, service: str) -> None:
    async def check(channel: Any) -> Any:
        request = health_pb2.HealthCheckRequest(service=service)
        return await health_pb2_grpc.HealthStub(channel).Check(request, timeout=60)

    reply = asyncio.run(ask(address, check))
    assert reply.status == health_pb2.HealthCheckResponse.SERVING


def test_reflection_lists_the_services(address: str) -> None:
    async def listing(channel: Any) -> list[str]:
        async def requests() -> AsyncIterator[Any]:
            yield reflection_pb2.ServerReflectionRequest(list_services="")

        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        async for reply in stub.ServerReflectionInfo(requests(), timeout=60):
            return [service.name for service in reply.list_services_response.service]
        return []

    assert {
        "dds.market.v1.Market",
        "inference.GRPCInferenceService",
        "grpc.health.v1.Health",
    } <= set(asyncio.run(ask(address, listing)))


def test_the_open_inference_protocol_describes_server_and_model(address: str) -> None:
    pb = open_inference_pb2

    async def use(channel: Channel, lease: str) -> None:
        await channel.put_model(lease, digest_of(MODEL), MODEL)
        stub = open_inference_pb2_grpc.GRPCInferenceServiceStub(channel._channel)
        whose = {"timeout": 10, "metadata": (("dds-lease", lease),)}
        assert (await stub.ServerLive(pb.ServerLiveRequest(), timeout=60)).live
        assert (await stub.ServerReady(pb.ServerReadyRequest(), timeout=60)).ready
        server = await stub.ServerMetadata(pb.ServerMetadataRequest(), timeout=60)
        assert server.name == "mec-server"
        name = digest_of(MODEL)
        assert (await stub.ModelReady(pb.ModelReadyRequest(name=name), **whose)).ready
        assert not (await stub.ModelReady(pb.ModelReadyRequest(name="0" * 64), **whose)).ready
        model = await stub.ModelMetadata(pb.ModelMetadataRequest(name=name), **whose)
        assert [(t.name, t.datatype, list(t.shape)) for t in model.inputs] == [("x", "FP32", [4])]
        assert [(t.name, t.datatype, list(t.shape)) for t in model.outputs] == [("y", "FP32", [4])]

    in_market(address, use)


def test_a_malformed_message_is_answered_and_ends_the_stream(address: str) -> None:
    async def talk(channel: Any) -> list[Any]:
        async def requests() -> AsyncIterator[Any]:
            message = codec.client_message_to_proto(Join("x", "n"))
            message.join.name = ""
            yield message

        stub = market_pb2_grpc.MarketStub(channel)
        return [reply async for reply in stub.Play(requests(), timeout=60)]

    (reply,) = asyncio.run(ask(address, talk))
    assert "join.name is empty" in reply.refusal.message
