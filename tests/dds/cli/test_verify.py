"""``dds verify`` as a user runs it: verified, refused with reasons, or unreadable."""

import json
from pathlib import Path
from typing import Any

import pytest

from dds.cli.main import main
from dds.cut.pieces import Frontier
from dds.market.client import Client
from dds.market.equilibrium import nash
from dds.market.tariff import Barrier


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    clients = [
        Client(Frontier.from_points([(0.1, work), (5.0, 0.0)]), 1.0, name=name)
        for name, work in (("camera", 0.3), ("drone", 0.5))
    ]
    found: dict[str, Any] = json.loads(nash(clients, Barrier(0.1, 2.0)).certificate.to_json())
    return found


def verify(tmp_path: Path, content: str | bytes, *flags: str) -> int:
    file = tmp_path / "proof.json"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return main(["verify", str(file), *flags])


def test_a_good_certificate_is_verified_in_one_line(tmp_path: Path, capsys, document) -> None:
    assert verify(tmp_path, json.dumps(document)) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    assert len(shown.out.splitlines()) == 1
    assert shown.out.startswith("certificate verified: 2 clients")
    assert "total demand" in shown.out
    assert "/2" in shown.out


def test_as_json_it_says_what_was_checked(tmp_path: Path, capsys, document) -> None:
    assert verify(tmp_path, json.dumps(document), "--json") == 0
    verdict = json.loads(capsys.readouterr().out)
    assert verdict["verified"] is True
    assert verdict["reasons"] == []
    assert (verdict["concept"], verdict["clients"], verdict["capacity"]) == ("nash", 2, 2.0)
    assert verdict["price"] == pytest.approx(document["price"])
    assert verdict["max_regret"] == document["max_regret"]


@pytest.mark.parametrize(
    ("place", "value", "named"),
    [
        (("clients", 0, "share"), 0.1, "camera"),
        (("clients", 1, "payment"), 0.0, "drone"),
        (("price",), 0.5, "price"),
        (("total_demand",), 1.0, "total"),
        (("format",), "dds-equilibrium/2", "dds-equilibrium/2"),
        (("format",), None, "format"),
        (("tariff", "kind"), "gift", "gift"),
        (("clients",), {}, "clients"),
    ],
)
def test_a_tampered_one_is_refused_with_the_place(
    tmp_path: Path, capsys, document, place: tuple[Any, ...], value: Any, named: str
) -> None:
    forged = json.loads(json.dumps(document))
    holder = forged
    for key in place[:-1]:
        holder = holder[key]
    holder[place[-1]] = value
    assert verify(tmp_path, json.dumps(forged)) == 1
    shown = capsys.readouterr()
    assert shown.err == ""
    assert shown.out.startswith("certificate refused: ")
    assert named in shown.out
    assert verify(tmp_path, json.dumps(forged), "--json") == 1
    verdict = json.loads(capsys.readouterr().out)
    assert verdict["verified"] is False
    assert verdict["reason_count"] >= len(verdict["reasons"]) > 0


@pytest.mark.parametrize("content", ["null", "[]", "{}", "3", '"certificate"', '{"format": []}'])
def test_json_that_is_no_certificate_is_refused(tmp_path: Path, capsys, content: str) -> None:
    assert verify(tmp_path, content) == 1
    assert "format" in capsys.readouterr().out


@pytest.mark.parametrize(
    "content",
    ["", "certificate", "{", '{"a": 1, "a": 2}', b"\xff\xfe{}", "[" * 100_000],
    ids=["empty", "text", "half", "key twice", "bytes", "deep"],
)
def test_what_is_not_json_is_unreadable(tmp_path: Path, capsys, content: str | bytes) -> None:
    assert verify(tmp_path, content) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert len(shown.err.splitlines()) == 1
    assert shown.err.startswith("dds verify: ")
    assert "is not JSON" in shown.err


@pytest.mark.parametrize("name", ["none.json", "."])
def test_a_file_that_cannot_be_read_is_named(
    tmp_path: Path, monkeypatch, capsys, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["verify", name]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert len(shown.err.splitlines()) == 1
    assert shown.err.startswith(f"dds verify: cannot read '{name}': ")


def test_it_needs_a_file(capsys) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["verify"])
    assert caught.value.code == 2
    assert "FILE.json" in capsys.readouterr().err
