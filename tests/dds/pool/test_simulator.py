"""The event simulator against queueing formulas, and the slowdown curve against the simulator.

Seeds are fixed and the tolerance is five standard errors, from means of batches: a batch is
long compared with the memory of the queue, so batch means are nearly independent.
"""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dds.cut.pieces import Frontier
from dds.errors import InvalidInput
from dds.market.client import Client
from dds.pool import Pool, ProcessorSharing, pooled
from dds.pool.simulator import fifo, poisson_requests, sharing

COUNT, BATCHES = 60_000, 20
Floats = NDArray[np.float64]
Draw = Callable[[np.random.Generator, int], Floats]


def fixed(_: np.random.Generator, count: int) -> Floats:
    return np.ones(count)


def exponential(rng: np.random.Generator, count: int) -> Floats:
    return rng.exponential(1.0, count)


def lumpy(rng: np.random.Generator, count: int) -> Floats:
    """Nine small requests to a large one, mean 1."""
    return rng.choice([0.5, 5.5], count, p=[0.9, 0.1])


def assert_mean(values: Floats, expected: float) -> None:
    """The mean of all but the first batch is within five standard errors."""
    means = values.reshape(BATCHES, -1)[1:].mean(axis=1)
    error = means.std(ddof=1) / math.sqrt(len(means))
    assert abs(means.mean() - expected) <= 5.0 * error
    # And the error says something.
    assert error <= 0.04 * expected


def erlang_c(lanes: int, offered: float) -> float:
    terms = [offered**j / math.factorial(j) for j in range(lanes)]
    queue = offered**lanes / math.factorial(lanes) / (1.0 - offered / lanes)
    return queue / (sum(terms) + queue)


@pytest.mark.parametrize("sizes", [fixed, exponential, lumpy], ids=lambda f: f.__name__)
@pytest.mark.parametrize(("lanes", "load"), [(1, 0.3), (1, 0.7), (2, 0.7), (4, 0.8)])
def test_sharing_is_the_slowdown_curve_whatever_the_sizes(
    sizes: Draw, lanes: int, load: float
) -> None:
    """M/D/k, M/M/k and M/G/k processor sharing: 1/(1 - rho) for k = 1, Erlang C beyond."""
    rng = np.random.default_rng(1000 * lanes + int(100 * load))
    arrivals, _ = poisson_requests(rng, [lanes * load], COUNT)
    work = sizes(rng, COUNT)
    sojourn = sharing(arrivals, work, lanes)
    assert_mean(sojourn, float(ProcessorSharing(lanes)(load)))
    # The time of a request is proportional to its own size.
    large = work > 1.0
    if sizes is lumpy:
        slow, quick = sojourn[large].mean() / 5.5, sojourn[~large].mean() / 0.5
        assert slow == pytest.approx(quick, rel=0.1)


@pytest.mark.parametrize("load", [0.3, 0.7])
def test_one_queue_md1(load: float) -> None:
    """M/D/1: 1 + rho / (2 (1 - rho)) (Pollaczek and Khinchine)."""
    rng = np.random.default_rng(int(100 * load))
    arrivals, _ = poisson_requests(rng, [load], COUNT)
    assert_mean(fifo(arrivals, np.ones(COUNT)), 1.0 + load / (2.0 * (1.0 - load)))


@pytest.mark.parametrize(("lanes", "load"), [(1, 0.5), (3, 0.8), (8, 0.8)])
def test_one_queue_mmk(lanes: int, load: float) -> None:
    """M/M/k: 1 + C(k, k rho) / (k (1 - rho))."""
    rng = np.random.default_rng(lanes)
    arrivals, _ = poisson_requests(rng, [lanes * load], COUNT)
    waiting = erlang_c(lanes, lanes * load) / (lanes * (1.0 - load))
    assert_mean(fifo(arrivals, rng.exponential(1.0, COUNT), lanes), 1.0 + waiting)


def test_an_equilibrium_is_what_its_clients_see() -> None:
    """Predicted A + W x(rho) of every client, against its own simulated requests."""
    clients = [
        Client(Frontier.from_points([(0.1, w), (5.0, 0.0)]), 1.0, rate=rate, name=f"{w} {rate}")
        for w, rate in ((0.3, 1.0), (0.1, 3.0), (0.6, 0.5), (0.2, 2.0))
    ]
    found = pooled(clients, Pool(2))
    works = np.array(
        [c.frontier.pieces[k].server_work for c, k in zip(clients, found.pieces, strict=True)]
    )
    assert np.all(works > 0.0)
    rng = np.random.default_rng(7)
    arrivals, whose = poisson_requests(rng, [c.rate for c in clients], COUNT)
    sojourn = sharing(arrivals, works[whose], 2)
    for i in range(len(clients)):
        seen = 0.1 + sojourn[whose == i].mean()
        assert seen == pytest.approx(found.latencies[i], rel=0.02)


def by_small_steps(arrivals: list[float], sizes: list[float], lanes: int) -> list[float]:
    """Processor sharing by its definition, from one event to the next, without virtual time."""
    left: dict[int, float] = {}
    sojourn = [0.0] * len(sizes)
    now, coming = 0.0, 0
    while coming < len(sizes) or left:
        speed = min(1.0, lanes / len(left)) if left else 1.0
        step = min(left.values()) / speed if left else math.inf
        if coming < len(sizes) and arrivals[coming] - now < step:
            step = arrivals[coming] - now
        now += step
        for i in left:
            left[i] -= step * speed
        for i in [i for i, rest in left.items() if rest <= 1e-12]:
            del left[i]
            sojourn[i] = now - arrivals[i]
        while coming < len(sizes) and arrivals[coming] <= now + 1e-15:
            left[coming] = sizes[coming]
            coming += 1
    return sojourn


@settings(deadline=None, max_examples=60, derandomize=True)
@given(
    st.lists(st.tuples(st.floats(0.0, 2.0), st.floats(0.1, 3.0)), min_size=1, max_size=12),
    st.integers(1, 4),
)
def test_sharing_request_by_request(requests: list[tuple[float, float]], lanes: int) -> None:
    arrivals = np.cumsum([gap for gap, _ in requests])
    sizes = [size for _, size in requests]
    expected = by_small_steps(arrivals.tolist(), sizes, lanes)
    np.testing.assert_allclose(sharing(arrivals, sizes, lanes), expected, rtol=1e-9, atol=1e-9)


def test_streams_come_in_proportion_to_their_rates() -> None:
    arrivals, whose = poisson_requests(np.random.default_rng(2), [1.0, 0.0, 3.0], 40_000)
    assert np.all(np.diff(arrivals) >= 0.0)
    assert arrivals[-1] == pytest.approx(10_000.0, rel=0.05)
    counts = np.bincount(whose, minlength=3) / 40_000
    np.testing.assert_allclose(counts, [0.25, 0.0, 0.75], atol=0.02)


@pytest.mark.parametrize("serve", [sharing, fifo])
@pytest.mark.parametrize(
    ("arrivals", "sizes", "lanes", "said"),
    [
        ([0.0], [1.0, 2.0], 1, "one each"),
        ([1.0, 0.5], [1.0, 1.0], 1, "ascending"),
        ([-1.0], [1.0], 1, "ascending"),
        ([0.0], [-1.0], 1, "sizes"),
        ([0.0], [math.inf], 1, "sizes"),
        ([0.0], [1.0], 0, "lanes"),
    ],
)
def test_what_cannot_be_served_is_refused(serve, arrivals, sizes, lanes, said) -> None:
    with pytest.raises(InvalidInput, match=said):
        serve(arrivals, sizes, lanes)


@pytest.mark.parametrize("rates", [[], [0.0], [-1.0, 2.0], [math.inf], 3.0])
def test_what_are_no_rates_is_refused(rates) -> None:
    with pytest.raises(InvalidInput, match="rates"):
        poisson_requests(np.random.default_rng(0), rates, 10)
