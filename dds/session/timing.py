"""The timers of both sides, in seconds of the caller's clock."""

from __future__ import annotations

import math
from dataclasses import dataclass

from dds.errors import InvalidInput

__all__ = ["Repeat", "Timing"]


@dataclass(frozen=True, slots=True)
class Timing:
    """How long to wait for what, s, each > 0 (batch >= 0).

    lease: a client silent for longer is dropped (it renews three times as often);
    retry, longest_retry: a message that is owed an answer is repeated after `retry`, then
    after twice as long each time, up to `longest_retry`;
    batch: joins, changes and leaves this close together share one new epoch;
    grace: a client whose stream broke may return for so long (at most the lease).
    """

    lease: float = 30.0
    retry: float = 0.5
    longest_retry: float = 4.0
    batch: float = 0.05
    grace: float = 2.0

    def __post_init__(self) -> None:
        for name in ("lease", "retry", "longest_retry", "batch", "grace"):
            value = getattr(self, name)
            if not (math.isfinite(value) and (value > 0.0 or (value == 0.0 and name == "batch"))):
                raise InvalidInput(f"timing.{name} is {value!r}; need seconds > 0")
        if self.longest_retry < self.retry:
            raise InvalidInput(
                f"timing.longest_retry {self.longest_retry!r} is below retry {self.retry!r}"
            )


@dataclass(slots=True)
class Repeat:
    """When to send something again: `due` (infinite: not at all) backs off exponentially."""

    timing: Timing
    due: float = math.inf
    _wait: float = 0.0

    def start(self, now: float) -> None:
        """Something new was sent."""
        self._wait = self.timing.retry
        self.due = now + self._wait

    def again(self, now: float) -> None:
        """It was sent once more."""
        self._wait = min(2.0 * self._wait, self.timing.longest_retry)
        self.due = now + self._wait

    def stop(self) -> None:
        """It was answered."""
        self.due = math.inf
