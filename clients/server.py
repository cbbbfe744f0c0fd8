"""What an agent needs of a server; :class:`clients.channel.Channel` is one, over gRPC."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray

from dds.profile.profile import Profile
from dds.session.messages import ClientMessage, ServerMessage
from dds.session.profiling import ProfileRequest
from dds.session.upload import ModelReceipt

__all__ = ["Server", "ServerRun"]


@dataclass(frozen=True, slots=True)
class ServerRun:
    """An inference on the server.

    outputs: by name; cpu: CPU time of its kernels there, s; paced: what they take at the
    bought share, s; wall: how long the server worked on the call, s.
    """

    outputs: dict[str, NDArray[Any]]
    cpu: float
    paced: float
    wall: float


class Server(Protocol):
    """A market and the machine behind it; calls raise CallFailed."""

    def play(self, outgoing: AsyncIterator[ClientMessage]) -> AsyncIterator[ServerMessage]:
        """One stream of the game: messages from the server, for those sent to it."""
        ...

    async def put_model(self, lease: str, digest: str, model: bytes) -> ModelReceipt:
        """Upload a model unless the server has it."""
        ...

    async def profile_model(self, request: ProfileRequest) -> tuple[Profile, bool]:
        """What the server measures of an uploaded model, and whether it had done so before."""
        ...

    async def infer(
        self, lease: str, digest: str, inputs: Mapping[str, NDArray[Any]], *, timeout: float
    ) -> ServerRun:
        """Run an uploaded model at the share of the lease."""
        ...
