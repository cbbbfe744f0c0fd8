"""Which engines are tested here: those that are installed.

PyTorch's wheels are gigabytes, so ``make test`` does without; ``make engines`` installs it in an
environment of its own and runs this folder there, the files below included.
"""

from __future__ import annotations

import importlib.util

collect_ignore = [] if importlib.util.find_spec("torch") else ["test_on_torch.py"]
