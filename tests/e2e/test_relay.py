"""Two and three server processes in a row: calls go as far as they say, and come back unchanged."""

import asyncio
import secrets
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from clients.channel import Channel
from clients.errors import CallFailed
from dds.market.tariff import Flat
from dds.model import zoo
from dds.session.messages import Join
from dds.session.profiling import ProfileRequest
from dds.session.upload import ModelHeader
from dds.testing.models import digest_of, text_model
from dds.wire import codec, market_pb2, tensors
from dds.wire import open_inference_pb2 as oip


@pytest.fixture(scope="module")
def servers(serving: Callable[..., str]) -> dict[str, str]:
    """Addresses: a cloud, an edge before it, a gate before the edge; and a slow cloud and edge.

    On one core of the slow cloud an inference takes months, and a client may be silent for hours.
    """
    cloud = serving("--tariff", "flat", "--price", "0.125", "--capacity", "8")
    edge = serving("--upstream", cloud)
    slow = serving("--core-slowdown", "1e12", "--lease", "9999")
    return {
        "cloud": cloud,
        "edge": edge,
        "gate": serving("--upstream", edge),
        "slow edge": serving("--upstream", slow),
    }


DOUBLE = text_model("(float[4] x) => (float[4] y) {y = Add(x, x)}")
X = np.array([1.0, 2.0, 3.0, 4.0], np.float32)


async def failure(call: Awaitable[Any]) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


def test_every_call_goes_further(servers: dict[str, str], via: Any, tenant: Any) -> None:
    async def go() -> None:
        async with via(servers["gate"], "2") as far, Channel(servers["edge"]) as near:
            assert (await far.status()).terms.tariff == Flat(0.125, 8.0)
            async with tenant(far) as lease:
                assert [m.name for m in (await far.status()).members] == ["tester"]
                assert (await near.status()).members == ()
                assert not (await far.put_model(lease, digest_of(DOUBLE), DOUBLE)).known
                assert (await far.put_model(lease, digest_of(DOUBLE), DOUBLE)).known
                done = await far.infer(lease, digest_of(DOUBLE), {"x": X}, timeout=60.0)
                assert np.array_equal(done.outputs["y"], 2.0 * X)
                found, _ = await far.profile_model(ProfileRequest(lease, digest_of(DOUBLE)))
                assert found.digest == digest_of(DOUBLE)
                stub, name = far._inference, digest_of(DOUBLE)
                whose: Any = {"timeout": 10, "metadata": ((tensors.LEASE_KEY, lease),)}
                assert (await stub.ServerLive(oip.ServerLiveRequest())).live
                assert (await stub.ServerReady(oip.ServerReadyRequest())).ready
                server = await stub.ServerMetadata(oip.ServerMetadataRequest())
                assert server.name == "mec-server"
                assert (await stub.ModelReady(oip.ModelReadyRequest(name=name), **whose)).ready
                model = await stub.ModelMetadata(oip.ModelMetadataRequest(name=name), **whose)
                assert [tensor.name for tensor in model.inputs] == ["x"]
                # The edge, which only passed all this on, knows nothing of it.
                with pytest.raises(CallFailed, match="PERMISSION_DENIED"):
                    await near.infer(lease, name, {"x": X}, timeout=60.0)
            health = health_pb2_grpc.HealthStub(far._channel)
            reply = await health.Check(
                health_pb2.HealthCheckRequest(), metadata=((tensors.HOPS_KEY, "2"),)
            )
            assert reply.status == health_pb2.HealthCheckResponse.SERVING

    asyncio.run(go())


def test_calls_go_as_far_as_they_say(servers: dict[str, str], via: Any) -> None:
    async def price(hops: str) -> Any:
        async with via(servers["gate"], hops) as channel:
            return (await channel.status()).terms.tariff

    assert asyncio.run(price("0")) == asyncio.run(price("1")) != Flat(0.125, 8.0)
    assert asyncio.run(price("2")) == Flat(0.125, 8.0)
    with pytest.raises(
        CallFailed, match=r"FAILED_PRECONDITION.*this server has no upstream; start"
    ):
        asyncio.run(price("3"))


@pytest.mark.parametrize("hops", ["999", "-1", "x", "", "9", "1.0", "01"])
def test_hops_that_are_no_number_are_refused(servers: dict[str, str], hops: str, via: Any) -> None:
    async def go() -> None:
        async with via(servers["edge"], hops) as channel:
            requests = [
                channel._market.Status(market_pb2.StatusRequest(), timeout=60),
                channel._inference.ServerLive(oip.ServerLiveRequest(), timeout=60),
                channel._inference.ModelInfer(oip.ModelInferRequest(), timeout=60),
            ]
            for request in requests:
                error = await failure(request)
                assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
                assert "need a number of servers from 0 to 8" in error.details()

    asyncio.run(go())


def test_what_the_server_has_no_method_for_is_not_passed_on(servers: dict[str, str]) -> None:
    async def go() -> None:
        async with grpc.aio.insecure_channel(servers["edge"]) as channel:
            call = channel.unary_unary("/secret.Service/Method")
            error = await failure(call(b"x", timeout=10, metadata=((tensors.HOPS_KEY, "1"),)))
            assert error.code() is grpc.StatusCode.UNIMPLEMENTED

    asyncio.run(go())


def test_refusals_come_back_as_they_are(servers: dict[str, str], via: Any) -> None:
    header = ModelHeader("no-such-lease", "0" * 64, 2**40)

    async def chunks(*parts: ModelHeader | bytes) -> AsyncIterator[Any]:
        for part in parts:
            yield codec.chunk_to_proto(part)

    async def refusals(channel: Channel) -> list[tuple[Any, Any]]:
        calls = [
            channel._inference.ModelInfer(oip.ModelInferRequest(), timeout=60),
            channel._inference.ModelMetadata(
                oip.ModelMetadataRequest(name="é\n" * 500), timeout=10
            ),
            channel._market.ProfileModel(market_pb2.ProfileModelRequest(digest="?"), timeout=60),
            channel._market.PutModel(chunks(), timeout=60),
            channel._market.PutModel(chunks(b"data first"), timeout=60),
            channel._market.PutModel(chunks(header), timeout=60),
        ]
        errors = [await failure(call) for call in calls]
        return [(error.code(), error.details()) for error in errors]

    async def go() -> None:
        async with Channel(servers["cloud"]) as direct, via(servers["edge"]) as relayed:
            assert await refusals(relayed) == await refusals(direct)

    asyncio.run(go())


def test_a_refused_upload_says_why_every_time(servers: dict[str, str], via: Any) -> None:
    """While a client is still writing gRPC may lose the status, here once in some ten times."""
    large = b"x" * 3_000_000

    async def go(channel: Channel) -> None:
        async with channel:
            for _ in range(100):
                with pytest.raises(CallFailed, match="PERMISSION_DENIED: no lease 'nobody'"):
                    await channel.put_model("nobody", digest_of(large), large)

    asyncio.run(go(Channel(servers["cloud"])))
    asyncio.run(go(via(servers["gate"], "2")))


def test_when_to_ask_again_comes_back(servers: dict[str, str], via: Any, tenant: Any) -> None:
    slow, other = (
        zoo.build("squeezenet"),
        text_model("(float[5] x) => (float[5] y) {y = Add(x, x)}"),
    )

    async def go() -> None:
        async with via(servers["edge"]) as channel, tenant(channel, buy=False) as lease:
            for model in (slow, other):
                await channel.put_model(lease, digest_of(model), model)
            requests = [ProfileRequest(lease, digest_of(model)) for model in (slow, other)]
            measuring = asyncio.ensure_future(channel.profile_model(requests[0]))
            await asyncio.sleep(0.2)
            with pytest.raises(CallFailed) as caught:
                await channel.profile_model(requests[1])
            assert caught.value.status == "RESOURCE_EXHAUSTED"
            assert caught.value.retry_after == pytest.approx(5.0)
            await measuring

    asyncio.run(go())


def test_a_cancelled_call_is_cancelled_upstream(
    servers: dict[str, str], via: Any, tenant: Any
) -> None:
    async def go() -> None:
        async with via(servers["slow edge"]) as channel, tenant(channel) as lease:
            await channel.put_model(lease, digest_of(DOUBLE), DOUBLE)
            request = tensors.request_to_proto(digest_of(DOUBLE), {"x": X})
            payer = ((tensors.LEASE_KEY, lease),)

            async def call(timeout: float | None = None) -> Any:
                stub = channel._inference
                return await stub.ModelInfer(request, timeout=timeout, metadata=payer)

            # The upstream itself says how long it would take: it knows the deadline.
            late = await failure(call(100.0))
            assert late.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            assert "its deadline is in" in late.details()
            # Of so many 16 may wait.
            calls = [asyncio.ensure_future(call()) for _ in range(20)]
            while sum(task.done() for task in calls) < 4:
                await asyncio.sleep(0.05)
            for task in calls:
                task.cancel()
            while (await failure(call(100.0))).code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
                await asyncio.sleep(0.1)

    asyncio.run(go())


def test_who_breaks_off_leaves_the_market_upstream(servers: dict[str, str], via: Any) -> None:
    async def members(channel: Channel) -> list[str]:
        return [member.name for member in (await channel.status()).members]

    async def go() -> None:
        async with via(servers["slow edge"]) as channel:
            # Its lease would last for hours: only that its stream ended tells that it has gone.
            stream = await joined(channel)
            assert await members(channel) == ["tester"]
            stream.cancel()
            while await members(channel):
                await asyncio.sleep(0.1)

    asyncio.run(go())


SILENT = "the upstream does not answer; try again later"


def unused_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


async def joined(channel: Channel) -> Any:
    """A stream on which a client has joined, and says no more."""

    async def joining() -> AsyncIterator[Any]:
        yield codec.client_message_to_proto(Join("tester", secrets.token_urlsafe(18)))
        await asyncio.Event().wait()

    stream = channel._market.Play(joining())
    await stream.read()
    return stream


async def reachable(channel: Channel) -> Any:
    """Wait until the upstream answers; until then its address is not told."""
    while True:
        try:
            return await channel.status()
        except CallFailed as error:
            told = str(error)
        assert told == f"the server at {channel.address} answered UNAVAILABLE: {SILENT}"
        await asyncio.sleep(0.1)


def test_an_upstream_may_come_late_die_and_come_back(
    start: Callable[..., Any], serve: Callable[..., Any], via: Any, tenant: Any
) -> None:
    place = unused_address()
    edge, address = serve("--upstream", place)
    assert edge.next("warning")["message"].startswith(f"the upstream {place} does not answer yet")

    def upstream() -> Any:
        server = start("mec_server", "--json", "--listen", place)
        server.next("listening")
        return server

    async def go() -> None:
        async with via(address) as far, Channel(address) as near, tenant(near) as lease:
            with pytest.raises(CallFailed, match=SILENT):
                await far.status()
            with pytest.raises(CallFailed, match=SILENT):
                await far.put_model(lease, digest_of(DOUBLE), DOUBLE)
            await near.put_model(lease, digest_of(DOUBLE), DOUBLE)
            await near.infer(lease, digest_of(DOUBLE), {"x": X}, timeout=60.0)
            chain = tensors.request_to_proto(digest_of(DOUBLE), {"x": X}, then="0" * 64)
            payer = ((tensors.LEASE_KEY, lease),)
            error = await failure(near._inference.ModelInfer(chain, timeout=60, metadata=payer))
            assert error.code() is grpc.StatusCode.UNAVAILABLE
            assert place not in error.details()
            cloud = await asyncio.to_thread(upstream)
            await reachable(far)
            stream = await joined(far)
            cloud.kill()
            broken = await failure(stream.read())
            assert broken.code() is grpc.StatusCode.UNAVAILABLE
            assert broken.details() == SILENT
            await asyncio.to_thread(upstream)
            assert (await reachable(far)).members == ()

    asyncio.run(go())


def test_a_server_that_stops_ends_the_streams_it_passes_on(
    serve: Callable[..., Any], servers: dict[str, str], via: Any
) -> None:
    edge, address = serve("--upstream", servers["cloud"])

    async def go() -> None:
        async with via(address) as channel:
            stream = await joined(channel)
            stopping = asyncio.ensure_future(asyncio.to_thread(edge.stop))
            error = await failure(stream.read())
            assert error.code() is grpc.StatusCode.UNAVAILABLE
            assert error.details() == "the server is shutting down"
            assert await stopping == 0

    asyncio.run(go())
