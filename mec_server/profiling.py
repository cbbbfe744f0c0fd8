"""Measures models for clients whose machine is of another kind.

One measurement at a time, on one of the threads that serve everybody: while it runs, paying
clients have a thread less.  It counts CPU time, so that they hardly disturb it, and it is bounded
in runs and in seconds; what was measured is kept.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dds.errors import InvalidInput
from dds.profile.profile import Profile
from dds.profile.runtime import Runtime
from mec_server.config import Limits
from mec_server.errors import Busy
from mec_server.store import StoredModel

if TYPE_CHECKING:
    import onnx

__all__ = ["Profiler"]

#: Runs a function on one of the server's threads.
Background = Callable[..., Awaitable[Any]]
#: A profile, and whether it was known before.
Measured = tuple[Profile, bool]
#: Operators whose work depends on their input, which `Limits.flops` cannot bound.
_UNBOUNDED = frozenset({"Loop", "Scan"})


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
        self._known: OrderedDict[str, Profile] = OrderedDict()
        self._running: tuple[str, asyncio.Future[Measured]] | None = None

    async def profile(self, model: StoredModel, repeats: int = 0) -> Measured:
        """The model's profile, and whether it had been measured before.

        repeats: runs to measure, 0 for as many as the server likes.
        Raises Busy while another is measured, and InvalidInput for a model with loops, or one
        that fails.
        """
        if known := self._known.get(model.digest):
            self._known.move_to_end(model.digest)
            return known, True
        if self._running is None:
            runs = min(repeats or self._limits.profile_runs, self._limits.profile_runs)
            started: asyncio.Future[Measured] = asyncio.ensure_future(
                self._background(self._measure, model, runs)
            )
            started.add_done_callback(self._finish)
            self._running = model.digest, started
        digest, measuring = self._running
        if digest != model.digest:
            raise Busy(
                "another model is being measured; ask again later",
                retry_after=self._limits.profile_seconds / 2.0,
            )
        # Whoever hangs up must not make room for the next: the thread goes on measuring.
        return await asyncio.shield(measuring)

    def _finish(self, task: asyncio.Future[Measured]) -> None:
        """Keep what was measured, whether anybody still waits for it or not."""
        self._running = None
        if not task.cancelled() and task.exception() is None:
            profile, _ = task.result()
            self._known[profile.digest] = profile
            while len(self._known) > self._limits.profiles:
                self._known.popitem(last=False)

    def _measure(self, model: StoredModel, runs: int) -> Measured:
        from dds.profile.cache import measured_profile
        from dds.profile.platform import Platform

        _check_bounded(model)
        return measured_profile(
            model.data,
            model.graph,
            cache=self._folder,
            repeats=runs,
            budget=self._limits.profile_seconds,
            platform=Platform(self._runtime),
        )


def _check_bounded(model: StoredModel) -> None:
    """Raises InvalidInput for a model with loops: nothing could stop it while it is measured."""
    from dds.model.onnxfile import open_onnx

    source = open_onnx(model.data).model
    kinds = set(_kinds(source.graph.node))
    for function in source.functions:
        kinds.update(_kinds(function.node))
    if loops := sorted(kinds & _UNBOUNDED):
        raise InvalidInput(
            f"the model has a {loops[0]}, whose time depends on its input; profile it yourself"
        )


def _kinds(nodes: Iterable[onnx.NodeProto]) -> Iterable[str]:
    """Operator types of nodes, and of all inside their bodies."""
    from dds.model.dataflow import bodies

    for node in nodes:
        yield node.op_type
        for body in bodies(node):
            yield from _kinds(body.node)
