import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dds.errors import InvalidInput
from dds.model.fusion import Fusion
from dds.profile import Profile
from dds.profile.apart import cost_apart
from dds.profile.runtime import Runtime
from dds.testing import graphs


def profile(groups: tuple[tuple[int, ...], ...], seconds: list[float]) -> Profile:
    return Profile(
        digest="0" * 64,
        platform="a machine",
        runtime=Runtime(),
        operators=tuple(f"op{group[-1]}" for group in groups),
        groups=groups,
        seconds=tuple(seconds),
        noise=(0.01,) * len(groups),
        whole=sum(seconds),
        kernels=sum(seconds),
        spread=0.1,
        repeats=3,
    )


# Whole numbers of seconds: sums are exact in any order.
whole = st.integers(1, 1000).map(float)


@settings(deadline=None)
@given(graphs(min_operators=1, max_operators=8), st.data())
def test_what_each_group_takes_more_adds_up(graph, data) -> None:
    operator = st.integers(0, len(graph.operators) - 1)
    fusion = Fusion.joined(graph, data.draw(st.lists(st.tuples(operator, operator), max_size=4)))
    plain = profile(Fusion.none(graph).groups, [data.draw(whole) for _ in graph.operators])
    fused = profile(fusion.groups, [data.draw(whole) for _ in fusion.groups])
    cost = cost_apart(fused, plain)
    for group, seconds, more in zip(fused.groups, fused.seconds, cost, strict=True):
        alone = sum(plain.seconds[v] for v in group)
        assert more == (alone - seconds if len(group) > 1 else 0.0)
    assert np.all(cost_apart(plain, plain) == 0.0)


def test_profiles_of_two_models_are_refused() -> None:
    with pytest.raises(InvalidInput, match="optimisation none"):
        cost_apart(profile(((0, 1),), [1.0]), profile(((0,), (1,), (2,)), [1.0] * 3))
    with pytest.raises(InvalidInput, match="optimisation none"):
        cost_apart(profile(((0, 1),), [1.0]), profile(((0, 1),), [1.0]))
