"""Three tiers as processes: the edge runs its part and has the cloud run the next."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np
import pytest

from clients.channel import Channel
from clients.errors import CallFailed
from dds.model import load_model, zoo
from dds.model.split import split_tiers
from dds.profile.runtime import Runtime, open_session, random_inputs, run
from dds.testing.models import digest_of, text_model
from dds.wire import tensors

EXACT = Runtime(1, "none")


@pytest.fixture(scope="module")
def servers(serving: Callable[..., str]) -> dict[str, str]:
    """Addresses: a cloud and an edge before it; and a cloud so slow that nothing ends there."""
    exact = ("--optimise", "none")
    cloud = serving(*exact)
    slow = serving("--core-slowdown", "1e12")
    return {
        "cloud": cloud,
        "edge": serving("--upstream", cloud, *exact),
        "slow edge": serving("--upstream", slow),
    }


@dataclass
class Tiers:
    """A client of two servers: one at the address, one through it."""

    edge: Channel
    cloud: Channel
    edge_lease: str
    cloud_lease: str

    async def chained(
        self,
        model: str,
        inputs: dict[str, Any],
        then: str,
        outputs: tuple[str, ...] = (),
        timeout: float | None = 60.0,
    ) -> Any:
        """The reply to a chained inference."""
        request = tensors.request_to_proto(model, inputs, outputs=outputs, then=then)
        payers = (
            (tensors.LEASE_KEY, self.edge_lease),
            (tensors.THEN_LEASE_KEY, self.cloud_lease),
        )
        return await self.edge._inference.ModelInfer(request, timeout=timeout, metadata=payers)

    async def put(self, edge: bytes, cloud: bytes) -> tuple[str, str]:
        """Upload a part to either; their digests."""
        await self.edge.put_model(self.edge_lease, digest_of(edge), edge)
        await self.cloud.put_model(self.cloud_lease, digest_of(cloud), cloud)
        return digest_of(edge), digest_of(cloud)


OnBoth = Callable[[str, Callable[[Tiers], Awaitable[None]]], None]


@pytest.fixture
def on_both(via: Any, tenant: Any) -> OnBoth:
    """Hold leases at an edge and at the cloud behind it."""

    def play(address: str, use: Callable[[Tiers], Awaitable[None]]) -> None:
        async def go() -> None:
            async with (
                Channel(address) as edge,
                via(address) as cloud,
                tenant(edge) as edge_lease,
                tenant(cloud) as cloud_lease,
            ):
                await use(Tiers(edge, cloud, edge_lease, cloud_lease))

        asyncio.run(go())

    return play


#: Inputs x and y; z passes the edge by when only the cloud reads it; outputs of every tier.
WHOLE = text_model("""(float[4] x, float[4] y) => (float[4] b, float[4] d, float[4] e) {
    a = Add(x, x)
    b = Mul(a, x)
    c = Add(a, b)
    d = Mul(c, y)
    e = Add(d, a)
}""")
DOUBLE = text_model("(float[4] x) => (float[4] y) {y = Add(x, x)}")
SQUARE = text_model("(float[4] y) => (float[4] z) {z = Mul(y, y)}")
X = np.array([1.0, 2.0, 3.0, 4.0], np.float32)


async def failure(call: Awaitable[Any]) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


async def through_all(tiers: Tiers, whole: bytes, first: set[int], second: set[int]) -> None:
    """Split at two cuts, run on three tiers, compare with the whole model bit for bit."""
    graph = load_model(whole)
    inputs = random_inputs(graph, np.random.default_rng(5))
    expected, _ = run(open_session(whole, EXACT), inputs)
    parts = split_tiers(whole, graph, first, second)
    here: dict[str, Any] = {}
    if parts.device.model is not None:
        here, _ = run(open_session(parts.device.model, EXACT), parts.device_feeds(inputs))
    assert parts.edge.model is not None
    assert parts.cloud.model is not None
    model, then = await tiers.put(parts.edge.model, parts.cloud.model)
    feeds = parts.uploaded(inputs, here)
    for outputs in ((), parts.downloads):
        reply = await tiers.chained(model, feeds, then, outputs)
        there = tensors.response_from_proto(reply)
        if not outputs:
            # What the cloud has read already is not worth sending back unless asked for.
            kept = set(parts.edge.outputs).difference(parts.cloud.inputs)
            assert set(there) == kept.union(parts.cloud.outputs)
            continue
        assert tuple(there) == parts.downloads
        answer = parts.join(inputs, here, there)
        assert list(answer) == list(expected)
        for name, array in expected.items():
            np.testing.assert_array_equal(answer[name], array)
        cpu, paced, wall = tensors.seconds_from_proto(reply, tensors.OWN_SECONDS)
        then_cpu, then_paced, then_wall, network = tensors.seconds_from_proto(
            reply, tensors.THEN_SECONDS
        )
        assert (paced, then_paced) == (pytest.approx(cpu), pytest.approx(then_cpu))
        assert min(cpu, then_cpu) > 0.0
        assert (wall >= paced, then_wall >= then_paced) == (True, True)
        assert network > 0.0


def test_three_tiers_equal_the_whole_at_every_pair_of_cuts(
    servers: dict[str, str], on_both: OnBoth
) -> None:
    async def use(tiers: Tiers) -> None:
        for first in range(4):
            for second in range(first + 1, 5):
                await through_all(tiers, WHOLE, set(range(first)), set(range(second)))

    on_both(servers["edge"], use)


def test_three_tiers_equal_a_whole_network(servers: dict[str, str], on_both: OnBoth) -> None:
    whole = zoo.build("squeezenet")
    order = load_model(whole).operators

    async def use(tiers: Tiers) -> None:
        for first, second in ((0, 30), (10, 11), (25, len(order) - 1)):
            await through_all(tiers, whole, set(range(first)), set(range(second)))

    on_both(servers["edge"], use)


def test_outputs_are_those_asked_for_of_either_part(
    servers: dict[str, str], on_both: OnBoth
) -> None:
    async def use(tiers: Tiers) -> None:
        call = await tiers.put(DOUBLE, SQUARE)

        async def names(*outputs: str) -> list[str]:
            reply = await tiers.chained(call[0], {"x": X}, call[1], outputs)
            answer = tensors.response_from_proto(reply)
            for name, array in answer.items():
                assert np.array_equal(array, {"y": 2.0 * X, "z": 4.0 * X * X}[name])
            return list(answer)

        assert await names() == ["z"]
        assert await names("z", "y") == ["z", "y"]
        assert await names("y") == ["y"]
        error = await failure(tiers.chained(call[0], {"x": X}, call[1], ("w",)))
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "output 'w' is not one of the two parts': ['y', 'z']" in error.details()

    on_both(servers["edge"], use)


def test_broken_chains_are_refused_with_the_tensor_and_the_tier(
    servers: dict[str, str], on_both: OnBoth
) -> None:
    status = grpc.StatusCode
    needs_w = text_model("(float[4] y, float[4] w) => (float[4] v) {v = Mul(y, w)}")
    five = text_model("(float[5] y) => (float[5] z) {z = Mul(y, y)}")

    async def use(tiers: Tiers) -> None:
        double, square = await tiers.put(DOUBLE, SQUARE)
        for model in (needs_w, five):
            await tiers.cloud.put_model(tiers.cloud_lease, digest_of(model), model)
        scenes: list[tuple[dict[str, Any], str, Any, str]] = [
            ({}, square, status.INVALID_ARGUMENT, "input 'x' is missing; send float32 [4]"),
            (
                {"x": X},
                digest_of(needs_w),
                status.INVALID_ARGUMENT,
                "input 'w' is missing: the next",
            ),
            ({"x": X, "w": X}, square, status.INVALID_ARGUMENT, "'w' is read by neither part"),
            (
                {"x": X},
                digest_of(five),
                status.INVALID_ARGUMENT,
                "upstream: input 'y' is float32 [4]",
            ),
            ({"x": X}, "0" * 64, status.NOT_FOUND, "upstream: lease"),
            ({"x": X}, "junk", status.INVALID_ARGUMENT, "parameter 'then': need a SHA-256"),
        ]
        for inputs, then, code, text in scenes:
            error = await failure(tiers.chained(double, inputs, then))
            assert (error.code(), text in error.details()) == (code, True), error.details()
        passing = await tiers.chained(double, {"x": X, "w": X}, digest_of(needs_w))
        assert np.array_equal(tensors.response_from_proto(passing)["v"], 2.0 * X * X)
        # Without a next part, what the part does not read is an error as ever.
        with pytest.raises(CallFailed, match="'w' is not one of the model's"):
            await tiers.edge.infer(tiers.edge_lease, double, {"x": X, "w": X}, timeout=60.0)
        tiers.cloud_lease = "no-such-lease"
        error = await failure(tiers.chained(double, {"x": X}, square))
        assert error.code() is status.PERMISSION_DENIED
        assert error.details().startswith("upstream: no lease")

    on_both(servers["edge"], use)


def test_without_an_upstream_nothing_is_chained(servers: dict[str, str], tenant: Any) -> None:
    async def go() -> None:
        async with Channel(servers["cloud"]) as channel, tenant(channel) as lease:
            await channel.put_model(lease, digest_of(DOUBLE), DOUBLE)
            error = await failure(
                Tiers(channel, channel, lease, lease).chained(digest_of(DOUBLE), {"x": X}, "0" * 64)
            )
            assert error.code() is grpc.StatusCode.FAILED_PRECONDITION
            assert error.details().startswith("this server has no upstream")

    asyncio.run(go())


def test_large_tensors_go_further(servers: dict[str, str], on_both: OnBoth) -> None:
    count = 4 * 2**20
    large = np.arange(count, dtype=np.float32)
    doubling, squaring = (
        text_model(f"(float[{count}] x) => (float[{count}] y) {{y = Add(x, x)}}"),
        text_model(f"(float[{count}] y) => (float[{count}] z) {{z = Mul(y, y)}}"),
    )

    async def use(tiers: Tiers) -> None:
        first, second = await tiers.put(doubling, squaring)
        done = await tiers.cloud.infer(tiers.cloud_lease, second, {"y": large}, timeout=60.0)
        assert np.array_equal(done.outputs["z"], large * large)
        reply = await tiers.chained(first, {"x": large}, second)
        answer = tensors.response_from_proto(reply)["z"]
        assert np.array_equal(answer, 4.0 * large * large)

    assert large.nbytes == 16 * 2**20
    on_both(servers["edge"], use)


def test_the_upstream_knows_the_deadline(servers: dict[str, str], on_both: OnBoth) -> None:
    async def use(tiers: Tiers) -> None:
        double, square = await tiers.put(DOUBLE, SQUARE)
        with pytest.raises(CallFailed) as caught:
            await tiers.cloud.infer(tiers.cloud_lease, square, {"y": X}, timeout=100.0)
        assert caught.value.status == "DEADLINE_EXCEEDED"
        assert "its deadline is in" in str(caught.value)
        error = await failure(tiers.chained(double, {"x": X}, square, timeout=100.0))
        assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert error.details().startswith("upstream: the call takes")

    on_both(servers["slow edge"], use)


def test_a_chain_leaves_the_queue_while_the_upstream_works_and_ends_when_cancelled(
    servers: dict[str, str], on_both: OnBoth
) -> None:
    async def use(tiers: Tiers) -> None:
        double, square = await tiers.put(DOUBLE, SQUARE)

        async def call(timeout: float | None = None) -> Any:
            return await tiers.chained(double, {"x": X}, square, timeout=timeout)

        # Of so many 16 may be under way.
        calls = [asyncio.ensure_future(call()) for _ in range(20)]
        while sum(task.done() for task in calls) < 4:
            await asyncio.sleep(0.05)
        done = await tiers.edge.infer(tiers.edge_lease, double, {"x": X}, timeout=60.0)
        assert np.array_equal(done.outputs["y"], 2.0 * X)
        for task in calls:
            task.cancel()
        while (await failure(call(100.0))).code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
            await asyncio.sleep(0.1)

    on_both(servers["slow edge"], use)
