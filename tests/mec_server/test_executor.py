"""Pacing on a virtual clock: kernels are real, waiting is not."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from dds.errors import InvalidInput
from dds.profile.runtime import open_session
from dds.session.refusals import Busy, LeaseRefused, TooLate
from dds.testing.models import text_model
from mec_server.executor import Executor


class VirtualTime:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 100.0
        self.naps: list[float] = []

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        await asyncio.sleep(0)
        self.now += seconds


@pytest.fixture(scope="module")
def session() -> Any:
    return open_session(text_model("(float[3] x) => (float[3] y) {y = Add(x, x)}"))


def x(value: float) -> dict[str, np.ndarray]:
    return {"x": np.full(3, value, np.float32)}


def at(share: float) -> Callable[[], float]:
    return lambda: share


def play(slowdown: float, *calls: Callable[[Executor], Awaitable[Any]], **limits: Any) -> tuple:
    """The results of calls made together, and the time they moved."""
    time = VirtualTime()

    async def together() -> list[Any]:
        executor = Executor(slowdown, workers=2, clock=time.clock, sleep=time.sleep, **limits)
        try:
            return await asyncio.gather(*(call(executor) for call in calls), return_exceptions=True)
        finally:
            executor.close()

    return asyncio.run(together()), time


@pytest.mark.parametrize(("slowdown", "share"), [(1.0, 1.0), (4.0, 0.5), (3.0, 2.5), (1.0, 4.0)])
def test_a_call_takes_slowdown_times_cpu_over_share(
    session: Any, slowdown: float, share: float
) -> None:
    (done,), time = play(slowdown, lambda e: e.infer("a", session, x(1.0), at(share)))
    assert done.outputs["y"].tolist() == [2.0, 2.0, 2.0]
    assert done.cpu > 0.0
    assert done.paced == slowdown * done.cpu / share
    assert time.naps == pytest.approx([done.paced], rel=1e-6)
    assert done.wall == pytest.approx(done.paced, rel=1e-6)


def test_calls_of_one_lease_run_one_after_another_in_order(session: Any) -> None:
    calls = [lambda e, v=v: e.infer("a", session, x(v), at(1.0)) for v in (1.0, 2.0, 3.0)]
    results, time = play(50.0, *calls)
    assert [r.outputs["y"][0] for r in results] == [2.0, 4.0, 6.0]
    # On a clock that only waiting moves, they took as long as their sum.
    assert time.now - 100.0 == pytest.approx(sum(r.paced for r in results), rel=1e-6)


def test_a_change_of_share_counts_from_the_next_call_on(session: Any) -> None:
    shares = iter([1.0, 2.0])
    calls = [lambda e: e.infer("a", session, x(1.0), lambda: next(shares)) for _ in range(2)]
    results, _ = play(8.0, *calls)
    assert [r.paced / r.cpu for r in results] == pytest.approx([8.0, 4.0])


def test_a_lease_that_ends_while_waiting_is_not_served(session: Any) -> None:
    def gone() -> float:
        raise LeaseRefused("gone")

    results, _ = play(
        1.0,
        lambda e: e.infer("a", session, x(1.0), at(1.0)),
        lambda e: e.infer("a", session, x(1.0), gone),
        lambda e: e.infer("a", session, x(3.0), at(1.0)),
    )
    assert isinstance(results[1], LeaseRefused)
    assert results[2].outputs["y"][0] == 6.0


def test_a_full_queue_refuses(session: Any) -> None:
    calls = [lambda e: e.infer("a", session, x(1.0), at(1.0)) for _ in range(3)]
    other = [lambda e: e.infer("b", session, x(1.0), at(1.0))]
    results, _ = play(1.0, *calls, *other, longest_queue=2)
    assert [isinstance(r, Busy) for r in results] == [False, False, True, False]


def test_a_deadline_that_cannot_be_met_is_refused_without_waiting(session: Any) -> None:
    results, time = play(1e9, lambda e: e.infer("a", session, x(1.0), at(1.0), deadline=101.0))
    assert isinstance(results[0], TooLate)
    assert "allow more time" in str(results[0])
    assert time.naps == []


def test_a_deadline_that_passed_in_the_queue_is_refused(session: Any) -> None:
    results, _ = play(
        1e6,
        lambda e: e.infer("a", session, x(1.0), at(1.0)),
        lambda e: e.infer("a", session, x(1.0), at(1.0), deadline=100.5),
    )
    assert results[0].paced > 0.5
    assert "while the call waited" in str(results[1])


def test_a_deadline_far_away_changes_nothing(session: Any) -> None:
    results, _ = play(1.0, lambda e: e.infer("a", session, x(1.0), at(1.0), deadline=math.inf))
    assert results[0].outputs["y"][0] == 2.0


def test_a_model_that_fails_is_the_callers_fault(session: Any) -> None:
    wrong = {"x": np.zeros((2, 2), np.float32)}
    results, _ = play(1.0, lambda e: e.infer("a", session, wrong, at(1.0)))
    assert isinstance(results[0], InvalidInput)
    assert "\n" not in str(results[0])


def endless_model() -> bytes:
    """A loop that would count to 2^62."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["go_on"]),
            helper.make_node("Identity", ["v"], ["w"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("step", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v", TensorProto.FLOAT, [3]),
        ],
        [
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("w", TensorProto.FLOAT, [3]),
        ],
    )
    graph = helper.make_graph(
        [helper.make_node("Loop", ["count", "yes", "x"], ["y"], body=body)],
        "endless",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [3])],
        [
            helper.make_tensor("count", TensorProto.INT64, [], [2**62]),
            helper.make_tensor("yes", TensorProto.BOOL, [], [True]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    return bytes(model.SerializeToString())


def test_an_endless_model_is_stopped() -> None:
    endless = open_session(endless_model())
    call = [lambda e: e.infer("a", endless, x(1.0), at(1.0))]
    results, _ = play(1.0, *call, longest_run=0.05)
    assert isinstance(results[0], InvalidInput)
    assert "was stopped" in str(results[0])
