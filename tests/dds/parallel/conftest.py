"""Questions drawn by the benchmark of schedules."""

from __future__ import annotations

import sys
from pathlib import Path

# The benchmark draws questions; the tests of schedules import it.
sys.path.append(str(Path(__file__).parents[3] / "benchmarks"))
