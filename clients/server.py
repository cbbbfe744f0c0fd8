"""What an agent needs of a server; :class:`clients.channel.Channel` is one, over gRPC."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray

from dds.profile.profile import Profile
from dds.session.messages import ClientMessage, ServerMessage
from dds.session.profiling import ProfileRequest
from dds.session.status import MarketStatus
from dds.session.upload import ModelReceipt

__all__ = ["Server", "ServerRun", "Then", "ThenRun"]


@dataclass(frozen=True, slots=True)
class Then:
    """What runs next, one server further: the part with this digest, paid by this lease there."""

    digest: str
    lease: str


@dataclass(frozen=True, slots=True)
class ThenRun:
    """The next part's run: as of a :class:`ServerRun`; network: its call besides that, s."""

    cpu: float
    paced: float
    wall: float
    network: float


@dataclass(frozen=True, slots=True)
class ServerRun:
    """An inference on the server.

    outputs: by name; cpu: CPU time of its kernels there, s; paced: what they take at the
    bought share, s; wall: how long the server worked on the call, s; then: of the next part.
    """

    outputs: dict[str, NDArray[Any]]
    cpu: float
    paced: float
    wall: float
    then: ThenRun | None = None


class Server(Protocol):
    """A market and the machine behind it; calls raise CallFailed.

    address: where it is.
    """

    address: str

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
        self,
        lease: str,
        digest: str,
        inputs: Mapping[str, NDArray[Any]],
        outputs: Sequence[str] = (),
        *,
        timeout: float,
        then: Then | None = None,
    ) -> ServerRun:
        """Run an uploaded model at the share of the lease, and what comes then.

        outputs: names to return, of either part; none: all that the model returns.
        """
        ...

    async def status(self) -> MarketStatus:
        """What the market looks like now."""
        ...
