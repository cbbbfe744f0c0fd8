"""A loaded program: one run after another, and who is to blame when one fails."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from clients.errors import CallFailed
from clients.helper_programs import LoadedProgram
from clients.mailboxes import Form
from dds.engines.on_onnxruntime import OnnxRuntime
from dds.errors import InvalidInput
from dds.execution.interpreter import load
from dds.parallel.program import Compute, Part, Program, Receive, Send
from dds.parallel.tiles import WHOLE
from dds.session.helping import Assignment, Delivery, PeerFailed, Played, UnknownRun
from dds.session.refusals import Busy, TooLate
from dds.testing.models import text_model

DOUBLE = text_model("(float[4] x) => (float[4] y) {y = Add(x, x)}")
X, Y = Part("x", WHOLE), Part("y", WHOLE)
KEY = "k" * 24
ONES = np.ones(4, np.float32)
Use = Callable[[LoadedProgram], Awaitable[None]]


def with_program(use: Use, *, peer_fails: bool = False) -> list[tuple[str, Delivery]]:
    """Worker 1, which doubles what the device sends, for the device and for worker 2."""
    posted: list[tuple[str, Delivery]] = []

    async def post(address: str, delivery: Delivery) -> None:
        if peer_fails:
            raise CallFailed("UNAVAILABLE", "nobody is there")
        posted.append((address, delivery))

    async def go() -> None:
        steps = (Receive(X, 0), Compute(DOUBLE, {"x": X}, {"y": Y}), Send(Y, 2, Y), Send(Y, 0, Y))
        program = Program(1, (), steps, ())
        with ThreadPoolExecutor(1) as threads:
            loaded = LoadedProgram(
                Assignment("lease", KEY, program, {2: "peer:1"}),
                load(program, OnnxRuntime()),
                {Receive(X, 0): Form("float32", (4,))},
                threads,
                post,
            )
            async with asyncio.timeout(30.0):
                await use(loaded)

    asyncio.run(go())
    return posted


def part(run: int) -> Delivery:
    return Delivery(KEY, run, 0, X, ONES)


async def played(program: LoadedProgram, run: int, timeout: float = 10.0) -> list[object]:
    return [reply async for reply in program.play(run, timeout)]


def test_parts_go_to_whom_they_are_for() -> None:
    async def use(program: LoadedProgram) -> None:
        program.deliver(part(0))
        to_device, last = await played(program, 0)
        assert isinstance(to_device, Delivery)
        assert (to_device.run, to_device.sender, to_device.part) == (0, 1, Y)
        assert isinstance(last, Played)
        assert len(last.seconds) == 1

    ((address, delivery),) = with_program(use)
    assert (address, delivery.part) == ("peer:1", Y)
    np.testing.assert_array_equal(delivery.values, 2 * ONES)


def test_parts_of_the_next_run_may_come_early_and_of_no_other() -> None:
    async def use(program: LoadedProgram) -> None:
        program.deliver(part(0))
        playing = asyncio.create_task(played(program, 0))
        await asyncio.sleep(0)
        program.deliver(part(1))
        with pytest.raises(UnknownRun, match="at run"):
            program.deliver(part(2))
        await playing
        with pytest.raises(UnknownRun, match="at run 1, not 0"):
            program.deliver(part(0))
        await played(program, 1)

    with_program(use)


def test_a_peer_that_takes_no_part_is_blamed() -> None:
    async def use(program: LoadedProgram) -> None:
        program.deliver(part(0))
        with pytest.raises(PeerFailed, match="worker 2 took no part") as caught:
            await played(program, 0)
        assert caught.value.worker == 2

    with_program(use, peer_fails=True)


def test_a_run_ends_at_its_deadline_and_in_its_turn() -> None:
    async def use(program: LoadedProgram) -> None:
        with pytest.raises(TooLate, match="worker 0"):
            await played(program, 0, 0.05)
        with pytest.raises(InvalidInput, match="next is 1"):
            await played(program, 0)
        program.deliver(part(1))
        await played(program, 1)

    with_program(use)


def test_one_run_waits_for_its_turn_and_no_more() -> None:
    async def use(program: LoadedProgram) -> None:
        runs = [asyncio.create_task(played(program, run)) for run in (0, 1)]
        await asyncio.sleep(0)
        for _ in range(300):
            with pytest.raises(Busy, match="waits for this program already"):
                await played(program, 1)
        # Whoever gives up waiting makes room for another.
        runs[1].cancel()
        await asyncio.gather(runs[1], return_exceptions=True)
        runs[1] = asyncio.create_task(played(program, 1))
        for run in (0, 1):
            program.deliver(part(run))
        answers = await asyncio.gather(*runs)
        assert all(isinstance(answer[-1], Played) for answer in answers)

    with_program(use)


def test_who_plays_a_program_that_is_forgotten_is_told() -> None:
    async def use(program: LoadedProgram) -> None:
        playing = asyncio.create_task(played(program, 0))
        while not program._boxes:
            await asyncio.sleep(0.001)
        program.close(UnknownRun("it was unloaded"))
        with pytest.raises(UnknownRun, match="unloaded"):
            await playing
        with pytest.raises(UnknownRun, match="unloaded"):
            program.deliver(part(1))

    with_program(use)
