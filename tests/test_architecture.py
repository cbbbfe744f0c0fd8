"""The import directions that docs/architecture.md promises, read from the sources."""

import ast
import functools
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("dds", "mec_server", "clients", "proofs")
GRPC_FILES = {
    *("mec_server/rpc.py", "mec_server/upstream.py", "clients/channel.py"),
    *("clients/helper_rpc.py", "clients/helper_channel.py"),
}


def sources() -> list[Path]:
    found = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    assert len(found) > 40
    return found


@functools.cache
def imported_modules(path: Path) -> frozenset[str]:
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
    return frozenset(names)


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


#: The library from the ground up: a part imports only what stands before it.
LAYERS = (
    ("errors",),
    ("units",),
    ("compiled",),
    ("files",),
    ("model",),
    ("costs",),
    ("cut",),
    ("tiers",),
    ("profile",),
    ("predict",),
    ("parallel",),
    ("engines",),
    ("execution",),
    ("market",),
    ("dynamics", "online", "pool"),
    ("session",),
    ("experiments",),
    ("wire", "testing", "demo"),
    ("cli",),
)
#: What touches the machine.
RIM = {"cli", "demo", "engines", "execution", "profile", "__main__.py"}

#: What else a file may import, and why: the online market starts no threads, but those of its
#: users may share one, so its writers take turns; a suite for engines has threads share a model;
#: servers and helpers run until the same signals.
EXCUSED = {
    "online/market.py": {"threading", "threading.Lock"},
    "wire/serving.py": {"asyncio", "signal", "socket"},
    "testing/engines.py": {"concurrent.futures", "concurrent.futures.ThreadPoolExecutor"},
}


def parts() -> list[Path]:
    return [path for path in sources() if path.relative_to(ROOT).parts[0] == "dds"]


def part_of(path: Path) -> str:
    return path.relative_to(ROOT / "dds").parts[0].removesuffix(".py")


@pytest.mark.parametrize(
    "path",
    [path for path in parts() if path.parent != ROOT / "dds"],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_the_library_is_built_from_the_ground_up(path: Path) -> None:
    height = {part: floor for floor, floor_parts in enumerate(LAYERS) for part in floor_parts}
    own = part_of(path)
    used = {name.split(".")[1] for name in imported_modules(path) if name.startswith("dds.")}
    above = {part for part in used & height.keys() if height[part] >= height[own]} - {own}
    assert not above, f"dds.{own} must not import dds.{', dds.'.join(sorted(above))}"


def test_the_library_has_no_clock_no_sockets_and_no_threads() -> None:
    impure = {
        *("asyncio", "concurrent", "logging", "multiprocessing", "random", "signal"),
        *("socket", "subprocess", "threading", "time"),
    }
    for path in parts():
        place = path.relative_to(ROOT / "dds")
        if place.parts[0] not in RIM:
            used = imported_modules(path) - EXCUSED.get(place.as_posix(), set())
            assert not {name.split(".")[0] for name in used} & impure, path


def test_import_dds_stays_light() -> None:
    heavy = (
        "grpc",
        "onnx",
        "onnxruntime",
        "numba",
        "matplotlib",
        "openvino",
        "rich",
        "scipy",
        "sklearn",
        "torch",
        "networkx",
        "pyarrow",
    )
    code = f"import sys, dds; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("module", ["clients.trade", "clients.agent", "mec_server.handlers"])
def test_clients_and_servers_start_without_numba(module: str) -> None:
    code = f"import sys, {module}; print('numba' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.strip() == "False"
