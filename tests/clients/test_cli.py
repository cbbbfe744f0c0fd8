import math
import subprocess
import sys
from pathlib import Path

import pytest

from clients.cli import main
from clients.config import AgentConfig, CloudConfig
from clients.flags import build_parser, read_config
from clients.slowdown import Slowdown
from dds.costs import Link
from dds.errors import InvalidInput
from dds.profile.runtime import Runtime

NEEDED = "--server s:1 --model zoo:squeezenet --uplink 8 --downlink 16"


def config(flags: str = "") -> AgentConfig:
    return read_config(build_parser().parse_args(f"{NEEDED} {flags}".split()))


def test_units_are_si_inside(tmp_path: Path) -> None:
    made = config(
        "--rtt 20ms --device-slowdown 6 --value-of-time 2 --min-share 0.5 --max-share 4 --name cam "
        f"--inferences 2 --strategy dds,edge-only --seed 7 --cache {tmp_path} --connect 500ms"
    )
    assert made.link == Link(1e6, 2e6, 0.02)
    assert (made.slowdown, made.value_of_time) == (Slowdown(6.0), 2.0)
    assert (made.min_share, made.max_share) == (0.5, 4.0)
    assert (made.name, made.inferences, made.seed, made.connect) == ("cam", 2, 7, 0.5)
    assert made.strategies == ("dds", "edge-only")
    assert made.cache == tmp_path


def test_a_client_need_not_name_its_bounds() -> None:
    made = config("--no-cache")
    assert (made.min_share, made.max_share) == (0.0, math.inf)
    assert made.strategies == ("dds",)
    assert made.runtime == Runtime()
    assert made.cache is None


def test_measuring_has_budgets_and_the_device_a_runtime() -> None:
    made = config("--optimise none --measure-cuts 500ms --measure-there 0")
    assert made.runtime == Runtime(optimisation="none")
    assert (made.measure_cuts, made.measure_there) == (0.5, 0.0)
    assert config("--shape x=1,3,8,8 --shape y=2").shapes == {"x": (1, 3, 8, 8), "y": (2,)}
    assert config("--device-slowdown 6,12@20").slowdown == Slowdown(6.0, ((20, 12.0),))


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        ("--uplink fast", "--uplink"),
        ("--uplink 0", "uplink"),
        ("--rtt 5lightyears", "--rtt"),
        ("--rtt 20", "--rtt: '20': in s or in ms"),
        ("--strategy best", "'best' is not one of"),
        ("--strategy dds,dds", "none twice"),
        ("--inferences 0", "inferences"),
        ("--seed -1", "seed is -1"),
        ("--device-slowdown 0", "slowdown"),
        ("--device-slowdown 6,12", "--device-slowdown"),
        ("--max-share many", "--max-share"),
        ("--measure-cuts soon", "--measure-cuts"),
        ("--connect soon", "--connect"),
        ("--measure-there -1", "measure_there"),
        ("--cloud-share 2", "--cloud-share: only with --tiers"),
        ("--cloud c:1", "--cloud: only with --tiers"),
        ("--tiers --cloud-rtt 5ms", "--cloud-rtt: only with --cloud"),
        ("--tiers --cloud-share 0", "cloud.share is 0.0"),
        ("--tiers --cloud-share many", "--cloud-share"),
        ("--tiers --edge-cloud-uplink 0", "uplink"),
        ("--tiers --strategy edge-only", "only dds and cloud-only use the cloud"),
        ("--strategy dds,cloud-only", "cloud-only: only with --tiers"),
        ("--trace nowhere.csv", "--uplink: --trace says that already"),
    ],
)
def test_wrong_flags_are_one_line(
    flags: str, complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InvalidInput, match=complaint):
        config(flags)
    assert main(f"{NEEDED} {flags}".split()) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_misspelt_strategy_is_not_asked_for_a_server() -> None:
    with pytest.raises(InvalidInput, match="'local' is not one of dds, local-only"):
        read_config(build_parser().parse_args(["--model=m", "--strategy=local"]))


def test_a_cloud_has_defaults_and_a_way_past_the_edge() -> None:
    assert config().cloud is None
    assert config("--tiers").cloud == CloudConfig(Link(6.25e6, 6.25e6, 0.02), 1.0, None)
    made = config(
        "--tiers --rtt 5ms --cloud-share 2.5 --edge-cloud-uplink 8 --edge-cloud-downlink 16 "
        "--edge-cloud-rtt 10ms --cloud c:1"
    )
    assert made.cloud == CloudConfig(Link(1e6, 2e6, 0.01), 2.5, pytest.approx(0.015))
    assert config("--tiers --cloud c:1 --cloud-rtt 7ms").cloud == CloudConfig(
        Link(6.25e6, 6.25e6, 0.02), 1.0, 0.007
    )


class TestTraces:
    needed = "--server s:1 --model zoo:squeezenet --trace"

    def config(self, flags: str) -> AgentConfig:
        return read_config(build_parser().parse_args(f"{self.needed} {flags}".split()))

    def test_the_link_is_as_the_trace_begins(self, tmp_path: Path) -> None:
        file = tmp_path / "a.csv"
        file.write_text("time_s,mbps\n0,8\n1,16\n")
        made = self.config(f"{file} --rtt 20ms")
        assert made.trace is not None
        assert made.link == made.trace.at(0.0) == Link(1e6, 1e6, 0.02)
        assert made.trace.at(1.5) == Link(2e6, 2e6, 0.02)

    @pytest.mark.parametrize(
        ("content", "says"),
        [
            (b"time_s,mbps\n0,x\n", "a.csv:2: mbps is 'x'"),
            (b"\xff\xfe", "it is not UTF-8 text"),
            (None, "cannot read"),
        ],
    )
    def test_a_file_that_is_no_trace_is_one_line(
        self, tmp_path: Path, content: bytes | None, says: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        file = tmp_path / "a.csv"
        if content is not None:
            file.write_bytes(content)
        assert main(f"{self.needed} {file}".split()) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert says in line

    def test_bandwidths_come_from_somewhere(self) -> None:
        with pytest.raises(InvalidInput, match="give both bandwidths, or a --trace"):
            read_config(build_parser().parse_args(["--server=s:1", "--model=m", "--uplink=5"]))


@pytest.mark.parametrize("model", ["zoo:nothing", "missing.onnx"])
def test_a_model_that_does_not_exist_is_one_line(
    model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = NEEDED.replace("zoo:squeezenet", model).split()
    assert main(flags) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize("given", [subprocess.DEVNULL, None], ids=["null", "closed"])
def test_steps_need_somebody_who_takes_them(given: int | None) -> None:
    closed = [] if given else ["sh", "-c", 'exec "$@" <&-', "sh"]
    done = subprocess.run(
        [*closed, sys.executable, "-m", "clients", *NEEDED.split(), "--step"],
        stdin=given,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    assert done.stderr == (
        "mec-client: --step: standard input is no pipe and no terminal; give it one\n"
    )


def test_help_has_units_and_an_example() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "clients", "--help"], capture_output=True, text=True, check=True
    )
    assert "units: " in done.stdout
    assert "example: " in done.stdout
