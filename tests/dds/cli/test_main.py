"""The ``dds`` command: help, version, errors as exit codes, and how a process ends."""

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import dds
from dds.cli import main as module
from dds.cli.main import COMMANDS, build_parser, main
from dds.errors import Infeasible, InvalidInput


def test_help_lists_every_command_and_the_exit_codes(capsys) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    shown = capsys.readouterr().out
    for name in COMMANDS:
        assert re.search(rf"^    {name}\s", shown, re.MULTILINE)
    assert "Exit codes: 0 done, 1 a check failed, 2 wrong input, 130 interrupted." in shown


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(capsys, name: str) -> None:
    with pytest.raises(SystemExit) as caught:
        main([name, "--help"])
    assert caught.value.code == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"usage: dds {name}")
    assert len(shown.splitlines()) > 8


def test_the_version_is_the_packages(capsys) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"dds {dds.__version__}\n"


@pytest.mark.parametrize("argv", [[], ["conquer"], ["solve"], ["solve", "a", "b"], ["--loud"]])
def test_what_is_no_command_exits_with_2(capsys, argv: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(argv)
    assert caught.value.code == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "usage: dds" in shown.err


def ending_in(monkeypatch: pytest.MonkeyPatch, error: BaseException | int) -> None:
    """Let ``dds verify`` end in an error, or return a code."""

    def run(_: object) -> int:
        if isinstance(error, BaseException):
            raise error
        return error

    running(monkeypatch, run)


def running(monkeypatch: pytest.MonkeyPatch, run: Callable[[object], int]) -> None:
    """Let ``dds verify`` do something else."""
    parser = build_parser()
    monkeypatch.setattr(module, "build_parser", lambda: parser)
    args = parser.parse_args(["verify", "x.json"])
    args.run = run
    monkeypatch.setattr(parser, "parse_args", lambda _: args)


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (0, 0, ""),
        (1, 1, ""),
        (InvalidInput("clients: need one"), 2, "dds verify: clients: need one\n"),
        (Infeasible("no room"), 2, "dds verify: no room\n"),
        (KeyboardInterrupt(), 130, "dds verify: interrupted\n"),
        (
            OSError(28, "No space left on device"),
            2,
            "dds verify: [Errno 28] No space left on device\n",
        ),
        (MemoryError("of 8 TiB"), 2, "dds verify: not enough memory: of 8 TiB\n"),
    ],
)
def test_errors_become_exit_codes(
    monkeypatch, capsys, error: BaseException | int, code: int, said: str
) -> None:
    ending_in(monkeypatch, error)
    assert main(["verify", "x.json"]) == code
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", said)


def test_a_defect_is_not_disguised(monkeypatch) -> None:
    """Only errors raised on purpose become one line; others keep their traceback."""
    ending_in(monkeypatch, ZeroDivisionError("a defect"))
    with pytest.raises(ZeroDivisionError):
        main(["verify", "x.json"])


def test_sigterm_lets_a_coroutine_reach_its_next_await(monkeypatch, capsys) -> None:
    """As Ctrl-C does: a process being started is known, and can be ended, before it is told."""
    reached: list[str] = []

    async def body() -> None:
        try:
            signal.raise_signal(signal.SIGTERM)
            reached.append("process started")
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0)
            reached.append("process ended")

    def run(_: object) -> int:
        asyncio.run(body())
        return 0

    running(monkeypatch, run)
    assert main(["verify", "x.json"]) == 130
    assert reached == ["process started", "process ended"]
    assert capsys.readouterr().err == "dds verify: interrupted\n"


# --- as real processes: about .3 s each ------------------------------------------------------

DDS = [sys.executable, "-m", "dds"]


def test_a_reader_that_leaves_early_is_no_error() -> None:
    """As in ``dds --json ... | head -1``: the pipe is closed before anything is written."""
    reader, writer = os.pipe()
    os.close(reader)
    market = (
        b'{"concept": "competitive", "tariff": {"kind": "clearing", "capacity": 1},'
        b' "clients": [{"name": "a", "value_of_time": 1, "pieces": [[0, 1], [9, 0]]}]}'
    )
    try:
        done = subprocess.run(
            [*DDS, "solve", "-", "--json"],
            input=market,
            stdout=writer,
            stderr=subprocess.PIPE,
            check=False,
            timeout=60,
        )
    finally:
        os.close(writer)
    assert done.returncode == 0
    assert done.stderr == b""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_with_130_and_one_line(tmp_path: Path, number: signal.Signals) -> None:
    """Interrupted while it waits for its input."""
    fifo = tmp_path / "market.json"
    os.mkfifo(fifo)
    with (
        subprocess.Popen(
            [*DDS, "solve", str(fifo)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process,
        fifo.open("wb"),
    ):  # returns when the command has opened its end, and reads
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == b""
    assert err == b"dds solve: interrupted\n"


def test_the_module_runs_as_a_command() -> None:
    done = subprocess.run(
        [*DDS, "--version"], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, f"dds {dds.__version__}\n", "")
