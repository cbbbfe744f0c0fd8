"""``dds convert``: what it prints and writes, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest

from dds.cli.main import main
from dds.engines.on_openvino import OpenVino
from dds.model import load_model
from dds.testing.models import text_model

MODEL = """(float[1,3,8,8] x) => (float[1,3,8,8] y, float[1,3,8,8] z)
    {a = Relu(x) b = MaxPool<kernel_shape = [3,3], pads = [1,1,1,1]>(a)
     y = Tanh(b) z = Sigmoid(b)}"""


@pytest.fixture
def file(tmp_path) -> str:
    path = tmp_path / "small.onnx"
    path.write_bytes(text_model(MODEL))
    return str(path)


def test_it_compares_times_and_writes(capsys, file: str, tmp_path) -> None:
    out = tmp_path / "small.xml"
    assert main(["convert", file, "--to", "openvino", "--check", "-o", str(out)]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("output  difference / largest value\ny ")
    assert "tensors between blocks: at most " in shown
    assert "latency: " in shown
    assert f"wrote {out} and {out.with_suffix('.bin')}" in shown
    assert {path.name for path in tmp_path.iterdir()} == {"small.onnx", "small.xml", "small.bin"}


def test_weights_of_somebody_else_are_left_alone(capsys, file: str, tmp_path) -> None:
    weights = tmp_path / "small.bin"
    weights.write_bytes(b"somebody's")
    assert main(["convert", file, "--to", "openvino", "-o", str(tmp_path / "small.xml")]) == 2
    (told,) = capsys.readouterr().err.splitlines()
    assert told.startswith(f"dds convert: {weights} is there already")
    assert weights.read_bytes() == b"somebody's"


def test_as_json(capsys, file: str) -> None:
    assert main(["convert", file, "--to", "openvino", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["engine"], found["right"], found["refused"]) == ("openvino", True, "")
    assert [(t["name"], t["output"]) for t in found["tensors"]] == [("y", True), ("z", True)]
    assert all(0 <= t["difference"] < 1e-6 for t in found["tensors"])
    assert set(found["latency_s"]) == {"before", "after"}
    assert found["files"] == []


def test_an_onnx_file_is_made_for_onnxruntime_with_its_shapes_fixed(
    capsys, file: str, tmp_path
) -> None:
    out = tmp_path / "ready.onnx"
    Path(file).write_bytes(text_model(MODEL.replace("1,3,8,8", "N,3,8,8")))
    assert main(["convert", file, "--to", "onnxruntime", "-o", str(out)]) == 2
    assert "--shape x=1,3,8,8" in capsys.readouterr().err
    given = ["convert", file, "--shape", "x=2,3,8,8", "--to", "onnxruntime", "-o", str(out)]
    assert main(given) == 0
    onnx.checker.check_model(out.read_bytes())
    assert {tensor.shape for tensor in load_model(out).tensors} == {(2, 3, 8, 8)}
    assert f"wrote {out}" in capsys.readouterr().out


def test_what_differs_is_refused(capsys, file: str, tmp_path, monkeypatch) -> None:
    class Wrong:
        """OpenVINO with a defect: the first output comes out doubled."""

        def __init__(self, loaded) -> None:
            self.loaded = loaded
            self.close = loaded.close

        def run(self, feeds):
            found = self.loaded.run(feeds)
            return {**found, "y": 2 * found["y"]}

    load = OpenVino.load
    monkeypatch.setattr(OpenVino, "load", lambda self, model: Wrong(load(self, model)))
    out = tmp_path / "small.xml"
    assert main(["convert", file, "--to", "openvino", "-o", str(out)]) == 1
    shown = capsys.readouterr().out
    assert "refused: openvino computes 'y' differently: by 1 of its largest value" in shown
    assert "latency" not in shown
    assert not out.exists()
    assert main(["convert", file, "--to", "openvino", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["right"] is False


def test_an_operator_that_the_engine_lacks_is_refused(capsys, tmp_path) -> None:
    path = tmp_path / "determinant.onnx"
    path.write_bytes(text_model("(float[2,2] x) => (float y) {y = Det(x)}"))
    assert main(["convert", str(path), "--to", "onnxruntime"]) == 0
    capsys.readouterr()
    assert main(["convert", str(path), "--to", "openvino"]) == 1
    shown = capsys.readouterr().out
    assert shown.startswith("refused: openvino cannot load the model: No conversion rule")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--to", "tflite"], "there is no engine 'tflite'; choose onnxruntime, openvino, torch"),
        (["--to", "openvino", "-o", "a.onnx"], "a.onnx is for openvino; call it a.xml"),
        (["--to", "openvino", "-o", ""], "is a folder; name a file that ends in .xml"),
        (["--to", "openvino", "--threads", "0"], "threads is 0"),
        (["--to", "openvino", "-o", "nowhere/a.xml"], "nowhere/a.xml: there is no such folder"),
    ],
)
def test_wrong_words_are_one_line(capsys, file: str, words: list[str], message: str) -> None:
    assert main(["convert", file, *words]) == 2
    told = capsys.readouterr().err
    assert told.startswith("dds convert: ")
    assert message in told
    assert len(told.splitlines()) == 1


def test_what_is_no_model_is_one_line(capsys, tmp_path) -> None:
    path = tmp_path / "no.onnx"
    path.write_bytes(b"no model")
    assert main(["convert", str(path), "--to", "openvino"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
