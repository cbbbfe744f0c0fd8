"""Helpers as real processes: right answers, whoever dies, stops or is lied to."""

import asyncio
import secrets
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from clients.errors import CallFailed
from clients.helper_channel import HelperChannel
from dds.parallel.program import Compute, Part, Program, Receive, Send, Step
from dds.parallel.tiles import WHOLE
from dds.session.helping import Assignment, Delivery, Played
from dds.session.profiling import ProfileRequest
from dds.testing.models import digest_of, text_model
from dds.wire import helper_pb2, helper_pb2_grpc

KEY = "key-" * 8


@pytest.fixture(scope="module")
def address(talker: Callable[..., Any]) -> Iterator[str]:
    """A helper that these tests share; it ends well."""
    helper = talker(
        *("clients", "--helper", "--json", "--listen", "127.0.0.1:0", "--max-model", "64MiB"),
        *("--clients", "3", "--lease", "2"),
    )
    yield helper.next("listening")["address"]
    assert helper.stop() == 0
    helper.kill()


def held(address: str, use: Callable[[HelperChannel, str], Awaitable[Any]]) -> Any:
    """Use a lease at a helper."""

    async def go() -> Any:
        channel = HelperChannel(address)
        try:
            lease = (await channel.join("tester")).lease
            try:
                return await use(channel, lease)
            finally:
                await channel.leave(lease)
        finally:
            await channel.close()

    return asyncio.run(go())


def refused(address: str, use: Callable[[HelperChannel, str], Awaitable[Any]], status: str) -> str:
    """What the helper says to something that it does not take; it is well afterwards."""
    with pytest.raises(CallFailed) as caught:
        held(address, use)
    assert caught.value.status == status
    assert "\n" not in str(caught.value)
    assert held(address, well) == "onnxruntime"
    return str(caught.value)


async def well(channel: HelperChannel, _lease: str) -> str:
    return (await channel.describe()).engine


DOUBLE = text_model("(float[4] x) => (float[4] y) {y = Add(x, x)}")
X, Y = Part("x", WHOLE), Part("y", WHOLE)
STEPS = (Receive(X, 0), Compute(DOUBLE, {"x": X}, {"y": Y}), Send(Y, 0, Y))


def program(lease: str, *steps: Step, key: str = KEY, **peers: str) -> Assignment:
    return Assignment(lease, key, Program(1, (), steps or STEPS, ()), {2: "127.0.0.1:9", **peers})


async def loaded(channel: HelperChannel, lease: str) -> str:
    """The doubling program, ready to play; its key."""
    key = secrets.token_urlsafe(18)
    await channel.put_model(lease, digest_of(DOUBLE), DOUBLE)
    await channel.load_program(program(lease, key=key))
    return key


def test_a_program_is_played_run_after_run(address: str) -> None:
    async def use(channel: HelperChannel, lease: str) -> None:
        key = await loaded(channel, lease)
        for run in range(3):
            x = np.arange(4, dtype=np.float32) + run
            # Before the helper has heard of the run.
            await channel.deliver(Delivery(key, run, 0, X, x))
            replies = [r async for r in channel.play(lease, key, run, 10.0)]
            (came, played) = replies
            assert isinstance(came, Delivery)
            assert (came.part, came.run, came.sender) == (Y, run, 1)
            np.testing.assert_array_equal(came.values, 2 * x)
            assert isinstance(played, Played)
            assert len(played.seconds) == 1

    held(address, use)


def test_a_cancelled_run_makes_way_for_the_next(address: str) -> None:
    async def use(channel: HelperChannel, lease: str) -> None:
        key = await loaded(channel, lease)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3), aclosing(channel.play(lease, key, 0, 60.0)) as play:
                await anext(play)
        await channel.deliver(Delivery(key, 1, 0, X, np.ones(4, np.float32)))
        assert len([r async for r in channel.play(lease, key, 1, 10.0)]) == 2

    held(address, use)


def test_a_helper_measures_a_model(address: str) -> None:
    model = text_model(
        "(float[1,8,16,16] x, float[8,8,3,3] w) => (float[1,8,14,14] y) {y = Conv(x, w)}"
    )

    async def use(channel: HelperChannel, lease: str) -> None:
        await channel.put_model(lease, digest_of(model), model)
        profile = await channel.profile_model(ProfileRequest(lease, digest_of(model)))
        assert profile.digest == digest_of(model)
        assert profile.whole > 0.0

    held(address, use)


def test_models_that_must_not_run_are_refused(address: str) -> None:
    junk = b"junk" * 1000
    loop = text_model(
        """(float[4] x) => (float[4] y) {
            n = Constant <value = int64 {9}> ()
            c = Constant <value = bool {1}> ()
            y = Loop (n, c, x) <body = b (int64 i, bool c1, float[4] z) => (bool c2, float[4] z2)
                {c2 = Identity(c1) z2 = Add(z, z)}>
        }"""
    )

    def put(digest: str, model: bytes) -> Callable[[HelperChannel, str], Awaitable[Any]]:
        return lambda channel, lease: channel.put_model(lease, digest, model)

    refused(address, put(digest_of(junk), junk), "INVALID_ARGUMENT")
    assert "model.digest" in refused(address, put("0" * 64, DOUBLE), "INVALID_ARGUMENT")
    assert "Loop" in refused(address, put(digest_of(loop), loop), "INVALID_ARGUMENT")
    huge = bytes(65 * 2**20)
    assert "at most 67108864" in refused(address, put("0" * 64, huge), "INVALID_ARGUMENT")


def load(*steps: Step, **how: Any) -> Callable[[HelperChannel, str], Awaitable[Any]]:
    async def use(channel: HelperChannel, lease: str) -> Any:
        await channel.put_model(lease, digest_of(DOUBLE), DOUBLE)
        return await channel.load_program(program(lease, *steps, **how))

    return use


@pytest.mark.parametrize(
    ("use", "status", "complaint"),
    [
        (load(key="guess"), "INVALID_ARGUMENT", "random"),
        (load(Send(Y, 0, Y)), "INVALID_ARGUMENT", "no step before makes"),
        (load(Receive(X, 0), Send(X, 2, X)), "INVALID_ARGUMENT", "no model takes it"),
        (load(Receive(X, 7)), "INVALID_ARGUMENT", "no peer is worker 7"),
        (
            load(Receive(X, 0), Compute(DOUBLE, {"z": X}, {"y": Y})),
            "INVALID_ARGUMENT",
            r"binds ['z']",
        ),
        (load(Compute(b"never brought", {}, {"y": Y})), "NOT_FOUND", "PutModel"),
        (
            lambda c, _: c.load_program(program("no such lease")),
            "PERMISSION_DENIED",
            "join first",
        ),
    ],
)
def test_programs_that_cannot_be_are_refused(
    address: str, use: Callable[..., Awaitable[Any]], status: str, complaint: str
) -> None:
    assert complaint in refused(address, use, status)


@pytest.mark.parametrize(
    ("delivery", "status", "complaint"),
    [
        ({"key": KEY}, "NOT_FOUND", "no program of this key"),
        ({"run": 2}, "NOT_FOUND", "at run 0"),
        ({"sender": 2}, "INVALID_ARGUMENT", "nobody waits"),
        ({"part": Y}, "INVALID_ARGUMENT", "nobody waits"),
        ({"values": np.ones(5, np.float32)}, "INVALID_ARGUMENT", "announced was float32 [4]"),
        ({"values": np.ones(2**22)}, "INVALID_ARGUMENT", "announced was float32 [4]"),
    ],
)
def test_deliveries_that_nobody_waits_for_are_refused(
    address: str, delivery: dict[str, Any], status: str, complaint: str
) -> None:
    async def use(channel: HelperChannel, lease: str) -> None:
        fields = {"key": await loaded(channel, lease), "run": 0, "sender": 0, "part": X,
                  "values": np.ones(4, np.float32), **delivery}  # fmt: skip
        await channel.deliver(Delivery(**fields))

    assert complaint in refused(address, use, status)


def test_a_part_comes_but_once(address: str) -> None:
    async def use(channel: HelperChannel, lease: str) -> None:
        key = await loaded(channel, lease)
        for _ in range(2):
            await channel.deliver(Delivery(key, 0, 0, X, np.ones(4, np.float32)))

    assert "came twice" in refused(address, use, "INVALID_ARGUMENT")


def test_runs_of_others_and_out_of_turn_are_refused(address: str) -> None:
    async def out_of_turn(channel: HelperChannel, lease: str) -> None:
        key = await loaded(channel, lease)
        await anext(channel.play(lease, key, 7, 10.0))

    async def of_another(channel: HelperChannel, lease: str) -> None:
        key = await loaded(channel, lease)
        other = (await channel.join("another")).lease
        try:
            await anext(channel.play(other, key, 0, 10.0))
        finally:
            await channel.leave(other)

    assert "next is 0" in refused(address, out_of_turn, "INVALID_ARGUMENT")
    assert "no such program" in refused(address, of_another, "NOT_FOUND")


def test_garbage_is_no_request(address: str) -> None:
    async def use(channel: HelperChannel, _lease: str) -> None:
        raw = channel._channel.unary_unary("/dds.helper.v1.Helper/LoadProgram")
        with pytest.raises(grpc.aio.AioRpcError):
            await raw(b"\xff" * 100, timeout=60)
        stub = helper_pb2_grpc.HelperStub(channel._channel)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Join(helper_pb2.JoinRequest(name="old", version=99), timeout=60)
        assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        health = health_pb2_grpc.HealthStub(channel._channel)
        reply = await health.Check(health_pb2.HealthCheckRequest(service="dds.helper.v1.Helper"))
        assert reply.status == health_pb2.HealthCheckResponse.SERVING

    held(address, use)


def test_a_helper_takes_so_many_clients_and_forgets_the_silent(address: str) -> None:
    async def use(channel: HelperChannel, lease: str) -> None:
        others = [(await channel.join("silent")).lease for _ in range(2)]
        with pytest.raises(CallFailed, match="3 clients") as caught:
            await channel.join("one too many")
        assert caught.value.status == "RESOURCE_EXHAUSTED"
        assert caught.value.retry_after == 2.0
        key = await loaded(channel, lease)
        for _ in range(60):
            await channel.renew(lease)
            with pytest.raises(CallFailed) as gone:
                await channel.renew("nobody")
            assert gone.value.status == "PERMISSION_DENIED"
            await asyncio.sleep(0.1)
            try:
                others.append((await channel.join("now there is room")).lease)
                break
            except CallFailed:
                continue
        else:
            raise AssertionError("nobody was forgotten")
        with pytest.raises(CallFailed, match="join first"):
            await channel.renew(others[0])
        await channel.leave(others[-1])
        # What the others had is gone, and nothing else.
        await channel.deliver(Delivery(key, 0, 0, X, np.ones(4, np.float32)))

    held(address, use)


# ---- a device and its helpers -----------------------------------------------------------------


@pytest.fixture
def helpers(start: Callable[..., Any]) -> Callable[..., list[Any]]:
    """Start helpers; each knows its address."""

    def begin(count: int) -> list[Any]:
        begun = [
            start("clients", "--helper", "--json", "--listen", "127.0.0.1:0", "--name", f"h{k}",
                  "--device-slowdown", "8")
            for k in range(count)
        ]  # fmt: skip
        for one in begun:
            one.address = one.next("listening")["address"]
        return begun

    return begin


@pytest.fixture
def device(start: Callable[..., Any], cache: Path) -> Callable[..., Any]:
    """Start a device that has helpers and no server."""

    def begin(helpers: list[Any], *flags: str, inferences: int = 3) -> Any:
        return start(
            *("clients", "--json", "--model", "zoo:squeezenet", "--strategy", "local-only"),
            *("--helpers", ",".join(one.address for one in helpers), "--device-slowdown", "8"),
            # Fast links, so that everybody has something to do.
            *("--helper-bandwidth", "10Gbit/s", "--helper-rtt", "0", "--cache", str(cache)),
            *("--measure-plans", "0", "--inferences", str(inferences), *flags),
        )

    return begin


def test_helpers_that_are_gone_cost_time_and_not_the_answer(
    helpers: Callable[..., list[Any]], device: Callable[..., Any]
) -> None:
    team = helpers(3)
    client = device(team, inferences=9)
    for one, number in zip(team, (signal.SIGKILL, signal.SIGSTOP), strict=False):
        plan = client.next("planned")
        busy = {worker["name"] for worker in plan["workers"] if worker["busy_s"] > 0.0}
        assert busy == {worker["name"] for worker in plan["workers"]}
        client.next("inference")
        one.process.send_signal(number)
        lost = client.next("helper lost")
        assert lost["address"] == one.address
    assert lost["left"] == 1
    result = client.next("done")["strategies"]["local-only"]
    assert result["outputs_match"]
    assert len(result["measured_latency_s"]) == 9
    assert [w["name"] for w in result["parallel"]["workers"]] == ["device", "h2"]
    assert team[2].stop() == 0


def test_a_client_plays_the_market_with_its_helper(
    helpers: Callable[..., list[Any]],
    serve: Callable[..., tuple[Any, str]],
    start: Callable[..., Any],
    cache: Path,
) -> None:
    _, address = serve("--tariff", "flat", "--price", "1")
    team = helpers(1)
    told = start(
        *("clients", "--json", "--server", address, "--model", "zoo:squeezenet"),
        # Too slow a link for anything but the device and its helper, which is four times as fast.
        *("--uplink", "0.01", "--downlink", "0.01", "--value-of-time", "1"),
        *("--helpers", team[0].address, "--helper-bandwidth", "10Gbit/s", "--helper-rtt", "0"),
        *("--device-slowdown", "32", "--inferences", "2", "--measure-plans", "0"),
        *("--cache", str(cache)),
    ).until("done")
    local = next(event["local_latency_s"] for event in told if event["event"] == "profiled")
    result = told[-1]["strategies"]["dds"]
    assert result["outputs_match"]
    assert result["share"] == 0.0
    assert result["predicted_latency_s"] < 0.5 * local
    plan = next(event for event in told if event["event"] == "planned")
    assert plan["workers"][1]["busy_s"] > plan["workers"][0]["busy_s"]
