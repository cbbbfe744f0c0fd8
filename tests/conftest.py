"""For all tests: Hypothesis draws the same examples every time, and may take its time for each.

`pytest --hypothesis-profile explore` draws others.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec

import pytest
from hypothesis import settings

settings.register_profile("dds", max_examples=60, deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None)
settings.load_profile("dds")

# Processes in the background ignore Ctrl-C, and so would those that the tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Compiled modules are kept, whatever the environment says: tests start some two hundred processes,
# and a client that compiles what it imports takes a quarter longer.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False


def pytest_report_header() -> list[str]:
    """What is not run here, as no test is skipped silently."""
    if find_spec("torch"):
        return []
    return ["not run without PyTorch: tests/dds/engines/test_on_torch.py; make engines runs it"]


@pytest.fixture(scope="session", autouse=True)
def temporary_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Temporary files, the profiling lock among them, in a folder of the tests' own.

    So nobody waits for, or is refused because of, another who measures on this machine: neither
    the other workers of this run nor anything else.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(tmp_path_factory.mktemp("temporary")))
        patch.setattr(tempfile, "tempdir", None)
        yield
