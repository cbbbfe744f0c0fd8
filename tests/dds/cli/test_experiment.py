"""``dds experiment`` as a user runs it."""

import json
import os
import pty
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from dds.cli import picture
from dds.cli.main import main
from dds.experiments import three_tier

QUICK = ["experiment", "three-tier", "--models", "zfnet512", "vgg19"]


def test_the_table_has_every_cell_and_says_what_ties(capsys) -> None:
    assert main(QUICK) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    lines = shown.out.splitlines()
    assert lines[0].startswith("latencies in ms, ")
    assert lines[1].split()[:3] == ["network", "market", "model"]
    assert sum(line.startswith(("3G ", "4G ", "WiFi ")) for line in lines) == 12
    assert any(line.split() == ["best", "of", "the", "six", "0.00", "%", "12", "of", "12"]
               for line in lines)  # fmt: skip
    assert "chain two-point search finds as good a plan in 12 of 12 cells" in lines


def test_json_and_a_picture(tmp_path: Path, capsys) -> None:
    drawn = tmp_path / "tiles.png"
    flags = ["--device", "raspberry-pi-4", "--cloud", "edge-core", "--cloud-share", "8"]
    assert main([*QUICK, *flags, "--json", "--plot", str(drawn)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["setting"]["device"] == "raspberry-pi-4"
    assert found["setting"]["cloud_share"] == 8.0
    assert len(found["cells"]) == 12
    assert drawn.read_bytes().startswith(b"\x89PNG\r\n")
    assert [path.name for path in tmp_path.iterdir()] == ["tiles.png"]


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--heavy", "0"], "heavy has 0 clients"),
        (["--heavy", "1000000000000"], "heavy has 1000000000000 clients"),
        (["--models", "lenet"], "lenet"),
        (["--models", "vgg19", "vgg19"], "name each once"),
        (["--capacity", "2"], "above the capacity of 2 cores"),
        (["--networks", "5G"], "'5G' is not one of 3G, 4G, WiFi"),
        (["--inferences", "3"], "--inferences: only with --measure"),
        (["--seed", "0"], "--seed: only with --measure"),
        (["--measure", "--device", "phone"], "--device: is of the simulation"),
        (["--measure", "--plot", "a.png"], "--plot: is of the simulation"),
        (["--measure", "--models", "lenet"], "'lenet' is not one of alexnet"),
        (["--measure", "--models", "vgg19", "vgg19"], "name each once"),
        (["--measure", "--cloud-share", "2"], "cloud_share is 2"),
        (["--measure", "--inferences", "0"], "inferences is 0"),
    ],
)
def test_what_cannot_be_simulated_is_one_line_and_exits_with_2(capsys, flags, says) -> None:
    assert main(["experiment", "three-tier", *flags]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert says in shown.err
    assert shown.err.count("\n") == 1


@pytest.mark.parametrize(
    "argv",
    [
        ["experiment"],
        ["experiment", "four-tier"],
        ["experiment", "three-tier", "--device", "abacus"],
        ["experiment", "three-tier", "--max-share", "none"],
        ["experiment", "three-tier", "--light", "many"],
    ],
)
def test_what_cannot_be_read_exits_with_2(capsys, argv) -> None:
    with pytest.raises(SystemExit) as caught:
        main(argv)
    assert caught.value.code == 2
    assert "usage: dds experiment" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["nowhere/tiles.png", "pipe.png", "tiles.txt", "."])
def test_a_picture_that_cannot_be_written_is_one_line_before_the_work(
    name, tmp_path: Path, monkeypatch, capsys
) -> None:
    monkeypatch.delattr(three_tier, "run")
    os.mkfifo(tmp_path / "pipe.png")
    assert main([*QUICK, "--plot", str(tmp_path / name)]) == 2
    shown = capsys.readouterr().err
    assert str(tmp_path / name) in shown
    assert shown.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["pipe.png"]


def test_a_picture_that_fails_late_is_one_line_below_the_table(
    tmp_path: Path, monkeypatch, capsys
) -> None:
    monkeypatch.setattr(picture, "write_whole", lambda path, _: path.read_bytes())
    assert main([*QUICK, "--plot", str(tmp_path / "tiles.png")]) == 2
    shown = capsys.readouterr()
    assert "cannot be written: No such file" in shown.err
    assert "chain two-point search finds as good a plan" in shown.out


def test_closed_standard_output_is_no_failure(monkeypatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    assert main(QUICK) == 0


def test_a_picture_without_matplotlib_says_what_to_install(monkeypatch, tmp_path, capsys) -> None:
    monkeypatch.setattr(picture, "find_spec", lambda _: None)
    assert main([*QUICK, "--plot", str(tmp_path / "a.png")]) == 2
    assert "pip install 'dds[plot]'" in capsys.readouterr().err


def test_networks_can_be_chosen(capsys) -> None:
    assert main([*QUICK, "--networks", "4G"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("4G ") for line in lines) == 4
    assert not any(line.startswith(("3G ", "WiFi ")) for line in lines)


def test_anything_faster_than_the_exact_plan_exits_with_1(monkeypatch, capsys) -> None:
    done = three_tier.run(three_tier.Setting(models=("vgg19",)))
    wrong = (replace(done[0], two_point=0.5 * done[0].exact), *done[1:])
    monkeypatch.setattr(three_tier, "run", lambda *_: wrong)
    assert main(QUICK) == 1
    assert "FAILED: something is faster than the exact plan in 1 of 6 cells" in (
        capsys.readouterr().out
    )


def test_help_has_units_and_an_example(capsys) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["experiment", "three-tier", "--help"])
    assert caught.value.code == 0
    shown = capsys.readouterr().out
    assert "units:" in shown
    assert "dds experiment three-tier --plot three-tier.png" in shown


def test_a_bar_is_drawn_on_a_terminal_and_gone_at_the_end() -> None:
    ours, theirs = pty.openpty()
    done = subprocess.run(
        [sys.executable, "-m", "dds", *QUICK],
        stdout=subprocess.PIPE, stderr=theirs, check=True, text=True,
    )  # fmt: skip
    os.close(theirs)
    drawn = os.read(ours, 1 << 16).decode()
    os.close(ours)
    assert "three tiers" in drawn
    assert drawn.endswith("\r\x1b[K")
    assert "\x1b" not in done.stdout
