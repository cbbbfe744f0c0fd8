import json
from pathlib import Path

import pytest

from dds.cli.main import main


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("trained")


def train(folder: Path, *more: str) -> int:
    flags = ["--out", str(folder / "out"), "--cache", str(folder / "cache"), "--models", "4"]
    return main(["train-predictor", *flags, "--budget", "60", *more])


def test_training_tells_its_errors_and_measures_once(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(folder, "--json") == 0
    first = json.loads(capsys.readouterr().out)
    assert train(folder, "--json") == 0
    assert json.loads(capsys.readouterr().out) == first
    assert first["models"] == 4
    assert first["held_out_models"] == 1
    assert first["held_out"][-1]["family"] == "all"
    assert len(list((folder / "cache").rglob("*.json"))) == 4
    assert train(folder) == 0
    printed = capsys.readouterr()
    assert printed.out.split()[:3] == ["operators", "held", "out"]
    assert "trained on 3 models, judged on 1 others" in printed.out
    assert printed.err == ""


def test_a_prediction_names_operators_that_run_as_one(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(folder) == 0
    capsys.readouterr()
    flags = ["predict", "zoo:squeezenet", "--predictor", str(folder / "out")]
    assert main([*flags, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["total_s"] == pytest.approx(sum(v["seconds"] for v in document["operators"]))
    kinds = {operator["kind"] for operator in document["operators"]}
    assert "Conv+Relu" in kinds
    assert main([*flags, "--top", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["operator", "runs", "as", "time", "share", "factor"]
    assert lines[3] == f"... and {len(document['operators']) - 2} more"
    assert lines[5].startswith(f"{len(document['operators'])} operators, ")
    shares = [float(line.split("%")[0].split()[-1]) for line in lines[1:3]]
    assert shares == sorted(shares, reverse=True)


def test_a_folder_without_a_predictor_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", "zoo:squeezenet", "--predictor", str(tmp_path)]) == 2
    assert "make one with dds train-predictor" in capsys.readouterr().err


@pytest.mark.parametrize("budget", ["nan", "-1", "0", "soon"])
def test_a_budget_is_a_time(folder: Path, budget: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        train(folder, f"--budget={budget}")
    assert caught.value.code == 2
    assert "--budget" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_measured(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    taken = tmp_path / "taken"
    taken.write_text("a file")
    assert train(folder, "--out", str(taken), "--cache", str(tmp_path / "cache")) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"dds train-predictor: --out {taken}: ")
    assert not (tmp_path / "cache").exists()
