import json
from pathlib import Path

import pytest

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
