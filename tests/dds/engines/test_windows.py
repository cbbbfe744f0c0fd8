"""Windows with any stride, dilation and padding: every engine computes what onnxruntime does."""

from __future__ import annotations

import importlib.util

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from dds.engines import ENGINES, engine
from dds.engines.comparison import allowed, difference
from dds.errors import InvalidInput
from dds.profile.runtime import Runtime

OTHERS = [n for n in ENGINES if n != "onnxruntime" and importlib.util.find_spec(n)]
#: As the model is written: padding is not to be moved into another operator.
PLAIN = Runtime(optimisation="none")


@st.composite
def windows(draw) -> tuple[bytes, np.ndarray]:
    """A model of one convolution or pooling, opset 9 or 17, and a picture."""
    rank, kind = draw(st.sampled_from([1, 2, 3])), draw(
        st.sampled_from(["Conv", "MaxPool", "AveragePool"])
    )  # fmt: skip
    kernel = draw(st.lists(st.integers(1, 3), min_size=rank, max_size=rank))
    given_ = {"strides": [draw(st.integers(1, k)) for k in kernel]}
    if kind == "Conv":
        given_["group"] = draw(st.sampled_from([1, 2]))
    if kind == "AveragePool":
        given_["count_include_pad"] = draw(st.sampled_from([0, 1]))
    auto = draw(st.sampled_from(["NOTSET", "NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"]))
    if auto == "NOTSET":
        # A window must meet the picture, or what it holds is nobody's business.
        given_["pads"] = [draw(st.integers(0, k - 1)) for k in kernel * 2]
    else:
        given_["auto_pad"] = auto
    if kind == "Conv" and not auto.startswith("SAME"):  # together onnxruntime has them not
        given_["dilations"] = [draw(st.integers(1, 2)) for _ in kernel]
    sizes = [draw(st.integers(5, 8)) for _ in kernel]
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    picture = rng.standard_normal((1, 4, *sizes)).astype(np.float32)
    reads, weights = ["x"], []
    if kind == "Conv":
        shape = (6, 4 // given_["group"], *kernel)
        arrays = {"w": rng.standard_normal(shape), "b": rng.standard_normal(6)}
        weights = [numpy_helper.from_array(a.astype(np.float32), n) for n, a in arrays.items()]
        reads = ["x", "w", "b"]
    node = helper.make_node(kind, reads, ["y"], kernel_shape=kernel, **given_)
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [node],
        "window",
        [value("x", TensorProto.FLOAT, picture.shape)],
        [value("y", TensorProto.FLOAT, ["n", "c", *"def"[:rank]])],
        weights,
    )
    opset = helper.make_opsetid("", draw(st.sampled_from([9, 17])))
    return helper.make_model(
        graph, opset_imports=[opset], ir_version=8
    ).SerializeToString(), picture


@pytest.mark.parametrize("name", OTHERS)
@settings(max_examples=60)
@given(drawn=windows())
def test_windows_are_what_onnxruntime_makes_of_them(name: str, drawn) -> None:
    model, picture = drawn
    onnx.checker.check_model(model)
    expected = engine("onnxruntime", PLAIN).load(model).run({"x": picture})["y"]
    found = engine(name).load(model).run({"x": picture})["y"]
    assert found.shape == expected.shape
    assert difference(found, expected) <= allowed(expected.dtype)


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_left_out_of_a_pooling_is_refused_or_right(name: str) -> None:
    value = helper.make_tensor_value_info
    node = helper.make_node(
        "MaxPool", ["x"], ["y"], kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1
    )
    form = value("x", TensorProto.FLOAT, (1, 1, 5, 5)), value("y", TensorProto.FLOAT, (1, 1, 3, 3))
    graph = helper.make_graph([node], "g", form[:1], form[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    feeds = {"x": np.arange(25, dtype=np.float32).reshape(1, 1, 5, 5)}
    bytes_ = model.SerializeToString()
    if name == "torch":
        with pytest.raises(InvalidInput, match="torch has no MaxPool 0 with ceil_mode"):
            engine(name).load(bytes_)
    else:
        expected = engine("onnxruntime").load(bytes_).run(feeds)["y"]
        assert difference(engine(name).load(bytes_).run(feeds)["y"], expected) == 0.0
