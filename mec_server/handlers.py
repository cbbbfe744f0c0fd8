"""What each call to the server does: dataclasses in, dataclasses out, no gRPC.

The market is :class:`dds.session.server.MarketServer`; this module brings it the clock, carries
its messages to the streams they are for, and lets a lease run what it uploaded at the share it
holds at that moment.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Hashable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dds.errors import InvalidInput
from dds.profile.profile import Profile
from dds.session.effects import Departed, Effect, Send
from dds.session.messages import ClientMessage, ServerMessage
from dds.session.profiling import ProfileRequest
from dds.session.refusals import Busy, LeaseRefused, TooLate
from dds.session.server import MarketServer
from dds.session.status import MarketStatus
from dds.session.store import ModelStore
from dds.session.upload import ModelHeader, ModelReceipt, receive
from mec_server.chaining import Boundary, Chained, Next, route
from mec_server.config import ServerConfig
from mec_server.errors import NoUpstream
from mec_server.executor import Execution, Executor
from mec_server.loading import load
from mec_server.profiling import Profiler
from mec_server.stored import StoredModel, TensorSpec

__all__ = ["Handlers"]

Deliver = Callable[[ServerMessage], None]
#: Longest the market's timers sleep, s: joins and bids that come meanwhile may bring them forward.
_LONGEST_NAP = 1.0


class Handlers:
    """One server's calls.

    Run :meth:`keep_time` beside them; at the end :meth:`refuse_all`, then :meth:`close`.
    upstream: the server behind this one, if it has one; clock: seconds, for tests.
    """

    def __init__(
        self,
        config: ServerConfig,
        upstream: Next | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.config = config
        self._upstream = upstream
        self._chains: Counter[str] = Counter()
        self.models = ModelStore[StoredModel](config.limits.store_bytes)
        self.executor = Executor(
            config.terms.core.slowdown,
            workers=config.workers,
            longest_queue=config.limits.queue,
            longest_run=config.limits.run_seconds,
            clock=clock,
        )
        self.profiler = Profiler(
            config.runtime, config.limits, self.executor.background, config.profiles
        )
        self._clock = clock
        self._market = MarketServer(
            config.terms,
            leases=(secrets.token_urlsafe(18) for _ in itertools.count()),
            quorum=config.quorum,
            timing=config.timing,
        )
        self._streams: dict[Hashable, Deliver] = {}
        self._changed = asyncio.Event()

    # ---- the game --------------------------------------------------------------------------

    def connect(self, peer: Hashable, deliver: Deliver) -> None:
        """A client opened a stream; deliver must not block."""
        self._streams[peer] = deliver

    def receive(self, peer: Hashable, message: ClientMessage) -> None:
        """A message came on a stream."""
        self._carry_out(self._market.receive(peer, message, self._clock()))

    def disconnect(self, peer: Hashable) -> None:
        """A stream ended."""
        self._streams.pop(peer, None)
        self._carry_out(self._market.disconnected(peer, self._clock()))

    async def keep_time(self) -> None:
        """Run the market's timers until cancelled."""
        while True:
            due = self._market.next_timeout()
            nap = _LONGEST_NAP if due is None else min(due - self._clock(), _LONGEST_NAP)
            self._changed.clear()
            if nap > 0.0:
                try:
                    # Not wait_for, which forgets a cancellation that comes with the change.
                    async with asyncio.timeout(nap):
                        await self._changed.wait()
                    continue
                except TimeoutError:
                    pass
            self._carry_out(self._market.tick(self._clock()))

    def status(self) -> MarketStatus:
        """Public facts about the market."""
        return self._market.status()

    def _carry_out(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Send):
                deliver = self._streams.get(effect.peer)
                if deliver is not None:
                    deliver(effect.message)
            elif isinstance(effect, Departed):
                self.models.forget(effect.lease)
        self._changed.set()

    # ---- models ----------------------------------------------------------------------------

    async def put_model(self, header: ModelHeader, chunks: AsyncIterator[bytes]) -> ModelReceipt:
        """Take a model for a lease; when it is here already the chunks are not read.

        Raises LeaseRefused for an unknown lease, Busy when there is no room, and InvalidInput
        for a model that is too large, not what was announced, or not allowed to run.
        """
        self._check_lease(header.lease)
        known = header.digest in self.models
        if not known:
            if header.size > self.config.limits.model_bytes:
                raise InvalidInput(
                    f"model.size is {header.size}; this server takes at most "
                    f"{self.config.limits.model_bytes} bytes"
                )
            with self.models.reserve(header.size):
                data = await receive(header, chunks)
                model = await self.executor.background(
                    load, data, header.digest, self.config.limits, self.config.runtime
                )
                # It may have ended meanwhile; then nobody would ever drop the model.
                self._check_lease(header.lease)
                self.models.add(model, header.lease)
        else:
            self.models.allow(header.digest, header.lease)
        return ModelReceipt(header.digest, known)

    def model(self, digest: str, lease: str) -> StoredModel:
        """A model that the lease uploaded; raises LeaseRefused or UnknownModel."""
        self._check_lease(lease)
        return self.models.get(digest, lease)

    async def profile_model(self, request: ProfileRequest) -> tuple[Profile, bool]:
        """How long the parts of a model take here, and whether that was known.

        Raises LeaseRefused, UnknownModel, and what :meth:`mec_server.profiling.Profiler.profile`
        raises.
        """
        model = self.model(request.digest, request.lease)
        return await self.profiler.profile(model, request.repeats)

    # ---- inference -------------------------------------------------------------------------

    async def infer(
        self,
        lease: str,
        digest: str,
        inputs: Mapping[str, NDArray[Any]],
        wanted: tuple[str, ...] = (),
        *,
        timeout: float = math.inf,
    ) -> Execution:
        """Run a model of the lease at the share it holds; `wanted` outputs only, or all.

        Raises LeaseRefused when the lease is unknown or holds no share, UnknownModel when it
        uploaded no such model, InvalidInput for inputs or outputs that are not the model's, and
        what :meth:`mec_server.executor.Executor.infer` raises.
        """
        deadline = self._clock() + timeout
        model = self.model(digest, lease)
        self._share(lease)
        check_inputs(model, inputs)
        names = {spec.name for spec in model.outputs}
        for name in wanted:
            if name not in names:
                raise InvalidInput(f"output {name!r} is not one of the model's: {sorted(names)}")
        done = await self.executor.infer(
            lease, model.session, inputs, lambda: self._share(lease), deadline=deadline
        )
        if not wanted:
            return done
        chosen = {name: done.outputs[name] for name in wanted}
        return Execution(chosen, done.cpu, done.paced, done.wall)

    async def infer_chained(
        self,
        lease: str,
        digest: str,
        inputs: Mapping[str, NDArray[Any]],
        wanted: tuple[str, ...] = (),
        *,
        then: str,
        then_lease: str,
        timeout: float = math.inf,
    ) -> Chained:
        """Run a model of the lease as :meth:`infer` does, and on what it returns the next part.

        then, then_lease: digest of the next part, and the lease that pays for it upstream;
        timeout: for both, s.  The lease's queue here is free while the upstream works.

        Raises NoUpstream, UpstreamFailed, Busy for more chains at a time than a lease may have
        calls waiting, and what :meth:`infer` and :func:`mec_server.chaining.route` raise.
        """
        deadline = self._clock() + timeout
        model = self.model(digest, lease)
        self._share(lease)
        if self._upstream is None:
            raise NoUpstream
        if self._chains[lease] >= self.config.limits.queue:
            raise Busy(f"lease {lease!r}: {self._chains[lease]} chained calls are under way")
        self._chains[lease] += 1
        try:
            following = await self._upstream.boundary(then_lease, then, timeout=timeout)
            way = route(_boundary(model), following, inputs, wanted)
            left = deadline - self._clock()
            own = await self.infer(lease, digest, way.own_feeds(inputs), timeout=left)
            sent = self._clock()
            if sent >= deadline:
                raise TooLate("the deadline passed before the next part could start")
            feeds = way.then_feeds(inputs, own.outputs)
            ran = await self._upstream.infer(
                then_lease, then, feeds, way.asked, timeout=deadline - sent
            )
            network = max(0.0, self._clock() - sent - ran.wall)
            return Chained(way.answer(own.outputs, ran.outputs), own, ran, network)
        finally:
            self._chains[lease] -= 1
            if not self._chains[lease]:
                del self._chains[lease]

    def _check_lease(self, lease: str) -> None:
        if not self._market.knows(lease):
            raise LeaseRefused(f"no lease {lease!r} (it may have run out); join the market first")

    def _share(self, lease: str) -> float:
        self._check_lease(lease)
        share = self._market.holds(lease)
        if share <= 0.0:
            raise LeaseRefused(
                f"lease {lease!r} holds no cores; bid for a share and wait for the allocation"
            )
        return share

    def refuse_all(self) -> None:
        """Tell everybody that the server is shutting down; every lease ends."""
        self.profiler.stop()
        self._carry_out(self._market.close(self._clock()))

    def close(self) -> None:
        """End the threads, once no call is running."""
        self.executor.close()


def _boundary(model: StoredModel) -> Boundary:
    return Boundary(
        tuple(spec.name for spec in model.inputs), tuple(spec.name for spec in model.outputs)
    )


def check_inputs(model: StoredModel, inputs: Mapping[str, NDArray[Any]]) -> None:
    """Raises InvalidInput unless the tensors are exactly the model's declared inputs."""
    expected = {spec.name: spec for spec in model.inputs}
    for name in inputs:
        if name not in expected:
            raise InvalidInput(f"input {name!r} is not one of the model's: {sorted(expected)}")
    for name, spec in expected.items():
        if name not in inputs:
            raise InvalidInput(f"input {name!r} is missing; send {_describe(spec)}")
        array = inputs[name]
        if array.shape != spec.shape or array.dtype != np.dtype(spec.dtype):
            raise InvalidInput(
                f"input {name!r} is {array.dtype} {list(array.shape)}; send {_describe(spec)}"
            )


def _describe(spec: TensorSpec) -> str:
    return f"{spec.dtype} {list(spec.shape)}"
