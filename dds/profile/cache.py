"""Profiles on disk, so that a model is measured once per machine.

One file per model digest, input shapes and platform.  A lock lets one process measure at a time:
two that measure together slow each other down and are both wrong.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import math
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from dds.errors import Infeasible, InvalidInput
from dds.files import write_whole
from dds.model.graph import ModelGraph
from dds.profile.measure import Report, measure
from dds.profile.platform import THIS_MACHINE, Platform
from dds.profile.profile import Profile

__all__ = ["cache_directory", "kept_key", "measured_profile", "one_at_a_time", "write_kept"]

#: Seconds between two looks whether the lock is free.
_LOOK_AGAIN = 0.05


def cache_directory() -> Path | None:
    """``$XDG_CACHE_HOME/dds``, else ``~/.cache/dds``; None where there is no home either."""
    base = os.environ.get("XDG_CACHE_HOME")
    if base and Path(base).is_absolute():
        return Path(base) / "dds"
    try:
        return Path.home() / ".cache" / "dds"
    except RuntimeError:
        return None


def measured_profile(
    model: bytes,
    graph: ModelGraph,
    *,
    cache: Path | None = None,
    platform: Platform = THIS_MACHINE,
    repeats: int = 20,
    budget: float = math.inf,
    patience: float = math.inf,
    report: Report | None = None,
) -> tuple[Profile, bool]:
    """The profile of `model` on `platform`, and whether it came from the folder `cache`.

    Without a cache, or with one that cannot be written, every call measures; so does one that
    asks for more repeats than are kept, if its budget allows more.  Waits while another process
    measures, but no longer than `patience` seconds: then Infeasible is raised.  The other
    arguments are those of :func:`dds.profile.measure.measure`.
    """
    path = None if cache is None else _path(cache, graph, platform)
    if found := _read(path, graph, platform, repeats, budget):
        return found, True
    with one_at_a_time(patience):
        # Whoever held the lock may have measured this very model.
        if found := _read(path, graph, platform, repeats, budget):
            return found, True
        profile = measure(
            model, graph, platform=platform, repeats=repeats, budget=budget, report=report
        )
    if path is not None:
        write_kept(path, profile.to_json())
    return profile, False


def _path(cache: Path, graph: ModelGraph, platform: Platform) -> Path:
    return cache / "profiles" / f"{graph.digest}-{kept_key(graph, platform.fingerprint)}.json"


def kept_key(graph: ModelGraph, setting: str) -> str:
    """One key per input shapes (which the model may leave open) and setting."""
    shapes = [graph.tensors[t].shape for t in graph.inputs]
    setting = f"{setting} {shapes}"
    return hashlib.sha256(setting.encode()).hexdigest()[:16]


def _read(
    path: Path | None, graph: ModelGraph, platform: Platform, repeats: int, budget: float
) -> Profile | None:
    """The file's profile, if it is this one and of enough runs; a bad file is no profile."""
    if path is None:
        return None
    try:
        profile = Profile.from_json(path.read_text(encoding="utf-8"))
        profile.operator_times(profile.fusion.fused(graph))
    except (OSError, UnicodeDecodeError, InvalidInput):
        return None
    if (profile.digest, profile.platform) != (graph.digest, platform.fingerprint):
        return None
    # A budget ends measuring by the clock, which setting up and disturbed runs use up as well: what
    # used half of it for runs that count would not get further another time.
    spent = 2.0 * profile.whole * max(profile.repeats, 2)
    return profile if profile.repeats >= repeats or 2.0 * spent >= budget else None


def write_kept(path: Path, text: str) -> None:
    """Write or replace the file; a cache that cannot be written only costs time later."""
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, text.encode())


@contextlib.contextmanager
def one_at_a_time(patience: float = math.inf) -> Iterator[None]:
    """Hold this user's profiling lock; without a writable temporary folder, go on without.

    Raises Infeasible when another process has not let go of it after `patience` seconds.
    """
    try:
        path = Path(tempfile.gettempdir()) / f"dds-profile-{os.getuid()}.lock"
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError:
        yield
        return
    try:
        _take(lock, time.monotonic() + patience)
        yield
    finally:
        os.close(lock)


def _take(lock: int, end: float) -> None:
    if math.isinf(end):
        fcntl.flock(lock, fcntl.LOCK_EX)
        return
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= end:
                raise Infeasible(
                    "another process is measuring on this machine, and measurements do not mix; "
                    "wait for it, or end it"
                ) from None
            time.sleep(_LOOK_AGAIN)
        else:
            return
