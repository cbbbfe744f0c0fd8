"""What every gRPC client here does the same way, the other end of ``serving``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc

from dds.session.upload import CHUNK_BYTES, ModelHeader
from dds.wire import codec, market_pb2, tensors

__all__ = ["SILENT_UPSTREAM", "start_upload", "unanswered"]

#: What a server says, with the status UNAVAILABLE, when the one behind it does not answer; any
#: other call that ends with that status was ended by gRPC.
SILENT_UPSTREAM = "the upstream does not answer; try again later"
#: What gRPC says in place of the status of a stream that broke while something was written to it
#: (github.com/grpc/grpc/issues/36066).
_LOST = "Internal error from Core"


def start_upload(method: Callable[..., Any], header: ModelHeader, model: bytes, **how: Any) -> Any:
    """The call of a stub's ``PutModel``: a header, and then the bytes if they are wanted.

    how: timeout and metadata of the call.
    """

    async def chunks() -> AsyncIterator[market_pb2.ModelChunk]:
        yield codec.chunk_to_proto(header)
        # gRPC forgets why a call was refused if it is still being written to.
        if tensors.WANTED_KEY not in dict(await call.initial_metadata()):
            await call.code()  # the answer is on its way
            return
        for start in range(0, len(model), CHUNK_BYTES):
            yield codec.chunk_to_proto(model[start : start + CHUNK_BYTES])

    call = method(chunks(), **how)
    return call


def unanswered(error: grpc.aio.AioRpcError) -> bool:
    """Whether gRPC ended a call that failed, and nobody at the other end did."""
    code, details = error.code(), error.details() or ""
    if code is grpc.StatusCode.UNAVAILABLE:
        return SILENT_UPSTREAM not in details
    return code is grpc.StatusCode.INTERNAL and details == _LOST
