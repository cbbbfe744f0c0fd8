"""Converted models as files, in the form that each engine's own tools read."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from dds.errors import InvalidInput
from dds.files import write_whole

__all__ = ["SUFFIXES", "check_name", "save"]

#: What a model of each engine is called: ONNX, OpenVINO's IR (weights in a ``.bin`` beside it), an
#: exported program of PyTorch.
SUFFIXES: Mapping[str, str] = MappingProxyType(
    {"onnxruntime": ".onnx", "openvino": ".xml", "torch": ".pt2"}
)


def check_name(path: Path, engine: str) -> None:
    """Refuse a file whose suffix is not the engine's, before any work is done for it.

    Raises InvalidInput, naming the right one, for a folder, and for an engine that has no files.
    """
    suffix = SUFFIXES.get(engine)
    if suffix is None:
        raise InvalidInput(f"engine {engine!r} has no files; choose {', '.join(SUFFIXES)}")
    if not path.name or path.is_dir():
        raise InvalidInput(f"{str(path)!r} is a folder; name a file that ends in {suffix}")
    if path.suffix != suffix:
        raise InvalidInput(f"{path} is for {engine}; call it {path.with_suffix(suffix).name}")


def save(model: bytes, engine: str, path: Path) -> tuple[Path, ...]:
    """Write ONNX bytes in an engine's own form; what was written, the file named first.

    Files are written under other names in the same folder and then renamed.

    Raises InvalidInput for another suffix than the engine's, and for a model that it cannot save;
    OSError when the folder cannot be written to.
    """
    check_name(path, engine)
    return _WRITERS[engine](model, path)


def _save_onnx(model: bytes, path: Path) -> tuple[Path, ...]:
    write_whole(path, model)
    return (path,)


def _save_openvino(model: bytes, path: Path) -> tuple[Path, ...]:
    from dds.engines.on_openvino import write

    weights = path.with_suffix(".bin")
    with _beside(path) as folder:
        write(model, folder / path.name)
        # First the weights: whoever sees the new model finds them.
        (folder / weights.name).replace(weights)
        (folder / path.name).replace(path)
    return path, weights


def _save_torch(model: bytes, path: Path) -> tuple[Path, ...]:
    from dds.engines.on_torch import write

    with _beside(path) as folder:
        write(model, folder / path.name)
        (folder / path.name).replace(path)
    return (path,)


@contextlib.contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """A folder next to a file, gone with everything in it afterwards."""
    folder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


_WRITERS: Mapping[str, Callable[[bytes, Path], tuple[Path, ...]]] = MappingProxyType(
    {"onnxruntime": _save_onnx, "openvino": _save_openvino, "torch": _save_torch}
)
