"""Learning from every real inference how far predictions are off, and noticing when that changes.

An inference has three segments: device, link and server.  Of each the client knows what its
costs predict and what it measured; the ratio of the two is the segment's *factor*.  Everything
happens in the logarithm of that ratio, where twice too slow and twice too fast are equally far:

- the factor is the median of the newest ratios, the newest weighing most, so that one inference
  in five may be arbitrarily wrong (a page fault, a lost packet) without moving it;
- a two-sided CUSUM (Page, Biometrika 1954) of clipped residuals adds up what points one way: a
  few outliers never make a sustained change, a few inferences in a row do.  Then what was
  measured before the change is forgotten, so the factor follows at once, and a
  :class:`Change` says so.

No clock and no randomness: the same observations give the same correction.
"""

from __future__ import annotations

import enum
import math
import statistics
from dataclasses import dataclass, field, replace

from dds.costs.link import Link
from dds.errors import InvalidInput

__all__ = ["Change", "Correction", "Segment", "Times", "Track"]

#: Observations that are remembered, and what each weighs of the one after it.
_MEMORY, _DECAY = 16, 0.9
#: Spread of log ratios before there are enough of them, how many are enough, and the least.
_DOUBT, _ENOUGH, _LEAST_SPREAD = 0.1, 5, 0.03
#: CUSUM, in spreads: a residual counts at most _CLIP, less _SLACK; a sum above _ALARM is a
#: change.  Two outliers in a row stay below it, four inferences in a row do not, so no more
#: than those are known to be of the new level.
_CLIP, _SLACK, _ALARM, _SHOWN = 3.0, 1.0, 7.0, 4
#: A segment predicted to take less says nothing about its speed, s; no factor is larger.
_SHORTEST, _LARGEST = 1e-7, 1e4


class Segment(enum.Enum):
    """A part of an inference whose speed is its own."""

    DEVICE = "device"
    LINK = "link"
    SERVER = "server"


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds of one inference per segment, measured or predicted; 0 where it has no such part.

    Raises InvalidInput for a number that is not finite and >= 0.
    """

    device: float
    link: float
    server: float

    def __post_init__(self) -> None:
        for segment in Segment:
            seconds = self[segment]
            if not (math.isfinite(seconds) and seconds >= 0.0):
                raise InvalidInput(f"times.{segment.value} is {seconds!r}; need seconds >= 0")

    def __getitem__(self, segment: Segment) -> float:
        return float(getattr(self, segment.value))

    @property
    def total(self) -> float:
        """The whole inference, s."""
        return self.device + self.link + self.server


@dataclass(frozen=True, slots=True)
class Change:
    """A segment's factor went from `before` to `after` and stayed there."""

    segment: Segment
    before: float
    after: float


@dataclass(frozen=True, slots=True)
class Track:
    """What is known of one segment.

    recent: newest log ratios, oldest first; a prediction nobody has tested counts as two
    inferences that confirm it; spread: of the log ratios around their level; rise, fall: the two
    sums of the CUSUM; rising, falling: over how many observations they have been above 0.
    """

    recent: tuple[float, ...] = (0.0, 0.0)
    spread: float = _DOUBT
    rise: float = 0.0
    fall: float = 0.0
    rising: int = 0
    falling: int = 0

    @property
    def level(self) -> float:
        """Logarithm of the factor: weighted median of the recent log ratios."""
        return _weighted_median(self.recent)

    def observe(self, log_ratio: float) -> tuple[Track, bool]:
        """The track after one more inference, and whether it showed a sustained change."""
        residual = (log_ratio - self.level) / self.spread
        residual = min(max(residual, -_CLIP), _CLIP)
        rise = max(self.rise + residual - _SLACK, 0.0)
        fall = max(self.fall - residual - _SLACK, 0.0)
        rising = self.rising + 1 if rise else 0
        falling = self.falling + 1 if fall else 0
        recent = (*self.recent, log_ratio)[-_MEMORY:]
        if max(rise, fall) <= _ALARM:
            spread = _spread(recent) if len(recent) >= _ENOUGH else self.spread
            return Track(recent, spread, rise, fall, rising, falling), False
        since = min(rising if rise > fall else falling, _SHOWN)
        return Track(recent[-since:], self.spread), True


@dataclass(frozen=True, slots=True)
class Correction:
    """What a client has learned from its inferences so far; :meth:`observe` returns the next.

    count: inferences observed; changes: what the newest one revealed, usually nothing.

    >>> correction = Correction()
    >>> for device in [0.1] * 8 + [0.3] * 4:
    ...     correction = correction.observe(
    ...         measured=Times(device, 0.1, 0.2), predicted=Times(0.1, 0.1, 0.2)
    ...     )
    >>> [(change.segment.value, round(change.after, 3)) for change in correction.changes]
    [('device', 3.0)]
    >>> round(correction.corrected(Times(0.2, 0.1, 0.0)).total, 3)
    0.7
    """

    device: Track = field(default_factory=Track)
    link: Track = field(default_factory=Track)
    server: Track = field(default_factory=Track)
    count: int = 0
    changes: tuple[Change, ...] = ()

    def __getitem__(self, segment: Segment) -> Track:
        track: Track = getattr(self, segment.value)
        return track

    def factor(self, segment: Segment) -> float:
        """Seconds the segment takes per second predicted."""
        return math.exp(self[segment].level)

    def observe(self, measured: Times, predicted: Times) -> Correction:
        """Learn from one inference: what it took, and what uncorrected costs said it would."""
        tracks: dict[str, Track] = {}
        changes: list[Change] = []
        for segment in Segment:
            if predicted[segment] < _SHORTEST:
                continue
            before = self.factor(segment)
            track, changed = self[segment].observe(
                _log_ratio(measured[segment], predicted[segment])
            )
            tracks[segment.value] = track
            if changed:
                changes.append(Change(segment, before, math.exp(track.level)))
        return replace(self, **tracks, count=self.count + 1, changes=tuple(changes))

    def corrected(self, predicted: Times) -> Times:
        """The prediction, each segment times its factor."""
        return Times(*(predicted[segment] * self.factor(segment) for segment in Segment))

    def corrected_link(self, link: Link) -> Link:
        """The link as it has turned out: every transfer and the round trip take factor longer."""
        factor = self.factor(Segment.LINK)
        return Link(link.uplink / factor, link.downlink / factor, link.rtt * factor)


def _log_ratio(measured: float, predicted: float) -> float:
    """log(measured / predicted), within bounds that no speed exceeds but an accident might."""
    if measured == 0.0:
        return -math.log(_LARGEST)
    # A difference of logarithms: the quotient of extreme numbers would overflow.
    bound = math.log(_LARGEST)
    return min(max(math.log(measured) - math.log(predicted), -bound), bound)


def _spread(recent: tuple[float, ...]) -> float:
    """Median absolute deviation, scaled to a standard deviation, and never next to nothing."""
    middle = statistics.median(recent)
    deviation = statistics.median(abs(x - middle) for x in recent)
    return max(1.4826 * deviation, _LEAST_SPREAD)


def _weighted_median(recent: tuple[float, ...]) -> float:
    """The value with half the weight on either side; the newest weighs 1, each older less."""
    newest = len(recent) - 1
    weighted = sorted((x, _DECAY ** (newest - i)) for i, x in enumerate(recent))
    half = sum(weight for _, weight in weighted) / 2.0
    below = 0.0
    for x, weight in weighted:
        below += weight
        if below >= half:
            return x
    return weighted[-1][0]
