import json
from pathlib import Path

import pytest
from onnx import TensorProto, helper

from dds.cli.main import main


def test_the_table_names_the_slowest_operators(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["profile", "zoo:squeezenet", "--repeats", "1", "--top", "3", "--cache", str(tmp_path)]
    assert main(flags) == 0
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert lines[3] == "... and 63 more"
    assert lines[5].startswith("66 operators, ")
    assert "onnxruntime" in lines[5]
    assert lines[6].startswith("a plain run takes ")
    assert printed.err == ""
    shares = [float(line.split()[-1].rstrip("%")) for line in lines[:3]]
    assert shares == sorted(shares, reverse=True)


def test_json_lists_every_operator_and_the_cache_is_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["profile", "zoo:shufflenet", "--repeats", "1", "--json", "--cache", str(tmp_path)]
    assert main(flags) == 0
    first = json.loads(capsys.readouterr().out)
    assert main(flags) == 0
    second = json.loads(capsys.readouterr().out)
    assert (first.pop("cached"), second.pop("cached")) == (False, True)
    assert first == second
    assert len(first["operators"]) == 203
    assert all(operator["seconds"] > 0.0 for operator in first["operators"])
    assert sum(op["seconds"] for op in first["operators"]) == pytest.approx(first["total_s"])


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (["zoo:nothing"], "zoo"),
        (["zoo:squeezenet", "--repeats", "0"], "repeats"),
        (["missing.onnx"], "missing.onnx"),
    ],
)
def test_wrong_input_is_one_line(
    flags: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["profile", "--no-cache", *flags]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert complaint in line


def test_a_shape_that_the_model_leaves_open_is_given_by_a_flag(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])],
        "open",
        [value("x", TensorProto.FLOAT, ["batch", 4])],
        [value("y", TensorProto.FLOAT, ["batch", 4])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    path = tmp_path / "open.onnx"
    path.write_bytes(model.SerializeToString())
    flags = ["profile", str(path), "--repeats", "1", "--json", "--no-cache"]
    assert main(flags) == 2
    assert "'x'" in capsys.readouterr().err
    assert main([*flags, "--shape", "x=2,4"]) == 0
    assert [op["kind"] for op in json.loads(capsys.readouterr().out)["operators"]] == ["Relu"]
