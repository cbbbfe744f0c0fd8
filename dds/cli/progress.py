"""A progress bar of one line on a terminal; silence where nobody watches."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import TextIO

from dds.compiled import told_of_compiling
from dds.units import format_seconds

__all__ = ["ProgressBar", "bar_for_terminal", "search_bar_for_terminal"]

_WIDTH = 24


class ProgressBar:
    """Call it with how much of how much is done; it draws itself over its last line.

    what: said before the bar; stream: where it is drawn.
    """

    def __init__(self, what: str, stream: TextIO) -> None:
        self._what = what
        self._stream = stream
        self._started = 0.0
        self._drawn = -1

    def __call__(self, done: int, total: int) -> None:
        """Draw `done` of `total`; nothing is left on the line when all is done."""
        if self._drawn < 0:
            self._started = time.monotonic()
        full = _WIDTH * done // total if total else _WIDTH
        if done >= total:
            self.close()
        elif done != self._drawn:
            left = ""
            if done:
                seconds = (time.monotonic() - self._started) * (total - done) / done
                left = f", {format_seconds(seconds)} left" if seconds >= 1.0 else ""
            bar = "█" * full + "░" * (_WIDTH - full)
            self._show(f"{self._what} {bar} {done}/{total}{left}")
        self._drawn = done

    def compiling(self) -> None:
        """Say why nothing seems to go on, until the next call."""
        self._show(f"{self._what}: compiling machine code, once on this machine (half a minute)")

    def close(self) -> None:
        """Leave nothing on the line."""
        self._show("")

    def _show(self, text: str) -> None:
        self._stream.write(f"\r\033[K{text}")
        self._stream.flush()


@contextlib.contextmanager
def bar_for_terminal(what: str) -> Iterator[ProgressBar | None]:
    """A bar on stderr, gone however the body ends; None where that is no terminal."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield None
        return
    bar = ProgressBar(what, sys.stderr)
    try:
        yield bar
    finally:
        bar.close()


@contextlib.contextmanager
def search_bar_for_terminal(what: str) -> Iterator[ProgressBar | None]:
    """:func:`bar_for_terminal` of a search, which also tells that its loops are compiled first."""
    with bar_for_terminal(what) as bar:
        if bar is None:
            yield None
            return
        with told_of_compiling(bar.compiling):
            yield bar
