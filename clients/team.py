"""The helpers of a device: who answers, how fast their links are, who has been lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from statistics import median
from typing import Any, Self

from clients.config import Emit
from clients.errors import CallFailed, Gone
from clients.helper_channel import HelperChannel
from clients.team_config import TeamConfig
from dds.errors import InvalidInput
from dds.parallel.workers import WorkerLinks
from dds.session.helping import VERSION, Description, Tenancy

__all__ = ["Member", "Team"]

#: What a message takes beyond half a round trip: threads and protobuf on both sides, s.
_HANDLING = 5e-4
#: Echoes to measure a link with, and bytes of the large ones.
_SMALL_ECHOES, _LARGE_ECHOES, _LARGE = 5, 3, 2**20
#: No link is measured to be faster than this, bytes/s.
_FASTEST = 1e10
#: A helper that is there, and does not say who it is for so long, hangs, s.  Whether it is there
#: at all is found out much sooner (clients/helper_channel.py).
_PATIENCE = 30.0
#: Seconds that a helper gets to hear that the client leaves.
_FAREWELL = 1.0


@dataclass(frozen=True)
class Member:
    """A helper that answers; bandwidth (bytes/s), message (s): of its link."""

    channel: HelperChannel
    description: Description
    tenancy: Tenancy
    bandwidth: float
    message: float

    @property
    def address(self) -> str:
        """Where it is."""
        return self.channel.address

    @property
    def lease(self) -> str:
        """What the device holds there."""
        return self.tenancy.lease

    async def absent(self) -> str:
        """Why it is not to be counted on any more; "" where it still says who it is."""
        try:
            await self.channel.describe(_PATIENCE)
        except Gone as error:
            return error.how
        except (CallFailed, InvalidInput):
            return "it does not answer"
        return ""


class Team:
    """The helpers that answer; an async context manager that joins and leaves them.

    name: of the client; emit: told of who is there, and who is lost.
    """

    def __init__(
        self,
        name: str,
        config: TeamConfig,
        emit: Emit,
        *,
        connect: Callable[[str], HelperChannel] = HelperChannel,
    ) -> None:
        self._name = name
        self._config = config
        self._emit = emit
        self._connect = connect
        self._members: list[Member] = []
        self._lost: list[Member] = []
        self._tasks: set[asyncio.Task[Any]] = set()

    async def __aenter__(self) -> Self:
        """Join every helper that answers; one after another, as each link is measured alone."""
        for address in self._config.addresses:
            self._emit({"event": "preparing", "what": f"meeting the helper at {address}"})
            channel = self._connect(address)
            try:
                self._members.append(await self._meet(channel))
            except (CallFailed, InvalidInput) as error:
                await channel.close()
                self._tell_lost(address, str(error))
        self._emit({"event": "helpers", "helpers": [_told(member) for member in self._members]})
        for member in self._members:
            self.background(self._renew(member))
        return self

    async def __aexit__(self, *_: object) -> None:
        """Leave them."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(self._leave(member) for member in self._members))
        for member in (*self._members, *self._lost):
            await member.channel.close()
        self._members.clear()

    @property
    def members(self) -> tuple[Member, ...]:
        """Those that are left."""
        return tuple(self._members)

    def links(self, members: Sequence[Member]) -> WorkerLinks:
        """What joins the device and these helpers; two helpers have the slower link of both."""
        speeds = [member.bandwidth for member in members] or [_FASTEST]
        return WorkerLinks(
            (max(speeds), *speeds) if members else _FASTEST,
            max((member.message for member in members), default=0.0),
            shared=self._config.shared,
        )

    def lose(self, member: Member, why: str) -> None:
        """Go on without it; nothing happens if it is lost already."""
        if member in self._members:
            self._members.remove(member)
            # Closing its channel would cancel whoever else still waits for it.
            self._lost.append(member)
            self._tell_lost(member.address, why)
            self.background(self._leave(member))

    def background(self, work: Any) -> None:
        """Do something beside the inferences, and drop it at the end."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _tell_lost(self, address: str, why: str) -> None:
        self._emit({"event": "helper lost", "address": address, "because": why,
                    "left": len(self._members)})  # fmt: skip

    async def _meet(self, channel: HelperChannel) -> Member:
        description = await channel.describe(_PATIENCE)
        if description.version != VERSION:
            raise InvalidInput(
                f"the helper at {channel.address} speaks version {description.version}, this "
                f"client {VERSION}; install the same release on both"
            )
        tenancy = await channel.join(self._name)
        config = self._config
        message = None if config.rtt is None else config.rtt / 2.0 + _HANDLING
        bandwidth = config.bandwidth
        if message is None:
            # A round trip, handled on both sides: a delivery takes no longer.
            message = await _echo_seconds(channel, b"", 0, _SMALL_ECHOES)
        if bandwidth is None:
            sent = await _echo_seconds(channel, bytes(_LARGE), 0, _LARGE_ECHOES)
            back = await _echo_seconds(channel, b"", _LARGE, _LARGE_ECHOES)
            bandwidth = _LARGE / max(max(sent, back) - message, _LARGE / _FASTEST)
        return Member(channel, description, tenancy, bandwidth, message)

    async def _renew(self, member: Member) -> None:
        """Keep the lease; a helper that fails is found out by the next run."""
        while member in self._members:
            await asyncio.sleep(member.tenancy.lease_time / 4.0)
            with suppress(CallFailed):
                await member.channel.renew(member.lease)

    async def _leave(self, member: Member) -> None:
        with suppress(CallFailed):
            await member.channel.leave(member.lease, _FAREWELL)


def _told(member: Member) -> dict[str, Any]:
    helper = member.description
    return {"address": member.address, "name": helper.name, "engine": helper.engine,
            "slowdown": helper.slowdown, "bandwidth": member.bandwidth,
            "message_s": member.message}  # fmt: skip


async def _echo_seconds(channel: HelperChannel, data: bytes, wanted: int, count: int) -> float:
    """The seconds of an echo: the median of a few, after a first one."""
    await channel.echo(data, wanted)
    seconds = []
    for _ in range(count):
        started = time.perf_counter()
        await channel.echo(data, wanted)
        seconds.append(time.perf_counter() - started)
    return median(seconds)
