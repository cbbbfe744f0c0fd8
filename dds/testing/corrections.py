"""What a client may have learned of its predictions (imported by its own name)."""

from __future__ import annotations

import math

from hypothesis import strategies as st

from dds.predict.correction import Correction, Track

__all__ = ["corrections"]


def corrections(least: float = 0.2, most: float = 5.0) -> st.SearchStrategy[Correction]:
    """Device, network and server each slower than predicted by a factor from least to most."""
    tracks = st.floats(least, most).map(lambda factor: Track((math.log(factor),)))
    return st.builds(Correction, tracks, tracks, tracks)
