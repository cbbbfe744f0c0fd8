import numpy as np
import pytest

from dds.errors import InvalidInput
from dds.model import ModelGraph
from dds.predict.training import Trained, judge
from dds.predict.transfer import ridge, transfer

from .conftest import sample


@pytest.mark.parametrize("slowdown", [0.3, 1.0, 12.0])
def test_a_slower_machine_is_learned_from_one_model(
    trained: Trained, graphs: list[ModelGraph], slowdown: float
) -> None:
    fewest = min(graphs, key=lambda graph: abs(len(graph.operators) - 30))
    moved = transfer(trained.predictor, [sample(fewest, slowdown)], "another")
    there = [sample(graph, slowdown) for graph in graphs[20:]]
    before, after = judge(trained.predictor, there)[-1].mape, judge(moved, there)[-1].mape
    assert moved.platform == "another"
    assert after < 0.12
    if slowdown != 1.0:
        assert after < 0.3 * before


def test_transfer_begins_anew_and_survives_saving(
    trained: Trained, graphs: list[ModelGraph], tmp_path: object
) -> None:
    samples = [sample(graphs[0], 3.0)]
    once = transfer(trained.predictor, samples, "p")
    twice = transfer(once, samples, "p")
    assert once == twice
    once.save(str(tmp_path))
    loaded = type(once).load(str(tmp_path))
    graph = graphs[3]
    assert np.array_equal(loaded.operator_times(graph), once.operator_times(graph))


def test_disturbed_measurements_do_not_move_the_rest() -> None:
    rng = np.random.default_rng(0)
    terms = np.column_stack((np.ones(60), rng.standard_normal(60)))
    target = 1.5 + 0.5 * terms[:, 1]
    target[:6] += 4.0
    found = ridge(terms, target, np.ones(60))
    assert found == pytest.approx([1.5, 0.5], abs=0.1)


def test_nothing_measured_is_refused(trained: Trained) -> None:
    with pytest.raises(InvalidInput, match="measure a few operators"):
        transfer(trained.predictor, [], "another")
