"""A shaped link: a real call over a fast network takes the time of a slow one.

The network's part of a call (its wall time less the time the server says it worked) is stretched
to ``up / b_up + down / b_down + rtt``, at the bandwidths there are on the way: half the round trip
and the upload pass before the call, the rest after it.  What the real network took is part of
that, not added to it; where it took longer than the shaped link would, nothing is hidden and the
call is simply slower.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from dds.costs.link import Link
from dds.costs.trace import Path

__all__ = ["Delivery", "ShapedLink"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Delivery(Generic[T]):
    """A finished call.

    reply: what it returned; network: seconds its network part took, shaped;
    overhead: seconds the real network took within that; server: seconds the server worked.
    """

    reply: T
    network: float
    overhead: float
    server: float


class ShapedLink:
    """Carries calls as `path` would; clock and sleep (seconds) are for tests.

    The path's time stands at 0 until :meth:`begin`.
    """

    def __init__(
        self,
        path: Path,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._path = path
        self._clock = clock
        self._sleep = sleep
        self._began: float | None = None

    def begin(self) -> None:
        """The path's time 0 is now."""
        self._began = self._clock()

    @property
    def now(self) -> float:
        """Time on the path, s."""
        return 0.0 if self._began is None else self._clock() - self._began

    @property
    def link(self) -> Link:
        """The link as it is now."""
        return self._path.at(self.now)

    async def call(
        self,
        send: Callable[[], Awaitable[T]],
        uplink_bytes: float,
        downlink_bytes: float,
        server_time: Callable[[T], float],
        *,
        rtt: float | None = None,
    ) -> Delivery[T]:
        """Make the call; server_time reads from the reply how long the server worked, s.

        rtt: another round trip than the link's, s.
        """
        started, at = self._clock(), self.now
        half = (self.link.rtt if rtt is None else rtt) / 2.0
        sending = half + self._path.uplink_time(at, uplink_bytes)
        await self._wait(sending)
        called = self._clock()
        reply = await send()
        answered = self._clock()
        # A server cannot have worked for longer than the call took, whatever it says.
        server = min(server_time(reply), answered - called)
        returning = half + self._path.downlink_time(at + sending + server, downlink_bytes)
        await self._wait(started + sending + server + returning - answered)
        overhead = max(answered - called - server, 0.0)
        return Delivery(reply, self._clock() - started - server, overhead, server)

    async def _wait(self, seconds: float) -> None:
        if seconds > 0.0:
            await self._sleep(seconds)
