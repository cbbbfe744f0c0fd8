"""The benchmarks are scripts beside each other, not a package: let tests import them."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
