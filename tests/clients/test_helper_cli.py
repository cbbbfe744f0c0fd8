"""What a helper is told on the command line, and a client of its helpers."""

from pathlib import Path

import pytest

from clients.cli import main
from clients.config import AgentConfig
from clients.flags import build_parser as client_parser
from clients.flags import read_config as read_client
from clients.helper_cli import build_parser, read_config
from clients.helper_config import HelperConfig, HelperLimits
from clients.team_config import TeamConfig
from dds.costs import Link
from dds.errors import InvalidInput
from dds.profile.runtime import Runtime


def config(flags: str = "") -> HelperConfig:
    return read_config(build_parser().parse_args(flags.split()))


def test_flags_of_a_helper(tmp_path: Path) -> None:
    made = config(
        "--listen 0.0.0.0:7 --name pi --device-slowdown 2.5 --threads 2 --optimise none "
        f"--profiles {tmp_path} --clients 3 --lease 5 --max-model 1MiB --max-store 2MiB"
    )
    assert made == HelperConfig(
        listen="0.0.0.0:7",
        name="pi",
        runtime=Runtime(2, "none"),
        slowdown=2.5,
        cache=tmp_path,
        limits=HelperLimits(clients=3, lease=5.0, model_bytes=2**20, store_bytes=2**21),
    )
    assert (config().engine, config().slowdown) == ("onnxruntime", 1.0)


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        ("--listen here", "listen is 'here'; need HOST:PORT"),
        ("--device-slowdown fast", "--device-slowdown"),
        ("--device-slowdown 0", "slowdown is 0"),
        ("--lease soon", "--lease: 'soon' is not a time"),
        ("--max-model big", "--max-model: 'big' is not a size"),
        ("--max-store big", "--max-store: 'big' is not a size"),
        ("--threads 0", "threads is 0"),
        ("--clients 0", "limits.clients"),
        ("--lease 0", "limits.lease"),
        ("--lease 900ms", "limits.lease is 0.9; need at least 1.0 s"),
    ],
)
def test_helpers_that_cannot_be(
    flags: str, complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--helper", *flags.split()]) == 2
    told = capsys.readouterr().err
    assert complaint in told
    assert told.count("\n") == 1


ALONE = "--model zoo:squeezenet --strategy local-only --no-cache"


def client(flags: str) -> AgentConfig:
    return read_client(client_parser().parse_args(flags.split()))


def test_flags_of_a_client_with_helpers() -> None:
    made = client(f"{ALONE} --helpers a:1,b:2")
    assert made.helpers == TeamConfig(("a:1", "b:2"))
    assert made.link == Link(float("inf"), float("inf"))
    made = client(
        f"{ALONE} --helpers a:1 --helper-bandwidth 1Gbit/s --helper-rtt 2ms --helper-wifi "
        "--measure-plans 0 --check-every 0"
    )
    assert made.helpers == TeamConfig(
        ("a:1",), 125e6, 0.002, shared=True, measure=0.0, check_every=0
    )
    assert client(ALONE).helpers is None


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        ("--helper-rtt 2ms", "--helper-rtt: only with --helpers"),
        ("--check-every 0", "--check-every: only with --helpers"),
        ("--helpers a:1 --check-every -1", "check_every is -1; need a number >= 0"),
        ("--measure-plans 0", "--measure-plans: only with --helpers"),
        ("--helpers a", "helpers: 'a'; need HOST:PORT"),
        ("--helpers a:0", "port 0"),
        ("--helpers a:1,a:1", "none twice"),
        ("--helpers a:1 --helper-bandwidth 0", "bandwidth is 0"),
        ("--helpers a:1 --helper-rtt soon", "--helper-rtt"),
        ("--helpers a:1 --helper-rtt -1", "rtt is -1"),
        ("--helpers a:1 --measure-plans -1", "measure_plans is -1"),
        ("--uplink 3", "give both bandwidths"),
        ("--strategy dds", "--server: needed"),
        (
            "--server s:1 --uplink 1 --downlink 1 --tiers --strategy dds --helpers a:1",
            "not together with a cloud",
        ),
    ],
)
def test_clients_that_cannot_be(flags: str, complaint: str) -> None:
    with pytest.raises(InvalidInput, match=complaint):
        client(f"{ALONE} {flags}")
