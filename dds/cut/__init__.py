"""Where to cut: which operators stay on the device, which go to the server.

Reading order: ``pieces`` (what a cut, a piece and a frontier are), ``solver``
(the two questions a caller asks), ``network`` (graph to flow network, built on
``structure``), ``parametric`` (all minimum cuts as the price of server work rises),
``block`` (the networks it solves on the way), ``kernel`` (one minimum cut),
``crossing`` (what the cuts found cost), ``hull`` and ``envelope`` (all cuts for all links
at once), ``layout`` (the arrays these work on), ``engine`` (compiled or plain).
"""

from __future__ import annotations

from dds.cut.engine import prepare
from dds.cut.hull import CutHull, hull
from dds.cut.network import make_cut, score
from dds.cut.pieces import Cut, Frontier, Piece
from dds.cut.solver import frontier, min_cut

__all__ = [
    "Cut",
    "CutHull",
    "Frontier",
    "Piece",
    "frontier",
    "hull",
    "make_cut",
    "min_cut",
    "prepare",
    "score",
]
