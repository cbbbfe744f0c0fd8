"""What a client does before it meets a server, and when it gives up."""

import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clients.config import AgentConfig
from clients.prepare import prepare
from clients.slowdown import Slowdown
from dds.costs import Link
from dds.errors import Infeasible, InvalidInput
from dds.profile.cache import one_at_a_time
from dds.profile.runtime import open_session
from dds.testing.models import text_model

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


def test_shapes_are_fixed_before_anything_is_known_of_a_model(tmp_path: Path) -> None:
    file = tmp_path / "open.onnx"
    file.write_bytes(text_model("(float[N,8] x) => (float[N,8] y) {y = Relu(x)}"))
    of = replace(CONFIG, model=str(file), cache=tmp_path)
    with pytest.raises(InvalidInput, match="--shape x=1,8"):
        prepare(of, lambda _: None)
    told: list[Mapping[str, Any]] = []
    for rows in (1, 3, 3):
        prepared = prepare(replace(of, shapes={"x": (rows, 8)}), told.append)
        assert [t.shape for t in prepared.graph.tensors] == [(rows, 8), (rows, 8)]
        assert open_session(prepared.original).get_inputs()[0].shape == [rows, 8]
    measured = [event["cached"] for event in told if event["event"] == "profiled"]
    assert measured == [False, False, True]


def test_told_to_stop_it_measures_no_more(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # Its own lock: a test beside this one may be measuring.
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(Infeasible, match="told to stop"):
        prepare(CONFIG, lambda _: None, stopped())


def test_told_to_stop_it_waits_for_nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with one_at_a_time(), pytest.raises(Infeasible, match="another process is measuring"):
        prepare(CONFIG, lambda _: None, stopped())
