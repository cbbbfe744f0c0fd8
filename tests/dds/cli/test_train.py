import contextlib
import io
import json
from pathlib import Path
from typing import Any

import pytest

from dds.cli.main import main


def train(folder: Path, *more: str) -> int:
    flags = ["--out", str(folder / "out"), "--cache", str(folder / "cache"), "--models", "4"]
    return main(["train-predictor", *flags, "--budget", "60", *more])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("trained")


@pytest.fixture(scope="module")
def trained(folder: Path) -> dict[str, Any]:
    """What training said, as JSON; the predictor is in `folder`."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        assert train(folder, "--json") == 0
    return dict(json.loads(said.getvalue()))


def test_training_tells_its_errors_and_measures_once(
    folder: Path, trained: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert trained["models"] == 4
    assert trained["held_out_models"] == 1
    assert trained["held_out"][-1]["family"] == "all"
    predictor = contents(folder / "out")
    measured = contents(folder / "cache")
    assert len([path for path in measured if path.suffix == ".json"]) == 4
    assert train(folder) == 0
    assert contents(folder / "cache") == measured
    assert contents(folder / "out") == predictor
    printed = capsys.readouterr()
    assert printed.out.split()[:3] == ["operators", "held", "out"]
    assert "trained on 3 models, judged on 1 others" in printed.out
    assert printed.err == ""


def contents(folder: Path) -> dict[Path, bytes]:
    """Every file below a folder."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_prediction_names_operators_that_run_as_one(
    folder: Path, trained: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
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
