"""Profiles of small models by the real onnxruntime, and the statistics behind them."""

import math

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from onnx import TensorProto, helper, numpy_helper

from dds.errors import InvalidInput
from dds.model import load_model, zoo
from dds.profile.measure import measure, measure_here, noise_of, steady, undisturbed
from dds.profile.platform import Platform
from dds.profile.profile import RESOLUTION
from dds.profile.runtime import OPTIMISATIONS, Runtime


def awkward_model() -> bytes:
    """Unnamed nodes, a Constant in between, a Loop with a body."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go_in"], ["go_out"], name="same"),
            helper.make_node("Add", ["carried", "carried"], ["doubled"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("step", TensorProto.INT64, []),
            helper.make_tensor_value_info("go_in", TensorProto.BOOL, []),
            helper.make_tensor_value_info("carried", TensorProto.FLOAT, [64]),
        ],
        [
            helper.make_tensor_value_info("go_out", TensorProto.BOOL, []),
            helper.make_tensor_value_info("doubled", TensorProto.FLOAT, [64]),
        ],
    )
    three = helper.make_tensor("three", TensorProto.INT64, [], [3])
    yes = helper.make_tensor("yes", TensorProto.BOOL, [], [True])
    half = helper.make_tensor("half", TensorProto.FLOAT, [1], [0.5])
    nodes = [
        helper.make_node("Relu", ["x"], ["a"]),
        helper.make_node("Constant", [], ["c"], value=half),
        helper.make_node("Mul", ["a", "c"], ["b"]),
        helper.make_node("Loop", ["three", "yes", "b"], ["l"], body=body),
        helper.make_node("Tanh", ["l"], ["y"]),
    ]
    whole = helper.make_graph(
        nodes,
        "awkward",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [64])],
        [three, yes],
        value_info=[helper.make_tensor_value_info("l", TensorProto.FLOAT, [64])],
    )
    model = helper.make_model(whole, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    return bytes(model.SerializeToString())


def test_an_awkward_model_is_measured() -> None:
    data = awkward_model()
    model = load_model(data)
    told: list[tuple[int, int]] = []
    profile = measure(data, model, repeats=3, report=lambda done, of: told.append((done, of)))
    assert profile.digest == model.digest
    fused = profile.fusion.fused(model)
    assert profile.operators == tuple(operator.name for operator in fused.operators)
    assert all(seconds >= RESOLUTION for seconds in profile.seconds)
    assert all(0.0 < noise < math.inf for noise in profile.noise)
    assert profile.repeats == 3
    assert told == [(n, 6) for n in range(7)]
    # The loop, which runs a body three times, is the longest of these.
    longest = int(np.argmax(profile.operator_times(fused)))
    assert "Loop" in fused.operators[longest].kind


@pytest.mark.parametrize("optimisation", list(OPTIMISATIONS))
def test_times_sum_to_a_plain_run(optimisation: str) -> None:
    data = zoo.build("squeezenet")
    graph = load_model(data)
    profile = measure(data, graph, platform=Platform(Runtime(1, optimisation)), repeats=2)
    assert sum(profile.seconds) == pytest.approx(profile.whole, rel=1e-2)
    assert (len(profile.groups) < len(graph.operators)) == (optimisation != "none")
    assert profile.fusion.size == len(graph.operators)


def test_a_plain_run_takes_what_the_clock_says() -> None:
    data = awkward_model()
    ticks = iter(range(100))
    profile = measure_here(
        data,
        load_model(data),
        Platform(frequency=0.5),
        repeats=3,
        budget=math.inf,
        report=None,
        clock=lambda: float(next(ticks)),
    )
    # One tick a run, at half the frequency.
    assert profile.whole == 2.0
    assert profile.spread == 0.0
    assert sum(profile.seconds) == pytest.approx(2.0)
    assert profile.platform.endswith("frequency 50%")


def test_a_budget_ends_early_but_not_before_two_runs() -> None:
    data = awkward_model()
    told: list[tuple[int, int]] = []
    profile = measure(
        data,
        load_model(data),
        repeats=9,
        budget=0.0,
        report=lambda done, of: told.append((done, of)),
    )
    assert profile.repeats == 2
    assert told == [(0, 18), (1, 18), (2, 18), (9, 18), (10, 18), (11, 18), (18, 18)]


@pytest.mark.parametrize(
    ("repeats", "budget", "complaint"),
    [(0, 1.0, "repeats is 0"), (1, math.nan, "budget is not a number")],
)
def test_numbers_out_of_range_are_refused(repeats: int, budget: float, complaint: str) -> None:
    data = awkward_model()
    with pytest.raises(InvalidInput, match=complaint):
        measure(data, load_model(data), repeats=repeats, budget=budget)


def test_a_model_the_runtime_refuses_is_invalid_input() -> None:
    model = onnx.load_from_string(awkward_model())
    model.graph.node[4].domain = "nobody.knows"
    model.opset_import.append(helper.make_opsetid("nobody.knows", 1))
    with pytest.raises(InvalidInput, match="onnxruntime cannot load"):
        measure(model.SerializeToString(), load_model(awkward_model()))


# Whole microseconds, as the profiler counts them.
columns = arrays(np.int64, st.tuples(st.integers(1, 30), st.just(2)), elements=st.integers(0, 9999))


@settings(deadline=None)
@given(columns, st.integers(0, 10**6))
def test_long_runs_do_not_count(counted: np.ndarray, more: int) -> None:
    runs = np.sort(counted, axis=0) * 1e-6
    disturbed = runs.copy()
    disturbed[max(1, len(runs) // 2) :] += more * 1e-6
    assert np.array_equal(steady(runs), steady(disturbed))
    rounding = 1e-15
    assert (runs.min(axis=0) <= steady(runs) + rounding).all()
    assert (steady(runs) <= np.median(runs, axis=0) + rounding).all()


@settings(deadline=None)
@given(columns, st.randoms(use_true_random=False))
def test_the_order_of_runs_does_not_count(counted: np.ndarray, random) -> None:
    runs = counted * 1e-6
    order = list(range(len(runs)))
    random.shuffle(order)
    assert np.allclose(noise_of(runs), noise_of(runs[order]), rtol=1e-9)


@settings(deadline=None)
@given(st.lists(st.floats(1.0, 3.0), min_size=1, max_size=40))
def test_disturbed_runs_count_only_where_few_are_not(slowed: list[float]) -> None:
    kept = undisturbed(slowed)
    quiet = {k for k, ratio in enumerate(slowed) if ratio <= 1.1}
    assert quiet <= set(kept)
    assert len(set(kept)) == len(kept) >= min(len(slowed), max(2, len(slowed) // 4))
    left = [ratio for k, ratio in enumerate(slowed) if k not in kept]
    assert max(slowed[k] for k in kept) <= min(left, default=math.inf)
    if set(kept) != quiet:
        assert len(kept) == min(len(slowed), max(2, len(slowed) // 4))


@pytest.mark.parametrize("scatter", [0.0, 0.01, 0.1])
def test_noise_is_the_standard_error_of_many_measurements(scatter: float) -> None:
    random = np.random.default_rng(1)
    many = 1e-3 * (1.0 + scatter * random.exponential(size=(20, 4000)))
    counted = np.round(many, 6)
    error = steady(counted).std() / steady(counted).mean()
    # The jackknife of order statistics scatters; on the average it is right within a half.
    assert np.mean(noise_of(counted)) == pytest.approx(max(error, 1e-4), rel=0.5)


def test_one_run_says_nothing_of_its_noise() -> None:
    assert noise_of(np.full((1, 3), 1e-3)).tolist() == [1.0, 1.0, 1.0]


def test_a_model_that_fails_on_random_inputs_is_refused() -> None:
    # Index 1 of a table of one row: zeros would do.
    value = helper.make_tensor_value_info
    table = numpy_helper.from_array(np.zeros((1, 4), np.float32), "table")
    graph = helper.make_graph(
        [helper.make_node("Gather", ["table", "x"], ["y"])],
        "strict",
        [value("x", TensorProto.INT64, [8])],
        [value("y", TensorProto.FLOAT, [8, 4])],
        [table],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    data = model.SerializeToString()
    for platform in (Platform(), Platform(duty=0.5)):
        with pytest.raises(InvalidInput, match="onnxruntime cannot run the model"):
            measure(data, load_model(data), platform=platform, repeats=1)
