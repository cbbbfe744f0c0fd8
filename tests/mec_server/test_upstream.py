"""The connection to an upstream and the relay, before upstreams that misbehave."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import numpy as np
import pytest

from dds.market.tariff import Clearing
from dds.session.messages import ReferenceCore, Terms
from dds.wire import open_inference_pb2 as oip
from dds.wire import open_inference_pb2_grpc as oip_grpc
from dds.wire import tensors
from mec_server.chaining import Boundary
from mec_server.config import Limits, ServerConfig
from mec_server.errors import UpstreamFailed
from mec_server.handlers import Handlers
from mec_server.rpc import RpcServer
from mec_server.upstream import Upstream

#: Bytes of the largest message that the servers here take.
LARGEST = 10_000
TIMES = {"cpu": 1.0, "paced": 2.0, "wall": 3.0}
X = np.arange(4.0, dtype=np.float32)


class Odd(oip_grpc.GRPCInferenceServiceServicer):
    """Answers what it is told to, and keeps what it was asked."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.metadata: dict[str, str] = {}
        self.reply = tensors.response_to_proto("m", {"y": X}, seconds=TIMES)
        self.error: tuple[grpc.StatusCode, str] | None = None
        self.trailers: tuple[tuple[str, str], ...] = ()

    def _note(self, name: str, context: Any) -> None:
        self.calls[name] += 1
        self.metadata = dict(context.invocation_metadata())

    async def ModelMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._note(request.name, context)
        kinds = oip.ModelMetadataResponse.TensorMetadata
        return oip.ModelMetadataResponse(
            inputs=[kinds(name="x")], outputs=[kinds(name="y"), kinds(name="z")]
        )

    async def ModelInfer(self, _request: Any, context: Any) -> Any:  # noqa: N802
        self._note("infer", context)
        context.set_trailing_metadata(self.trailers)
        if self.error is not None:
            await context.abort(*self.error)
        return self.reply


@contextlib.asynccontextmanager
async def odd_server() -> AsyncIterator[tuple[Odd, Upstream, str]]:
    server, odd = grpc.aio.server(), Odd()
    oip_grpc.add_GRPCInferenceServiceServicer_to_server(odd, server)
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    upstream = Upstream(address, LARGEST)
    yield odd, upstream, address
    await upstream.close()
    await server.stop(None)


def before_it(use: Callable[[Odd, Upstream], Awaitable[None]]) -> None:
    async def go() -> None:
        async with odd_server() as (odd, upstream, _):
            await use(odd, upstream)

    asyncio.run(go())


def through_a_relay(use: Callable[[Odd, Any], Awaitable[None]]) -> None:
    """Use the stub of a server whose upstream is the odd one."""

    async def go() -> None:
        async with odd_server() as (odd, upstream, address):
            core = ReferenceCore("core", 1e10, 1e10, 0.0)
            config = ServerConfig(
                Terms(Clearing(1.0), 1.0, core, None),
                listen="127.0.0.1:0",
                upstream=address,
                limits=Limits(message_bytes=LARGEST),
            )
            server = RpcServer(Handlers(config, upstream), upstream, version="0")
            try:
                async with grpc.aio.insecure_channel(await server.start()) as channel:
                    await use(odd, oip_grpc.GRPCInferenceServiceStub(channel))
            finally:
                await server.stop(0.0)

    asyncio.run(go())


def test_a_boundary_is_asked_for_once_per_lease() -> None:
    async def use(odd: Odd, upstream: Upstream) -> None:
        for lease in ("anna", "anna", "ben", "anna"):
            found = await upstream.boundary(lease, "m", timeout=10.0)
            assert found == Boundary(("x",), ("y", "z"))
        assert odd.calls["m"] == 2

    before_it(use)


def test_so_many_boundaries_are_remembered_and_the_oldest_forgotten() -> None:
    async def use(odd: Odd, upstream: Upstream) -> None:
        for name in ("first", *map(str, range(255)), "first", "one more", "first", "0"):
            await upstream.boundary("anna", name, timeout=10.0)
        assert (odd.calls["first"], odd.calls["0"], odd.calls["1"]) == (1, 2, 1)

    before_it(use)


def test_its_answer_is_read() -> None:
    async def use(odd: Odd, upstream: Upstream) -> None:
        done = await upstream.infer("anna", "m", {"x": X}, ("y",), timeout=10.0)
        assert np.array_equal(done.outputs["y"], X)
        assert done.seconds == TIMES
        assert odd.metadata[tensors.LEASE_KEY] == "anna"

    before_it(use)


@pytest.mark.parametrize(
    ("reply", "complaint"),
    [
        (oip.ModelInferResponse(), "does not say its cpu_seconds"),
        (tensors.response_to_proto("m", {}, seconds=TIMES), r"its reply lacks \['y'\]"),
        (
            tensors.response_to_proto("m", {"y": X}, seconds={**TIMES, "wall": -1.0}),
            "need seconds >= 0",
        ),
        (
            oip.ModelInferResponse(
                outputs=[oip.ModelInferResponse.InferOutputTensor(name="y", datatype="FP32")],
                raw_output_contents=[b"x"],
            ),
            "1 bytes of FP32",
        ),
    ],
)
def test_an_answer_that_is_none_is_the_upstreams_fault(
    reply: oip.ModelInferResponse, complaint: str
) -> None:
    async def use(odd: Odd, upstream: Upstream) -> None:
        odd.reply = reply
        with pytest.raises(UpstreamFailed, match=f"^upstream: .*{complaint}") as caught:
            await upstream.infer("anna", "m", {"x": X}, ("y",), timeout=10.0)
        assert caught.value.status == "INTERNAL"

    before_it(use)


@pytest.mark.parametrize(
    ("trailers", "pause"),
    [
        ((), None),
        ((("grpc-retry-pushback-ms", "1500"),), 1.5),
        ((("grpc-retry-pushback-ms", "-1"),), None),
        ((("grpc-retry-pushback-ms", "9" * 99),), None),
        ((("secret", "1"),), None),
    ],
)
def test_refusals_keep_their_status_and_their_pause(
    trailers: tuple[tuple[str, str], ...], pause: float | None
) -> None:
    async def use(odd: Odd, upstream: Upstream) -> None:
        odd.error, odd.trailers = (grpc.StatusCode.RESOURCE_EXHAUSTED, "full"), trailers
        with pytest.raises(UpstreamFailed, match=r"^upstream: full$") as caught:
            await upstream.infer("anna", "m", {}, timeout=10.0)
        assert caught.value.status == "RESOURCE_EXHAUSTED"
        assert caught.value.retry_after == pause

    before_it(use)


async def failure(call: Awaitable[Any]) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


def test_only_what_belongs_to_a_call_is_passed_on() -> None:
    async def use(odd: Odd, stub: Any) -> None:
        sent = {
            tensors.HOPS_KEY: "3",
            tensors.LEASE_KEY: "anna",
            tensors.THEN_LEASE_KEY: "ben",
            "secret": "x",
        }
        await stub.ModelInfer(oip.ModelInferRequest(), metadata=tuple(sent.items()))
        del sent["secret"]
        assert {key: odd.metadata.get(key) for key in sent} == {**sent, tensors.HOPS_KEY: "2"}
        assert "secret" not in odd.metadata
        odd.error = (grpc.StatusCode.RESOURCE_EXHAUSTED, "full")
        odd.trailers = (("grpc-retry-pushback-ms", "1500"), ("secret", "x"))
        error = await failure(
            stub.ModelInfer(oip.ModelInferRequest(), metadata=((tensors.HOPS_KEY, "1"),))
        )
        assert (error.code(), error.details()) == odd.error
        trailers = dict(error.trailing_metadata())
        assert trailers["grpc-retry-pushback-ms"] == "1500"
        assert "secret" not in trailers

    through_a_relay(use)


def test_messages_that_are_too_large_are_refused_both_ways() -> None:
    async def use(odd: Odd, stub: Any) -> None:
        onwards = ((tensors.HOPS_KEY, "1"),)
        small = oip.ModelInferRequest(raw_input_contents=[b"x" * (LARGEST - 100)])
        await stub.ModelInfer(small, metadata=onwards)
        large = oip.ModelInferRequest(raw_input_contents=[b"x" * LARGEST])
        error = await failure(stub.ModelInfer(large, metadata=onwards))
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert odd.calls["infer"] == 1
        odd.reply = oip.ModelInferResponse(raw_output_contents=[b"x" * LARGEST])
        error = await failure(stub.ModelInfer(small, metadata=onwards))
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert odd.calls["infer"] == 2

    through_a_relay(use)


def test_an_upstream_that_is_there_answers() -> None:
    async def use(_: Odd, upstream: Upstream) -> None:
        # Whoever refuses the question is there, but is no mec-server.
        assert "is no mec-server" in await upstream.missed(10.0)

    before_it(use)

    async def go() -> None:
        core = ReferenceCore("core", 1e10, 1e10, 0.0)
        config = ServerConfig(Terms(Clearing(1.0), 1.0, core, None), listen="127.0.0.1:0")
        server = RpcServer(Handlers(config), version="0")
        upstream = Upstream(await server.start(), LARGEST)
        assert not await upstream.missed(10.0)
        await server.stop(0.0)
        assert "does not answer yet" in await upstream.missed(10.0)
        await upstream.close()

    asyncio.run(go())
