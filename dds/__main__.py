"""``python -m dds`` is the ``dds`` command."""

from __future__ import annotations

import sys

from dds.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
