"""The command, through both of its names: exit codes, output, hostile files."""

import argparse
import copy
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dds.cli import verify
from proofs.check import check, main

Document = dict[str, Any]


@pytest.fixture
def document(games: ModuleType) -> Document:
    found: Document = games.cleared(list(games.CLIENTS), 0.7)
    return found


def write(path: Path, document: Any) -> str:
    path.write_text(json.dumps(document), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("command", ["proofs.check", "dds verify"])
def test_verified_refused_unreadable(
    command: str, tmp_path: Path, document: Document, capsys: pytest.CaptureFixture[str]
) -> None:
    def call(*args: str) -> tuple[int, str, str]:
        if command == "dds verify":
            parser = argparse.ArgumentParser()
            verify.add(parser.add_subparsers())
            parsed = parser.parse_args(["verify", *args])
            code: int = parsed.run(parsed)
        else:
            code = main(args)
        return (code, *capsys.readouterr())

    path = write(tmp_path / "a.json", document)
    code, out, err = call(path)
    assert (code, err) == (0, "")
    assert out == (
        "certificate verified: 3 clients, largest regret 2.299390153191919e-12, "
        "total demand 2.9066186688185134/2.9066186717251323 cores, price 0.7\n"
    )
    code, out, err = call(path, "--json")
    assert (code, err) == (0, "")
    shown = json.loads(out)
    assert shown["verified"] is True
    assert (shown["clients"], shown["price"], shown["reasons"]) == (3, 0.7, [])
    assert 0 < shown["max_relative_regret"] < 2e-12

    document["clients"][2]["payment"] = 0.2
    path = write(tmp_path / "a.json", document)
    code, out, err = call(path)
    assert (code, err) == (1, "")
    assert out == (
        "certificate refused: 1 reason(s)\n"
        "  clients[2] 'cam-3': payment 0.2 is not share x price = 0.4183300132670377\n"
    )
    code, out, err = call(path, "--json")
    assert (code, err) == (1, "")
    assert json.loads(out) == {
        "verified": False,
        "reasons": ["clients[2] 'cam-3': payment 0.2 is not share x price = 0.4183300132670377"],
        "reason_count": 1,
    }

    for source, reason in ((b"[1,", "is not JSON: Expecting value"), (b"[NaN]", "NaN is not")):
        (tmp_path / "b.json").write_bytes(source)
        code, out, err = call(str(tmp_path / "b.json"))
        assert (code, out) == (2, "")
        assert reason in err
        assert err.startswith(f"{command}: ")
        assert err.count("\n") == 1
    for absent in (tmp_path / f"{'long' * 30}.json", tmp_path):
        code, out, err = call(str(absent))
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert f"cannot read {str(absent)!a}: " in err


def test_only_some_reasons_are_printed(tmp_path: Path, games: ModuleType) -> None:
    rows = [games.client(f"c{i}", 1.0, [[1.0, 1.0]]) for i in range(80)]
    document = games.cleared(rows, 1.0)
    for row in document["clients"]:
        row["payment"] = 7
    verdict = check(document)
    assert (len(verdict.reasons), verdict.reason_count) == (50, 80)
    assert verdict.summary().endswith("  and 30 more")


@pytest.mark.parametrize("value", [None, 3, [], {}, "x", {"format": 3}, {"format": "dds-run/2"}])
def test_what_is_no_certificate_is_refused(value: Any) -> None:
    verdict = check(value)
    assert not verdict.verified
    assert verdict.reasons[0].startswith("format is ")


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of everything inside a JSON value."""
    inner: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        inner = list(value.items())
    elif isinstance(value, list):
        inner = list(enumerate(value))
    found = [(*path, key) for key, _ in inner]
    return found + [place for key, child in inner for place in places(child, (*path, key))]


HOSTILE = (
    None, True, "", "1/0", "-1", "1e400", "9" * 300, -1, 1e300, 1e-300, 10**40, 0.1, [], {}, [[]],
    "\ud800", "1/3", float("inf"),
)  # fmt: skip


@settings(max_examples=120, deadline=None)
@given(st.data())
def test_any_value_anywhere_is_judged_without_a_traceback(
    games: ModuleType, data: st.DataObject
) -> None:
    """A document with anything anywhere is accepted or refused with reasons, never an error."""
    kind = data.draw(st.sampled_from(["cleared", "tied", "nash", "quanta"]))
    found: Document = {
        "cleared": lambda: games.cleared(list(games.CLIENTS), 0.7),
        "tied": lambda: games.tied(3, 5.0, 2),
        "nash": lambda: games.continuous_nash(list(games.CLIENTS[:1]), games.TARIFFS[6]),
        "quanta": lambda: {**games.tied(3, 5.0, 2), "quantum": 0.5},
    }[kind]()
    document = copy.deepcopy(found)
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.sampled_from(places(document)))
        holder = document
        for key in place[:-1]:
            holder = holder[key]
        if data.draw(st.booleans()) or not isinstance(holder, dict):
            holder[place[-1]] = copy.deepcopy(data.draw(st.sampled_from(HOSTILE)))
        else:
            del holder[place[-1]]
        if not places(document):
            break
    verdict = check(document)
    assert verdict.verified == (verdict.reason_count == 0)
    assert all(reason.isascii() and "\n" not in reason for reason in verdict.reasons)
