"""Models measured for clients: one at a time, bounded, kept."""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from onnx import TensorProto, helper

from dds.errors import InvalidInput
from dds.model import zoo
from dds.profile.cache import one_at_a_time
from dds.profile.runtime import Runtime, platform_fingerprint
from dds.session.refusals import Busy
from mec_server.config import Limits
from mec_server.loading import load
from mec_server.profiling import Profiler
from mec_server.stored import StoredModel

RUNTIME = Runtime()
LIMITS = Limits(profile_runs=4, profile_seconds=2.0, profiles=2)


def stored(data: bytes) -> StoredModel:
    return load(data, hashlib.sha256(data).hexdigest(), Limits(), RUNTIME)


def adding(count: int) -> bytes:
    """`count` additions, one after another."""
    names = ["x", *(f"y{i}" for i in range(count))]
    nodes = [helper.make_node("Add", [a, "x"], [b]) for a, b in pairwise(names)]
    return finished(nodes, names[-1])


def finished(nodes: list[Any], output: str, shape: Sequence[int] = (4,)) -> bytes:
    graph = helper.make_graph(
        nodes,
        "adding",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, shape)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    return bytes(model.SerializeToString())


def looping() -> bytes:
    """Twice around a loop, hidden in a branch of an If."""
    value, boolean = helper.make_tensor_value_info, TensorProto.BOOL
    body = helper.make_graph(
        [helper.make_node("Identity", ["c"], ["c2"]), helper.make_node("Add", ["a", "a"], ["a2"])],
        "body",
        [value("i", TensorProto.INT64, []), value("c", boolean, []),
         value("a", TensorProto.FLOAT, [4])],
        [value("c2", boolean, []), value("a2", TensorProto.FLOAT, [4])],
    )  # fmt: skip
    loop = helper.make_graph(
        [helper.make_node("Loop", ["two", "yes", "x"], ["looped"], body=body)],
        "then",
        [],
        [value("looped", TensorProto.FLOAT, [4])],
    )
    same = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["same"])],
        "else",
        [],
        [value("same", TensorProto.FLOAT, [4])],
    )
    nodes = [
        helper.make_node("Constant", [], ["two"],
                         value=helper.make_tensor("t", TensorProto.INT64, [], [2])),
        helper.make_node("Constant", [], ["yes"],
                         value=helper.make_tensor("b", boolean, [], [True])),
        helper.make_node("ReduceSum", ["x"], ["sum"], keepdims=0),
        helper.make_node("Greater", ["sum", "sum"], ["more"]),
        helper.make_node("If", ["more"], ["y"], then_branch=loop, else_branch=same),
    ]  # fmt: skip
    return finished(nodes, "y")


def profile(scene: Callable[[Profiler], Any], folder: Path | None = None) -> Any:
    async def play() -> Any:
        return await scene(Profiler(RUNTIME, LIMITS, asyncio.to_thread, folder))

    return asyncio.run(play())


def test_a_real_model_is_measured_once_and_its_groups_cover_it() -> None:
    model = stored(zoo.build("shufflenet"))

    async def scene(profiler: Profiler) -> None:
        found, known = await profiler.profile(model)
        assert not known
        assert found.platform == platform_fingerprint(RUNTIME)
        assert found.repeats == LIMITS.profile_runs
        operators = sorted(v for group in found.groups for v in group)
        assert operators == list(range(len(model.graph.operators)))
        assert sum(found.seconds) == pytest.approx(found.whole, rel=0.05)
        assert await profiler.profile(model) == (found, True)

    profile(scene)


def test_it_is_kept_over_restarts(tmp_path: Path) -> None:
    model = stored(adding(3))
    first, known = profile(lambda profiler: profiler.profile(model), tmp_path)
    assert not known
    assert profile(lambda profiler: profiler.profile(model), tmp_path) == (first, True)


def test_a_client_may_ask_for_fewer_runs_but_not_for_more() -> None:
    async def scene(profiler: Profiler) -> None:
        assert (await profiler.profile(stored(adding(1)), 2))[0].repeats == 2
        assert (await profiler.profile(stored(adding(2)), 10**6))[0].repeats == 4

    profile(scene)


def test_what_was_wanted_quickly_is_not_what_others_get() -> None:
    model = stored(adding(1))

    async def scene(profiler: Profiler) -> None:
        assert (await profiler.profile(model, 1))[0].repeats == 1
        better, known = await profiler.profile(model)
        assert not known
        assert better.repeats == LIMITS.profile_runs
        assert await profiler.profile(model, 1) == (better, True)

    profile(scene)


def test_a_model_that_fails_on_other_inputs_than_zeros_is_refused() -> None:
    # Index 1 of a table of one row.
    nodes = [
        helper.make_node("Constant", [], ["row"],
                         value=helper.make_tensor("t", TensorProto.FLOAT, [1], [0.0])),
        helper.make_node("Greater", ["x", "row"], ["more"]),
        helper.make_node("Cast", ["more"], ["index"], to=TensorProto.INT64),
        helper.make_node("Gather", ["row", "index"], ["y"]),
    ]  # fmt: skip
    strict, next_one = stored(finished(nodes, "y")), stored(adding(1))

    async def scene(profiler: Profiler) -> None:
        with pytest.raises(InvalidInput, match="cannot run the model"):
            await profiler.profile(strict)
        assert not (await profiler.profile(next_one))[1]

    profile(scene)


def test_a_model_whose_single_run_takes_too_long_is_refused() -> None:
    nodes = [helper.make_node("MatMul", [f"y{i}" if i else "x", "x"], [f"y{i + 1}"])
             for i in range(60)]  # fmt: skip
    slow = stored(finished(nodes, "y60", [600, 600]))
    limits = replace(LIMITS, profile_seconds=1e-6)

    async def scene(_: Profiler) -> None:
        profiler = Profiler(RUNTIME, limits, asyncio.to_thread)
        with pytest.raises(InvalidInput, match="ran for more than"):
            await profiler.profile(slow)

    profile(scene)


def test_a_server_that_stops_ends_its_measurement() -> None:
    async def scene(profiler: Profiler) -> None:
        profiler.stop()
        with pytest.raises(Busy, match="shutting down"):
            await profiler.profile(stored(adding(1)))

    profile(scene)


def test_a_machine_that_is_being_measured_is_busy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    limits = replace(LIMITS, profile_seconds=0.2)

    async def scene(_: Profiler) -> None:
        profiler = Profiler(RUNTIME, limits, asyncio.to_thread)
        with one_at_a_time(), pytest.raises(Busy, match="another process is measuring"):
            await profiler.profile(stored(adding(1)))

    profile(scene)


def test_one_at_a_time_and_those_who_ask_for_the_same_share_it() -> None:
    first, second = stored(adding(1)), stored(adding(2))

    async def scene(profiler: Profiler) -> None:
        running = [asyncio.ensure_future(profiler.profile(first)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(Busy, match="ask again later") as caught:
            await profiler.profile(second)
        assert caught.value.retry_after == LIMITS.profile_seconds / 2
        one, other = await asyncio.gather(*running)
        assert one == other
        assert (await profiler.profile(second))[0].digest == second.digest

    profile(scene)


def test_who_hangs_up_makes_no_room_for_the_next() -> None:
    first, second = stored(adding(1)), stored(adding(2))

    async def scene(profiler: Profiler) -> None:
        hasty = asyncio.ensure_future(profiler.profile(first))
        await asyncio.sleep(0)
        hasty.cancel()
        with pytest.raises(asyncio.CancelledError):
            await hasty
        with pytest.raises(Busy):
            await profiler.profile(second)
        assert (await profiler.profile(first))[0].digest == first.digest

    profile(scene)


def test_only_so_many_are_kept_in_memory() -> None:
    models = [stored(adding(n)) for n in (1, 2, 3)]

    async def scene(profiler: Profiler) -> None:
        for model in models:
            assert not (await profiler.profile(model))[1]
        assert (await profiler.profile(models[-1]))[1]
        assert not (await profiler.profile(models[0]))[1]

    profile(scene)


def test_a_model_with_loops_is_not_measured_and_does_not_block_the_next() -> None:
    loops, next_one = stored(looping()), stored(adding(1))

    async def scene(profiler: Profiler) -> None:
        with pytest.raises(InvalidInput, match="has a Loop"):
            await profiler.profile(loops)
        assert not (await profiler.profile(next_one))[1]

    profile(scene)
