"""Following a rule: where it ends, and the exact period of whatever comes back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dds.dynamics.trajectory import Seen, follow, read_rounds
from dds.errors import InvalidInput

quick = settings(deadline=None, derandomize=True, max_examples=120)

Floats = NDArray[np.float64]


def itself(state: Floats) -> Floats:
    return state


@quick
@given(st.lists(st.integers(0, 11), min_size=12, max_size=12), st.integers(0, 11))
def test_the_period_is_that_of_the_first_state_that_comes_back(
    leads_to: list[int], start: int
) -> None:
    """A map of twelve states onto themselves, followed by a list of all states seen."""
    seen: list[int] = []
    state = start
    while state not in seen:
        seen.append(state)
        state = leads_to[state]
    period = len(seen) - seen.index(state)

    found = follow(
        "map",
        np.array([float(start)]),
        lambda s: Seen(1.0, float(s[0]), 0.0, 1.0, settled=False),
        lambda s: np.array([float(leads_to[int(s[0])])]),
        itself,
        1000,
        keep=True,
    )
    assert found.cycle == period
    assert not found.converged
    assert found.history is not None
    np.testing.assert_array_equal(found.history[:, 0], found.totals)
    assert found.totals[: len(seen)].tolist() == [float(s) for s in seen][: found.rounds + 1]
    assert found.movers[0] == 0
    assert found.movers[1:].tolist() == [
        int(a != b) for a, b in zip(found.totals, found.totals[1:], strict=False)
    ]


def count_down(state: Floats) -> Floats:
    return state - 1.0


def test_it_ends_where_it_is_settled_and_after_the_rounds_given() -> None:
    def look(state: Floats) -> Seen:
        return Seen(0.0, float(state[0]), 0.0, 0.0, settled=float(state[0]) == 0.0)

    ended = follow("down", np.array([3.0]), look, count_down, itself, 10, keep=False)
    assert (ended.rounds, ended.converged, ended.cycle, ended.history) == (3, True, None, None)
    cut = follow("down", np.array([3.0]), look, count_down, itself, 2, keep=False)
    assert (cut.rounds, cut.converged, cut.shares.tolist()) == (2, False, [1.0])
    assert [row.total for row in cut.rows] == [3.0, 2.0, 1.0]
    assert cut.to_csv().splitlines()[0] == "round,price,total,excess,regret,movers"


@pytest.mark.parametrize("rounds", [-1, 1.0, True, None])
def test_rounds_are_counted(rounds: int) -> None:
    with pytest.raises(InvalidInput, match="rounds is"):
        read_rounds(rounds)
