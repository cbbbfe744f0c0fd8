"""The import directions that docs/architecture.md promises, read from the sources."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("dds", "mec_server", "clients", "proofs")
GRPC_FILES = {"mec_server/rpc.py", "clients/channel.py"}


def sources() -> list[Path]:
    found = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    assert len(found) > 40
    return found


def imported_modules(path: Path) -> set[str]:
    """Absolute names of everything a file imports, at any depth of its code."""
    package = path.relative_to(ROOT).with_suffix("").parts
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level] if node.level else ()
            module = ".".join((*base, *([node.module] if node.module else [])))
            names.add(module)
            names.update(f"{module}.{alias.name}" for alias in node.names)
    return names


def roots(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imported_modules(path)}


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_the_right_way(path: Path) -> None:
    place = path.relative_to(ROOT).as_posix()
    package = place.split("/")[0]
    names = roots(path)
    forbidden = {
        "dds": {"mec_server", "clients"},
        "mec_server": {"clients", "proofs"},
        "clients": {"mec_server", "proofs"},
        "proofs": {"dds", "mec_server", "clients", "numpy", "scipy", "networkx"},
    }[package]
    assert not names & forbidden, f"{place} must not import {sorted(names & forbidden)}"
    if package == "dds" and not place.startswith("dds/cli/"):
        assert "proofs" not in names, f"{place}: only the command line calls the checker"
    if not place.startswith("dds/wire/") and place not in GRPC_FILES:
        assert not names & {"grpc", "grpc_health", "grpc_reflection"}, (
            f"{place} must not touch grpc"
        )


@pytest.mark.parametrize(
    "path", [p for p in sources() if p.parts[-2] == "proofs"], ids=lambda p: p.name
)
def test_the_checker_needs_only_the_standard_library(path: Path) -> None:
    allowed = set(sys.stdlib_module_names) | {"proofs"}
    assert roots(path) <= allowed


def test_sessions_have_no_clock_and_no_sockets() -> None:
    for path in sorted((ROOT / "dds" / "session").glob("*.py")):
        assert not roots(path) & {"time", "asyncio", "threading", "socket", "random", "logging"}


def test_import_dds_stays_light() -> None:
    heavy = ("grpc", "onnx", "onnxruntime", "numba", "matplotlib", "rich", "scipy", "networkx")
    code = f"import sys, dds; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.strip() == "[]"
