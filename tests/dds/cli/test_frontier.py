import argparse
import json

import pytest

from dds.cli import frontier
from dds.errors import InvalidInput
from dds.model.zoo import NAMES, topology


def run(*argv):
    parser = argparse.ArgumentParser(prog="dds")
    frontier.add(parser.add_subparsers(dest="command"))
    args = parser.parse_args(["frontier", *argv])
    return args.run(args)


@pytest.mark.parametrize("name", NAMES)
def test_json_for_every_zoo_model(capsys, name):
    flags = ["--device", "raspberry-pi-4", "--uplink", "5.85", "--downlink", "20", "--rtt", "0.02"]
    assert run(name, *flags, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found) == ["model", "device", "server", "link", "pieces"]
    assert (found["model"], found["device"], found["server"]) == (
        name, "raspberry-pi-4", "edge-core",
    )  # fmt: skip
    assert found["link"] == {
        "uplink_bytes_per_s": 731250.0, "downlink_bytes_per_s": 2.5e6, "rtt_s": 0.02,
    }  # fmt: skip
    for piece in found["pieces"]:
        assert list(piece) == [
            "base_latency_s", "server_work_s", "operators_on_device", "operators_on_server",
            "crossing_bytes", "uplink_bytes", "downlink_bytes", "cut_tensors",
        ]  # fmt: skip
        assert piece["crossing_bytes"] == piece["uplink_bytes"] + piece["downlink_bytes"]
    assert found["pieces"][-1]["operators_on_server"] == 0
    assert found["pieces"][-1]["cut_tensors"] == []


def test_a_file_is_a_model_too(tmp_path, capsys):
    path = tmp_path / "my model.onnx"
    path.write_bytes(topology("squeezenet"))
    assert run(str(path), "--json") == 0
    from_file = json.loads(capsys.readouterr().out)
    assert run("zoo:squeezenet", "--json") == 0
    assert json.loads(capsys.readouterr().out)["pieces"] == from_file["pieces"]


def test_table_shows_every_piece_with_units(capsys):
    flags = ["--device", "raspberry-pi-3b", "--uplink", "18.88Mbit/s", "--rtt", "20ms"]
    assert run("vgg19", *flags) == 0
    title, head, *rows = capsys.readouterr().out.splitlines()
    assert title.startswith("vgg19: 46 operators")
    assert "base latency  server work" in head
    assert len(rows) == 2
    assert "602 kB" in rows[0]
    assert rows[1].endswith("none")


def test_operators_are_named_on_demand(capsys):
    assert run("zfnet512", "--json", "--operators", "--uplink", "inf") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["link"]["uplink_bytes_per_s"] is None
    for piece in found["pieces"]:
        assert len(piece["device_operators"]) == piece["operators_on_device"]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--uplink", "0"], "argument --uplink: '0' is out of range"),
        (["--uplink", "5 furlongs"], "argument --uplink: '5 furlongs'"),
        (["--downlink", "-2"], "argument --downlink"),
        (["--rtt", "soon"], "argument --rtt: 'soon' is not a time"),
        (["--device", "toaster"], "argument --device: unknown device 'toaster'; known: raspb"),
        (["--server", "toaster"], "argument --server: unknown device"),
        (["--shape", "1,3"], "argument --shape: '1,3' is not a shape"),
        (["--shape", "x=1,0"], "argument --shape: 'x=1,0' is not a shape"),
    ],
)
def test_bad_flags_name_the_flag_and_exit_2(capsys, flags, words):
    with pytest.raises(SystemExit) as caught:
        run("vgg19", *flags)
    assert caught.value.code == 2
    assert words in capsys.readouterr().err


def test_a_missing_model_is_one_line():
    with pytest.raises(InvalidInput, match="no such model"):
        run("nothing-here")


def test_help_documents_units_devices_defaults_and_an_example(capsys):
    with pytest.raises(SystemExit) as caught:
        run("--help")
    assert caught.value.code == 0
    text = capsys.readouterr().out
    for words in ("Mbit/s", "raspberry-pi-5", "default 5.85", "example:", "--shape"):
        assert words in text
