"""Hypothesis strategies and assertions for your own tests (needs hypothesis, extra ``test``).

``graphs`` draws models, operator times and links; ``assertions_cut`` says what
must hold of cuts and frontiers.
"""

from __future__ import annotations

from dds.testing.assertions_cut import assert_cut, assert_frontier, least_latency
from dds.testing.graphs import chains, closed_sets, graphs, links, operator_times

__all__ = [
    "assert_cut",
    "assert_frontier",
    "chains",
    "closed_sets",
    "graphs",
    "least_latency",
    "links",
    "operator_times",
]
