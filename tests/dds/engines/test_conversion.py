"""Models made ready for an engine: compared at outputs and inside, and written to files."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import openvino
import pytest

from dds.engines import TensorSpec, engine
from dds.engines.comparison import difference, random_feeds
from dds.engines.conversion import convert, expose, prepare
from dds.engines.saving import SUFFIXES, check_place, save
from dds.errors import InvalidInput
from dds.model import load_model, zoo
from dds.testing.models import text_model

#: A convolution with its batch norm and an LRN in one chain, as old models have them.
CHAIN = """(float[1,4,6,6] x) => (float[1,4] y)
    <float[4,4,3,3] w, float[4] b> {
    made = Conv<pads = [1, 0, 1, 2]>(x, w, b)
    kept = LRN<size = 3>(made)
    mean = GlobalAveragePool(kept)
    flat = Flatten(mean)
    y = Softmax(flat)
}"""


@pytest.fixture(scope="module")
def chain() -> bytes:
    rng = np.random.default_rng(0)
    model = onnx.load_from_string(text_model(CHAIN))
    del model.graph.initializer[:]
    for name, shape in (("w", (4, 4, 3, 3)), ("b", (4,))):
        values = rng.standard_normal(shape).astype(np.float32)
        model.graph.initializer.append(onnx.numpy_helper.from_array(values, name))
    return model.SerializeToString()


class Spoils:
    """onnxruntime, but one tensor comes out wrong wherever it is asked for."""

    name = "spoils"

    def __init__(self, tensor: str) -> None:
        self.tensor = tensor

    def load(self, model: bytes):
        self.loaded = engine("onnxruntime").load(model)
        return self

    def run(self, feeds):
        found = self.loaded.run(feeds)
        return {name: v * np.float32(1 + 0.01 * (name == self.tensor)) for name, v in found.items()}

    def close(self) -> None:
        self.loaded.close()


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_models_of_the_zoo_are_right_also_inside(name: str) -> None:
    done = convert(zoo.build("squeezenet"), engine(name), boundaries=True)
    assert done.refused == ""
    assert len(done.differences) > 30
    assert max(done.differences.values()) < 1e-5
    assert list(done.differences)[-1] == "softmaxout_1"


def test_outputs_alone_are_compared_unless_asked(chain: bytes) -> None:
    assert list(convert(chain, engine("openvino")).differences) == ["y"]
    found = convert(chain, engine("openvino"), boundaries=True).differences
    assert list(found) == ["made", "kept", "mean", "flat", "y"]


def test_the_first_tensor_that_differs_is_named(chain: bytes) -> None:
    spoils = Spoils("kept")
    assert convert(chain, spoils).refused == ""
    done = convert(chain, spoils, boundaries=True)
    assert done.refused.startswith("spoils computes 'kept' differently: by 0.01 of its largest")
    assert done.differences["made"] < 1e-6
    assert convert(chain, spoils, boundaries=True, tolerance=0.02).refused == ""


def test_what_an_engine_cannot_load_is_refused_not_raised() -> None:
    model = text_model("(float[2] x) => (int64[2] y) {y = Cast<to = 7>(x)}")

    class Knows(Spoils):
        def load(self, _: bytes):
            raise InvalidInput("spoils has no Cast")

    done = convert(model, Knows(""))
    assert (done.refused, done.differences) == ("spoils has no Cast", {})


def test_no_model_is_an_error() -> None:
    with pytest.raises(InvalidInput):
        convert(b"no model", engine("openvino"))


def test_each_engine_gets_what_it_is_fast_at(chain: bytes) -> None:
    def kinds(model: bytes) -> set[str]:
        return {node.op_type for node in onnx.load_from_string(model).graph.node}

    assert "LRN" in kinds(prepare(chain, "openvino"))
    assert "LRN" not in kinds(prepare(chain, "onnxruntime")) | kinds(prepare(chain, "torch"))


def test_open_shapes_are_the_callers() -> None:
    model = text_model("(float[N,3] x) => (float[N,3] y) {y = Relu(x)}")
    with pytest.raises(InvalidInput, match="x"):
        convert(model, engine("openvino"))
    assert convert(model, engine("openvino"), shapes={"x": (2, 3)}).refused == ""


@pytest.mark.parametrize("target", ["onnxruntime", "openvino", "torch"])
def test_what_is_ready_for_an_engine_has_no_open_shapes(target: str) -> None:
    model = text_model(
        "(float[N,3] x, float[N,M] z) => (float[N,M] y) {a = Relu(x) y = MatMul(a, z)}"
    )
    ready = prepare(model, target, shapes={"x": (3, 3), "z": (3, 2)})
    inputs = [tensor.shape for tensor in load_model(ready).tensors[:2]]
    assert inputs == [(3, 3), (3, 2)]
    (output,) = onnx.load_from_string(ready).graph.output
    assert [size.dim_value for size in output.type.tensor_type.shape.dim] == [3, 2]


def test_exposed_tensors_are_outputs_and_nothing_else_changes(chain: bytes) -> None:
    shown = engine("onnxruntime").load(expose(chain, load_model(chain), ["kept", "y"]))
    assert shown.outputs == (
        TensorSpec("y", "float32", (1, 4)), TensorSpec("kept", "float32", (1, 4, 6, 6)),
    )  # fmt: skip
    plain = engine("onnxruntime").load(chain)
    feeds = random_feeds(plain.inputs, np.random.default_rng(1))
    assert difference(shown.run(feeds)["y"], plain.run(feeds)["y"]) < 1e-6


def test_openvinos_files_are_read_by_openvino(chain: bytes, tmp_path) -> None:
    path = tmp_path / "chain.xml"
    path.write_text("what was there before")
    assert save(chain, "openvino", path) == (path, tmp_path / "chain.bin")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["chain.bin", "chain.xml"]
    loaded = engine("onnxruntime").load(chain)
    feeds = random_feeds(loaded.inputs, np.random.default_rng(1))
    compiled = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    assert difference(compiled(feeds)["y"], loaded.run(feeds)["y"]) < 1e-5


def test_openvinos_weights_replace_those_of_a_model_and_nothing_else(
    chain: bytes, tmp_path
) -> None:
    path, weights = tmp_path / "model.xml", tmp_path / "model.bin"
    weights.write_bytes(b"somebody's")
    refused = rf"{weights} is there already, and belongs to no model\.xml; move it away, or"
    for other in (None, "<notes/>"):
        if other:
            path.write_text(other)
        for refuse in (
            lambda: check_place(path, "openvino"),
            lambda: save(chain, "openvino", path),
        ):
            with pytest.raises(InvalidInput, match=refused):
                refuse()
        assert weights.read_bytes() == b"somebody's"
    weights.unlink()
    save(chain, "openvino", path)
    weights.rename(tmp_path / "weights")
    for place, remove in (
        (weights.mkdir, weights.rmdir),
        (lambda: weights.symlink_to("nowhere"), weights.unlink),
    ):
        place()
        with pytest.raises(InvalidInput, match=refused):
            check_place(path, "openvino")
        remove()
    (tmp_path / "weights").rename(weights)
    first = path.read_bytes(), weights.read_bytes()
    wider = text_model("(float[1,3] x) => (float[1,3] y) <float[3] w = {1, 2, 3}> {y = Add(x, w)}")
    save(wider, "openvino", path)
    assert path.read_bytes() != first[0]
    assert weights.read_bytes() != first[1]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model.bin", "model.xml"]
    # The other engines have one file, and leave a .bin alone.
    save(chain, "onnxruntime", tmp_path / "model.onnx")


@pytest.mark.parametrize("name", SUFFIXES)
def test_a_pipe_is_refused_and_stays(name: str, chain: bytes, tmp_path) -> None:
    path = tmp_path / f"model{SUFFIXES[name]}"
    os.mkfifo(path)
    for refuse in (lambda: check_place(path, name), lambda: save(chain, name, path)):
        with pytest.raises(InvalidInput, match=rf"{path} is there, and no file; choose another"):
            refuse()
    assert [entry.name for entry in tmp_path.iterdir() if entry.is_fifo()] == [path.name]


@pytest.mark.parametrize("late", [True, False])
@pytest.mark.parametrize("there", [True, False])
def test_a_failed_save_leaves_what_was_there(
    chain: bytes, tmp_path, monkeypatch: pytest.MonkeyPatch, there: bool, late: bool
) -> None:
    """late: each rename is done and then interrupted, else it fails."""
    path, weights = tmp_path / "model.xml", tmp_path / "model.bin"

    def found() -> dict[str, bytes]:
        return {p.name: p.read_bytes() for p in tmp_path.iterdir()}

    with pytest.raises(InvalidInput, match="openvino cannot save the model"):
        save(b"no model", "openvino", path)
    assert found() == {}
    if there:
        save(chain, "openvino", path)
    before, rename = found(), Path.replace
    steps = 0
    while found() == before:
        steps += 1
        left = [steps]

        def fails_at_last(this: Path, target: Path, left: list[int] = left) -> Path:
            # Never is a model beside weights that are not its own.
            if path.exists():
                old = [before.get(p.name) == p.read_bytes() for p in (path, weights)]
                assert old[0] == old[1]
            left[0] -= 1
            done = rename(this, target) if left[0] or late else target
            if left[0] == 0:
                raise OSError("no space left")
            return done

        monkeypatch.setattr(Path, "replace", fails_at_last)
        told = []
        try:
            save(prepare(chain, "onnxruntime"), "openvino", path)
        except InvalidInput as error:
            told = [str(error)]
        if told:
            assert told == [f"{path} cannot be written: no space left"]
            assert found() == before
    # Two old files go, two new ones come: each of these may fail.
    assert steps == (5 if there else 3)


def test_a_file_is_called_what_its_engine_reads(tmp_path) -> None:
    with pytest.raises(InvalidInput, match=r"is for openvino; call it model\.xml"):
        save(b"", "openvino", tmp_path / "model.onnx")
    with pytest.raises(InvalidInput, match="engine 'spoils' has no files"):
        save(b"", "spoils", tmp_path / "model.onnx")
    assert save(b"bytes", "onnxruntime", tmp_path / "model.onnx")[0].read_bytes() == b"bytes"
