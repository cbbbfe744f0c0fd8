"""``--plot FILE.png``: what would prevent a picture is said before the work, not after it."""

from __future__ import annotations

import argparse
from importlib.util import find_spec
from pathlib import Path

from dds.errors import InvalidInput
from dds.files import write_whole

__all__ = ["add_plot_flag", "check_plot", "save"]


def add_plot_flag(parser: argparse.ArgumentParser, what: str) -> None:
    """``--plot``; what: what it draws."""
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help=what)


def check_plot(path: Path | None) -> None:
    """Raises InvalidInput for what would prevent the picture when all is done."""
    if path is None:
        return
    if path.suffix.lower() != ".png":
        raise InvalidInput(f"--plot {str(path)!r}: draws a PNG; call it {path.stem or 'plot'}.png")
    if find_spec("matplotlib") is None:
        raise InvalidInput("--plot needs matplotlib; install it: pip install 'dds[plot]'")
    try:
        no_folder, no_file = not path.parent.is_dir(), path.exists() and not path.is_file()
    except OSError as error:
        raise InvalidInput(_unwritable(path, error)) from None
    if no_folder:
        raise InvalidInput(f"--plot {str(path)!r}: there is no such folder; make it first")
    if no_file:
        raise InvalidInput(f"--plot {str(path)!r}: is there, and no file; name another")


def save(path: Path, picture: bytes) -> None:
    """Write the PNG, whole or not at all; raises InvalidInput where that fails."""
    try:
        write_whole(path, picture)
    except (OSError, ValueError) as error:
        raise InvalidInput(_unwritable(path, error)) from None


def _unwritable(path: Path, error: OSError | ValueError) -> str:
    reason = error.strerror if isinstance(error, OSError) else "no such name"
    return f"--plot {str(path)!r}: cannot be written: {reason}"
