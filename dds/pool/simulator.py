"""Single requests through a server, event by event: what x(rho) is an average of.

:func:`sharing` is the server of the pooled product; :func:`fifo` one that queues, for
comparison.  Both turn arrival times and sizes into sojourn times and draw nothing themselves;
:func:`poisson_requests` draws requests from a generator that the caller gives.

>>> import numpy as np
>>> sharing(np.array([0.0, 0.5]), np.array([1.0, 1.0])).tolist()  # both are there from 0.5 on
[1.5, 1.5]
>>> fifo(np.array([0.0, 0.5]), np.array([1.0, 1.0])).tolist()
[1.0, 1.5]
"""

from __future__ import annotations

import heapq
import math

import numpy as np
from numpy.typing import ArrayLike

from dds.errors import InvalidInput
from dds.market.numbers import Floats, Ints

__all__ = ["fifo", "poisson_requests", "sharing"]


def poisson_requests(rng: np.random.Generator, rates: ArrayLike, count: int) -> tuple[Floats, Ints]:
    """The first ``count`` requests of Poisson streams: arrival times, s, and whose they are.

    rates: requests/s of each client, N.  Raises InvalidInput unless they sum to more than 0.
    """
    rate = np.asarray(rates, float)
    total = float(rate.sum())
    if rate.ndim != 1 or not np.all(rate >= 0.0) or not 0.0 < total < math.inf:
        raise InvalidInput("rates: need one number >= 0 per client, not all 0")
    arrivals: Floats = np.cumsum(rng.exponential(1.0 / total, count))
    whose: Ints = rng.choice(len(rate), count, p=rate / total)
    return arrivals, whose


def sharing(arrivals: ArrayLike, sizes: ArrayLike, lanes: int = 1) -> Floats:
    """Sojourn times, s, under processor sharing on ``lanes`` lanes of speed 1.

    arrivals: s, ascending; sizes: s on a lane of one's own.  While n requests are present each
    is served at speed min(1, lanes / n).  In the time that a request alone would see, which
    passes at that speed for all of them alike, they leave in order of arrival plus size.

    Raises InvalidInput for arrays that do not match or are out of order.
    """
    times, works = _checked(arrivals, sizes, lanes)
    sojourn = np.zeros(len(times))
    present: list[tuple[float, int]] = []
    now = virtual = 0.0

    def leave_until(end: float) -> None:
        nonlocal now, virtual
        while present:
            speed = min(1.0, lanes / len(present))
            done, index = present[0]
            finish = now + (done - virtual) / speed
            if finish > end:
                virtual += (end - now) * speed
                break
            heapq.heappop(present)
            now, virtual = finish, done
            sojourn[index] = finish - times[index]
        now = end

    for index, (time, work) in enumerate(zip(times.tolist(), works.tolist(), strict=True)):
        leave_until(time)
        heapq.heappush(present, (virtual + work, index))
    leave_until(math.inf)
    return sojourn


def fifo(arrivals: ArrayLike, sizes: ArrayLike, lanes: int = 1) -> Floats:
    """Sojourn times, s, when requests wait in one queue for a free one of ``lanes`` lanes.

    arrivals: s, ascending; sizes: s on a lane.  Raises as :func:`sharing` does.
    """
    times, works = _checked(arrivals, sizes, lanes)
    free = [0.0] * lanes
    sojourn = np.zeros(len(times))
    for index, (time, work) in enumerate(zip(times.tolist(), works.tolist(), strict=True)):
        finish = max(time, free[0]) + work
        heapq.heapreplace(free, finish)
        sojourn[index] = finish - time
    return sojourn


def _checked(arrivals: ArrayLike, sizes: ArrayLike, lanes: int) -> tuple[Floats, Floats]:
    times, works = np.asarray(arrivals, float), np.asarray(sizes, float)
    if times.ndim != 1 or times.shape != works.shape:
        raise InvalidInput(
            f"arrivals has shape {times.shape} and sizes {works.shape}; need one each per request"
        )
    if not np.all(np.isfinite(times)) or np.any(np.diff(times, prepend=0.0) < 0.0):
        raise InvalidInput("arrivals: need times >= 0 in ascending order")
    if not np.all((works >= 0.0) & np.isfinite(works)):
        raise InvalidInput("sizes: need finite seconds >= 0")
    if lanes < 1:
        raise InvalidInput(f"lanes is {lanes!r}; need at least 1")
    return times, works
