"""``python -m mec_server`` is ``mec-server``."""

from __future__ import annotations

import sys

from mec_server.cli import main

if __name__ == "__main__":
    sys.exit(main())
