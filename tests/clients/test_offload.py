"""Placements at work: real parts, servers in memory, time that only passes where it is shaped."""

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from clients.config import CloudConfig
from clients.course import Course, Switch, moved
from clients.errors import CallFailed
from clients.link import ShapedLink
from clients.offload import Leases, Offload, Servers
from clients.planning import Placement
from clients.runner import DeviceRun, DeviceRunner
from clients.server import ServerRun, Then, ThenRun
from dds.costs import Link
from dds.costs.trace import LinkTrace, Steady
from dds.cut.network import make_cut
from dds.errors import InternalError
from dds.model import load_model
from dds.profile.runtime import Runtime, open_session, run
from dds.session.upload import ModelReceipt

EXACT = Runtime(optimisation="none")
NEAR, FAR = Link(1000.0, 500.0, 0.25), Link(2000.0, 250.0, 0.5)
LEASES = Leases("at the edge", "in the cloud")
#: Seconds that every server works, and that calls between them take.
WORK, PASSING = 0.125, 0.0625


def chain() -> bytes:
    """x -> a -> b -> y, where y reads x as well, and b is an output, too; 40 B each."""

    def value(name: str) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, (10,))

    nodes = [
        helper.make_node("Relu", ["x"], ["a"]),
        helper.make_node("Neg", ["a"], ["b"]),
        helper.make_node("Add", ["b", "x"], ["y"]),
    ]
    graph = helper.make_graph(nodes, "chain", [value("x")], [value("y"), value("b")])
    made = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 17)])
    return bytes(made.SerializeToString())


MODEL = chain()
GRAPH = load_model(MODEL)
INPUTS = {"x": np.linspace(-1.0, 1.0, 10, dtype=np.float32)}
WHOLE = run(open_session(MODEL, EXACT), INPUTS)[0]


def place(on_device: int, not_in_cloud: int, *, direct: bool = False) -> Placement:
    """The first so many operators here, the next on the edge."""
    cuts = (make_cut(GRAPH, range(k), np.ones(3)) for k in (on_device, not_in_cloud))
    return Placement(*cuts, 3, direct)


class VirtualTime:
    def __init__(self) -> None:
        self.now = 100.0

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


class Memory:
    """A server that runs what it was brought; uploads wait for the gate."""

    def __init__(self, time: VirtualTime, upstream: "Memory | None" = None) -> None:
        self.time, self.upstream = time, upstream
        self.sessions: dict[str, Any] = {}
        self.leases: set[str] = set()
        self.calls = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.fails = False

    async def put_model(self, lease: str, digest: str, model: bytes) -> ModelReceipt:
        await self.gate.wait()
        if self.fails:
            raise CallFailed("RESOURCE_EXHAUSTED", "no room")
        assert hashlib.sha256(model).hexdigest() == digest
        known = digest in self.sessions
        self.sessions[digest] = open_session(model, EXACT)
        self.leases.add(lease)
        return ModelReceipt(digest, known)

    def work(self, digest: str, inputs: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
        session = self.sessions[digest]
        names = {tensor.name for tensor in session.get_inputs()}
        assert set(inputs) == names
        self.time.now += WORK
        self.calls += 1
        return run(session, inputs)[0]

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
        assert lease in self.leases
        assert timeout >= 60.0
        if then is None:
            return ServerRun(self.work(digest, inputs), WORK, WORK, WORK)
        assert self.upstream is not None
        assert then.lease in self.upstream.leases
        own = {tensor.name for tensor in self.sessions[digest].get_inputs()}
        made = self.work(digest, {name: inputs[name] for name in own})
        session = self.upstream.sessions[then.digest]
        reads = [tensor.name for tensor in session.get_inputs()]
        after = self.upstream.work(then.digest, {n: {**inputs, **made}[n] for n in reads})
        self.time.now += PASSING
        found = {**made, **after}
        then_run = ThenRun(WORK, WORK, WORK, PASSING)
        return ServerRun({name: found[name] for name in outputs}, WORK, WORK, WORK, then_run)


class World:
    """A device, an edge and a cloud on one virtual clock."""

    def __init__(self, path: Any = None) -> None:
        self.time = VirtualTime()
        self.cloud = Memory(self.time)
        self.edge = Memory(self.time, self.cloud)
        servers: Any = Servers(self.edge, self.cloud, self.cloud)
        clocks: Any = {"clock": self.time.clock, "sleep": self.time.sleep}
        self.link = ShapedLink(path or Steady(NEAR), **clocks)
        self.offload = Offload(
            *(MODEL, GRAPH, servers, self.link, EXACT, CloudConfig(FAR, direct_rtt=1.0)), **clocks
        )

    async def infer(self) -> Any:
        done = await self.offload.infer(INPUTS, LEASES, 0.0, 1.0)
        for name, array in WHOLE.items():
            np.testing.assert_array_equal(done.outputs[name], array)
        return done


#: Uplink and downlink bytes of each hop, and what the servers work, by placement.
CASES = [
    (place(3, 3), None, None, (0, 0)),
    (place(0, 3), (40, 80), None, (1, 0)),
    (place(2, 3), (80, 40), None, (1, 0)),
    (place(1, 2), (80, 80), (80, 40), (1, 1)),
    (place(0, 1), (40, 80), (80, 80), (1, 1)),
    (place(1, 1), (80, 80), (80, 80), (0, 1)),
    (place(0, 0), (40, 80), (40, 80), (0, 1)),
    (place(1, 1, direct=True), (80, 80), None, (0, 1)),
]


def transfer(link: Link, crossing: tuple[int, int] | None) -> float:
    return link.transfer_time(*crossing) if crossing else 0.0


@pytest.mark.parametrize(("placement", "near", "far", "runs"), CASES)
def test_every_placement_computes_the_whole_in_the_time_of_its_hops(
    placement: Placement, near: Any, far: Any, runs: tuple[int, int]
) -> None:
    async def story() -> None:
        world = World()
        async with world.offload as offload:
            await offload.prepare(placement, LEASES, INPUTS)
            await offload.switch()
            done = await world.infer()
        assert (world.edge.calls, world.cloud.calls) == runs
        first = Link(NEAR.uplink, NEAR.downlink, 1.0) if placement.direct else NEAR
        assert done.network == pytest.approx(transfer(first, near))
        # The wait makes up for what the real hop took.
        assert done.hop == pytest.approx(transfer(FAR, far))
        assert (done.server, done.cloud) == pytest.approx((WORK * runs[0], WORK * runs[1]))
        total = done.network + done.hop + done.server + done.cloud
        assert done.latency == pytest.approx(total)

    asyncio.run(story())


def test_what_a_runner_does_aside_counts_in_no_inference() -> None:
    async def story() -> None:
        world = World()

        class Checking(DeviceRunner):
            async def run(self, inputs: Mapping[str, Any], slowdown: float = 0.0) -> DeviceRun:
                await world.time.sleep(7.0)
                return replace(await super().run(inputs, slowdown), aside=7.0)

        async def checking(part: bytes) -> DeviceRunner:
            return Checking(part, EXACT)

        world.offload._open_runner = checking
        async with world.offload as offload:
            await offload.prepare(place(2, 3), LEASES, INPUTS)
            await offload.switch()
            done = await world.infer()
        assert done.latency == pytest.approx(done.network + WORK)

    asyncio.run(story())


def test_a_part_that_is_there_already_is_known() -> None:
    async def story() -> None:
        world = World()
        async with world.offload as offload:
            first = await offload.prepare(place(1, 2), LEASES, INPUTS)
            again = await offload.prepare(place(1, 2), LEASES, INPUTS)
            local = await offload.prepare(place(3, 3), LEASES, INPUTS)
        assert first.bytes == again.bytes > 0
        assert (first.known, again.known) == (False, True)
        assert (local.bytes, local.known) == (0, False)

    asyncio.run(story())


def test_what_fails_to_be_prepared_leaves_the_old_one_in_force() -> None:
    async def story() -> None:
        world = World()
        async with world.offload as offload:
            with pytest.raises(InternalError, match="prepare a placement"):
                await world.infer()
            await offload.prepare(place(2, 3), LEASES, INPUTS)
            await offload.switch()
            world.edge.fails = True
            with pytest.raises(CallFailed, match="no room"):
                await offload.prepare(place(1, 3), LEASES, INPUTS)
            assert offload.placement is not None
            assert offload.placement.same(place(2, 3))
            await world.infer()

    asyncio.run(story())


def test_transfers_take_the_rates_of_the_trace() -> None:
    # 40 B in the first second, nothing in the second; then both again.
    path = LinkTrace([0.0, 1.0], [40.0, 0.0], [1e6, 1e6], duration=2.0)

    async def story() -> None:
        world = World(path)
        async with world.offload as offload:
            await offload.prepare(place(2, 3), LEASES, INPUTS)
            await offload.switch()
            world.time.now += 50.5
            assert world.link.now == 0.0
            world.link.begin()
            # 80 B up: the first and the third second.
            done = await world.infer()
            assert done.network == pytest.approx(3.0, abs=1e-3)
            assert world.link.link.uplink == 1000.0

    asyncio.run(story())


class Story:
    """A course over a world: what was told of its switches."""

    def __init__(self, world: World) -> None:
        self.told: list[tuple[int, int]] = []

        async def prepare(placement: Placement) -> None:
            await world.offload.prepare(placement, LEASES, INPUTS)

        def switched(switch: Switch) -> None:
            assert switch.seconds >= 0.0
            assert switch.why == "wish"
            if switch.before is not None:
                kept = [len(p.first.on_device) for p in (switch.before, switch.after)]
                self.told.append((kept[0], kept[1]))

        self.errors: list[str] = []
        self.course = Course(
            world.offload, prepare, None, switched, lambda error: self.errors.append(str(error))
        )

    def want(self, placement: Placement) -> None:
        self.course.want(lambda: lambda: placement, "wish")

    async def follow(self, *, edge: bool = True) -> Placement:
        return await self.course.follow(lambda placement: edge or not placement.on_edge)


def test_the_old_placement_serves_until_the_new_one_is_ready() -> None:
    async def story() -> None:
        world = World()
        story = Story(world)
        async with world.offload, story.course:
            story.want(place(2, 3))
            assert (await story.follow()).same(place(2, 3))
            world.edge.gate.clear()
            story.want(place(1, 3))
            for _ in range(5):
                assert (await story.follow()).same(place(2, 3))
                await world.infer()
            assert story.told == []
            world.edge.gate.set()
            while (await story.follow()).same(place(2, 3)):
                await world.infer()
            assert story.told == [(2, 1)]
            await world.infer()
            # What is in force already is not prepared again.
            story.want(place(1, 3))
            assert (await story.follow()).same(place(1, 3))
            for _ in range(5):
                await world.infer()
                await story.follow()
            assert story.told == [(2, 1)]

    asyncio.run(asyncio.wait_for(story(), 60.0))


def test_the_last_wish_counts_and_an_inference_that_nothing_can_serve_waits() -> None:
    async def story() -> None:
        world = World()
        story = Story(world)
        async with world.offload, story.course:
            with pytest.raises(InternalError, match="nothing is wanted"):
                await story.follow()
            story.want(place(2, 3))
            await story.follow()
            world.edge.gate.clear()
            story.want(place(1, 3))
            await story.follow()
            story.want(place(0, 3))
            story.want(place(3, 3))
            asyncio.get_running_loop().call_later(0.05, world.edge.gate.set)
            # The share of the edge is gone: what was begun comes first, then what serves.
            assert (await story.follow(edge=False)).same(place(3, 3))
            assert story.told == [(2, 1), (1, 3)]
            await world.infer()
            assert world.edge.calls == 0

    asyncio.run(asyncio.wait_for(story(), 60.0))


def test_what_cannot_be_made_ready_is_told_and_the_old_one_serves_on() -> None:
    async def story() -> None:
        world = World()
        story = Story(world)
        async with world.offload, story.course:
            story.want(place(2, 3))
            await story.follow()
            world.edge.fails = True
            story.want(place(1, 3))
            while not story.errors:
                assert (await story.follow()).same(place(2, 3))
                await world.infer()
            assert story.errors == ["no room"]
            # Where nothing serves meanwhile, nobody can go on.
            story.want(place(0, 3))
            with pytest.raises(CallFailed, match="no room"):
                await story.course.follow(lambda _: False)

    asyncio.run(asyncio.wait_for(story(), 60.0))


def test_links_are_the_same_until_a_tenth_is_gained_or_lost() -> None:
    assert not moved(NEAR, Link(1050.0, 480.0, 9.0))
    assert moved(NEAR, Link(1150.0, 500.0))
    assert moved(NEAR, Link(1000.0, 440.0))
    free = Link(float("inf"), float("inf"))
    assert not moved(free, free)
    assert moved(free, NEAR)
