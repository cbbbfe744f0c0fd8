"""Are latencies right where they are used: at the cuts, after a model is really split.

For each model of the zoo, on one thread with full graph optimisation:

halves      At the cuts that are best for some link and some price (those of the hull that keep
            something on either side) and at the articulation nearest the middle, both halves are
            split off, loaded and timed.  Error: predicted over measured, less one; predicted
            from the model's own profile and, with --predictor, by a learned predictor that
            never saw the model.  Then 50 inferences teach the online correction, and the
            20 that follow judge it.
the chosen  For a device 8 times slower than the server's core, at those links from 1.1 to
            1000 Mbit/s at which some cut inside the model is predicted within 30 % of the best:
            profile, min-cut and a few direct measurements choose a cut.  Then all cuts at
            articulations are measured afresh, and the chosen one is compared with the best of
            them.  Cuts predicted over 1.5 times the best are left out, unless --all.

Seconds are CPU seconds of this process, medians of runs that take turns.  Latencies of chosen cuts,
and of those they are compared with, are of a machine on which the whole model takes what its
profile says, whatever it takes while a cut is measured.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from measuring import arguments, machine, machine_line, progress, text_table, write_json
from numpy.typing import NDArray

from dds.costs import Link
from dds.cut import hull, make_cut
from dds.cut.structure import prefixes
from dds.model import ModelGraph, load_model, zoo
from dds.predict.correction import Correction, Segment, Times
from dds.predict.predictor import Predictor
from dds.profile import Profile
from dds.profile.cache import measured_profile
from dds.profile.cuts import Halves, MeasuredCut, best_measured, measured_cuts, near_cuts
from dds.profile.platform import THIS_MACHINE, Platform

Seconds = NDArray[np.float64]
#: Operators of the fused graph on the device.
Kept = tuple[int, ...]

EXAMPLES = """  python benchmarks/cuts.py --json cuts.json
  python benchmarks/cuts.py --models squeezenet resnet50 --predictor ~/.cache/dds/predictor
  python benchmarks/cuts.py --quick"""
#: Seconds the device takes per second of the server's core; the link's round trip, s.
SLOWDOWN, RTT = 8.0, 0.005
#: Mbit/s, up and down.
LINKS = (1.1, 5.85, 18.88, 50.0, 100.0, 200.0, 500.0, 1000.0)
#: Inferences that teach the correction, and that it is judged by.
TAUGHT, JUDGED = 50, 20
#: The device; relative standard error of what chosen cuts are judged by.
SLOW, FRESH_NOISE = Platform(THIS_MACHINE.runtime, frequency=1.0 / SLOWDOWN), 0.004


@dataclass(frozen=True)
class Subject:
    """One model, profiled; fused: the graph that is cut, with the seconds of its operators."""

    data: bytes
    graph: ModelGraph
    profile: Profile
    fused: ModelGraph
    seconds: Seconds

    @classmethod
    def of(cls, name: str, seed: int) -> Subject:
        """A model of the zoo, measured anew."""
        data = zoo.build(name, seed=seed)
        graph = load_model(data)
        profile, _ = measured_profile(data, graph, budget=8.0)
        fused = profile.fusion.fused(graph)
        return cls(data, graph, profile, fused, profile.operator_times(fused))

    def prefixes(self) -> list[Kept]:
        """The cuts before and after each articulation, and both ends."""
        return [tuple(range(v)) for v in prefixes(self.fused)]

    def halves(self, kept: Kept) -> Halves:
        """Both halves of a cut of the fused graph, split off and loaded."""
        nothing = np.zeros(len(self.graph.operators))
        cut = make_cut(self.graph, self.profile.fusion.expand(kept), nothing)
        return Halves(self.data, self.graph, cut)

    def sums(self, kept: Kept, seconds: Seconds) -> tuple[float, float]:
        """What the two halves take as sums over their operators."""
        here = float(seconds[list(kept)].sum())
        return here, float(seconds.sum()) - here

    def predicted(self, kept: Kept, link: Link) -> float:
        """T of a cut by the profile, on a device that is slower, at one core, s."""
        here, there = self.sums(kept, self.seconds)
        if len(kept) == len(self.fused.operators):
            return SLOWDOWN * here
        cut = make_cut(self.fused, kept, self.seconds)
        return SLOWDOWN * here + link.transfer_time(cut.uplink_bytes, cut.downlink_bytes) + there

    def measured(self, cuts: Sequence[Kept], budget: float) -> dict[Kept, MeasuredCut]:
        """Cuts of the fused graph measured now, on a device that is slower, in seconds for all."""
        found = measured_cuts(
            self.data, self.graph, [self.profile.fusion.expand(kept) for kept in cuts],
            device=SLOW, noise=FRESH_NOISE, budget=budget,
        )  # fmt: skip
        whole = SLOWDOWN * self.profile.whole
        return {kept: cut.scaled_to(whole) for kept, cut in zip(cuts, found, strict=True)}


def medians(times: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """The median of either half."""
    here, there = zip(*times, strict=True)
    return statistics.median(here), statistics.median(there)


# ---- halves --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Half:
    """One half of one cut: seconds measured, and relative errors of what said so before.

    picked: whether some link and price make this cut the best; corrected: of the profile
    after 50 inferences, against those that followed.
    """

    model: str
    groups: int
    of: int
    side: str
    picked: bool
    measured: float
    profile: float
    predictor: float | None
    corrected: float


def judge_halves(name: str, subject: Subject, learned: Seconds | None, most: int) -> list[Half]:
    """Both halves of the hull's inner cuts, at most so many, and of a cut in the middle."""
    count = len(subject.fused.operators)
    found = hull(subject.fused, SLOWDOWN * subject.seconds, subject.seconds)
    inner = [cut.on_device for cut in found.cuts if 0 < len(cut.on_device) < count]
    chosen = np.unique(np.linspace(0, len(inner) - 1, min(most, len(inner))).astype(int))
    picked = [inner[k] for k in chosen]
    whole = subject.seconds.sum()
    middle = min(
        subject.prefixes(), key=lambda kept: abs(2 * subject.seconds[list(kept)].sum() - whole)
    )
    rows: list[Half] = []
    for kept in dict.fromkeys([*picked, middle]):
        halves = subject.halves(kept)
        times = [halves() for _ in range(TAUGHT + JUDGED)]
        said = subject.sums(kept, subject.seconds)
        correction = Correction()
        for here, there in times[:TAUGHT]:
            correction = correction.observe(Times(here, 0.0, there), Times(said[0], 0.0, said[1]))
        better = correction.corrected(Times(said[0], 0.0, said[1]))
        before, after = medians(times[:TAUGHT]), medians(times[TAUGHT:])
        guessed = None if learned is None else subject.sums(kept, learned)
        for side, segment in enumerate((Segment.DEVICE, Segment.SERVER)):
            if not before[side] or said[side] < 1e-6:
                continue
            rows.append(
                Half(
                    name, len(kept), count, segment.value, kept in picked, before[side],
                    said[side] / before[side] - 1.0,
                    guessed and guessed[side] / before[side] - 1.0,
                    better[segment] / after[side] - 1.0,
                )
            )  # fmt: skip
    return rows


# ---- the chosen cut ------------------------------------------------------------------------


@dataclass(frozen=True)
class Choice:
    """A chosen cut against the best of all articulation cuts, measured afresh.

    kept, best: operators of the fused graph on the device; predicted: latency of the chosen cut
    by its profile, s; latency: measured, s; excess: over the best, relative; measured: how
    many cuts were.
    """

    model: str
    mbps: float
    kept: int
    best: int
    of: int
    predicted: float
    latency: float
    excess: float
    measured: int


def judge_choices(name: str, subject: Subject, every: bool, budget: float) -> list[Choice]:
    """One choice for each link at which a cut inside the model comes near the best."""
    count, cuts = len(subject.fused.operators), subject.prefixes()
    fresh: dict[Kept, MeasuredCut] = {}
    choices = []
    with tempfile.TemporaryDirectory() as folder:
        for mbps in LINKS:
            link = Link(mbps * 1e6 / 8, mbps * 1e6 / 8, RTT)
            near = near_cuts(subject.fused, SLOWDOWN * subject.seconds, subject.seconds, link, 1.0)
            if all(len(cut.on_device) in (0, count) for cut in near):
                continue
            groups = {subject.profile.fusion.expand(cut): cut.on_device for cut in near}
            chosen = best_measured(
                subject.data, subject.graph, list(groups), link, 1.0, device=SLOW,
                cache=Path(folder), budget=budget,
            ).chosen  # fmt: skip
            picked = groups[chosen.on_device]
            predicted = {kept: subject.predicted(kept, link) for kept in cuts}
            bound = 1.5 * min(predicted.values())
            tried = [kept for kept in cuts if every or predicted[kept] <= bound]
            new = [kept for kept in dict.fromkeys([picked, *tried]) if kept not in fresh]
            # What chose is not used again: only fresh measurements judge the choice.
            fresh |= subject.measured(new, budget / 4 * len(new))
            latency = {kept: fresh[kept].latency(link, 1.0) for kept in [picked, *tried]}
            best = min(tried, key=latency.__getitem__)
            excess = latency[picked] / latency[best] - 1.0
            choices.append(
                Choice(name, mbps, len(picked), len(best), count, subject.predicted(picked, link),
                       latency[picked], excess, len(tried))
            )  # fmt: skip
    return choices


# ---- the report ----------------------------------------------------------------------------


def mean_error(errors: Sequence[float | None]) -> str:
    """Mean and worst of absolute relative errors."""
    known = [abs(error) for error in errors if error is not None]
    return f"{statistics.mean(known):.1%}, worst {max(known):.0%}" if known else "-"


def percent(error: float | None) -> str:
    """A relative error with its sign."""
    return "-" if error is None else f"{error:+.1%}"


def halves_table(halves: Sequence[Half]) -> str:
    """Every half, and the mean errors."""
    head = ("model", "cut", "half", "measured ms", "profile", "predictor", "corrected")
    rows = [
        (h.model, f"{h.groups}/{h.of}{'' if h.picked else ' (middle)'}", h.side,
         f"{1e3 * h.measured:.3g}", percent(h.profile), percent(h.predictor), percent(h.corrected))
        for h in halves
    ]  # fmt: skip
    parts = [text_table(head, rows)]
    picked = [half for half in halves if half.picked]
    for what, some in (("cuts that some link and price pick", picked), ("all of them", halves)):
        if some:
            parts.append(
                f"mean error of halves, {what}: profile {mean_error([h.profile for h in some])}; "
                f"predictor {mean_error([h.predictor for h in some])}; "
                f"corrected {mean_error([h.corrected for h in some])}"
            )
    return "\n".join(parts)


def choices_table(choices: Sequence[Choice]) -> str:
    """Every choice, and for how many models all of them are within 3 % of the best."""
    head = ("model", "Mbit/s", "chosen", "best", "predicted ms", "measured ms", "over best", "of")
    rows = [
        (c.model, f"{c.mbps:g}", f"{c.kept}/{c.of}", f"{c.best}/{c.of}",
         f"{1e3 * c.predicted:.4g}", f"{1e3 * c.latency:.4g}", percent(c.excess), str(c.measured))
        for c in choices
    ]  # fmt: skip
    worst: dict[str, float] = {}
    for choice in choices:
        worst[choice.model] = max(worst.get(choice.model, -1.0), choice.excess)
    within = sum(excess <= 0.03 for excess in worst.values())
    return (
        f"{text_table(head, rows)}\nthe chosen cut is within 3 % of the best at every such link "
        f"for {within} of {len(worst)} models"
    )


def main() -> None:
    """Run the benchmark."""
    parser = arguments(__doc__, EXAMPLES)
    parser.add_argument("--models", nargs="+", default=list(zoo.NAMES), metavar="NAME",
                        help="of the zoo (all nine)")  # fmt: skip
    parser.add_argument("--predictor", type=Path, metavar="DIR",
                        help="of this platform, from dds train-predictor")  # fmt: skip
    parser.add_argument("--all", action="store_true", help="measure every articulation cut")
    args = parser.parse_args()
    models = ["squeezenet"] if args.quick else args.models
    learned = Predictor.load(args.predictor) if args.predictor else None
    found = machine("onnxruntime")
    print(machine_line(found), flush=True)
    halves: list[Half] = []
    choices: list[Choice] = []
    for name in models:
        progress(f"{name} ...")
        subject = Subject.of(name, args.seed)
        times = None if learned is None else learned.operator_times(subject.fused)
        halves += judge_halves(name, subject, times, 2 if args.quick else 4)
        choices += judge_choices(name, subject, args.all, 2.0 if args.quick else 8.0)
    print(f"{halves_table(halves)}\n\n{choices_table(choices)}")
    if args.json:
        document: Mapping[str, object] = {"machine": found, "halves": halves, "choices": choices}
        write_json(args.json, document)


if __name__ == "__main__":
    main()
