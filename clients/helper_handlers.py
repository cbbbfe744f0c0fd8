"""What each call to a helper does: dataclasses in, dataclasses out, no gRPC."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from clients.helper_config import HelperConfig
from clients.helper_profiling import measure_here, platform_of
from clients.helper_programs import LoadedProgram, Post
from clients.helper_tenants import Tenants
from clients.mailboxes import Form, announced
from clients.pacing import CheckedEngine, PacedEngine, pace_of
from dds.engines import engine
from dds.errors import DdsError, InvalidInput
from dds.execution.interpreter import Loaded, load
from dds.model.foreign import Bounds, check_bounded, check_foreign
from dds.model.graph import ModelGraph
from dds.parallel.program import Compute, Program, Receive
from dds.profile.profile import Profile
from dds.session.helping import Assignment, Delivery, Description, Played, Tenancy, UnknownRun
from dds.session.profiling import ProfileRequest
from dds.session.refusals import Busy, LeaseRefused
from dds.session.store import ModelStore
from dds.session.upload import ModelHeader, ModelReceipt, receive

__all__ = ["HelperHandlers"]

#: Seconds between two looks at who has been silent for too long.
_LOOK = 0.5
T = TypeVar("T")


@dataclass(frozen=True)
class BroughtModel:
    """A model that passed every check; graph: of it."""

    digest: str
    data: bytes
    graph: ModelGraph

    @property
    def size(self) -> int:
        """Bytes it was sent as."""
        return len(self.data)


class HelperHandlers:
    """One helper's calls; run :meth:`keep_time` beside them, and :meth:`close` at the end.

    post: carries deliveries to other helpers; clock: seconds, for tests.
    """

    def __init__(
        self, config: HelperConfig, post: Post, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.config = config
        limits = config.limits
        self._post = post
        self._clock = clock
        self._engine = engine(config.engine, config.runtime)
        self._pace = pace_of(config.engine, config.runtime, config.slowdown)
        self._tenants = Tenants(limits.clients, limits.lease, partial(secrets.token_urlsafe, 18))
        self._models = ModelStore[BroughtModel](limits.store_bytes, limits.models)
        self._programs: dict[str, LoadedProgram] = {}
        self._measuring = False
        #: Programs that are being loaded: their leases, by key.
        self._loading: dict[str, str] = {}
        # One thread per program that may be playing: each waits for parts most of the time.
        self._threads = ThreadPoolExecutor(
            limits.clients * limits.programs + 1, thread_name_prefix="helper"
        )

    def describe(self) -> Description:
        """Who this is."""
        config = self.config
        platform = platform_of(config.engine, config.runtime)
        return Description(config.name, config.engine, platform, config.slowdown)

    # ---- leases ----------------------------------------------------------------------------

    def join(self, name: str) -> Tenancy:
        """Another client; raises Busy when there are as many as may be."""
        return self._tenants.join(name, self._clock())

    def renew(self, lease: str) -> None:
        """It is still there; raises LeaseRefused for an unknown lease."""
        self._tenants.heard(lease, self._clock())

    def leave(self, lease: str) -> None:
        """It has gone: what it brought is forgotten."""
        self._forget(lease, "the client has left")

    async def keep_time(self) -> None:
        """Forget the clients that fall silent, until cancelled."""
        while True:
            await asyncio.sleep(min(_LOOK, self.config.limits.lease / 4.0))
            for lease in self._tenants.silent(self._clock()):
                self._forget(lease, "nothing was heard of the client for the lease time")

    def _forget(self, lease: str, why: str) -> None:
        self._tenants.leave(lease)
        for key in [key for key in self._programs if self._is_of(lease, key)]:
            self._drop(key, LeaseRefused(why))
        self._models.forget(lease)

    # ---- models ----------------------------------------------------------------------------

    async def put_model(self, header: ModelHeader, chunks: AsyncIterator[bytes]) -> ModelReceipt:
        """Take a model for a lease; when it is here already the chunks are not read.

        Raises LeaseRefused for an unknown lease, Busy when there is no room, and InvalidInput for
        a model that is too large, not what was announced, or not allowed to run.
        """
        self._tenants.began(header.lease, self._clock())
        try:
            known = header.digest in self._models
            if not known:
                limit = self.config.limits.model_bytes
                if header.size > limit:
                    raise InvalidInput(
                        f"model.size is {header.size}; this helper takes at most {limit} bytes"
                    )
                with self._models.reserve(header.size):
                    data = await receive(header, chunks)
                    model = await self._background(self._checked, data, header.digest)
                    self._tenants.check(header.lease)
                    self._models.add(model, header.lease)
            else:
                self._models.allow(header.digest, header.lease)
            return ModelReceipt(header.digest, known)
        finally:
            self._tenants.ended(header.lease, self._clock())

    def _checked(self, data: bytes, digest: str) -> BroughtModel:
        limits = self.config.limits
        graph = check_foreign(data, digest, Bounds(limits.tensor_bytes, limits.flops))
        # Nothing could stop a loop: engines cannot be told to.
        check_bounded(data)
        return BroughtModel(digest, data, graph)

    def model_bytes(self, lease: str, digest: str) -> bytes:
        """A model that the lease brought, perhaps for another program.

        Raises LeaseRefused or UnknownModel.
        """
        return self._model(lease, digest).data

    def _model(self, lease: str, digest: str) -> BroughtModel:
        self._tenants.check(lease)
        for key, program in self._programs.items():
            if program.assignment.lease == lease and self._models.has(digest, key):
                return self._models.get(digest, key)
        return self._models.get(digest, lease)

    async def profile_model(self, request: ProfileRequest) -> Profile:
        """How long a model's parts take here, unpaced; a few seconds at most.

        Raises LeaseRefused, UnknownModel, Busy while another is measured, and InvalidInput for a
        model that fails.
        """
        self._tenants.began(request.lease, self._clock())
        try:
            model = self._models.get(request.digest, request.lease)
            if self._measuring:
                raise Busy("another model is being measured; ask again later", retry_after=1.0)
            self._measuring = True
            try:
                return await self._background(measure_here, self.config, self._engine, model)
            finally:
                self._measuring = False
        finally:
            self._tenants.ended(request.lease, self._clock())

    # ---- programs --------------------------------------------------------------------------

    async def load_program(self, assignment: Assignment) -> tuple[str, ...]:
        """Make a program ready; remarks on models that do not run on this engine, and why.

        Raises LeaseRefused, Busy for more programs than a client may have, and InvalidInput for a
        key in use, for models that are not what the steps say, and for more work than one model may
        be.
        """
        lease, key, limits = assignment.lease, assignment.key, self.config.limits
        digests = _digests(assignment.program)
        self._tenants.began(lease, self._clock())
        try:
            own = sum(one.assignment.lease == lease for one in self._programs.values())
            own += sum(other == lease for other in self._loading.values())
            if own >= limits.programs:
                raise Busy(f"this client has {own} programs here; unload one")
            self._check_work(assignment)
            if key in self._programs or key in self._loading:
                raise InvalidInput("program.key is in use; choose another")
            self._loading[key] = lease
            # They go with the program: here they stay, whatever is unloaded meanwhile.
            for digest in digests:
                self._models.allow(digest, key)
            try:
                loaded, expected, remarks = await self._background(self._load, assignment)
                try:
                    self._tenants.check(lease)
                except LeaseRefused:
                    loaded.close()
                    raise
            except BaseException:
                self._models.forget(key)
                raise
            finally:
                del self._loading[key]
            self._programs[key] = LoadedProgram(
                assignment, loaded, expected, self._threads, self._post, clock=self._clock
            )
            self._models.hand_over(digests, lease, key)
            return remarks
        finally:
            self._tenants.ended(lease, self._clock())

    def _check_work(self, assignment: Assignment) -> None:
        """Raise InvalidInput for a program of which a run is more than one of a model may be.

        Nothing stops a run between two models that wait for no part.
        """
        limits, lease = self.config.limits, assignment.lease
        computes = [s.model for s in assignment.program.steps if isinstance(s, Compute)]
        if len(computes) > limits.computes:
            raise InvalidInput(
                f"program: it runs {len(computes)} models; this helper takes at most "
                f"{limits.computes}"
            )
        flops = {model: self._model(lease, _digest(model)).graph.flops for model in set(computes)}
        size, work = sum(map(len, computes)), sum(flops[model] for model in computes)
        if size > limits.store_bytes or work > limits.flops:
            raise InvalidInput(
                f"program: its models have {size} bytes and a run takes {work:.3g} FLOP; this "
                f"helper takes at most {limits.store_bytes} and {limits.flops:.3g}"
            )

    def _load(self, assignment: Assignment) -> tuple[Loaded, dict[Receive, Form], tuple[str, ...]]:
        checking = CheckedEngine(self._engine, self.config.runtime)
        paced = PacedEngine(checking, self._pace)
        loaded = load(assignment.program, paced)
        try:
            expected = announced(assignment.program, paced.loaded)
            bytes_ = sum(form.bytes for form in expected.values())
            if bytes_ > self.config.limits.tensor_bytes:
                raise InvalidInput(
                    f"program: it receives {bytes_} bytes a run; this helper takes at most "
                    f"{self.config.limits.tensor_bytes}"
                )
        except BaseException:
            loaded.close()
            raise
        return loaded, expected, tuple(checking.remarks)

    def unload_program(self, lease: str, key: str) -> None:
        """Forget a program; nothing happens if it is not here."""
        self._tenants.check(lease)
        if self._is_of(lease, key):
            self._drop(key, UnknownRun("the program was unloaded"))

    def _drop(self, key: str, why: DdsError) -> None:
        self._programs.pop(key).close(why)
        self._models.forget(key)

    async def play(
        self, lease: str, key: str, run: int, timeout: float
    ) -> AsyncGenerator[Delivery | Played, None]:
        """One run of a program; see :meth:`clients.helper_programs.LoadedProgram.play`.

        It takes no longer than `limits.run_seconds`.  Raises LeaseRefused and UnknownRun besides.
        """
        timeout = min(timeout, self.config.limits.run_seconds)
        self._tenants.began(lease, self._clock())
        try:
            if not self._is_of(lease, key):
                raise UnknownRun("play: this lease has loaded no such program")
            async with aclosing(self._programs[key].play(run, timeout)) as replies:
                async for reply in replies:
                    yield reply
        finally:
            self._tenants.ended(lease, self._clock())

    def deliver(self, delivery: Delivery) -> None:
        """A part for a program that is loaded here; whoever knows its key may.

        Raises UnknownRun and InvalidInput.
        """
        program = self._programs.get(delivery.key)
        if program is None:
            raise UnknownRun("delivery: no program of this key is loaded here")
        program.deliver(delivery)

    def _is_of(self, lease: str, key: str) -> bool:
        program = self._programs.get(key)
        return program is not None and program.assignment.lease == lease

    async def _background(self, function: Callable[..., T], *args: Any) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, partial(function, *args))

    def close(self) -> None:
        """Forget everything, and end the threads once their operators have."""
        for program in self._programs.values():
            program.close(LeaseRefused("the helper is shutting down"))
        self._programs.clear()
        self._threads.shutdown(wait=True, cancel_futures=True)


def _digests(program: Program) -> set[str]:
    return {_digest(step.model) for step in program.steps if isinstance(step, Compute)}


def _digest(model: bytes) -> str:
    return hashlib.sha256(model).hexdigest()
