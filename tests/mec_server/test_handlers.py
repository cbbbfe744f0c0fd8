"""The server's calls without gRPC: messages in, messages out, a clock that stands still."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

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
from dds.session.timing import Timing
from dds.session.upload import ModelHeader, ModelReceipt
from mec_server.config import Limits, ServerConfig
from mec_server.errors import Busy, LeaseRefused, UnknownModel
from mec_server.handlers import Handlers

CORE = ReferenceCore("core", 1e10, 1e10, 0.0, slowdown=1e-6)


def config(**limits: Any) -> ServerConfig:
    terms = Terms(Clearing(2.0), 2.0, CORE, Fraction(1, 1000))
    return ServerConfig(terms, timing=Timing(batch=0.0), workers=1, limits=Limits(**limits))


def tripling_model() -> bytes:
    graph = helper.make_graph(
        [
            helper.make_node("Add", ["x", "x"], ["two"]),
            helper.make_node("Add", ["two", "x"], ["three"]),
        ],
        "triple",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])],
        [
            helper.make_tensor_value_info("two", TensorProto.FLOAT, [2]),
            helper.make_tensor_value_info("three", TensorProto.FLOAT, [2]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    return bytes(model.SerializeToString())


MODEL = tripling_model()
DIGEST = hashlib.sha256(MODEL).hexdigest()
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
