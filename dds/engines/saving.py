"""Converted models as files, in the form that each engine's own tools read."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from dds.errors import InvalidInput
from dds.files import write_whole

__all__ = ["SUFFIXES", "check_place", "save"]

#: What a model of each engine is called: ONNX, OpenVINO's IR (weights in a ``.bin`` beside it), an
#: exported program of PyTorch.
SUFFIXES: Mapping[str, str] = MappingProxyType(
    {"onnxruntime": ".onnx", "openvino": ".xml", "torch": ".pt2"}
)


def check_place(path: Path, engine: str) -> None:
    """Refuse a file that :func:`save` would refuse, before any work is done for it.

    What is there under this name is replaced: the caller named it.  The weights of OpenVINO's IR
    have a name that nobody gave, so only those of an IR are replaced.

    Raises InvalidInput for a folder, a pipe or a device, for a file in a folder that is not there,
    for a suffix that is not the engine's, naming the right one, for an engine that has no files,
    and where weights would replace another file.
    """
    suffix = SUFFIXES.get(engine)
    if suffix is None:
        raise InvalidInput(f"engine {engine!r} has no files; choose {', '.join(SUFFIXES)}")
    if not path.name or path.is_dir():
        raise InvalidInput(f"{str(path)!r} is a folder; name a file that ends in {suffix}")
    if path.suffix != suffix:
        raise InvalidInput(f"{path} is for {engine}; call it {path.with_suffix(suffix).name}")
    if not path.parent.is_dir():
        raise InvalidInput(f"{path}: there is no such folder; make it first")
    if path.exists() and not path.is_file():
        raise InvalidInput(f"{path} is there, and no file; choose another name")
    weights = path.with_suffix(".bin")
    replaced = weights.is_file() and _is_ir(path)
    if engine == "openvino" and os.path.lexists(weights) and not replaced:
        raise InvalidInput(
            f"{weights} is there already, and belongs to no {path.name}; move it away, or choose "
            "another name"
        )


def _is_ir(path: Path) -> bool:
    """Whether a file looks like OpenVINO's IR, whose weights are in the ``.bin`` beside it."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return b"<net " in file.read(4096)


def save(model: bytes, engine: str, path: Path) -> tuple[Path, ...]:
    """Write ONNX bytes in an engine's own form; what was written, the file named first.

    Files are written under other names in the same folder and then renamed: they appear whole, and
    both or none.  If that fails, what was there before is there again.

    Raises InvalidInput for what :func:`check_place` refuses, for a model that cannot be saved, and
    for a folder that cannot be written to.
    """
    check_place(path, engine)
    try:
        return _WRITERS[engine](model, path)
    except OSError as error:  # it names a temporary file
        raise InvalidInput(f"{path} cannot be written: {error.strerror or error}") from error


def _save_onnx(model: bytes, path: Path) -> tuple[Path, ...]:
    write_whole(path, model)
    return (path,)


def _save_openvino(model: bytes, path: Path) -> tuple[Path, ...]:
    from dds.engines.on_openvino import write

    weights = path.with_suffix(".bin")
    with _beside(path) as folder:
        write(model, folder / path.name)
        _put(folder, (weights, path))
    return path, weights


def _save_torch(model: bytes, path: Path) -> tuple[Path, ...]:
    from dds.engines.on_torch import write

    with _beside(path) as folder:
        write(model, folder / path.name)
        (folder / path.name).replace(path)
    return (path,)


def _put(folder: Path, files: Sequence[Path]) -> None:
    """Rename new files out of a folder to their places, in order; all or none.

    Old ones are taken away first, the last of them foremost; back they come the other way round.
    So whoever finds the last file finds the others that belong to it, at any moment.
    """
    old = {file: folder / f"old {file.name}" for file in files if os.path.lexists(file)}
    try:
        for file in reversed(old):
            file.replace(old[file])
        for file in files:
            (folder / file.name).replace(file)
    except BaseException:
        for file in reversed(files):
            if file not in old or os.path.lexists(old[file]):
                file.unlink(missing_ok=True)
        for file, kept in old.items():
            if os.path.lexists(kept):
                kept.replace(file)
        raise


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
