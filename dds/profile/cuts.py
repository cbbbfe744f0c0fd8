"""Cuts measured directly: both halves split off, loaded and run beside the whole model.

A profile says what a half takes as a sum over its operators.  A half that is really split off may
take something else: its kernels at the border fuse, or are laid out, in another way.  So after the
minimum cut, the few cuts that are predicted to be best are measured (:func:`best_measured`), and
what was measured is kept on disk.

A shared machine changes its speed by a tenth and more within seconds, and cuts whose latencies
nearly tie are measured seconds apart, or days.  So a round runs the whole model, the device's half
and the server's half, one right after the other, and what counts is what a half takes of the whole
of the same round: the machine's speed cancels.  Seconds follow from what the whole takes, and cuts
are compared with one and the same number for that (:meth:`MeasuredCut.scaled_to`).

With one thread, runs are timed in CPU seconds, else by the wall clock.  A duty and a frequency
below 1 stretch what was measured by 1/(duty x frequency); what pauses do to caches, which a profile
on such a platform has in it, is not in these.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

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
    "Round",
    "best_measured",
    "measured_cut",
    "measured_cuts",
    "near_cuts",
    "repeat",
    "summary",
]

#: Seconds of one inference: on the device, on the server; 0 where that side has nothing to run.
Seconds = tuple[float, float]

_FORMAT = "dds-cut/2"
_LEAST_ROUNDS = 9
#: A run takes at least as long, s, however coarse the clock.
_TICK = 1e-9


class Round(NamedTuple):
    """Seconds of three runs in turn: the whole model, the device's half, the server's half."""

    whole: float
    device: float
    server: float


@dataclass(frozen=True)
class MeasuredCut:
    """What the halves of a cut take, beside the whole model.

    on_device: operators of the model on the device, ascending; local_time, server_work: L and W
    on one core, s, each the median over the rounds of (half / whole) times `whole`; whole: median
    of the whole model on the device, s, > 0; noise: relative standard error of the median of
    (L + W) / whole; uplink_bytes, downlink_bytes: what crosses; repeats: rounds measured.

    Raises InvalidInput for seconds or bytes that are negative or not finite.
    """

    on_device: tuple[int, ...]
    local_time: float
    server_work: float
    whole: float
    noise: float
    uplink_bytes: int
    downlink_bytes: int
    repeats: int

    def __post_init__(self) -> None:
        if not 0.0 < self.whole < math.inf:
            raise InvalidInput(f"measured cut: whole is {self.whole!r}; need seconds > 0")
        for name in ("local_time", "server_work", "noise", "uplink_bytes", "downlink_bytes"):
            if not 0.0 <= getattr(self, name) < math.inf:
                raise InvalidInput(f"measured cut: {name} is {getattr(self, name)!r}; need >= 0")

    def scaled_to(self, whole: float) -> MeasuredCut:
        """The same cut where the whole model takes `whole` seconds on the device, > 0.

        Cuts measured at different times compare when they are scaled to one number.
        Raises InvalidInput for other numbers.
        """
        speed = whole / self.whole
        local, work = speed * self.local_time, speed * self.server_work
        return replace(self, local_time=local, server_work=work, whole=whole)

    def latency(self, link: Link, share: float) -> float:
        """T = L + D_up/b_up + D_down/b_down + rtt + W/f, s; T = L where nothing is on the server.

        link: the client's; share: f, cores, > 0.
        """
        if self.server_work == 0.0:
            return self.local_time
        transfer = link.transfer_time(self.uplink_bytes, self.downlink_bytes)
        return self.local_time + transfer + self.server_work / share


@dataclass(frozen=True)
class BestCut:
    """chosen: the measured cut of least latency; measured: all of them, in the order given.

    They are scaled to one `whole`, the median of theirs.
    """

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
    The other arguments, and errors, are those of :func:`measured_cuts`.
    """
    if not share > 0.0:
        raise InvalidInput(f"share is {share!r}; need cores > 0")
    candidates = list(cuts)
    if not candidates:
        raise InvalidInput("there is no cut to measure; give at least one")
    found = list(
        measured_cuts(
            model, graph, candidates, device=device, server=server,
            cache=cache, noise=noise, budget=budget,
        )
    )  # fmt: skip
    whole = float(np.median([cut.whole for cut in found]))
    measured = tuple(cut.scaled_to(whole) for cut in found)
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
    """Measure one cut: :func:`measured_cuts` of nothing else."""
    return next(
        measured_cuts(
            model, graph, [cut], device=device, server=server,
            cache=cache, noise=noise, budget=budget, patience=patience,
        )
    )  # fmt: skip


def measured_cuts(
    model: bytes,
    graph: ModelGraph,
    cuts: Iterable[Sides | Sequence[int]],
    *,
    device: Platform = THIS_MACHINE,
    server: Platform = THIS_MACHINE,
    cache: Path | None = None,
    noise: float = 0.01,
    budget: float = 10.0,
    patience: float = math.inf,
) -> Iterator[MeasuredCut]:
    """Measure cuts of the ONNX bytes `model`, whose graph is `graph`, each when it is asked for.

    cuts: each a :class:`dds.cut.Cut`, or the operators on the device;
    device, server: what either half runs on; cache: a folder where measurements are kept;
    noise: what :class:`MeasuredCut` is to have at most; budget: seconds for all of them, of which
    each gets an equal part of what is left; a cut is not done before 9 rounds;
    patience: seconds from the first on in which to wait for another process that measures.

    The whole model and one cut's halves are loaded at a time.

    Raises InvalidInput when a cut is not of this graph, or onnxruntime refuses the model or a half,
    and Infeasible when patience ends.
    """
    for name, value in (("noise", noise), ("budget", budget)):
        if math.isnan(value):
            raise InvalidInput(f"{name} is not a number; give one >= 0")
    nothing = np.zeros(len(graph.operators))
    wanted = [
        make_cut(graph, cut if isinstance(cut, Sequence) else cut.on_device, nothing)
        for cut in cuts
    ]
    started = time.monotonic()
    whole: Callable[[], float] | None = None
    for done, cut in enumerate(wanted):
        path = None if cache is None else _path(cache, graph, cut, device.runtime, server.runtime)
        found = _read(path, cut, noise, budget / len(wanted))
        if found is None:
            left = (started + budget - time.monotonic()) / (len(wanted) - done)
            with one_at_a_time(started + patience - time.monotonic()):
                whole = whole or _whole(model, graph, device.runtime)
                # Nothing else refers to the halves, so they are gone before the next are loaded.
                rounds, error = repeat(
                    _rounds(model, graph, cut, whole, device.runtime, server.runtime),
                    noise, left, time.monotonic,
                )  # fmt: skip
            found = summary(cut, rounds, error)
            if path is not None:
                write_kept(path, json.dumps({"format": _FORMAT, **asdict(found)}))
        yield _stretched(found, device, server)


def _whole(model: bytes, graph: ModelGraph, runtime: Runtime) -> Callable[[], float]:
    """The whole model, loaded; each call is one inference, and says its seconds."""
    session, inputs = open_session(model, runtime), random_inputs(graph, np.random.default_rng(0))
    run(session, inputs)
    return lambda: max(run(session, inputs)[1], _TICK)


def _rounds(
    model: bytes,
    graph: ModelGraph,
    cut: Cut,
    whole: Callable[[], float],
    device: Runtime,
    server: Runtime,
) -> Callable[[], Round]:
    """One round a call; where one side has it all, its half is the whole that has just run."""
    if len(cut.on_device) == len(graph.operators):
        return lambda: Round(seconds := whole(), seconds, 0.0)
    if not cut.on_device and device == server:
        return lambda: Round(seconds := whole(), 0.0, seconds)
    halves = Halves(model, graph, cut, device, server)
    return lambda: Round(whole(), *halves())


def summary(cut: Cut, rounds: Sequence[Round], noise: float) -> MeasuredCut:
    """What the rounds say of a cut; noise: of (device + server) / whole."""
    times = np.array(rounds)
    whole = float(np.median(times[:, 0]))
    local, work = (whole * np.median(times[:, 1:] / times[:, :1], axis=0)).tolist()
    up, down = cut.uplink_bytes, cut.downlink_bytes
    return MeasuredCut(cut.on_device, local, work, whole, noise, up, down, len(rounds))


def _stretched(found: MeasuredCut, device: Platform, server: Platform) -> MeasuredCut:
    """What was measured at full speed, on slower platforms."""
    here, there = device.duty * device.frequency, server.duty * server.frequency
    return replace(
        found,
        local_time=found.local_time / here,
        server_work=found.server_work / there,
        whole=found.whole / here,
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
    once: Callable[[], Round], noise: float, budget: float, clock: Callable[[], float]
) -> tuple[list[Round], float]:
    """Rounds until the noise of (device + server) / whole is low, or the budget ends; the noise."""
    rounds: list[Round] = []
    end = clock() + budget
    while True:
        rounds.append(once())
        if len(rounds) >= _LEAST_ROUNDS:
            error = _error_of_median([(r.device + r.server) / r.whole for r in rounds])
            if error <= noise or clock() >= end:
                return rounds, error


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
    """What was kept of this cut, if measuring again for so long would not tell much more."""
    if path is None:
        return None
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        if fields.pop("format") != _FORMAT:
            return None
        kept = MeasuredCut(**{**fields, "on_device": tuple(fields["on_device"])})
        # The budget ends by the clock, to which loading and other processes' time count as well.
        spent = 2.0 * kept.repeats * (kept.whole + kept.local_time + kept.server_work)
        enough = kept.noise <= noise or spent >= budget
        return kept if enough and kept.on_device == cut.on_device else None
    except (OSError, AttributeError, KeyError, RecursionError, TypeError, ValueError):
        return None
