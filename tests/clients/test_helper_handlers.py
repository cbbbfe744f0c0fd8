"""What a helper takes from one client, and no more."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from clients.helper_config import HelperConfig, HelperLimits
from clients.helper_handlers import HelperHandlers
from dds.errors import InvalidInput
from dds.parallel.program import Compute, Part, Program, Receive, Send, Step
from dds.parallel.tiles import WHOLE
from dds.session.helping import Assignment, Delivery
from dds.session.refusals import Busy
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
