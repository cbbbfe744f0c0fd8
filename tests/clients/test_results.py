import numpy as np
import pytest

from clients.results import compare, cut_summary
from dds.cut.network import make_cut
from dds.model import load_model, zoo


def test_equal_outputs_match() -> None:
    a = {"y": np.array([1.0, -2.0, 0.0])}
    found = compare([a, a], [a, a])
    assert (found.absolute, found.relative, found.match) == (0.0, 0.0, True)


def test_the_largest_difference_over_runs_and_outputs_is_reported() -> None:
    reference = {"y": np.array([2.0, 0.0]), "z": np.array([10.0])}
    runs = [
        {"y": np.array([2.0, 0.0]), "z": np.array([10.5])},
        {"y": np.array([2.2, 0.1]), "z": np.array([10.0])},
    ]
    found = compare(runs, [reference, reference])
    assert found.absolute == pytest.approx(0.5)
    assert found.relative == pytest.approx(0.1)
    assert not found.match


@pytest.mark.parametrize(("gap", "match"), [(0.9e-4, True), (1.5e-4, False)])
def test_outputs_match_within_rtol(gap: float, match: bool) -> None:
    reference = {"y": np.array([1.0, 1000.0])}
    assert compare([{"y": reference["y"] * (1.0 + gap)}], [reference]).match is match


@pytest.mark.parametrize(
    "run",
    [
        {},
        {"y": np.zeros(3)},
        {"y": np.zeros(2), "extra": np.zeros(1)},
        {"y": np.array([0.0, np.nan])},
    ],
)
def test_what_is_not_comparable_does_not_match(run: dict[str, np.ndarray]) -> None:
    assert not compare([run], [{"y": np.zeros(2)}]).match


def test_a_missing_run_does_not_match() -> None:
    assert not compare([], [{"y": np.zeros(2)}]).match


def test_a_cut_is_summed_up() -> None:
    graph = load_model(zoo.topology("squeezenet"))
    times = np.ones(len(graph.operators))
    everything_on_server = cut_summary(graph, make_cut(graph, (), times))
    assert everything_on_server == {
        "operators_on_device": 0,
        "operators_on_server": 66,
        "uplink_bytes": 4 * 3 * 224 * 224,
        "downlink_bytes": 4 * 1000,
        "cut_tensors": [graph.tensors[graph.inputs[0]].name],
    }
