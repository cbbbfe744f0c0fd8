import contextlib

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dds.errors import InvalidInput
from dds.predict.network import Ensemble
from dds.predict.onnxnet import Networks, ensembles_from_onnx, ensembles_to_onnx


def ensemble(seed: int, columns: int, members: int = 3, hidden: int = 6) -> Ensemble:
    rng = np.random.default_rng(seed)

    def draw(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(np.float32)

    sizes = ((columns, hidden), (hidden, hidden), (hidden, 1))
    weights = tuple(draw(members, *size) for size in sizes)
    biases = tuple(draw(members, 1, out) for _, out in sizes)
    return Ensemble(draw(columns), draw(columns), weights, biases)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10**6), st.integers(1, 5), st.integers(0, 9))
def test_onnxruntime_says_what_numpy_says(seed: int, columns: int, rows: int) -> None:
    both = {"a": ensemble(seed, columns), "b": ensemble(seed + 1, columns, members=1)}
    values = np.random.default_rng(seed).standard_normal((rows, columns))
    said = Networks(both)({"b": values})
    assert set(said) == {"b"}
    assert said["b"].shape == (1, rows)
    assert said["b"] == pytest.approx(both["b"](values), rel=1e-4, abs=1e-4)


def test_a_file_is_a_valid_model_and_comes_back_bit_for_bit() -> None:
    both = {"a": ensemble(0, 4), "b": ensemble(1, 4)}
    data = ensembles_to_onnx(both)
    onnx.checker.check_model(data, full_check=True)
    back = ensembles_from_onnx(data)
    assert list(back) == ["a", "b"]
    assert ensembles_to_onnx(back) == data


def test_operators_of_another_file_are_not_run() -> None:
    model = onnx.ModelProto.FromString(ensembles_to_onnx({"a": ensemble(0, 4)}))
    model.graph.node[0].op_type = "Loop"
    assert Networks(ensembles_from_onnx(model.SerializeToString()))({"a": np.ones((2, 4))})


def _rename(model: onnx.ModelProto) -> None:
    model.graph.initializer[2].name = "a/other"


def _shorten(model: onnx.ModelProto) -> None:
    model.graph.initializer[2].raw_data = model.graph.initializer[2].raw_data[:-4]


def _huge(model: onnx.ModelProto) -> None:
    model.graph.initializer[2].dims[0] = 2**40


def _reshape(model: onnx.ModelProto) -> None:
    model.graph.initializer[2].dims[1], model.graph.initializer[2].dims[2] = (
        model.graph.initializer[2].dims[2], model.graph.initializer[2].dims[1],
    )  # fmt: skip


def _infinite(model: onnx.ModelProto) -> None:
    weights = np.full(4, np.inf, np.float32)
    model.graph.initializer[0].raw_data = weights.tobytes()


def _double(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].data_type = onnx.TensorProto.DOUBLE


@pytest.mark.parametrize("damage", [_rename, _shorten, _huge, _reshape, _infinite, _double])
def test_a_damaged_file_is_refused(damage) -> None:
    model = onnx.ModelProto.FromString(ensembles_to_onnx({"a": ensemble(0, 4)}))
    damage(model)
    with pytest.raises(InvalidInput, match="network"):
        ensembles_from_onnx(model.SerializeToString())


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_refused_or_hold_no_network(data: bytes) -> None:
    with contextlib.suppress(InvalidInput):
        assert ensembles_from_onnx(data) == {}
