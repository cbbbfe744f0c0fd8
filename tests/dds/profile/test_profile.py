import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dds.errors import InvalidInput
from dds.model.graph import ModelGraph, Operator, Tensor
from dds.profile import Profile
from dds.profile.runtime import Runtime


def chain(count: int) -> ModelGraph:
    tensors = tuple(Tensor(f"t{i}", (1,), "float32", 4) for i in range(count + 1))
    operators = tuple(Operator(f"op{i}", "Relu", (i,), (i + 1,)) for i in range(count))
    return ModelGraph(operators, tensors, (0,), (count,), digest="0" * 64)


def profile(seconds: list[float]) -> Profile:
    return Profile(
        digest="0" * 64,
        platform="a machine",
        runtime=Runtime(),
        operators=tuple(f"op{i}" for i in range(len(seconds))),
        groups=tuple((i,) for i in range(len(seconds))),
        seconds=tuple(seconds),
        noise=(0.01,) * len(seconds),
        whole=sum(seconds),
        kernels=sum(seconds),
        spread=0.1,
        repeats=3,
    )


times = st.lists(st.floats(1e-6, 1e3), min_size=1, max_size=8)


@given(times)
def test_json_round_trips(seconds: list[float]) -> None:
    before = profile(seconds)
    assert Profile.from_json(before.to_json()) == before


@given(times, st.floats(1e-3, 1e3))
def test_scaling_multiplies_every_time(seconds: list[float], slowdown: float) -> None:
    graph = chain(len(seconds))
    slow = profile(seconds).scaled(slowdown)
    assert slow.operator_times(graph).tolist() == [slowdown * s for s in seconds]
    assert math.isclose(slow.whole, slowdown * sum(seconds))


@pytest.mark.parametrize("slowdown", [0.0, -1.0, math.inf, math.nan])
def test_a_slowdown_is_a_positive_number(slowdown: float) -> None:
    with pytest.raises(InvalidInput, match="slowdown"):
        profile([1.0]).scaled(slowdown)


def test_another_models_graph_is_refused() -> None:
    with pytest.raises(InvalidInput, match="measure this model"):
        profile([1.0, 2.0]).operator_times(chain(3))


@pytest.mark.parametrize("bad", [0.0, -1e-9, math.inf, math.nan])
def test_times_are_positive(bad: float) -> None:
    with pytest.raises(InvalidInput, match="op1"):
        profile([1.0, bad])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "nonsense",
        '{"format": "dds-profile/1"}',
        '{"format": "dds-profile/2"}',
        '{"format": "dds-profile/2", "runtime": 7}',
        profile([1.0]).to_json().replace('"threads": 1', '"threads": 0'),
        profile([1.0]).to_json().replace('"repeats": 3', '"repeats": 1e999'),
        profile([1.0]).to_json().replace("[0.01]", "[0.01, 0.01]"),
        "[" * 100_000,
    ],
)
def test_other_files_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="dds-profile/2"):
        Profile.from_json(text)


def test_operator_times_can_be_used_as_costs() -> None:
    from dds.costs import operator_times

    assert np.array_equal(operator_times(chain(2), profile([1.0, 2.0])), [1.0, 2.0])


def test_a_profile_of_a_fused_model_is_of_its_fused_graph() -> None:
    graph = chain(3)
    fused = replace(profile([1.0, 2.0]), operators=("op1", "op2"), groups=((0, 1), (2,)))
    assert fused.fusion.fused(graph).operators[0].kind == "Relu+Relu"
    assert fused.operator_times(fused.fusion.fused(graph)).tolist() == [1.0, 2.0]
    with pytest.raises(InvalidInput, match=r"fuse first: profile\.fusion\.fused\(graph\)"):
        fused.operator_times(graph)
    with pytest.raises(InvalidInput, match="measure this model"):
        fused.operator_times(chain(4))


@pytest.mark.parametrize("noise", [-0.1, math.inf, math.nan])
def test_noise_is_a_finite_number(noise: float) -> None:
    with pytest.raises(InvalidInput, match="op0"):
        replace(profile([1.0]), noise=(noise,))


def test_every_operator_has_a_time_a_group_and_a_noise() -> None:
    with pytest.raises(InvalidInput, match="1 times and 1 noises for 2 operators"):
        replace(profile([1.0]), operators=("op0", "op1"))


@pytest.mark.parametrize(
    "change",
    [
        {"whole": 0.0},
        {"whole": math.nan},
        {"kernels": -1.0},
        {"spread": math.inf},
        {"repeats": 0},
    ],
)
def test_every_number_is_one_that_was_measured(change: dict[str, float]) -> None:
    with pytest.raises(InvalidInput, match=f"profile.{next(iter(change))} is"):
        replace(profile([1.0]), **change)
