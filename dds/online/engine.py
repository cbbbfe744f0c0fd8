"""Where the loops of an online market run: compiled by numba, or as they are.

A market lives long and answers in microseconds, so it loads numba wherever it is
installed.  Without it single questions run through the same functions in plain
Python, and whole tables through numpy.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from dds.compiled import numba_installed

__all__ = ["compiled", "run_kernels", "walk_kernels"]


def compiled() -> bool:
    """Whether the kernels are compiled."""
    return numba_installed()


@cache
def walk_kernels() -> Any:
    """The module ``dds.online.walk_kernels``, loaded when first needed."""
    from dds.online import walk_kernels as kernels

    return kernels


@cache
def run_kernels() -> Any:
    """The module ``dds.online.run_kernels``, loaded when first needed."""
    from dds.online import run_kernels as kernels

    return kernels
