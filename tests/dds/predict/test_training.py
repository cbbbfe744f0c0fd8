from dataclasses import replace

import numpy as np
import pytest

from dds.errors import InvalidInput
from dds.model import ModelGraph, load_model, zoo
from dds.predict.training import Sample, Trained, calibrated, judge, train

from .conftest import QUICK, lawful, sample


def test_a_law_is_learned_well_enough_for_models_never_seen(trained: Trained) -> None:
    held_out = {each.family: each for each in trained.judgements}
    assert held_out["all"].mape < 0.08
    real = [sample(load_model(zoo.topology(name))) for name in ("resnet50", "inception_v1")]
    for each in real:
        total = trained.predictor.operator_times(each.graph).sum()
        assert total == pytest.approx(each.seconds.sum(), rel=0.15)


def test_stated_uncertainty_covers_nine_in_ten_of_what_it_was_calibrated_on(
    trained: Trained, graphs: list[ModelGraph]
) -> None:
    rng = np.random.default_rng(0)
    noisy = [
        Sample(g, lawful(g) * np.exp(0.2 * rng.standard_normal(len(g.operators))), s.noise)
        for g in graphs
        for s in (sample(g),)
    ]
    predictor = calibrated(trained.predictor, noisy)
    whole = {each.family: each.coverage for each in judge(predictor, noisy)}["all"]
    assert 0.87 <= whole <= 0.93
    assert predictor.experts["convolution"].spread == pytest.approx(0.2, rel=0.25)


def test_equal_arguments_give_equal_predictors(graphs: list[ModelGraph]) -> None:
    samples = [sample(graph) for graph in graphs[:4]]
    quick = replace(QUICK, steps=20)
    one, two, other = (train(samples, "p", seed=seed, recipe=quick) for seed in (1, 1, 2))
    times = [each.predictor.operator_times(graphs[5]) for each in (one, two, other)]
    assert np.array_equal(times[0], times[1])
    assert not np.array_equal(times[0], times[2])
    assert one.judgements == two.judgements


def test_rare_families_have_no_expert_of_their_own(graphs: list[ModelGraph]) -> None:
    few = train([sample(graph) for graph in graphs[:3]], "p", recipe=replace(QUICK, steps=5))
    rows = {name: expert.rows for name, expert in few.predictor.experts.items()}
    assert "pooled" in rows
    assert all(count >= 24 for count in rows.values())
    assert len(rows) < len({*few.predictor.experts} | {"local_norm", "reduction"})


def test_noisy_rows_count_less(graphs: list[ModelGraph]) -> None:
    rng = np.random.default_rng(0)

    def disturbed(graph: ModelGraph, known: bool) -> Sample:
        bad = rng.random(len(graph.operators)) < 0.4
        seconds = lawful(graph) * np.where(bad, 8.0, 1.0)
        return Sample(graph, seconds, np.where(bad, 5.0 if known else 0.0, 0.0))

    errors = []
    for known in (True, False):
        samples = [disturbed(graph, known) for graph in graphs[:16]]
        predictor = train(samples, "p", recipe=QUICK).predictor
        errors.append(judge(predictor, [sample(graph) for graph in graphs[16:]])[-1].mape)
    assert errors[0] < 0.5 * errors[1]


def test_what_cannot_be_trained_on_is_refused(graphs: list[ModelGraph]) -> None:
    one = sample(graphs[0])
    with pytest.raises(InvalidInput, match="at least 2"):
        train([one], "p")
    with pytest.raises(InvalidInput, match="held_out"):
        train([one, one], "p", held_out=1.0)
    with pytest.raises(InvalidInput, match="> 0"):
        replace(one, seconds=0.0 * one.seconds)
    with pytest.raises(InvalidInput, match="noise"):
        replace(one, noise=one.noise - 1.0)
    with pytest.raises(InvalidInput, match="seconds and noises"):
        replace(one, noise=one.noise[1:])
