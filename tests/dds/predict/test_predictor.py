import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dds
from dds.errors import InvalidInput
from dds.model import ModelGraph, load_model, zoo
from dds.predict.features import FAMILIES, features
from dds.predict.predictor import POOLED, Expert, Predictor
from dds.predict.training import Trained
from dds.testing import graphs as any_graphs


@pytest.fixture(scope="module")
def saved(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("predictor") / "deep" / "er"
    trained.predictor.save(folder)
    return folder


def test_what_was_saved_says_the_same(saved: Path, trained: Trained) -> None:
    graph = load_model(zoo.topology("resnet50"))
    loaded = Predictor.load(saved)
    assert (loaded.platform, loaded.runtime) == ("lawful machine", trained.predictor.runtime)
    assert np.array_equal(loaded.operator_times(graph), trained.predictor.operator_times(graph))
    assert np.array_equal(loaded.uncertainty(graph), trained.predictor.uncertainty(graph))
    assert sorted(path.name for path in saved.iterdir()) == ["network.onnx", "predictor.json"]


def test_it_goes_where_a_profile_goes(trained: Trained) -> None:
    graph = load_model(zoo.topology("squeezenet"))
    times = trained.predictor.operator_times(graph)
    link = dds.Link(1e6, 1e6, 0.01)
    by_predictor = dds.frontier(graph, trained.predictor, trained.predictor, link)
    by_times = dds.frontier(graph, times, times, link)
    assert by_predictor == by_times


@settings(deadline=None, max_examples=40)
@given(graph=any_graphs())
def test_any_graph_gets_positive_seconds(trained: Trained, graph: ModelGraph) -> None:
    said = trained.predictor.predict(features(graph))
    for numbers in (said.seconds, said.uncertainty):
        assert numbers.shape == (len(graph.operators),)
        assert np.isfinite(numbers).all()
        assert (numbers > 0.0).all()
    # Operators of a kind that nobody knows are left to the pooled expert, and it says so.
    assert set(said.families) <= {"other"}
    assert said.pooled.all()


def test_a_family_without_an_expert_is_left_to_the_pooled_one(trained: Trained) -> None:
    predictor, graph = trained.predictor, load_model(zoo.topology("alexnet"))
    without = replace(
        predictor,
        experts={k: v for k, v in predictor.experts.items() if k != "pool"},
        ensembles={k: v for k, v in predictor.ensembles.items() if k != "pool"},
    )
    before, after = predictor.predict(features(graph)), without.predict(features(graph))
    pools = np.array([family == "pool" for family in after.families])
    assert pools.sum() == 3
    assert np.array_equal(after.pooled, before.pooled | pools)
    assert not before.pooled[pools].any()
    assert after.seconds[~pools] == pytest.approx(before.seconds[~pools], rel=1e-5)
    assert (before.seconds[pools] != after.seconds[pools]).all()


def test_no_folder_and_no_permission_are_told_plainly(tmp_path: Path, trained: Trained) -> None:
    with pytest.raises(InvalidInput, match="dds train-predictor"):
        Predictor.load(tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInput, match="cannot write the predictor"):
        trained.predictor.save(tmp_path / "file")


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_damaged_files_are_refused_or_harmless(
    saved: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    name = data.draw(st.sampled_from(["predictor.json", "network.onnx"]))
    for path in saved.iterdir():
        content = path.read_bytes()
        if path.name == name:
            at = data.draw(st.integers(0, len(content) - 1))
            content = content[:at] + data.draw(st.binary(max_size=3)) + content[at + 1 :]
        (folder / path.name).write_bytes(content)
    try:
        loaded = Predictor.load(folder)
    except InvalidInput:
        return
    assert name == "predictor.json" or content == (saved / name).read_bytes()
    times = loaded.operator_times(load_model(zoo.topology("alexnet")))
    assert (times > 0.0).all()


@pytest.mark.parametrize(
    "change",
    [
        {"format": "dds-predictor/0"},
        {"columns": ["flops"]},
        {"network": "0" * 64},
        {"experts": {}},
        {"experts": None},
        {"shift": [1.0]},
        {"shift": [float("nan")] * 16},
        {"runtime": {"threads": 0, "optimisation": "all"}},
        {"runtime": {"threads": float("inf"), "optimisation": "all"}},
        {"shift": [10**400] * 16},
    ],
)
def test_a_document_that_is_wrong_is_refused(
    saved: Path, tmp_path: Path, change: dict[str, object]
) -> None:
    document = json.loads((saved / "predictor.json").read_text())
    (tmp_path / "network.onnx").write_bytes((saved / "network.onnx").read_bytes())
    (tmp_path / "predictor.json").write_text(json.dumps(document | change))
    with pytest.raises(InvalidInput):
        Predictor.load(tmp_path)


def test_parts_that_do_not_belong_together_are_refused(trained: Trained) -> None:
    predictor = trained.predictor
    with pytest.raises(InvalidInput, match="pooled one"):
        replace(predictor, experts={}, ensembles={})
    strange = {"strange": predictor.experts[POOLED], POOLED: predictor.experts[POOLED]}
    with pytest.raises(InvalidInput, match="families"):
        replace(
            predictor,
            experts=strange,
            ensembles=dict.fromkeys(strange, predictor.ensembles[POOLED]),
        )
    with pytest.raises(InvalidInput, match="coefficients"):
        Expert(roofline=(1.0,), spread=0.1, widen=1.0, rows=3)
    assert set(predictor.experts) <= {*FAMILIES, POOLED}


def test_numbers_that_overflow_are_no_prediction(trained: Trained) -> None:
    predictor = trained.predictor
    graph = load_model(zoo.topology("alexnet"))
    huge = {name: replace(each, roofline=(1e308,) * 5) for name, each in predictor.experts.items()}
    with pytest.raises(InvalidInput, match="overflow"):
        replace(predictor, experts=huge).operator_times(graph)
    unsure = {name: replace(each, widen=1e308) for name, each in predictor.experts.items()}
    bounds = replace(predictor, experts=unsure).uncertainty(graph)
    assert np.exp(bounds).max() < np.inf
