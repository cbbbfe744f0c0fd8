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
    assert lines[0].split() == ["operator", "runs", "as", "time", "noise", "share"]
    assert lines[4] == "... and 36 more"
    assert lines[6].startswith("66 operators in 39 kernels, ")
    assert "onnxruntime" in lines[6]
    assert lines[6].endswith("1 thread, optimisation all")
    assert lines[7].startswith("whole model: ")
    assert printed.err == ""
    shares = [float(line.split()[-1].rstrip("%")) for line in lines[1:4]]
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
    assert sum(len(row["members"]) for row in first["operators"]) == 203
    assert all(row["name"] == row["members"][-1] for row in first["operators"])
    assert all(row["kind"].count("+") + 1 == len(row["members"]) for row in first["operators"])
    assert all(row["seconds"] > 0.0 and row["noise"] > 0.0 for row in first["operators"])
    assert sum(row["seconds"] for row in first["operators"]) == pytest.approx(first["total_s"])


def test_without_optimisation_every_operator_is_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["profile", "zoo:squeezenet", "--repeats", "1", "--cache", str(tmp_path)]
    assert main([*flags, "--optimise", "none", "--top", "99"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines.index("") == 1 + 66
    assert lines[1 + 66 + 1].startswith("66 operators, ")


def test_what_taking_a_kernel_apart_costs_is_a_column(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["profile", "zoo:squeezenet", "--repeats", "1", "--apart", "--cache", str(tmp_path)]
    assert main([*flags, "--top", "99"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("apart")
    assert lines[-1].startswith("taken apart, all fused kernels together take ")
    assert main([*flags, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["operators"]
    assert all(row["apart_s"] == 0.0 for row in rows if len(row["members"]) == 1)
    assert any(row["apart_s"] != 0.0 for row in rows)


def test_a_terminal_sees_a_bar_and_nothing_of_it_is_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert main(["profile", "zoo:squeezenet", "--repeats", "2", "--no-cache"]) == 0
    drawn = capsys.readouterr().err.split("\r\033[K")
    assert "measuring ██████░░░░░░░░░░░░░░░░░░ 1/4" in drawn
    assert drawn[-1] == ""


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (["zoo:nothing"], "zoo"),
        (["zoo:squeezenet", "--repeats", "0"], "repeats"),
        (["missing.onnx"], "missing.onnx"),
        (["zoo:squeezenet", "--threads", "0"], "threads is 0"),
        (["zoo:squeezenet", "--threads", "4000000000"], "threads is 4000000000; need 1 to 1024"),
        (["zoo:squeezenet", "--duty", "0.0001"], "duty is 0.0001; need a part in [0.001, 1]"),
    ],
)
def test_wrong_input_is_one_line(
    flags: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["profile", "--no-cache", *flags]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert complaint in line


def test_the_levels_of_optimisation_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["profile", "zoo:squeezenet", "--optimise", "much"])
    complaint = capsys.readouterr().err
    assert all(level in complaint for level in ("--optimise", "none", "basic", "extended", "all"))


@pytest.mark.parametrize("part", ["0", "-1", "101%", "1.5", "nan", "half", "%"])
@pytest.mark.parametrize("flag", ["--duty", "--frequency"])
def test_a_slower_device_is_a_part_of_this_one(
    flag: str, part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["profile", "zoo:squeezenet", f"{flag}={part}"])
    assert f"{part!r} is not a part of one; write for example 25%" in capsys.readouterr().err


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
