"""``dds experiment parallel`` as a user runs it."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from dds.cli.main import main
from dds.experiments import parallel

QUICK = ["experiment", "parallel", "--models", "squeezenet", "--helpers", "1+2"]


def test_the_table_has_every_cell_and_a_summary(capsys) -> None:
    assert main(QUICK) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    lines = shown.out.splitlines()
    assert lines[0].startswith("latencies in ms; ")
    assert lines[1].split()[:4] == ["network", "speeds", "model", "bound"]
    assert [line.split()[0] for line in lines[2:5]] == ["WiFi5", "WiFi6", "wired"]
    assert "the checker finds nothing wrong in 3 of 3 schedules" in lines


def test_json_and_a_picture(tmp_path: Path, capsys) -> None:
    drawn = tmp_path / "gantt.png"
    flags = ["--networks", "wired", "--device", "raspberry-pi-4", "--json", "--plot", str(drawn)]
    assert main([*QUICK, *flags]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["setting"]["device"]["name"] == "raspberry-pi-4"
    assert [cell["helpers"] for cell in found["cells"]] == [[1.0, 2.0]]
    assert drawn.read_bytes().startswith(b"\x89PNG\r\n")


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--models", "lenet"], "lenet"),
        (["--models", "vgg19", "vgg19"], "name each once"),
        (["--networks", "5G"], "'5G' is not one of WiFi5, WiFi6, wired"),
        (["--helpers", "1e9"], "a speed of"),
        (["--helpers", "1", "1"], "a group twice"),
        (["--helpers", "1+1+1+1+1+1+1+1"], "a group of 8"),
        (["--plot", "nowhere/gantt.png"], "nowhere/gantt.png"),
        (["--plot", "gantt.txt"], "'gantt.txt': draws a PNG; call it gantt.png"),
        (["--clients", "3"], "--clients: only with --market"),
        (["--market", "5G"], "'5G' is not one of 3G, 4G, WiFi"),
        (["--market", "WiFi", "--clients", "0"], "clients is 0"),
        (["--market", "WiFi", "--clients", "1000000000"], "clients is 1000000000"),
        (["--market", "WiFi", "--plot", "a.png"], "--plot"),
    ],
)
def test_what_cannot_be_simulated_is_one_line_and_exits_with_2(capsys, flags, says) -> None:
    assert main(["experiment", "parallel", *flags]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert says in shown.err
    assert shown.err.count("\n") == 1


@pytest.mark.parametrize(
    "flags",
    [["--helpers", "1+"], ["--helpers", "0"], ["--helpers", "fast"], ["--device", "abacus"]],
)
def test_what_cannot_be_read_exits_with_2(capsys, flags) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["experiment", "parallel", *flags])
    assert caught.value.code == 2
    assert "usage: dds experiment parallel" in capsys.readouterr().err


def test_anything_faster_than_our_schedule_and_any_violation_exits_with_1(
    monkeypatch, capsys
) -> None:
    cells = parallel.run(
        parallel.Setting(
            models=("squeezenet",), helpers=((1.0,),),
            networks={"wired": parallel.NETWORKS["wired"]},
        )
    )  # fmt: skip
    for spoilt in (
        replace(cells[0], rivals=cells[0].rivals | {"heft": 0.5 * cells[0].latency}),
        replace(cells[0], violations=("worker 0 does two things at once",)),
    ):
        monkeypatch.setattr(parallel, "run", lambda *_, cell=spoilt: (cell,))
        assert main(QUICK) == 1
        assert "FAILED" in capsys.readouterr().out


def test_the_market_is_played_for_each_network(capsys) -> None:
    flags = ["--market", "WiFi", "--clients", "30", "--networks", "WiFi6", "wired"]
    assert main([*QUICK, *flags]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("helpers 1+2 by ") for line in lines) == 2
    assert sum(line.startswith("squeezenet ") for line in lines) == 2
    assert main([*QUICK, *flags, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [market["network"] for market in found["markets"]] == ["WiFi6", "wired"]
    assert found["server"]["clients_per_model"] == 30


def test_help_has_units_and_an_example(capsys) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["experiment", "parallel", "--help"])
    assert caught.value.code == 0
    shown = capsys.readouterr().out
    assert "units:" in shown
    assert "dds experiment parallel --models inception_v1" in shown
