"""Generates the committed gRPC stubs from the ``.proto`` files of this package.

``python -m dds.wire.generate`` writes them, ``--check`` only tells whether the committed ones
are up to date (exit code 1 and the differing names if not).  Needs grpcio-tools of exactly
:data:`TOOLS`, in an environment of its own, because newer ones emit stubs that older
protobuf runtimes refuse to load::

    python -m venv .venv-proto
    .venv-proto/bin/pip install grpcio-tools==1.81.1
    .venv-proto/bin/python -m dds.wire.generate --check
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from dds.errors import DdsError, InternalError, InvalidInput

__all__ = ["PROTOS", "TOOLS", "generate", "main", "stale"]

#: The release of grpcio-tools whose output is committed.
TOOLS = "1.81.1"
#: The sources, relative to the root of the repository, which is also the import root.
PROTOS = (
    "dds/wire/helper.proto",
    "dds/wire/market.proto",
    "dds/wire/open_inference.proto",
)
_SUFFIXES = ("_pb2.py", "_pb2.pyi", "_pb2_grpc.py")
_ROOT = Path(__file__).resolve().parents[2]


def generate(into: Path) -> tuple[Path, ...]:
    """Write every stub below the directory `into`; their paths relative to it.

    Raises InvalidInput when grpcio-tools is missing or not the release :data:`TOOLS`.
    """
    try:
        found = importlib.metadata.version("grpcio-tools")
    except importlib.metadata.PackageNotFoundError:
        found = "none"
    if found != TOOLS:
        raise InvalidInput(
            f"grpcio-tools: need {TOOLS}, found {found}; run pip install grpcio-tools=={TOOLS}"
            " in an environment of its own"
        )
    protoc = importlib.import_module("grpc_tools.protoc")  # absent where stubs are only used
    outputs = [f"--{kind}_out={into}" for kind in ("python", "pyi", "grpc_python")]
    code = protoc.main(["protoc", f"-I{_ROOT}", *outputs, *PROTOS])
    if code != 0:
        raise InternalError(f"protoc ended with exit code {code} on {' '.join(PROTOS)}")
    stems = [proto.removesuffix(".proto") for proto in PROTOS]
    return tuple(Path(stem + suffix) for stem in stems for suffix in _SUFFIXES)


def stale() -> tuple[str, ...]:
    """Names of the committed stubs that differ from what the sources generate now."""
    with tempfile.TemporaryDirectory() as folder:
        return tuple(
            path.as_posix()
            for path in generate(Path(folder))
            if not (_ROOT / path).is_file()
            or (_ROOT / path).read_bytes() != (Path(folder) / path).read_bytes()
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; 0 done or up to date, 1 stale stubs, 2 no usable grpcio-tools."""
    parser = argparse.ArgumentParser(prog="python -m dds.wire.generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="only compare, write nothing")
    args = parser.parse_args(argv)
    try:
        if not args.check:
            for path in generate(_ROOT):
                print(path)
            return 0
        differing = stale()
    except DdsError as error:
        print(f"dds.wire.generate: {error}", file=sys.stderr)
        return 2
    for name in differing:
        print(f"{name} is stale: run python -m dds.wire.generate", file=sys.stderr)
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
