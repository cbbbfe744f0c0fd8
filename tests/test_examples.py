"""Every example runs and prints exactly what its expected output says."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
SCRIPTS = sorted(EXAMPLES.glob("[0-9]*.py"))


def test_each_example_has_its_expected_output() -> None:
    expected = sorted(path.stem for path in (EXAMPLES / "expected").glob("*.txt"))
    assert expected == [path.stem for path in SCRIPTS]
    assert len(SCRIPTS) >= 3


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_the_example_prints_what_it_says(script: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", str(script)],
        capture_output=True,
        text=True,
        check=False,
        cwd=EXAMPLES.parent,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    expected = EXAMPLES / "expected" / f"{script.stem}.txt"
    assert done.stdout == expected.read_text(encoding="utf-8")
