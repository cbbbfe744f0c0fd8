"""Links over time: one that never changes, and one that follows a recorded trace.

A trace is a CSV file with the columns ``time_s,mbps`` (both directions alike) or
``time_s,uplink_mbps,downlink_mbps``.  A rate holds until the next row, the last one for as long
as the one before it; then the trace begins again.  A rate may be 0: a link that is down.
"""

from __future__ import annotations

import csv
import math
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Protocol

from dds.costs.link import Link
from dds.errors import InvalidInput

__all__ = ["SLOWEST", "LinkTrace", "Path", "Steady", "read_trace"]

#: What a link that is down counts as where somebody plans for it, bytes/s.
SLOWEST = 1e3
#: Bytes/s of a Mbit/s.
_MEGABIT = 1e6 / 8.0
_COLUMNS = (["time_s", "mbps"], ["time_s", "uplink_mbps", "downlink_mbps"])


class Path(Protocol):
    """How data travels; time in s from a start of the caller's choice, >= 0."""

    def at(self, time: float) -> Link:
        """The link at that time."""
        ...

    def uplink_time(self, start: float, size: float) -> float:
        """Seconds for `size` bytes that begin to be sent at `start`; no round trip."""
        ...

    def downlink_time(self, start: float, size: float) -> float:
        """Seconds for `size` bytes that begin to come back at `start`; no round trip."""
        ...


@dataclass(frozen=True, slots=True)
class Steady:
    """A link that never changes."""

    link: Link

    def at(self, time: float) -> Link:  # noqa: ARG002 -- whenever
        """The link."""
        return self.link

    def uplink_time(self, start: float, size: float) -> float:  # noqa: ARG002
        """D_up / b_up, s."""
        return size / self.link.uplink

    def downlink_time(self, start: float, size: float) -> float:  # noqa: ARG002
        """D_down / b_down, s."""
        return size / self.link.downlink


class _Rate:
    """Bytes/s over time, piecewise constant and periodic: B(t), the bytes carried until t."""

    def __init__(self, starts: Sequence[float], rates: Sequence[float]) -> None:
        """starts: of each rate, from 0 on, and the end of the period, s."""
        self._starts = tuple(starts)
        self._rates = tuple(rates)
        lasts = [end - start for start, end in pairwise(starts)]
        carried = [rate * last for rate, last in zip(rates, lasts, strict=True)]
        self._carried = tuple(accumulate(carried, initial=0.0))

    @property
    def carried(self) -> float:
        """Bytes per period."""
        return self._carried[-1]

    def at(self, time: float) -> float:
        """Bytes/s at that time."""
        return self._rates[bisect_right(self._starts, time % self._starts[-1]) - 1]

    def time(self, start: float, size: float) -> float:
        """The least s with B(start + s) - B(start) >= size."""
        whole = self.carried
        start %= self._starts[-1]
        k = bisect_right(self._starts, start) - 1
        sent = self._carried[k] + self._rates[k] * (start - self._starts[k])
        rounds, left = divmod(sent + size, whole)
        # The first moment at which so much was carried, so what is down meanwhile does not count.
        if left == 0.0 and rounds:
            rounds, left = rounds - 1.0, whole
        k = max(self._first(left), 0)
        rest = (left - self._carried[k]) / self._rates[k] if left > self._carried[k] else 0.0
        return max(rounds * self._starts[-1] + self._starts[k] + rest - start, 0.0)

    def _first(self, left: float) -> int:
        """The piece within which `left` bytes of a period have been carried."""
        low, high = 0, len(self._rates) - 1
        while low < high:
            middle = (low + high) // 2
            if self._carried[middle + 1] >= left:
                high = middle
            else:
                low = middle + 1
        return low


class LinkTrace:
    """A link whose bandwidths follow a trace, from the start again after its end.

    times: s, ascending, the first 0; uplinks, downlinks: bytes/s >= 0 from then on; duration:
    after which it begins again, s; rtt: s.

    Raises InvalidInput for numbers out of range, times that do not ascend, and a direction that
    never carries anything.

    >>> link = LinkTrace([0.0, 1.0], [2e3, 1e3], [2e3, 1e3], duration=2.0)
    >>> link.at(3.5).uplink, link.uplink_time(0.5, 1500.0)
    (1000.0, 1.0)
    """

    def __init__(
        self,
        times: Sequence[float],
        uplinks: Sequence[float],
        downlinks: Sequence[float],
        *,
        duration: float,
        rtt: float = 0.0,
    ) -> None:
        starts = [*times, duration]
        if not times or times[0] != 0.0 or any(a >= b for a, b in pairwise(starts)):
            raise InvalidInput(
                "trace.times: need ascending seconds from 0 on, and a later duration"
            )
        if not math.isfinite(duration):
            raise InvalidInput(f"trace.duration is {duration!r}; need a finite number of seconds")
        for name, rates in (("uplinks", uplinks), ("downlinks", downlinks)):
            if len(rates) != len(times):
                raise InvalidInput(f"trace.{name}: {len(rates)} rates for {len(times)} times")
            if not all(0.0 <= rate < math.inf for rate in rates) or not any(rates):
                raise InvalidInput(f"trace.{name}: need finite bytes/s >= 0, not all of them 0")
        self.rtt = Link(1.0, 1.0, rtt).rtt
        self.duration = duration
        self._up = _Rate(starts, uplinks)
        self._down = _Rate(starts, downlinks)
        for name, rate in (("uplinks", self._up), ("downlinks", self._down)):
            if not 0.0 < rate.carried < math.inf:
                raise InvalidInput(
                    f"trace.{name}: carry {rate.carried:g} bytes; need less extreme numbers"
                )

    def at(self, time: float) -> Link:
        """The link at that time; at least :data:`SLOWEST` bytes/s."""
        return Link(max(self._up.at(time), SLOWEST), max(self._down.at(time), SLOWEST), self.rtt)

    def uplink_time(self, start: float, size: float) -> float:
        """Seconds for `size` bytes that begin to be sent at `start`, at the rates on the way."""
        return self._up.time(start, size)

    def downlink_time(self, start: float, size: float) -> float:
        """Seconds for `size` bytes that begin to come back at `start`."""
        return self._down.time(start, size)


def read_trace(text: str, name: str, *, rtt: float = 0.0) -> LinkTrace:
    """The trace in a CSV file; times are told from its first row.

    name: of the file, for errors.  Raises InvalidInput naming file and line.
    """
    rows = _rows(text, name)
    _, first = next(rows, (1, []))
    header = [column.strip() for column in first]
    if header not in _COLUMNS:
        known = " or ".join(",".join(columns) for columns in _COLUMNS)
        raise InvalidInput(f"{name}:1: the header is {','.join(header)[:80]!r}; need {known}")
    table: list[list[float]] = []
    for line, row in rows:
        if not any(cell.strip() for cell in row):
            continue
        table.append(_numbers(f"{name}:{line}", row, header))
        if len(table) > 1 and table[-1][0] <= table[-2][0]:
            raise InvalidInput(f"{name}:{line}: time_s does not ascend; sort the rows")
    if not table:
        raise InvalidInput(f"{name}: no rows below the header; need at least one")
    columns = [*zip(*table, strict=True)]
    times = [time - columns[0][0] for time in columns[0]]
    last = times[-1] - times[-2] if len(times) > 1 else 1.0
    for column, rates in zip(header[1:], columns[1:], strict=True):
        if not any(rates):
            raise InvalidInput(f"{name}: {column} is 0 in every row; such a link carries nothing")
    uplinks, downlinks = ([rate * _MEGABIT for rate in columns[k]] for k in (1, -1))
    try:
        return LinkTrace(times, uplinks, downlinks, duration=times[-1] + last, rtt=rtt)
    except InvalidInput as error:
        raise InvalidInput(f"{name}: {error}") from error


def _rows(text: str, name: str) -> Iterator[tuple[int, list[str]]]:
    """The cells of each row, and the line it ends on; InvalidInput names file and line."""
    # Spreadsheets begin with a byte order mark.
    reader = csv.reader(text.removeprefix("\ufeff").splitlines())
    try:
        for row in reader:
            yield reader.line_num, row
    except csv.Error:
        raise InvalidInput(f"{name}:{reader.line_num}: a cell is too long; need numbers") from None


def _numbers(place: str, row: Sequence[str], header: Sequence[str]) -> list[float]:
    if len(row) != len(header):
        raise InvalidInput(f"{place}: {len(row)} columns; the header has {len(header)}")
    numbers = []
    for cell, column in zip(row, header, strict=True):
        try:
            number = float(cell)
        except ValueError:
            number = math.nan
        if not (math.isfinite(number) and number >= 0.0):
            raise InvalidInput(f"{place}: {column} is {cell[:40]!r}; need a finite number >= 0")
        numbers.append(number)
    return numbers
