"""A device and its helpers over real gRPC in one process: who lies or leaves is done without."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from clients import helper_handlers, parallel, parallel_plan, team
from clients.errors import CallFailed
from clients.helper_config import HelperConfig
from clients.helper_handlers import HelperHandlers
from clients.helper_rpc import HelperServer, Peers
from clients.pacing import CheckedEngine
from clients.parallel import Crew, _Case, _telling_once
from clients.speeds import Speeds
from clients.team import Team
from clients.team_config import TeamConfig
from dds.engines import Executable
from dds.model import load_model
from dds.parallel.candidates import Candidate, candidates
from dds.profile.runtime import Runtime, open_session, random_inputs, run
from dds.testing.models import text_model

MODEL = text_model(
    """(float[1,16,24,24] x, float[32,16,3,3] w1, float[32,32,3,3] w2, float[32,32,3,3] w3)
        => (float[1,32,24,24] y) {
        a = Conv <pads = [1,1,1,1]> (x, w1)
        b = Relu(a)
        c = Conv <pads = [1,1,1,1]> (b, w2)
        d = Relu(c)
        e = Conv <pads = [1,1,1,1]> (d, w3)
        y = Relu(e)
    }"""
)
GRAPH = load_model(MODEL)
#: Long enough for everybody to have something to do, were it true.
SPEEDS = {GRAPH.tensors[op.outputs[0]].name: 1.0 for op in GRAPH.operators}


@dataclass
class Crowd:
    """A device with helpers of its own process."""

    crew: Crew
    events: list[Mapping[str, Any]]
    helpers: list[HelperServer]
    handlers: list[HelperHandlers]

    def told(self, event: str) -> list[Mapping[str, Any]]:
        return [each for each in self.events if each["event"] == event]


@asynccontextmanager
async def crowd(count: int, *, measure: float = 0.0) -> AsyncIterator[Crowd]:
    events: list[Mapping[str, Any]] = []
    async with AsyncExitStack() as stack:
        servers, handlers, addresses = [], [], []
        for k in range(count):
            peers = Peers()
            stack.push_async_callback(peers.close)
            handlers.append(HelperHandlers(HelperConfig("127.0.0.1:0", f"h{k}"), peers.post))
            servers.append(HelperServer(handlers[-1]))
            addresses.append(await servers[-1].start())
            stack.push_async_callback(servers[-1].stop, 0.0)
        config = TeamConfig(tuple(addresses), bandwidth=1e9, rtt=0.0)
        async with Team("device", config, events.append) as joined:
            speeds = Speeds(SPEEDS, dict.fromkeys(addresses, SPEEDS))
            yield Crowd(
                Crew(joined, speeds, Runtime(), 1.0, events.append, measure),
                events, servers, handlers,
            )  # fmt: skip


def inputs(seed: int) -> dict[str, np.ndarray]:
    return random_inputs(GRAPH, np.random.default_rng(seed))


def truth(seed: int) -> np.ndarray:
    return run(open_session(MODEL), inputs(seed))[0]["y"]


def with_crowd(count: int, use: Callable[[Crowd], Awaitable[None]], **how: Any) -> Crowd:
    async def go() -> Crowd:
        async with asyncio.timeout(60.0), crowd(count, **how) as found:
            await use(found)
        return found

    return asyncio.run(go())


async def infer(found: Crowd, runs: int = 2) -> list[str]:
    """Some inferences, all right; the names of who takes part at the end."""
    runner = await found.crew.open(MODEL)
    try:
        for seed in range(runs):
            done = await runner.run(inputs(seed))
            np.testing.assert_allclose(done.outputs["y"], truth(seed), rtol=1e-4, atol=1e-4)
            assert done.wall > 0.0
        return [w["name"] for w in runner.summary()["workers"] if w["busy_s"] > 0.0]
    finally:
        await asyncio.to_thread(runner.close)


def test_everybody_takes_part_and_nothing_is_left_behind() -> None:
    async def use(found: Crowd) -> None:
        assert await infer(found) == ["device", "h0", "h1"]
        assert not found.told("helper lost")

    found = with_crowd(2, use)
    for handlers in found.handlers:
        assert len(handlers._tenants) == len(handlers._models) == len(handlers._programs) == 0


def test_programs_of_a_closed_runner_are_forgotten_by_those_that_stay() -> None:
    async def use(found: Crowd) -> None:
        await infer(found, 1)
        while any(handlers._programs for handlers in found.handlers):
            await asyncio.sleep(0.01)
        assert not any(len(handlers._models) for handlers in found.handlers)
        assert await infer(found, 1) == ["device", "h0", "h1"]

    with_crowd(2, use)


def test_without_helpers_the_device_computes_alone() -> None:
    async def use(found: Crowd) -> None:
        assert await infer(found) == ["device"]

    async def go() -> None:
        events: list[Mapping[str, Any]] = []
        async with Team("device", TeamConfig(("127.0.0.1:9",)), events.append) as nobody:
            crew = Crew(nobody, Speeds(SPEEDS, {}), Runtime(), 1.0, events.append)
            await use(Crowd(crew, events, [], []))
        waited = [event["what"] for event in events if event["event"] == "preparing"]
        assert waited == [
            "meeting the helper at 127.0.0.1:9",
            "looking for schedules",
            "loading plan 1 of 1, at helpers too, and trying it",
        ]
        happened = [event["event"] for event in events if event["event"] != "preparing"]
        assert happened == ["helper lost", "helpers", "planned"]

    asyncio.run(go())


def test_a_device_alone_is_not_checked_again() -> None:
    async def use(found: Crowd) -> None:
        runner = await replace(found.crew, check_every=1).open(MODEL)
        await found.helpers[0].stop(0.0)
        try:
            await runner.run(inputs(0))  # done without the helper
            assert [(await runner.run(inputs(seed))).aside for seed in range(3)] == [0.0] * 3
        finally:
            await asyncio.to_thread(runner.close)

    with_crowd(1, use)


def test_the_fastest_of_the_plans_that_were_tried_is_taken() -> None:
    async def use(found: Crowd) -> None:
        # In truth the model takes half a millisecond: nobody is faster than the device alone.
        assert await infer(found) == ["device"]
        (planned,) = found.told("planned")
        best = min(planned["tried"], key=lambda trial: trial["measured_latency_s"] or np.inf)
        assert best["measured_latency_s"] == planned["predicted_latency_s"]
        assert best["workers"] == ["device"]
        assert any(len(trial["workers"]) > 1 for trial in planned["tried"])

    with_crowd(2, use, measure=0.4)


def test_an_interrupted_search_ends_with_the_schedule_it_is_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    searched: list[int] = []
    begun, interrupted = threading.Event(), threading.Event()

    def search(*question: Any) -> Iterator[Candidate]:
        for found in candidates(*question):
            searched.append(len(searched))
            begun.set()
            interrupted.wait(10.0)
            yield found

    monkeypatch.setattr(parallel, "candidates", search)

    async def use(found: Crowd) -> None:
        opening = asyncio.create_task(found.crew.open(MODEL))
        await asyncio.to_thread(begun.wait, 10.0)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        interrupted.set()

    with_crowd(1, use, measure=0.1)  # waits for the thread
    assert searched == [0]


def test_what_is_waited_for_again_and_again_is_told_once() -> None:
    events: list[Mapping[str, Any]] = []
    tell = _telling_once(events.append, "compiling")
    tell()
    tell()
    assert events == [{"event": "preparing", "what": "compiling"}]


@pytest.mark.parametrize(
    ("dtype", "apart", "right"),
    [
        ("float32", 5e-5, True),
        ("float32", 3e-4, False),
        # Half precision has three digits: engines differ by more than float32 may.
        ("float16", 3e-3, True),
        ("float16", 8e-3, False),
    ],
)
def test_right_is_as_exact_as_the_type_allows(dtype: str, apart: float, right: bool) -> None:
    names = {"float32": "float", "float16": "float16"}
    model = text_model(f"({names[dtype]}[1,8] x) => ({names[dtype]}[1,8] y) {{y = Relu(x)}}")
    case = _Case.of(model, Runtime())
    (truth,) = case.truth.values()
    assert truth.dtype == dtype
    off = truth + (apart * np.abs(truth).max()).astype(dtype)
    assert case.right({"y": off}) is right
    assert case.right({"y": truth})
    assert not case.right({})


class Lying:
    """An engine whose answers are a little off, while it lies."""

    def __init__(self, honest: CheckedEngine, lies: Callable[[], bool] = lambda: True) -> None:
        self.honest = honest
        self.lies = lies
        self.name = honest.name

    def load(self, model: bytes) -> Executable:
        true, lies = self.honest.load(model), self.lies

        class Off:
            inputs, outputs, close = true.inputs, true.outputs, true.close

            def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
                by = np.float32(1.01 if lies() else 1.0)
                return {name: value * by for name, value in true.run(feeds).items()}

        return Off()


def test_a_helper_that_answers_wrongly_is_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = helper_handlers.PacedEngine

    async def use(found: Crowd) -> None:
        liar = found.handlers[0]

        def paced(engine: CheckedEngine, pace: Any) -> Any:
            return honest(Lying(engine) if pace is liar._pace else engine, pace)

        monkeypatch.setattr(helper_handlers, "PacedEngine", paced)
        assert await infer(found) == ["device", "h1"]
        (lost,) = found.told("helper lost")
        assert (lost["because"], lost["left"]) == ("it answers wrongly", 1)

    with_crowd(2, use)


def test_helpers_whose_answers_turn_wrong_are_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = helper_handlers.PacedEngine
    turned: list[bool] = []

    async def use(found: Crowd) -> None:
        liar = found.handlers[0]

        def paced(engine: CheckedEngine, pace: Any) -> Any:
            lying = Lying(engine, lambda: bool(turned))
            return honest(lying if pace is liar._pace else engine, pace)

        monkeypatch.setattr(helper_handlers, "PacedEngine", paced)
        runner = await replace(found.crew, check_every=2).open(MODEL)
        right, checked = [], []
        try:
            for seed in range(6):
                if seed == 3:
                    turned.append(True)
                done = await runner.run(inputs(seed))
                checked.append(done.aside > 0.0)
                right.append(np.allclose(done.outputs["y"], truth(seed), rtol=1e-4, atol=1e-4))
        finally:
            await asyncio.to_thread(runner.close)
        assert checked == [False, False, True, False, True, False]
        assert right == [True, True, True, False, True, True]
        assert found.told("doubtful") == [{"event": "doubtful", "inferences": 2, "wrong": True}]
        (lost,) = found.told("helper lost")
        assert (lost["because"], lost["left"]) == ("it answers wrongly", 1)
        assert [worker["name"] for worker in found.told("planned")[-1]["workers"]] == [
            "device",
            "h1",
        ]

    with_crowd(2, use)


@pytest.mark.parametrize(("gone", "check_every"), [([0], 1), ([1], 0), ([0, 1], 0)])
def test_a_helper_that_leaves_between_two_inferences(gone: list[int], check_every: int) -> None:
    """check_every: 1: it is found out in a check, else in the second inference."""

    async def use(found: Crowd) -> None:
        runner = await replace(found.crew, check_every=check_every).open(MODEL)
        try:
            await runner.run(inputs(0))
            for k in gone:
                await found.helpers[k].stop(0.0)
            done = await runner.run(inputs(1))
            np.testing.assert_allclose(done.outputs["y"], truth(1), rtol=1e-4, atol=1e-4)
            left = [w["name"] for w in runner.summary()["workers"]]
            assert left == ["device", *(f"h{k}" for k in (0, 1) if k not in gone)]
            why = {"its connection broke", "it cannot be reached"}
            assert len(lost := found.told("helper lost")) == len(gone)
            assert {each["because"] for each in lost} <= why
            (doubts,) = found.told("doubtful")
            assert (doubts["inferences"], doubts["wrong"]) == (1, False)
        finally:
            await asyncio.to_thread(runner.close)

    with_crowd(2, use)


def test_a_helper_that_stops_while_it_is_prepared_is_done_without(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(team, "_PATIENCE", 0.2)
    monkeypatch.setattr(parallel_plan, "_LOOK", 0.05)

    async def never(*_: Any) -> Any:
        await asyncio.Event().wait()

    async def use(found: Crowd) -> None:
        stopped = found.handlers[0]
        monkeypatch.setattr(stopped, "load_program", never)
        # It takes the bytes of a call, as a stopped process does, and says nothing.
        monkeypatch.setattr(stopped, "put_model", never)
        member = found.crew.team.members[0]
        monkeypatch.setattr(member.channel, "describe", never_in_time)
        assert await infer(found) == ["device", "h1"]
        (lost,) = found.told("helper lost")
        assert (lost["because"], lost["address"]) == ("it does not answer", member.address)

    async def never_in_time(timeout: float) -> Any:
        await asyncio.sleep(timeout)
        raise CallFailed("DEADLINE_EXCEEDED", "it said nothing")

    with_crowd(2, use)


def test_a_helper_that_forgot_the_client_is_done_without() -> None:
    async def use(found: Crowd) -> None:
        runner = await found.crew.open(MODEL)
        try:
            handlers = found.handlers[1]
            for lease in list(handlers._tenants._tenants):
                handlers.leave(lease)
            done = await runner.run(inputs(1))
            np.testing.assert_allclose(done.outputs["y"], truth(1), rtol=1e-4, atol=1e-4)
            (lost,) = found.told("helper lost")
            assert "NOT_FOUND" in lost["because"] or "PERMISSION_DENIED" in lost["because"]
        finally:
            await asyncio.to_thread(runner.close)

    with_crowd(2, use)
