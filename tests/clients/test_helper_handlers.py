"""What a helper takes from one client, and no more."""

import asyncio
import math
import secrets
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from clients.helper_config import HelperConfig, HelperLimits
from clients.helper_handlers import HelperHandlers
from dds.errors import InvalidInput
from dds.parallel.program import Compute, Part, Program, Receive, Send, Step
from dds.parallel.tiles import WHOLE
from dds.session.helping import Assignment, Delivery
from dds.session.refusals import Busy, TooLate
from dds.session.upload import ModelHeader
from dds.testing.models import digest_of, text_model

DOUBLE = text_model("(float[4] x) => (float[4] y) {y = Add(x, x)}")
X, Y = Part("x", WHOLE), Part("y", WHOLE)
RUN = Compute(DOUBLE, {"x": X}, {"y": Y})


def helped(use: Callable[[HelperHandlers, str], Awaitable[None]], **limits: float) -> None:
    """Use a lease at a helper with these limits."""

    async def post(_address: str, _delivery: Delivery) -> None:
        raise AssertionError("nothing is sent here")

    async def go() -> None:
        handlers = HelperHandlers(HelperConfig(limits=HelperLimits(**limits)), post)
        try:
            lease = handlers.join("tester").lease
            await bring(handlers, lease)
            await use(handlers, lease)
        finally:
            handlers.close()

    asyncio.run(go())


async def bring(handlers: HelperHandlers, lease: str) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield DOUBLE

    await handlers.put_model(ModelHeader(lease, digest_of(DOUBLE), len(DOUBLE)), chunks())


def program(lease: str, *computes: Step) -> Assignment:
    steps = (Receive(X, 0), *computes, Send(Y, 0, Y))
    return Assignment(lease, secrets.token_urlsafe(18), Program(1, (), steps, ()))


@pytest.mark.parametrize(
    ("limits", "complaint"),
    [
        ({"computes": 2}, "runs 3 models; this helper takes at most 2"),
        ({"flops": 11.0}, "takes 12 FLOP"),
        ({"store_bytes": 2 * len(DOUBLE)}, f"have {3 * len(DOUBLE)} bytes"),
    ],
)
def test_a_program_is_no_more_work_than_a_model_may_be(limits: dict, complaint: str) -> None:
    async def use(handlers: HelperHandlers, lease: str) -> None:
        with pytest.raises(InvalidInput, match=complaint):
            await handlers.load_program(program(lease, RUN, RUN, RUN))
        assert await handlers.load_program(program(lease, RUN, RUN)) == ()

    helped(use, **{"flops": 12.0, **limits})


def test_programs_asked_for_at_once_are_counted_too() -> None:
    async def use(handlers: HelperHandlers, lease: str) -> None:
        asked = (handlers.load_program(program(lease, RUN)) for _ in range(5))
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert [type(one) for one in answers] == [tuple, tuple, Busy, Busy, Busy]
        with pytest.raises(Busy, match="2 programs"):
            await handlers.load_program(program(lease, RUN))

    helped(use, programs=2)


def test_models_stay_while_a_program_of_them_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    async def use(handlers: HelperHandlers, lease: str) -> None:
        first, second = program(lease, RUN), program(lease, RUN)
        await handlers.load_program(first)
        may_go_on = threading.Event()
        load = handlers._load

        def slowly(assignment: Assignment) -> Any:
            assert may_go_on.wait(60.0)
            return load(assignment)

        monkeypatch.setattr(handlers, "_load", slowly)
        loading = asyncio.create_task(handlers.load_program(second))
        await asyncio.sleep(0)
        with pytest.raises(InvalidInput, match="key is in use"):
            await handlers.load_program(second)
        handlers.unload_program(lease, first.key)
        may_go_on.set()
        assert await loading == ()
        assert handlers.model_bytes(lease, digest_of(DOUBLE)) == DOUBLE
        handlers.unload_program(lease, second.key)
        assert not len(handlers._models)

    helped(use)


def test_models_of_a_program_that_is_refused_go_with_their_client() -> None:
    async def use(handlers: HelperHandlers, lease: str) -> None:
        wrong = Compute(DOUBLE, {"other": X}, {"y": Y})
        with pytest.raises(InvalidInput, match="its model has"):
            await handlers.load_program(program(lease, wrong))
        assert handlers.model_bytes(lease, digest_of(DOUBLE)) == DOUBLE
        handlers.leave(lease)
        assert not len(handlers._models)

    helped(use)


def test_a_run_has_an_end_also_where_its_client_names_none() -> None:
    async def use(handlers: HelperHandlers, lease: str) -> None:
        waits = program(lease, RUN)
        await handlers.load_program(waits)
        with pytest.raises(TooLate, match="did not come from worker 0"):
            await anext(handlers.play(lease, waits.key, 0, math.inf))

    helped(use, run_seconds=0.05)
