from collections import Counter

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dds.errors import InvalidInput
from dds.model import ModelGraph, load_model, zoo
from dds.predict.features import FAMILIES, features
from dds.predict.generator import sweep_model


@settings(deadline=None, max_examples=8)
@given(st.integers(0, 10_000), st.integers(0, 3))
def test_a_model_is_valid_and_the_same_every_time(number: int, seed: int) -> None:
    model = sweep_model(number, seed=seed)
    assert model == sweep_model(number, seed=seed)
    assert model != sweep_model(number + 1, seed=seed)
    onnx.checker.check_model(model, full_check=True)
    graph = load_model(model)
    made = onnx.ModelProto.FromString(model)
    # Shapes that the sketch kept count are those that ONNX infers; no operator is idle.
    assert len(graph.operators) == len(made.graph.node)
    declared = made.graph.output[0].type.tensor_type.shape.dim
    assert graph.tensors[graph.outputs[0]].shape == tuple(d.dim_value for d in declared)


@pytest.mark.parametrize("number", range(12))
def test_a_model_computes_finite_and_varied_numbers(number: int) -> None:
    model = sweep_model(number)
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    given_input = session.get_inputs()[0]
    x = np.random.default_rng(0).standard_normal(given_input.shape).astype(np.float32)
    (y,) = session.run(None, {given_input.name: x})
    assert np.isfinite(y).all()
    assert y.std() > 1e-12


def test_the_sweep_holds_every_family_and_no_model_of_the_zoo(graphs: list[ModelGraph]) -> None:
    rows = Counter(FAMILIES[f] for graph in graphs for f in features(graph).family)
    assert set(rows) == set(FAMILIES) - {"other"}
    structures = {tuple(operator.kind for operator in graph.operators) for graph in graphs}
    for name in zoo.NAMES:
        known = load_model(zoo.topology(name))
        assert tuple(operator.kind for operator in known.operators) not in structures


@pytest.mark.parametrize(("number", "seed"), [(-1, 0), (0, -1)])
def test_negative_numbers_are_refused(number: int, seed: int) -> None:
    with pytest.raises(InvalidInput, match="whole numbers"):
        sweep_model(number, seed=seed)
