"""The documentation is right: its Python runs, its links lead somewhere."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(#[^)\s]*)?\)")

#: Beside the examples: that they run is shown by few draws, the same ones each time.
FEW = """
from hypothesis import settings

settings.register_profile("few", max_examples=15, deadline=None, derandomize=True)
settings.load_profile("few")
"""


def blocks() -> list[tuple[str, str]]:
    return [
        (f"{page.name}-{i}", block)
        for page in PAGES
        for i, block in enumerate(BLOCK.findall(page.read_text(encoding="utf-8")))
    ]


def test_there_are_examples_to_run() -> None:
    names = {name.rsplit("-", 1)[0] for name, _ in blocks()}
    assert {"README.md", "testing.md"} <= names


@pytest.mark.parametrize(("name", "block"), blocks(), ids=[name for name, _ in blocks()])
def test_python_in_the_docs_runs(name: str, block: str, tmp_path: Path) -> None:
    script = tmp_path / "test_block.py"
    script.write_text(block, encoding="utf-8")
    (tmp_path / "conftest.py").write_text(FEW, encoding="utf-8")
    is_test = "def test_" in block
    command = [sys.executable, "-W", "error", *(["-m", "pytest", "-q"] if is_test else [])]
    done = subprocess.run(
        [*command, str(script)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        timeout=300,
    )
    assert done.returncode == 0, f"{name}: {done.stdout}{done.stderr}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target, _ in LINK.findall(page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name}: {target}"
