"""``dds solve`` as a user runs it: answers, certificates, and one line for bad input."""

import copy
import json
import math
from pathlib import Path
from typing import Any

import pytest

from dds.cli.main import main

MARKET: dict[str, Any] = {
    "concept": "nash",
    "tariff": {"kind": "barrier", "base_price": 0.1, "capacity": 2.0},
    "quantum": 0.001,
    "clients": [
        {"name": "a", "value_of_time": 1, "pieces": [[0.1, 0.3], [0.8, 0]]},
        {"name": "b", "value_of_time": 2, "pieces": [[0.1, 0.2], [0.5, 0]], "max_share": 1},
    ],
}
DOCS = Path(__file__).parents[3] / "docs"


def changed(path: tuple[str | int, ...], value: object) -> str:
    document = copy.deepcopy(MARKET)
    holder: Any = document
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = value
    return json.dumps(document)


def solve(tmp_path: Path, text: str, *flags: str) -> int:
    file = tmp_path / "market.json"
    file.write_text(text, encoding="utf-8")
    return main(["solve", str(file), *flags])


def test_json_has_the_documented_keys(tmp_path: Path, capsys) -> None:
    assert solve(tmp_path, json.dumps(MARKET), "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert set(answer) == {"price", "total_demand", "clients", "max_regret", "rounds"}
    for row in answer["clients"]:
        assert set(row) == {"name", "piece", "share", "latency_s", "payment", "regret"}
    assert answer["max_regret"] == 0.0
    assert answer["total_demand"] == pytest.approx(sum(r["share"] for r in answer["clients"]))
    assert answer["price"] == pytest.approx(0.1 / (1 - answer["total_demand"] / 2.0))


def test_the_table_is_the_one_in_the_documentation(tmp_path: Path, capsys) -> None:
    assert solve(tmp_path, json.dumps(MARKET)) == 0
    page = (DOCS / "solve.md").read_text(encoding="utf-8")
    for line in capsys.readouterr().out.splitlines():
        assert line in page


def test_the_certificate_is_verified_and_a_forged_one_refused(tmp_path: Path, capsys) -> None:
    proof = tmp_path / "proof.json"
    assert solve(tmp_path, json.dumps(MARKET), "--certificate", str(proof)) == 0
    assert main(["verify", str(proof)]) == 0
    forged = json.loads(proof.read_text(encoding="utf-8"))
    forged["clients"][0]["share"] /= 2
    proof.write_text(json.dumps(forged), encoding="utf-8")
    capsys.readouterr()
    assert main(["verify", str(proof)]) == 1
    assert "share" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("", "JSON"),
        ("[1, 2]", "object"),
        (changed(("surprise",), 1), "surprise"),
        (changed(("concept",), "bargaining"), "concept"),
        (changed(("quantum",), -1), "quantum"),
        (changed(("clients",), []), "clients"),
        (changed(("clients", 0, "value_of_time"), math.nan), "clients[0].value_of_time"),
        (changed(("clients", 0, "value_of_time"), math.inf), "clients[0].value_of_time"),
        (changed(("clients", 0, "value_of_time"), True), "clients[0].value_of_time"),
        (changed(("clients", 1, "value_of_time"), -2), "clients[1].value_of_time"),
        (changed(("clients", 1, "name"), "a"), "clients[1].name"),
        (changed(("clients", 1, "pieces"), []), "clients[1].pieces"),
        (changed(("clients", 1, "pieces", 0, 1), "much"), "clients[1].pieces[0][1]"),
        (changed(("clients", 1, "pieces", 0), [1]), "clients[1].pieces[0]"),
        (changed(("clients", 0, "colour"), "red"), "clients[0].colour"),
        (changed(("tariff", "capacity"), 0), "capacity"),
        (changed(("tariff", "kind"), "gift"), "kind"),
        (
            changed(("tariff",), {"kind": "power", "base_price": 0, "scale": 1, "exponent": 0.5}),
            "concave",
        ),
        (
            changed(("tariff",), {"kind": "piecewise", "loads": [0, 1, 1], "prices": [0, 1, 2]}),
            "step",
        ),
    ],
)
def test_bad_input_is_one_line_that_names_the_place(
    tmp_path: Path, capsys, text: str, place: str
) -> None:
    assert solve(tmp_path, text) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert len(shown.err.splitlines()) == 1
    assert place in shown.err


def test_a_missing_file_is_one_line(tmp_path: Path, capsys) -> None:
    assert main(["solve", str(tmp_path / "none.json")]) == 2
    assert "none.json" in capsys.readouterr().err
