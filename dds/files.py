"""Files that are there whole or not at all."""

from __future__ import annotations

import errno
import secrets
from pathlib import Path

__all__ = ["write_whole"]


def write_whole(path: Path, data: bytes) -> None:
    """Write or replace a file: a temporary one beside it, then renamed.

    Whoever reads `path` meanwhile finds what was there before.  If writing fails, nothing else is
    left behind.  Raises OSError when the folder is missing or cannot be written, or what is there
    is a folder or a device, and ValueError for a path that names no file.
    """
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise FileExistsError(errno.EEXIST, "It is not a file", str(path))
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with unfinished.open("xb") as file:
            file.write(data)
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
