"""What a client does before it meets a server, and when it gives up."""

import threading
from pathlib import Path

import pytest

from clients.config import AgentConfig
from clients.prepare import prepare
from clients.slowdown import Slowdown
from dds.costs import Link
from dds.errors import Infeasible
from dds.profile.cache import one_at_a_time

CONFIG = AgentConfig("cam", "zoo:squeezenet", Slowdown(2.0), Link(1e9, 1e9), 1.0, repeats=2)


def stopped() -> threading.Event:
    stop = threading.Event()
    stop.set()
    return stop


def test_a_model_is_read_and_profiled() -> None:
    told: list[str] = []
    prepared = prepare(CONFIG, lambda event: told.append(event["event"]))
    assert told == ["loaded", "preparing", "profiled"]
    assert prepared.profile.digest == prepared.graph.digest


def test_told_to_stop_it_measures_no_more(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # Its own lock: a test beside this one may be measuring.
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(Infeasible, match="told to stop"):
        prepare(CONFIG, lambda _: None, stopped())


def test_told_to_stop_it_waits_for_nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with one_at_a_time(), pytest.raises(Infeasible, match="another process is measuring"):
        prepare(CONFIG, lambda _: None, stopped())
