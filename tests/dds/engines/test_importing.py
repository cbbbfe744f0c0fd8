"""Models that scikit-learn trained, as ONNX: they predict what the estimator predicts."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.ensemble import GradientBoostingRegressor, RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from dds import load_model
from dds.engines import TensorSpec, engine
from dds.engines.comparison import difference
from dds.engines.importing import from_sklearn, from_torch
from dds.errors import InvalidInput

RNG = np.random.default_rng(0)
ROWS = RNG.standard_normal((40, 5)).astype(np.float32)
LABELS = (ROWS[:, 0] + ROWS[:, 1] > 0).astype(np.int64)


@pytest.mark.parametrize(
    "estimator",
    [
        LinearRegression(),
        make_pipeline(
            StandardScaler(), MLPRegressor(hidden_layer_sizes=(8,), max_iter=20, random_state=0)
        ),
    ],
    ids=["linear", "network"],
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_regressors_predict_the_same(estimator) -> None:
    estimator.fit(ROWS, ROWS @ np.arange(5.0))
    loaded = engine("onnxruntime").load(from_sklearn(estimator, ROWS))
    ((_, found),) = loaded.run({"features": ROWS}).items()
    assert loaded.inputs[0].shape == (40, 5)
    assert difference(found[:, 0], estimator.predict(ROWS).astype(np.float32)) < 1e-5


@pytest.mark.parametrize(
    "estimator",
    [LogisticRegression(), RandomForestClassifier(5, random_state=0)],
    ids=["logistic", "forest"],
)
def test_classifiers_return_labels_and_probabilities(estimator) -> None:
    estimator.fit(ROWS, LABELS)
    labels, chances = engine("onnxruntime").load(from_sklearn(estimator, ROWS)).run(
        {"features": ROWS}
    ).values()  # fmt: skip
    assert np.array_equal(labels, estimator.predict(ROWS))
    assert difference(chances, estimator.predict_proba(ROWS).astype(np.float32)) < 1e-5


@pytest.mark.parametrize("form", [np.asarray, np.float64, np.ndarray.tolist], ids=repr)
@pytest.mark.parametrize(
    "estimator",
    [
        GradientBoostingRegressor(n_estimators=3, random_state=0),
        KMeans(3, n_init=1, random_state=0),
    ],
    ids=["boosting", "k-means"],
)
def test_tables_of_any_form_make_models_of_float32(estimator, form) -> None:
    """float64 is scikit-learn's own type, in which runtimes have no such operators."""
    estimator.fit(ROWS, LABELS)
    loaded = engine("onnxruntime").load(from_sklearn(estimator, form(ROWS)))
    assert loaded.inputs == (TensorSpec("features", "float32", ROWS.shape),)
    found = next(iter(loaded.run({"features": ROWS}).values()))
    assert (
        difference(found.ravel().astype(np.float32), estimator.predict(ROWS).astype(np.float32))
        < 1e-5
    )


def test_an_imported_model_can_be_cut() -> None:
    model = from_sklearn(
        make_pipeline(StandardScaler(), LinearRegression()).fit(ROWS, LABELS), ROWS
    )
    assert len(load_model(model).operators) >= 2


def test_what_cannot_be_imported_is_one_line(monkeypatch) -> None:
    with pytest.raises(InvalidInput, match="skl2onnx cannot convert the estimator") as caught:
        from_sklearn(object(), ROWS)
    assert "\n" not in str(caught.value)
    with pytest.raises(InvalidInput, match=r"features have shape \(5,\); pass rows x features"):
        from_sklearn(LinearRegression(), ROWS[0])
    with pytest.raises(InvalidInput, match="features are no table of numbers"):
        from_sklearn(LinearRegression(), [[1.0], [2.0, 3.0]])
    with pytest.raises(InvalidInput, match="features are of type bool; pass one of float32"):
        from_sklearn(LinearRegression(), ROWS > 0)
    for package, call in (("torch", from_torch), ("skl2onnx", from_sklearn)):
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(InvalidInput, match=f"needs the package {package}; pip install 'dds"):
            call(None, ROWS)
