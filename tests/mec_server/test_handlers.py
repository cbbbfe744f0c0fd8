"""The server's calls without gRPC: messages in, messages out, a clock that stands still."""

import asyncio
from collections.abc import AsyncIterator, Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from dds.errors import InvalidInput
from dds.market.tariff import Clearing
from dds.session.messages import (
    Accept,
    Allocation,
    Bid,
    Join,
    Post,
    ReferenceCore,
    Release,
    Renew,
    ServerMessage,
    Terms,
    Welcome,
)
from dds.session.refusals import Busy, LeaseRefused, TooLate, UnknownModel
from dds.session.timing import Timing
from dds.session.upload import ModelHeader, ModelReceipt
from dds.testing.models import digest_of, text_model
from mec_server.chaining import Boundary
from mec_server.config import Limits, ServerConfig
from mec_server.errors import NoUpstream
from mec_server.executor import Execution
from mec_server.handlers import Handlers

CORE = ReferenceCore("core", 1e10, 1e10, 0.0, slowdown=1e-6)


def config(**limits: Any) -> ServerConfig:
    terms = Terms(Clearing(2.0), 2.0, CORE, Fraction(1, 1000))
    return ServerConfig(terms, timing=Timing(batch=0.0), workers=1, limits=Limits(**limits))


MODEL = text_model(
    "(float[2] x) => (float[2] two, float[2] three) {two = Add(x, x) three = Add(two, x)}"
)
DIGEST = digest_of(MODEL)
X = {"x": np.array([1.0, 2.0], np.float32)}


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


class Seat:
    """One client: answers every post with the same share."""

    def __init__(self, handlers: Handlers, name: str = "anna", share: float = 1.5) -> None:
        self.handlers = handlers
        self.share = share
        self.lease = ""
        self.heard: list[ServerMessage] = []
        handlers.connect(self, self.hear)
        handlers.receive(self, Join(name, f"nonce of {name}"))

    def hear(self, message: ServerMessage) -> None:
        self.heard.append(message)
        match message:
            case Welcome(lease=lease):
                self.lease = lease
            case Post(lease=lease, epoch=epoch, round=number):
                self.handlers.receive(self, Bid(lease, epoch, number, self.share))
            case Allocation(lease=lease, epoch=epoch):
                self.handlers.receive(self, Accept(lease, epoch))

    async def buy(self) -> None:
        """Enter the game, and wait for the allocation."""
        self.handlers.receive(self, Renew(self.lease, 1))
        while not any(isinstance(message, Allocation) for message in self.heard):
            await asyncio.sleep(0)

    async def upload(self, data: bytes = MODEL, digest: str = DIGEST) -> ModelReceipt:
        header = ModelHeader(self.lease, digest, len(data))
        return await self.handlers.put_model(header, chunks(data[:10], data[10:]))


def serve(scene: Callable[[Handlers], Any], **limits: Any) -> Any:
    async def play() -> Any:
        handlers = Handlers(config(**limits), clock=lambda: 0.0)
        timers = asyncio.create_task(handlers.keep_time())
        try:
            return await scene(handlers)
        finally:
            timers.cancel()
            handlers.refuse_all()
            handlers.close()

    return asyncio.run(play())


def test_a_lease_runs_what_it_uploaded_at_the_share_it_bought() -> None:
    async def scene(handlers: Handlers) -> None:
        seat = Seat(handlers)
        assert await seat.upload() == ModelReceipt(DIGEST, known=False)
        assert await seat.upload() == ModelReceipt(DIGEST, known=True)
        await seat.buy()
        done = await handlers.infer(seat.lease, DIGEST, X)
        assert {k: v.tolist() for k, v in done.outputs.items()} == {
            "two": [2.0, 4.0],
            "three": [3.0, 6.0],
        }
        assert done.paced == pytest.approx(1e-6 * done.cpu / 1.5)
        only = await handlers.infer(seat.lease, DIGEST, X, ("three",))
        assert list(only.outputs) == ["three"]
        with pytest.raises(InvalidInput, match="'four' is not one of the model's"):
            await handlers.infer(seat.lease, DIGEST, X, ("four",))

    serve(scene)


def test_a_known_model_is_not_read_again() -> None:
    async def scene(handlers: Handlers) -> None:
        first, second = Seat(handlers, "anna"), Seat(handlers, "ben")
        await first.upload()

        async def unread() -> AsyncIterator[bytes]:
            raise AssertionError("the chunks were read")
            yield b""

        header = ModelHeader(second.lease, DIGEST, len(MODEL))
        assert (await handlers.put_model(header, unread())).known
        assert handlers.model(DIGEST, second.lease).digest == DIGEST

    serve(scene)


def test_without_a_share_nothing_runs() -> None:
    async def scene(handlers: Handlers) -> None:
        seat = Seat(handlers)
        await seat.upload()
        with pytest.raises(LeaseRefused, match="holds no cores"):
            await handlers.infer(seat.lease, DIGEST, X)

    serve(scene)


def test_without_a_lease_nothing_is_taken() -> None:
    async def scene(handlers: Handlers) -> None:
        with pytest.raises(LeaseRefused, match="join the market first"):
            await handlers.put_model(ModelHeader("nobody", DIGEST, 1), chunks(b"x"))
        with pytest.raises(LeaseRefused, match="join the market first"):
            await handlers.infer("nobody", DIGEST, X)

    serve(scene)


def test_a_lease_that_ends_takes_its_models_along() -> None:
    async def scene(handlers: Handlers) -> None:
        seat = Seat(handlers)
        await seat.upload()
        await seat.buy()
        handlers.receive(seat, Release(seat.lease))
        assert len(handlers.models) == 0
        with pytest.raises(LeaseRefused):
            await handlers.infer(seat.lease, DIGEST, X)

    serve(scene)


def test_a_lease_that_ends_during_its_upload_leaves_nothing_behind() -> None:
    async def scene(handlers: Handlers) -> None:
        seat = Seat(handlers)

        async def interrupted() -> AsyncIterator[bytes]:
            yield MODEL
            handlers.receive(seat, Release(seat.lease))

        with pytest.raises(LeaseRefused):
            await handlers.put_model(ModelHeader(seat.lease, DIGEST, len(MODEL)), interrupted())
        assert len(handlers.models) == 0
        assert handlers.models.bytes == 0

    serve(scene)


def test_models_beyond_the_limits_are_refused() -> None:
    async def scene(handlers: Handlers) -> None:
        seat = Seat(handlers)
        with pytest.raises(InvalidInput, match="takes at most"):
            await seat.upload(MODEL + b" " * 1000)
        with pytest.raises(Busy, match="does not fit"):
            await seat.upload()

    serve(scene, model_bytes=1000, store_bytes=100)


def test_models_of_others_are_not_ones_own() -> None:
    async def scene(handlers: Handlers) -> None:
        first, second = Seat(handlers, "anna", 0.5), Seat(handlers, "ben", 0.5)
        await first.upload()
        await first.buy()
        await second.buy()
        with pytest.raises(UnknownModel, match="call PutModel first"):
            await handlers.infer(second.lease, DIGEST, X)

    serve(scene)


def test_a_closed_server_refuses_everybody() -> None:
    async def scene(handlers: Handlers) -> None:
        seat = Seat(handlers)
        handlers.refuse_all()
        with pytest.raises(LeaseRefused):
            await seat.upload()
        late = Seat(handlers, "late")
        assert late.lease == ""
        assert "shutting down" in late.heard[-1].message

    serve(scene)


class Behind:
    """An upstream: other handlers, called without a network; what it sends shall arrive."""

    def __init__(self, handlers: Handlers) -> None:
        self.handlers = handlers
        self.clock = 0.0
        self.sent: list[set[str]] = []
        self.open = asyncio.Event()
        self.open.set()

    async def boundary(self, lease: str, digest: str, *, timeout: float) -> Boundary:
        assert timeout > 0.0
        model = self.handlers.model(digest, lease)
        inputs, outputs = ([spec.name for spec in specs] for specs in (model.inputs, model.outputs))
        return Boundary(tuple(inputs), tuple(outputs))

    async def infer(
        self, lease: str, digest: str, inputs: Any, wanted: tuple[str, ...], *, timeout: float
    ) -> Execution:
        self.sent.append(set(inputs))
        await self.open.wait()
        done = await self.handlers.infer(lease, digest, inputs, wanted, timeout=timeout)
        # The call takes a second on top of what it says.
        self.clock += done.wall + 1.0
        return done


SECOND = text_model("(float[2] three, float[2] aside) => (float[2] sum) {sum = Add(three, aside)}")
THEN = digest_of(SECOND)
BOTH = {**X, "aside": np.array([10.0, 20.0], np.float32)}


def chain(scene: Callable[[Seat, Behind, Callable[..., Any]], Any], **limits: Any) -> None:
    """Play with a client of two servers; its call runs both models."""

    async def play(cloud: Handlers) -> None:
        behind = Behind(cloud)
        edge = Handlers(config(**limits), behind, clock=lambda: behind.clock)
        timers = asyncio.create_task(edge.keep_time())
        try:
            near, far = Seat(edge), Seat(cloud)
            await near.upload()
            await far.upload(SECOND, THEN)
            await near.buy()
            await far.buy()

            async def call(inputs: Any = BOTH, wanted: tuple[str, ...] = (), **how: Any) -> Any:
                payer = {"then": THEN, "then_lease": far.lease, **how}
                return await edge.infer_chained(near.lease, DIGEST, inputs, wanted, **payer)

            await scene(near, behind, call)
        finally:
            timers.cancel()
            edge.refuse_all()
            edge.close()

    serve(play)


def test_the_next_part_runs_on_what_this_one_makes_and_what_passes_by() -> None:
    async def scene(_: Seat, behind: Behind, call: Callable[..., Any]) -> None:
        done = await call()
        assert {name: array.tolist() for name, array in done.outputs.items()} == {
            "two": [2.0, 4.0],
            "sum": [13.0, 26.0],
        }
        assert behind.sent == [{"three", "aside"}]
        assert done.network == pytest.approx(1.0)
        assert done.own.paced == pytest.approx(1e-6 * done.own.cpu / 1.5)
        assert done.then.paced == pytest.approx(1e-6 * done.then.cpu / 1.5)
        only = await call(wanted=("three", "sum"))
        assert list(only.outputs) == ["three", "sum"]

    chain(scene)


def test_nothing_runs_before_the_tensors_of_both_parts_are_there() -> None:
    async def scene(_: Seat, behind: Behind, call: Callable[..., Any]) -> None:
        for inputs, wanted, complaint in (
            (X, (), "'aside' is missing"),
            ({"aside": BOTH["aside"]}, (), "'x' is missing"),
            ({**BOTH, "more": X["x"]}, (), "'more' is read by neither"),
            (BOTH, ("none",), "'none' is not one of the two parts'"),
        ):
            with pytest.raises(InvalidInput, match=complaint):
                await call(inputs, wanted)
        with pytest.raises(UnknownModel):
            await call(then="0" * 64)
        with pytest.raises(LeaseRefused):
            await call(then_lease="nobody")
        assert behind.sent == []

    chain(scene)


def test_a_lease_has_so_many_chains_under_way_and_its_queue_free_meanwhile() -> None:
    async def scene(near: Seat, behind: Behind, call: Callable[..., Any]) -> None:
        behind.open.clear()
        under_way = [asyncio.create_task(call()) for _ in range(3)]
        while len(behind.sent) < 3:
            await asyncio.sleep(0)
        with pytest.raises(Busy, match="3 chained calls are under way"):
            await call()
        alone = await near.handlers.infer(near.lease, DIGEST, X)
        assert alone.outputs["two"].tolist() == [2.0, 4.0]
        under_way[0].cancel()
        await asyncio.gather(under_way[0], return_exceptions=True)
        under_way.append(asyncio.create_task(call()))
        behind.open.set()
        for task in under_way[1:]:
            assert list((await task).outputs) == ["two", "sum"]

    chain(scene, queue=3)


def test_a_deadline_that_passes_between_the_parts_ends_the_chain() -> None:
    async def scene(_: Seat, behind: Behind, call: Callable[..., Any]) -> None:
        ask = behind.boundary

        async def slowly(lease: str, digest: str, *, timeout: float) -> Boundary:
            behind.clock += 5.0
            return await ask(lease, digest, timeout=timeout)

        behind.boundary = slowly  # type: ignore[method-assign]
        with pytest.raises(TooLate):
            await call(timeout=4.0)
        assert behind.sent == []
        await call(timeout=6.0)

    chain(scene)


def test_without_an_upstream_there_is_no_next_part() -> None:
    async def scene(handlers: Handlers) -> None:
        seat = Seat(handlers)
        await seat.upload()
        await seat.buy()
        with pytest.raises(NoUpstream, match="start it with --upstream HOST:PORT"):
            await handlers.infer_chained(seat.lease, DIGEST, X, then=THEN, then_lease="x")

    serve(scene)
