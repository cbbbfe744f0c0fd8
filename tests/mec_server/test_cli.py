import subprocess
import sys
from dataclasses import fields
from fractions import Fraction
from pathlib import Path

import pytest

from dds.errors import Infeasible, InvalidInput
from dds.market.tariff import Barrier, Clearing, Flat, Linear, PiecewiseLinear, Power
from dds.market.tariff_base import Tariff
from dds.profile.runtime import Runtime, platform_fingerprint
from mec_server.cli import build_parser, main, read_config
from mec_server.config import Limits, ServerConfig


def config(*flags: str) -> ServerConfig:
    return read_config(build_parser().parse_args(flags))


@pytest.mark.parametrize(
    ("flags", "tariff"),
    [
        ("", Clearing(4.0)),
        ("--tariff clearing --capacity 2.5", Clearing(2.5)),
        ("--tariff flat --price 0.3", Flat(0.3, 4.0)),
        ("--tariff linear --base-price 0.1 --slope 0.2", Linear(0.1, 0.2, 4.0)),
        ("--tariff power --base-price 0 --scale 1 --exponent 3", Power(0.0, 1.0, 3, 4.0)),
        ("--tariff barrier --base-price 0.1", Barrier(0.1, 4.0)),
        ("--tariff piecewise --points 0:0.1,2:0.3", PiecewiseLinear((0.0, 2.0), (0.1, 0.3), 4.0)),
    ],
)
def test_flags_name_a_tariff(flags: str, tariff: Tariff) -> None:
    assert config(*flags.split()).terms.tariff == tariff


def test_flags_describe_the_server() -> None:
    made = config(
        *("--listen", "0.0.0.0:7", "--quantum", "0.01", "--quorum", "8", "--lease", "500ms"),
        *("--core", "raspberry-pi-4", "--core-slowdown", "4", "--workers", "3"),
        *("--max-model", "1MB", "--max-store", "2MB"),
        *("--threads", "2", "--optimise", "basic", "--profiles", "kept"),
    )
    assert (made.listen, made.quorum, made.workers) == ("0.0.0.0:7", 8, 3)
    assert made.terms.quantum == Fraction(1, 100)
    assert (made.terms.core.name, made.terms.core.slowdown) == ("raspberry-pi-4", 4.0)
    assert "onnxruntime" in made.terms.core.platform
    assert made.runtime == Runtime(2, "basic")
    assert made.terms.core.platform == platform_fingerprint(Runtime(2, "basic"))
    assert made.profiles == Path("kept")
    assert made.timing.lease == 0.5
    assert (made.limits.model_bytes, made.limits.store_bytes) == (10**6, 2 * 10**6)


def test_shares_may_be_continuous() -> None:
    assert config("--quantum", "none").terms.quantum is None


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        ("--listen here", "HOST:PORT"),
        ("--listen :5", "HOST:PORT"),
        ("--listen a:70000", "HOST:PORT"),
        ("--quorum 0", "quorum"),
        ("--workers 0", "workers"),
        ("--threads 0", "threads"),
        ("--capacity lots", "--capacity"),
        ("--capacity 0", "capacity"),
        ("--quantum much", "--quantum"),
        ("--quantum -1", "quantum"),
        ("--core toaster", "--core"),
        ("--core-slowdown 0", "slowdown"),
        ("--tariff flat", "needs --price"),
        ("--tariff flat --price 1 --slope 2", "no use for --slope"),
        ("--tariff piecewise --points 0,1", "LOAD:PRICE"),
        ("--max-model 0", "model_bytes"),
        ("--lease 0", "lease"),
        ("--listen 127.0.0.1:", "listen"),
        ("--listen 127.0.0.1:65536", "listen"),
        ("--upstream cloud", "upstream is 'cloud'; need HOST:PORT"),
        ("--upstream cloud:0", "upstream"),
        ("--upstream :50051", "upstream"),
        ("--upstream cloud:65536", "upstream"),
        ("--upstream cloud:²", "upstream"),
    ],
)
def test_wrong_flags_are_one_line(
    flags: str, complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InvalidInput, match=complaint):
        config(*flags.split())
    assert main(flags.split()) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_tariff_no_theorem_covers_is_refused() -> None:
    with pytest.raises(Infeasible, match="concave"):
        config(*["--tariff", "piecewise", "--points", "0:0,1:2,2:3"])


@pytest.mark.parametrize("name", [field.name for field in fields(Limits)])
def test_limits_are_positive(name: str) -> None:
    with pytest.raises(InvalidInput, match=name):
        Limits(**{name: 0})


def test_help_has_units_and_an_example() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mec_server", "--help"], capture_output=True, text=True, check=True
    )
    assert "units: " in done.stdout
    assert "example: " in done.stdout
    assert "--upstream cloud.example:50052" in done.stdout


def test_an_upstream_is_optional() -> None:
    assert config().upstream is None
    assert config("--upstream", "cloud.example:50051").upstream == "cloud.example:50051"
    assert config("--upstream", "[::1]:1").upstream == "[::1]:1"


def test_the_upstream_is_told_at_the_start_and_missed_when_it_is_not_there() -> None:
    import socket

    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        upstream = f"127.0.0.1:{unused.getsockname()[1]}"
        server = subprocess.Popen(
            [sys.executable, "-m", "mec_server", "--listen", "127.0.0.1:0", "--upstream", upstream],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        with server:
            assert server.stdout is not None
            assert server.stderr is not None
            assert server.stdout.readline().endswith(f", upstream {upstream}\n")
            assert server.stderr.readline() == (
                f"mec-server: warning: the upstream {upstream} does not answer yet; is mec-server "
                "running there?\n"
            )
            server.terminate()
        assert server.returncode == 0


@pytest.mark.parametrize(
    ("listen", "upstream", "itself"),
    [
        ("127.0.0.1:5", "127.0.0.1:5", True),
        ("127.0.0.1:5", "localhost:5", True),
        ("0.0.0.0:5", "127.0.0.1:5", True),
        ("edge:5", "edge:5", True),
        ("127.0.0.1:5", "127.0.0.1:6", False),
        ("0.0.0.0:5", "cloud:5", False),
        ("127.0.0.1:0", "127.0.0.1:5", False),
    ],
)
def test_no_server_is_behind_itself(listen: str, upstream: str, itself: bool) -> None:
    flags = ("--listen", listen, "--upstream", upstream)
    if itself:
        with pytest.raises(InvalidInput, match=f"{upstream}', where this server listens itself"):
            config(*flags)
    else:
        assert config(*flags).upstream == upstream


def test_an_address_in_use_is_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["--listen", f"127.0.0.1:{port}"]) == 2
    (line,) = capfd.readouterr().err.splitlines()  # gRPC has written none
    assert line == f"mec-server: cannot listen on 127.0.0.1:{port}: address already in use"
    assert main(["--listen", "nowhere.invalid:1"]) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("mec-server: cannot listen on nowhere.invalid:1: ")
