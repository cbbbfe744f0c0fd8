"""Events as JSON lines, or in words; what is waited for, for those who watch."""

import io
import json
from contextlib import closing
from typing import Any

import pytest

from clients.report import Report

WAITING = {"event": "preparing", "what": "looking for schedules"}
HELPERS = {"event": "helpers", "helpers": []}


class Terminal(io.StringIO):
    """Standard error that somebody watches."""

    def isatty(self) -> bool:
        return True


def watched(monkeypatch: pytest.MonkeyPatch, columns: int = 80) -> Terminal:
    """From now on; in a fixture it would not last until the test."""
    made = Terminal()
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr("sys.stderr", made)
    return made


def test_on_a_terminal_what_is_waited_for_stands_until_something_happens(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal = watched(monkeypatch)
    with closing(Report(as_json=False)) as report:
        for event in (WAITING, HELPERS, WAITING, WAITING, {"event": "slices measured"}, WAITING):
            report.emit(event)
    *shown, last = terminal.getvalue().split("\r\033[K")[1:]
    said = "looking for schedules ..."
    assert shown == [said, "", said, said, "", said]
    assert last == ""
    assert capsys.readouterr().out == "helpers: none\n"


def test_what_is_wider_than_the_terminal_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = watched(monkeypatch, columns=20)
    with closing(Report(as_json=False)) as report:
        report.emit(WAITING)
    assert terminal.getvalue() == "\r\033[Klooking for schedul\r\033[K"


def test_what_is_waited_for_is_gone_when_a_run_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = watched(monkeypatch)

    def fails() -> None:
        with closing(Report(as_json=False)) as report:
            report.emit(WAITING)
            raise ValueError("x")

    with pytest.raises(ValueError, match="x"):
        fails()
    assert terminal.getvalue().endswith("...\r\033[K")


@pytest.mark.parametrize("closed", [False, True])
def test_whoever_reads_it_later_is_told_nothing_of_waiting(
    closed: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if closed:
        monkeypatch.setattr("sys.stderr", None)
    with closing(Report(as_json=False)) as report:
        report.emit(WAITING)
    assert capsys.readouterr() == ("", "")


def test_as_json_waiting_is_an_event(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal = watched(monkeypatch)
    with closing(Report(as_json=True)) as report:
        report.emit(WAITING)
        report.emit(HELPERS)
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [WAITING, HELPERS]
    assert terminal.getvalue() == ""


@pytest.mark.parametrize(
    ("count", "wrong", "says"),
    [
        (7, True, "the helpers' answers have turned wrong: the last 7 inferences may be wrong"),
        (7, False, "the last 7 inferences went unchecked: a helper was lost before the next check"),
        (1, False, "the last inference went unchecked: a helper was lost before the next check"),
    ],
)
def test_doubts_are_told_in_words(
    count: int, wrong: bool, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(Report(as_json=False)) as report:
        report.emit({"event": "doubtful", "inferences": count, "wrong": wrong})
    assert capsys.readouterr().out == f"  {says}\n"


def worker(name: str, tasks: int) -> dict[str, Any]:
    return {"name": name, "tasks": tasks, "busy_s": 0.001 * tasks}


def trial(seconds: float | None, *workers: str) -> dict[str, Any]:
    return {"workers": [*workers], "scheduled_latency_s": 0.2, "measured_latency_s": seconds}


ALONE, HELPED = trial(0.4, "device"), trial(0.5, "device", "h1")


@pytest.mark.parametrize(
    ("helping", "tried", "says"),
    [
        (0, [HELPED, trial(0.6, "h1"), ALONE], "device 3 ms (500 ms with helpers)"),
        (2, [HELPED, ALONE], "device 3 ms, h1 2 ms (400 ms on the device alone)"),
        (
            2,
            [HELPED, trial(None, "h1")],
            "device 3 ms, h1 2 ms; not tried, as they take too long to bring: 1",
        ),
        (2, [], "device 3 ms, h1 2 ms\n"),
    ],
)
def test_a_plan_says_what_it_is_better_than(
    helping: int, tried: list[Any], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    workers = [worker("device", 3), worker("h1", helping)]
    with closing(Report(as_json=False)) as report:
        report.emit(
            {"event": "planned", "predicted_latency_s": 0.3, "workers": workers, "tried": tried}
        )
    assert f"  planned: 300 ms; of that computing: {says}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("saving", "again", "says"),
    [
        (0.001, False, ""),
        (0.04, False, "  new costs would save 4 %: not worth a game\n"),
        (0.2, True, "  new costs would save 20 %: playing again\n"),
    ],
)
def test_savings_are_told_where_there_are_any(
    saving: float, again: bool, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(Report(as_json=False)) as report:
        report.emit({"event": "reconsidered", "saving": saving, "again": again})
    assert capsys.readouterr().out == says


@pytest.mark.parametrize(
    ("measured", "says"),
    [
        ([0.1, 0.3, 0.2], "measured 100 ms, 300 ms, 200 ms; largest"),
        ([0.1] * 3 + [0.2] * 20 + [0.4], "measured 200 ms in the median of 24 (100 ms to 400 ms);"),
    ],
)
def test_many_latencies_are_a_median_and_a_range(
    measured: list[float], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    result = {
        "predicted_latency_s": 0.2, "measured_latency_s": measured, "max_abs_difference": 0.0
    }  # fmt: skip
    with closing(Report(as_json=False)) as report:
        report.emit({"event": "done", "strategies": {"dds": result}})
    assert says in capsys.readouterr().out
