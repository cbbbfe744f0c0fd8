"""Engines by name, feeds that fit, models in old operators."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dds.engines import ENGINES, TensorSpec, engine
from dds.engines import engine as by_name
from dds.engines.comparison import difference, random_feeds
from dds.engines.engine import check_feeds
from dds.engines.signature import signature
from dds.engines.upgrade import OPSET, upgrade
from dds.errors import InvalidInput
from dds.model import zoo
from dds.model.onnxfile import open_onnx, opset
from dds.profile.runtime import Runtime
from dds.testing.models import text_model


def test_unknown_engines_are_one_line() -> None:
    with pytest.raises(
        InvalidInput, match="there is no engine 'tflite'; choose onnxruntime, openvino"
    ):
        engine("tflite")


@pytest.mark.parametrize("name", ENGINES)
def test_an_engine_that_is_not_installed_names_its_extra(monkeypatch, name: str) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    extra = "server" if name == "onnxruntime" else name
    with pytest.raises(
        InvalidInput, match=rf"needs the package {name}; pip install 'dds\[{extra}\]'"
    ):
        engine(name)


def test_engines_are_imported_when_they_are_asked_for() -> None:
    code = (
        "import sys, dds.engines; "
        "print([m for m in ('onnxruntime', 'openvino', 'torch', 'skl2onnx') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_runtime_reaches_the_engine() -> None:
    runtime = Runtime(2, "basic")
    assert by_name("onnxruntime", runtime).runtime == runtime
    assert by_name("openvino", runtime).runtime.threads == 2


shapes = st.lists(st.integers(0, 3), max_size=3).map(tuple)
types = st.sampled_from(["float32", "float64", "int64", "bool", "uint8", "float16"])


@given(shapes, types, shapes, types, st.lists(st.booleans(), min_size=3, max_size=3))
def test_feeds_fit_where_type_and_shape_do(shape, dtype, wanted, kind, is_open) -> None:
    pairs = zip(wanted, is_open, strict=False)
    spec = TensorSpec("x", kind, tuple(-1 if open_ else size for size, open_ in pairs))
    fits = dtype == kind and len(shape) == len(wanted)
    fits = fits and all(w in (-1, s) for w, s in zip(spec.shape, shape, strict=True))
    feeds = {"x": np.zeros(shape, dtype)}
    if fits:
        check_feeds([spec], feeds)
    else:
        with pytest.raises(InvalidInput, match=r"input 'x' is .*; feed "):
            check_feeds([spec], feeds)


def test_bytes_in_another_order_are_refused() -> None:
    """onnxruntime would read them as other numbers."""
    other = np.dtype(np.float32).newbyteorder()
    with pytest.raises(InvalidInput, match=r"^input 'x' is [<>]f4 \(2\); feed float32 \(2\)$"):
        check_feeds([TensorSpec("x", "float32", (2,))], {"x": np.zeros(2, other)})


def test_what_is_no_tensor_has_no_signature() -> None:
    bare = onnx.load_from_string(text_model("(float[2] x) => (float[2] y) {y = Relu(x)}"))
    bare.graph.output[0].ClearField("type")
    with pytest.raises(InvalidInput, match="'y' is not declared as a tensor with a shape"):
        signature(open_onnx(bare.SerializeToString()))


def test_onnxruntime_names_a_sequence() -> None:
    made = text_model("(float[2] x) => (seq(float[2]) y) {y = SequenceConstruct(x)}")
    with pytest.raises(InvalidInput, match=r"'y' is a seq\(tensor\(float\)\)"):
        engine("onnxruntime").load(made)


@pytest.mark.parametrize("name", ["squeezenet", "shufflenet"])
def test_upgraded_models_are_the_same(name: str) -> None:
    model = zoo.build(name)
    upgraded = upgrade(model)
    assert opset(open_onnx(model).model) < OPSET == opset(open_onnx(upgraded).model)
    onnx.checker.check_model(upgraded)
    before, after = (engine("onnxruntime").load(m) for m in (model, upgraded))
    assert (before.inputs, before.outputs) == (after.inputs, after.outputs)
    feeds = random_feeds(before.inputs, np.random.default_rng(3))
    found = after.run(feeds)
    assert all(difference(found[k], v) < 1e-6 for k, v in before.run(feeds).items())
    assert upgrade(upgraded) is upgraded


def test_a_model_that_cannot_be_upgraded_is_one_line() -> None:
    model = onnx.load_from_string(text_model("(float[2] x) => (float[2] y) {y = Relu(x)}"))
    model.opset_import[0].version = 9
    model.graph.node[0].op_type = "Nothing"
    with pytest.raises(InvalidInput, match="cannot be upgraded from opset 9 to 17") as caught:
        upgrade(model.SerializeToString())
    assert "\n" not in str(caught.value)
