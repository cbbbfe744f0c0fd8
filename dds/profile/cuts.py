"""Cuts measured directly: both halves split off, loaded and run.

A profile says what a half takes as a sum over its operators.  A half that is really split off may
take something else: its kernels at the border fuse, or are laid out, in another way.  So after the
minimum cut, the few cuts that are predicted to be best are measured (:func:`best_measured`), and
what was measured is kept on disk.

Halves run in turns, device, server, device, server, so that what disturbs the machine for a while
disturbs both.  With one thread they are timed in CPU seconds, else by the wall clock.  A duty and
a frequency below 1 stretch what was measured by 1/(duty x frequency); what pauses do to caches,
which a profile on such a platform has in it, is not in these.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from dds.costs.link import Link
from dds.costs.roofline import Timing, operator_times, server_times
from dds.cut import Cut, make_cut, min_cut, score
from dds.cut.structure import prefixes
from dds.errors import InvalidInput
from dds.model.graph import ModelGraph, Sides
from dds.model.split import split
from dds.profile.cache import kept_key, one_at_a_time, write_kept
from dds.profile.platform import THIS_MACHINE, Platform
from dds.profile.runtime import DEFAULT_RUNTIME, Runtime, open_session, random_inputs, run

__all__ = [
    "BestCut",
    "Halves",
    "MeasuredCut",
    "best_measured",
    "measured_cut",
    "near_cuts",
    "repeat",
]

#: Seconds of one inference: on the device, on the server; 0 where that side has nothing to run.
Seconds = tuple[float, float]

_FORMAT = "dds-cut/1"
_LEAST_RUNS = 9


@dataclass(frozen=True)
class MeasuredCut:
    """What the halves of a cut take.

    on_device: operators of the model on the device, ascending; device_s, server_s: median
    seconds of either half, on one server core; noise: relative standard error of their sum;
    uplink_bytes, downlink_bytes: what crosses; repeats: runs behind the medians.

    Raises InvalidInput for seconds or bytes that are negative or not finite.
    """

    on_device: tuple[int, ...]
    device_s: float
    server_s: float
    noise: float
    uplink_bytes: int
    downlink_bytes: int
    repeats: int

    def __post_init__(self) -> None:
        for name in ("device_s", "server_s", "noise", "uplink_bytes", "downlink_bytes"):
            if not 0.0 <= getattr(self, name) < math.inf:
                raise InvalidInput(f"measured cut: {name} is {getattr(self, name)!r}; need >= 0")

    def latency(self, link: Link, share: float) -> float:
        """T = L + D_up/b_up + D_down/b_down + rtt + W/f, s; T = L where nothing is on the server.

        link: the client's; share: f, cores, > 0.
        """
        if self.server_s == 0.0:
            return self.device_s
        transfer = link.transfer_time(self.uplink_bytes, self.downlink_bytes)
        return self.device_s + transfer + self.server_s / share


@dataclass(frozen=True)
class BestCut:
    """chosen: the measured cut of least latency; measured: all of them, in the order given."""

    chosen: MeasuredCut
    measured: tuple[MeasuredCut, ...]


def best_measured(
    model: bytes,
    graph: ModelGraph,
    cuts: Iterable[Sides | Sequence[int]],
    link: Link,
    share: float,
    *,
    device: Platform = THIS_MACHINE,
    server: Platform = THIS_MACHINE,
    cache: Path | None = None,
    noise: float = 0.01,
    budget: float = 10.0,
) -> BestCut:
    """Measure each of `cuts`, and choose the one of least measured latency.

    cuts: of `graph` itself, usually few: :func:`near_cuts`, expanded by the fusion they were found
    with; link, share: what the latency is of; budget: seconds for all of them together.
    The other arguments, and errors, are those of :func:`measured_cut`.
    """
    if not share > 0.0:
        raise InvalidInput(f"share is {share!r}; need cores > 0")
    candidates = list(cuts)
    if not candidates:
        raise InvalidInput("there is no cut to measure; give at least one")
    measured = tuple(
        measured_cut(
            model, graph, cut, device=device, server=server,
            cache=cache, noise=noise, budget=budget / len(candidates),
        )
        for cut in candidates
    )  # fmt: skip
    return BestCut(min(measured, key=lambda cut: cut.latency(link, share)), measured)


def near_cuts(
    graph: ModelGraph,
    device: Timing,
    server: Timing,
    link: Link,
    share: float,
    *,
    most: int = 5,
    within: float = 0.3,
) -> tuple[Cut, ...]:
    """The cuts worth measuring, best first: the minimum cut, and prefixes that come near it.

    The prefixes are those before and after each articulation (an operator comparable with every
    other one), and the two ends; those predicted to take more than 1 + `within` times the least
    are left out, and all but `most`.  `graph` may be fused.

    Raises InvalidInput as :func:`dds.cut.min_cut` does, and for fewer cuts than one.
    """
    if most < 1:
        raise InvalidInput(f"most is {most}; need at least 1")
    local, work = operator_times(graph, device), server_times(graph, server)
    best = min_cut(graph, local, work, link, share)
    pieces = [score(make_cut(graph, range(v), local), work, link) for v in prefixes(graph)]
    bound = (1.0 + within) * best.latency(share)
    ranked = sorted(pieces, key=lambda piece: piece.latency(share))
    first = best.cut
    near = [piece.cut for piece in ranked if piece.latency(share) <= bound]
    others = [cut for cut in near if cut and first and cut.on_device != first.on_device]
    return tuple([first, *others][:most]) if first else ()


def measured_cut(
    model: bytes,
    graph: ModelGraph,
    cut: Sides | Sequence[int],
    *,
    device: Platform = THIS_MACHINE,
    server: Platform = THIS_MACHINE,
    cache: Path | None = None,
    noise: float = 0.01,
    budget: float = 5.0,
    patience: float = math.inf,
) -> MeasuredCut:
    """Measure both halves of a cut of the ONNX bytes `model`, whose graph is `graph`.

    cut: a :class:`dds.cut.Cut`, or the operators on the device;
    device, server: what either half runs on; cache: a folder where measurements are kept;
    noise: the relative standard error of the sum of both halves to reach; budget: seconds after
    which to stop anyway, though not before 9 runs; patience: seconds to wait for another
    process that measures.

    Raises InvalidInput when the cut is not of this graph, or onnxruntime refuses a half, and
    Infeasible when patience ends.
    """
    for name, value in (("noise", noise), ("budget", budget)):
        if math.isnan(value):
            raise InvalidInput(f"{name} is not a number; give one >= 0")
    on_device = cut if isinstance(cut, Sequence) else cut.on_device
    made = make_cut(graph, on_device, np.zeros(len(graph.operators)))
    path = None if cache is None else _path(cache, graph, made, device.runtime, server.runtime)
    kept = _read(path, made, noise, budget)
    if kept is None:
        with one_at_a_time(patience):
            halves = Halves(model, graph, made, device.runtime, server.runtime)
            runs, error = repeat(halves, noise, budget, time.monotonic)
        here, there = np.median(runs, axis=0).tolist()
        up, down = made.uplink_bytes, made.downlink_bytes
        kept = MeasuredCut(made.on_device, here, there, error, up, down, len(runs))
        if path is not None:
            write_kept(path, json.dumps({"format": _FORMAT, **asdict(kept)}))
    return replace(
        kept,
        device_s=kept.device_s / (device.duty * device.frequency),
        server_s=kept.server_s / (server.duty * server.frequency),
    )


class Halves:
    """Both halves of a cut, split off and loaded; each call is one inference through them.

    cut: of `graph`, whose model is the ONNX bytes `model`; device, server: what either half
    runs on.  They have run once before the first call.

    Raises InvalidInput when the cut is not of this graph, or onnxruntime refuses a half.
    """

    def __init__(
        self,
        model: bytes,
        graph: ModelGraph,
        cut: Sides,
        device: Runtime = DEFAULT_RUNTIME,
        server: Runtime = DEFAULT_RUNTIME,
    ) -> None:
        self._parts = split(model, graph, cut)
        self._device = open_session(self._parts.device, device) if self._parts.device else None
        self._server = open_session(self._parts.server, server) if self._parts.server else None
        self._inputs = random_inputs(graph, np.random.default_rng(0))
        self()

    def __call__(self) -> Seconds:
        """Seconds of either half, as :func:`dds.profile.runtime.run` counts them."""
        here, on_device = _run(self._device, self._parts.device_feeds(self._inputs))
        _, on_server = _run(self._server, self._parts.server_feeds(self._inputs, here))
        return on_device, on_server


def _run(session: Any, inputs: dict[str, Any]) -> tuple[dict[str, Any], float]:
    """One run of a half, or of nothing."""
    return run(session, inputs) if session else ({}, 0.0)


def repeat(
    once: Callable[[], Seconds], noise: float, budget: float, clock: Callable[[], float]
) -> tuple[list[Seconds], float]:
    """Runs until the noise of their sum is low enough or the budget ends; and that noise."""
    runs: list[Seconds] = []
    end = clock() + budget
    while True:
        runs.append(once())
        if len(runs) >= _LEAST_RUNS:
            error = _error_of_median([here + there for here, there in runs])
            if error <= noise or clock() >= end:
                return runs, error


def _error_of_median(times: Sequence[float]) -> float:
    """Relative standard error of the median, from the order statistics around it.

    (x_(k) - x_(j)) / (2 median), j and k = n/2 -+ sqrt(n)/2: of any distribution, two humps
    included, and whatever a few outliers are (David and Nagaraja, Order Statistics, 7.1).
    """
    ranked = np.sort(np.asarray(times))
    middle, half = (len(ranked) - 1) / 2.0, math.sqrt(len(ranked)) / 2.0
    low, high = ranked[math.floor(middle - half)], ranked[math.ceil(middle + half)]
    median = float(np.median(ranked))
    return float(high - low) / (2.0 * median) if median > 0.0 else 0.0


def _path(cache: Path, graph: ModelGraph, cut: Cut, device: Runtime, server: Runtime) -> Path:
    ends = f"{Platform(device).fingerprint} | {Platform(server).fingerprint}"
    key = kept_key(graph, f"{ends} | {cut.on_device}")
    return cache / "cuts" / f"{graph.digest}-{key}.json"


def _read(path: Path | None, cut: Cut, noise: float, budget: float) -> MeasuredCut | None:
    """What was kept of this cut, if measuring again would not tell more."""
    if path is None:
        return None
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        if fields.pop("format") != _FORMAT:
            return None
        kept = MeasuredCut(**{**fields, "on_device": tuple(fields["on_device"])})
        enough = kept.noise <= noise or kept.repeats * (kept.device_s + kept.server_s) >= budget
        return kept if enough and kept.on_device == cut.on_device else None
    except (OSError, AttributeError, KeyError, RecursionError, TypeError, ValueError):
        return None
