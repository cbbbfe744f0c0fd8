"""THEOREMS.md names functions and tests that exist; the checker needs nothing but Python."""

import ast
import importlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from proofs.check import check

ROOT = Path(__file__).parents[2]
ROWS = [
    line.split("|")[1:-1]
    for line in (ROOT / "proofs" / "THEOREMS.md").read_text(encoding="utf-8").splitlines()
    if re.match(r"\| \d", line)
]


def test_every_theorem_has_a_row_and_a_proof() -> None:
    whole = (ROOT / "proofs" / "THEOREMS.md").read_text(encoding="utf-8")
    numbers = [int(row[0].split()[0]) for row in ROWS]
    assert numbers == list(range(10))
    for number in numbers:
        assert f"\n## {number}. " in whole


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0].strip())
def test_what_a_row_names_exists(row: list[str]) -> None:
    functions, tests = (re.findall(r"`([^`]+)`", cell) for cell in row[1:])
    assert functions
    assert tests
    for name in functions:
        module, *attributes = name.split(".")
        found: object = importlib.import_module(f"proofs.{module}")
        for attribute in attributes:
            found = getattr(found, attribute)
        assert callable(found)
    for name in tests:
        file, function = name.split("::")
        tree = ast.parse((Path(__file__).parent / file).read_text(encoding="utf-8"))
        assert function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_bracketed_numbers_in_the_checker_are_theorems() -> None:
    source = (ROOT / "proofs" / "bounds.py").read_text(encoding="utf-8")
    cited = {int(n) for group in re.findall(r'"""\[([\d, ]+)\]', source) for n in group.split(",")}
    assert cited == {1, 2, 3, 4, 5}


def test_a_stranger_copies_the_folder_and_runs_it(tmp_path: Path) -> None:
    """No site-packages, no environment, another directory with a space in its name."""
    home = tmp_path / "some where"
    shutil.copytree(ROOT / "proofs", home / "proofs", ignore=shutil.ignore_patterns("__pycache__"))
    (home / "x.json").write_text("{}", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-S", "-E", "-B", "-m", "proofs.check", "x.json"],
        cwd=home, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (1, "")
    assert "format is null, not one of dds-equilibrium/1, dds-run/1" in done.stdout


def test_the_checker_can_be_read_in_one_sitting() -> None:
    lines = [
        line
        for path in (ROOT / "proofs").glob("*.py")
        for line in path.read_text(encoding="utf-8").splitlines()
        if line.strip()
    ]
    assert len(lines) < 1500


def test_the_documented_example_is_true() -> None:
    page = (ROOT / "docs" / "certificates.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```json\n(.*?)```", page, flags=re.DOTALL)
    verdict = check(json.loads(example))
    assert verdict.verified, verdict.summary()
