"""One monotone crossing, found by asking, against demand that is known everywhere."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dds.market.crossing import LEAD, Bracket, End, Given, NotMonotone, Path
from dds.market.numbers import Floats
from dds.market.replies import BOUNDLESS, Quote

quick = settings(deadline=None, derandomize=True, max_examples=80)

Demand = Callable[[float], Floats]


def run(play: Generator[Quote, Any, Any], demand: Demand) -> tuple[Any, int]:
    """Answer every question of a search; its result, and how many there were."""
    asked = 0
    try:
        quote = next(play)
        while True:
            asked += 1
            quote = play.send(Given(demand(quote.load)))
    except StopIteration as end:
        return end.value, asked


def path(supply: Callable[[float], float], *, precision: float = 0.0, whole: bool = False) -> Path:
    """Quotes that say where on the path they are by their load."""
    return Path(lambda at: Quote(at, 0.0, 0.0), supply, precision, whole=whole)


def search(found: Path, demand: Demand, low: float, high: float) -> tuple[Bracket, int]:
    def play() -> Generator[Quote, Any, Bracket]:
        below = yield from found.ask(low)
        above = yield from found.ask(high, below)
        return (yield from found.narrow(below, above))

    bracket, asked = run(play(), demand)
    return bracket, asked - 2


@st.composite
def falling_steps(draw: st.DrawFn) -> list[int]:
    """A demand at each of 0, 1, 2, ... quanta of load, above it at first and below at last."""
    size = draw(st.integers(2, 60))
    steps = draw(st.lists(st.integers(0, 2 * size), min_size=size, max_size=size))
    return [2 * size + 1, *sorted(steps, reverse=True), 0]


@quick
@given(falling_steps())
def test_among_quanta_the_neighbours_of_the_crossing_are_found(steps: list[int]) -> None:
    """The first load that demand fits into, and the one before it, or one that it meets."""
    bracket, asked = search(
        path(lambda at: at, whole=True),
        lambda at: np.array([float(steps[int(at)])]),
        0.0,
        float(len(steps) - 1),
    )
    first = next(at for at, demand in enumerate(steps) if demand <= at)
    assert bracket.below is not None
    assert bracket.above.at == first
    assert bracket.met == (steps[first] == first)
    if not bracket.met:
        assert bracket.below.at == first - 1
    assert asked <= math.ceil(math.log2(len(steps))) + LEAD + 1


@quick
@given(st.floats(1e-6, 1e6), st.floats(0.25, 4.0))
def test_smooth_demand_is_met(scale: float, power: float) -> None:
    """scale t^-power = t at t = scale^(1 / (1 + power))."""
    bracket, asked = search(
        path(lambda at: at, precision=1e-12),
        lambda at: np.array([scale * at**-power]),
        1e-12,
        1e12,
    )
    assert bracket.met
    assert bracket.above.at == pytest.approx(scale ** (1.0 / (1.0 + power)), rel=1e-11)
    assert asked <= 60


@quick
@given(st.floats(1e-3, 1e3), st.floats(0.1, 0.9), st.integers(1, 4))
def test_who_jumps_is_said(place: float, part: float, jumpers: int) -> None:
    """Some drop from 2 t to nothing at one place, others fall smoothly."""

    def demand(at: float) -> Floats:
        jump = np.full(jumpers, 2.0 * place if at < place else 0.0)
        return np.array([part * place * place / at, *jump])

    bracket, _ = search(path(lambda at: at), demand, place / 1e3, place * 1e3)
    assert not bracket.met
    assert bracket.below is not None
    assert bracket.below.at < place <= bracket.above.at
    assert bracket.above.at - bracket.below.at <= 2.0**-40 * place
    assert bracket.jumping.tolist() == list(range(1, jumpers + 1))


def test_a_path_that_begins_where_demand_fits_has_no_jump() -> None:
    end = End(1.0, Given(np.array([0.5])), 1.0, -0.5)
    assert Bracket(None, end, met=True).jumping.size == 0


@pytest.mark.parametrize(
    ("demand", "supply", "gap"),
    [(2.0, 2.0, 0.0), (math.e, 1.0, 1.0), (0.0, 1.0, -math.inf), (1.0, 0.0, math.inf)],
)
def test_a_gap_is_the_log_of_demand_by_supply(demand: float, supply: float, gap: float) -> None:
    end = End(1.0, Given(np.array([demand])), supply, demand - supply)
    assert end.gap == pytest.approx(gap)


def test_a_client_whose_demand_rises_is_named() -> None:
    ends = {1.0: [1.0, 2.0], 2.0: [0.5, 2.5], 0.5: [1.0, 1.5]}
    found = path(lambda at: at)

    def play(second: float) -> Generator[Quote, Any, End]:
        first = yield from found.ask(1.0)
        if second > 1.0:
            return (yield from found.ask(second, below=first))
        return (yield from found.ask(second, above=first))

    for second in (2.0, 0.5):
        with pytest.raises(NotMonotone, match=r"^clients\[1\]: answered") as caught:
            run(play(second), lambda at: np.array(ends[at]))
        assert caught.value.index == 1


def test_rounding_is_no_contradiction() -> None:
    """An answer that rises by rounding alone counts as the one before it."""
    found = path(lambda at: at)

    def play() -> Generator[Quote, Any, End]:
        first = yield from found.ask(1.0)
        return (yield from found.ask(2.0, below=first))

    end, _ = run(play(), lambda at: np.array([1.0 if at == 1.0 else 1.0 + 1e-12]))
    assert end.answers.shares.tolist() == [1.0]


@quick
@given(st.lists(st.floats(0.0, BOUNDLESS), min_size=1, max_size=9), st.floats(0.0, 1e30))
def test_the_sign_of_an_excess_is_exact(shares: list[float], supply: float) -> None:
    given_shares = Given(np.array(shares))
    exact = sum(map(Fraction, shares), Fraction(0)) - Fraction(supply)
    excess = given_shares.excess(supply)
    assert (excess > 0.0, excess < 0.0) == (exact > 0, exact < 0)
    assert math.isclose(given_shares.demand, exact + Fraction(supply), rel_tol=1e-15)
