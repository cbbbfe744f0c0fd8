"""Measures models for clients whose machine is of another kind.

One measurement at a time, on one of the threads that serve everybody: while it runs, paying
clients have a thread less.  It counts CPU time, so that they hardly disturb it, and it is bounded
in runs and in seconds; what was measured is kept.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dds.errors import Infeasible
from dds.model.foreign import check_bounded
from dds.profile.profile import Profile
from dds.profile.runtime import Runtime
from dds.session.refusals import Busy
from mec_server.config import Limits
from mec_server.loading import run_within
from mec_server.stored import StoredModel

__all__ = ["Profiler"]

#: Runs a function on one of the server's threads.
Background = Callable[..., Awaitable[Any]]
#: A profile, and whether it was known before.
Measured = tuple[Profile, bool]
#: Runs that even the shortest measurement makes.
_LEAST_RUNS = 5


class _Known(NamedTuple):
    """A profile, and for how many runs it was asked; the budget may have allowed fewer."""

    profile: Profile
    runs: int


class Profiler:
    """Profiles by digest; all are of this machine at one runtime.

    background: runs a slow function on a thread; folder: keeps profiles over restarts.
    """

    def __init__(
        self, runtime: Runtime, limits: Limits, background: Background, folder: Path | None = None
    ) -> None:
        self._runtime = runtime
        self._limits = limits
        self._background = background
        self._folder = folder
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._running: tuple[str, asyncio.Future[Measured]] | None = None
        self._stopped = False

    async def profile(self, model: StoredModel, repeats: int = 0) -> Measured:
        """The model's profile, and whether it had been measured before.

        repeats: runs to measure, 0 for as many as the server likes.
        Raises Busy while another is measured, and InvalidInput for a model with loops, or one
        that fails or takes too long.
        """
        runs = min(repeats or self._limits.profile_runs, self._limits.profile_runs)
        known = self._known.get(model.digest)
        # What somebody wanted quickly is not good enough for everybody.
        if known and known.runs >= runs:
            self._known.move_to_end(model.digest)
            return known.profile, True
        if self._running is None:
            started: asyncio.Future[Measured] = asyncio.ensure_future(
                self._background(self._measure, model, runs)
            )
            started.add_done_callback(partial(self._finish, runs))
            self._running = model.digest, started
        digest, measuring = self._running
        if digest != model.digest:
            raise Busy(
                "another model is being measured; ask again later",
                retry_after=self._limits.profile_seconds / 2.0,
            )
        # Whoever hangs up must not make room for the next: the thread goes on measuring.
        return await asyncio.shield(measuring)

    def stop(self) -> None:
        """End what is being measured after the run it is at; nothing is measured any more."""
        self._stopped = True

    def _finish(self, runs: int, task: asyncio.Future[Measured]) -> None:
        """Keep what was measured, whether anybody still waits for it or not."""
        self._running = None
        if not task.cancelled() and task.exception() is None:
            profile, _ = task.result()
            self._known[profile.digest] = _Known(profile, runs)
            self._known.move_to_end(profile.digest)
            while len(self._known) > self._limits.profiles:
                self._known.popitem(last=False)

    def _measure(self, model: StoredModel, runs: int) -> Measured:
        from dds.profile.cache import measured_profile
        from dds.profile.platform import Platform
        from dds.profile.runtime import random_inputs

        seconds = self._limits.profile_seconds
        check_bounded(model.data)
        # As it is measured: other inputs than zeros may fail, or take another branch.
        inputs = random_inputs(model.graph, np.random.default_rng(0))
        run_within(model, inputs, seconds / _LEAST_RUNS)
        try:
            return measured_profile(
                model.data,
                model.graph,
                cache=self._folder,
                repeats=runs,
                budget=seconds,
                patience=seconds,
                platform=Platform(self._runtime),
                report=self._check_open,
            )
        except Infeasible as error:
            raise Busy(str(error), retry_after=seconds / 2.0) from error

    def _check_open(self, _done: int, _total: int) -> None:
        if self._stopped:
            raise Busy("the server is shutting down")
